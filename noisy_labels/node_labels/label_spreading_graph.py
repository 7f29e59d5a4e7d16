"""Labels spread along edges, with a restart at the given ones: no features, no training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation, check_same_nodes
from noisy_labels.node_labels.node_classifier import NodeClassifier
from sparse_data.checks import check_count, check_in_range


def spread_labels(labels: Tensor, edge_index: Tensor, *, alpha: float, n_iterations: int) -> Tensor:
    r"""Return the labels after some steps of propagation with a restart.

    .. math:: F^{(t+1)} = \alpha D^{-1/2} A D^{-1/2} F^{(t)} + (1 - \alpha) Y, \qquad F^{(0)} = Y

    Parameters
    ----------
    labels : float tensor of shape (n_nodes, n_classes)
        Y.
    edge_index : int64 tensor of shape (2, n_edges)
        Both directions of undirected edges; self-loops are left out. D holds the in-degrees.
    alpha : float
        Weight of the propagated part, in [0, 1].
    n_iterations : int

    Returns
    -------
    float tensor of shape (n_nodes, n_classes)

    Examples
    --------
    >>> path = torch.tensor([[0, 1], [1, 0]])
    >>> spread_labels(torch.tensor([[1.0], [0.0]]), path, alpha=0.5, n_iterations=2)
    tensor([[0.7500],
            [0.2500]])
    """
    sources, targets = edge_index[:, edge_index[0] != edge_index[1]]
    scale = torch.bincount(targets, minlength=len(labels)).clamp(min=1).to(labels.dtype).rsqrt()
    weights = (scale[sources] * scale[targets])[:, None]
    spread = labels
    for _ in range(n_iterations):
        step = torch.zeros_like(labels).index_add_(0, targets, spread[sources] * weights)
        spread = alpha * step + (1 - alpha) * labels
    return spread


class GraphLabelSpreading(NodeClassifier):
    """Spread the training labels along the edges, `spread_labels`.

    A training node gets its own label only as one vote among those that reach it.

    Parameters
    ----------
    alpha : float, default=0.9
        Weight of the propagated part, in [0, 1).
    n_iterations : int, default=50
    validation : {"noisy", "clean", "none"}, default="none"
        Nothing is chosen: only tells whether nodes are held out.
    random_state : int, RandomState or None

    Attributes
    ----------
    pred_probs_ : float array of shape (n_nodes, n_classes)
        Of a node that no label reaches, the shares of the classes among the training labels.
    classes_ : array of shape (n_classes,)

    References
    ----------
    Zhou, Bousquet, Lal, Weston and Schölkopf, "Learning with local and global consistency", 2003.

    Examples
    --------
    >>> edges = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])
    >>> GraphLabelSpreading().fit(np.ones((4, 1)), [0, -1, 1, -1], edge_index=edges).predict().tolist()
    [0, 0, 1, 1]
    """

    def __init__(
        self,
        *,
        alpha: float = 0.9,
        n_iterations: int = 50,
        validation: Validation = "none",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.alpha = alpha
        self.n_iterations = n_iterations
        self.validation = validation
        self.random_state = random_state

    def _check_parameters(self) -> None:
        check_in_range("alpha", self.alpha, 0, 1, closed="left")
        check_count("n_iterations", self.n_iterations)

    def _fit_graph(self, graph: LabelledGraph) -> None:
        labels = torch.zeros(len(graph.codes), graph.classes.size, dtype=torch.float64)
        self.labels_ = labels.to(graph.codes.device)
        self.labels_[graph.train, graph.codes[graph.train]] = 1

    def _probabilities(self, nodes: Nodes) -> Tensor:
        check_same_nodes(nodes, len(self.labels_))
        spread = spread_labels(
            self.labels_, nodes.edge_index, alpha=self.alpha, n_iterations=self.n_iterations
        )
        mass = spread.sum(dim=1, keepdim=True)
        shares = self.labels_.sum(dim=0) / self.labels_.sum()
        return torch.where(mass > 0, spread / mass.where(mass > 0, 1.0), shares)
