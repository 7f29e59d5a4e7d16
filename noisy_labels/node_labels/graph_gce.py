"""A graph network with the generalised cross-entropy, which bounds what a single wrong label can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.labelled_graph import Validation
from noisy_labels.node_labels.node_networks import NetworkName
from sparse_data.checks import check_in_range


def node_generalized_cross_entropy(logits: Tensor, codes: Tensor, *, q: float) -> Tensor:
    r"""Return the mean generalised cross-entropy.

    .. math:: L_q = \frac{1}{n} \sum_i \frac{1 - p_{i y_i}^q}{q}

    which for :math:`q \to 0` is the cross-entropy and for q = 1 the mean absolute error (halved).

    Parameters
    ----------
    logits : float tensor of shape (n, n_classes)
    codes : int64 tensor of shape (n,)
    q : float
        In (0, 1].

    Examples
    --------
    >>> round(node_generalized_cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]), q=0.5).item(), 6)
    1.0
    """
    given = torch.log_softmax(logits, dim=1).gather(1, codes[:, None])
    return -torch.expm1(q * given).mean() / q


class GraphGCEClassifier(GraphNetworkClassifier):
    """Train a graph network by the generalised cross-entropy, `node_generalized_cross_entropy`.

    Parameters
    ----------
    network : {"gcn", "gat"} or Module, default="gcn"
    q : float, default=0.7
        In (0, 1]; larger is more robust and slower to learn.
    hidden, dropout, epochs, learning_rate, weight_decay, validation, random_state, verbose
        As for `GraphNetworkClassifier`, which has the attributes too.

    References
    ----------
    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    2018, arXiv:1805.07836.

    Examples
    --------
    >>> edges = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])
    >>> model = GraphGCEClassifier(validation="none", epochs=50, random_state=0)
    >>> model.fit(np.eye(4), [0, -1, 1, -1], edge_index=edges).predict().tolist()
    [0, 0, 1, 1]
    """

    def __init__(
        self,
        network: NetworkName | Module = "gcn",
        *,
        q: float = 0.7,
        hidden: int = 64,
        dropout: float = 0.5,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 5e-4,
        validation: Validation = "noisy",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            network,
            hidden=hidden,
            dropout=dropout,
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation=validation,
            random_state=random_state,
            verbose=verbose,
        )
        self.q = q

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_in_range("q", self.q, 0, 1, closed="right")

    def _loss(self, logits: Tensor, codes: Tensor) -> Tensor:
        return node_generalized_cross_entropy(logits, codes, q=self.q)
