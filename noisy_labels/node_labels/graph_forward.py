"""A graph network with forward correction for a transition matrix that is given or estimated."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import nll_loss

from noisy_labels.confident_learning.confident_transition import transition_confident_learning
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.labelled_graph import LabelledGraph, Validation
from noisy_labels.node_labels.node_networks import NetworkName
from noisy_labels.transitions.anchor_points import transition_anchor_points
from noisy_labels.transitions.noise_matrices import check_transition_matrix

# Of an estimate from a network that is sure of itself some rows are 0 in places; logarithms need more.
_SMALLEST = 1e-12
# Of the sharpest predictions some are outliers.
_ANCHOR_QUANTILE = 0.97


class GraphForwardClassifier(GraphNetworkClassifier):
    r"""Fit the probabilities of the noisy labels that follow from those of the true classes.

    .. math:: L = -\frac{1}{|V_{tr}|} \sum_{i \in V_{tr}} \log \sum_k p_{ik} T_{k \tilde y_i}

    Without a `transition` a first network is trained on the labels as given. T is what
    `transition_confident_learning` makes of its predictions for the validation nodes and their noisy labels;
    without such nodes, what `transition_anchor_points` reads off those for all nodes without a label.

    Parameters
    ----------
    network : {"gcn", "gat"} or Module, default="gcn"
    transition : array of shape (n_classes, n_classes), optional
        T, P(given j | true i), of the sorted classes.
    hidden, dropout, epochs, learning_rate, weight_decay, validation, random_state, verbose
        As for `GraphNetworkClassifier`, which has the other attributes too.

    Attributes
    ----------
    transition_ : float array of shape (n_classes, n_classes)

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, "Making deep neural networks robust to label noise: a loss correction
    approach", 2017, arXiv:1609.03683.

    Examples
    --------
    Labels that always name the other class:

    >>> edges = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])
    >>> model = GraphForwardClassifier(transition=[[0, 1], [1, 0]], validation="none", random_state=0)
    >>> model.fit(np.eye(4), [0, -1, 1, -1], edge_index=edges).predict().tolist()
    [1, 1, 0, 0]
    """

    def __init__(
        self,
        network: NetworkName | Module = "gcn",
        *,
        transition: ArrayLike | None = None,
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
        self.transition = transition

    def _fit_graph(self, graph: LabelledGraph) -> None:
        n_classes = graph.classes.size
        if self.transition is None:
            self.transition_ = np.eye(n_classes)
            self._train(graph)
            self.transition_ = self._estimate(graph)
        else:
            self.transition_ = check_transition_matrix("transition", self.transition)
        if self.transition_.shape != (n_classes, n_classes):
            raise ValueError(
                f"`transition` must have a row for each of the {n_classes} classes; got shape "
                f"{self.transition_.shape}. Leave out classes that no label names."
            )
        self._train(graph)

    @torch.no_grad()
    def _estimate(self, graph: LabelledGraph) -> NDArray[np.float64]:
        probabilities = self._probabilities(graph.nodes).double().cpu().numpy()
        val = graph.val[graph.codes[graph.val] >= 0].cpu().numpy()
        if val.size:
            return transition_confident_learning(graph.codes.cpu().numpy()[val], probabilities[val])
        unlabelled = graph.unlabelled.cpu().numpy()
        if unlabelled.size:
            return transition_anchor_points(probabilities[unlabelled], quantile=_ANCHOR_QUANTILE)
        return np.eye(graph.classes.size)

    def _loss(self, logits: Tensor, codes: Tensor) -> Tensor:
        transition = torch.as_tensor(self.transition_, dtype=logits.dtype, device=logits.device)
        noisy = logits.softmax(dim=1) @ transition
        return nll_loss(noisy.clamp_min(_SMALLEST).log(), codes)
