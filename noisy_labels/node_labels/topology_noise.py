"""Label noise that follows the graph: nodes among other classes are the ones mislabelled (BeGIN, 2025)."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from sparse_data.checks import (
    check_count,
    check_ids_in_range,
    check_in_range,
    check_ndim,
    check_no_missing,
    check_nonempty,
)
from sparse_data.type_checks import check_seed

Floats = NDArray[np.float64]
# The share of a walk's mass that may still be on its way when the diffusion is cut off.
_LEFT_OVER = 1e-8


def diffused_labels(
    codes: ArrayLike, edge_index: ArrayLike, *, n_classes: int, restart: float = 0.9
) -> Floats:
    r"""Return how much of each class a node sees around itself, by personalised PageRank.

    .. math:: S = \alpha \sum_{k \ge 1} (1 - \alpha)^k (D^{-1} A)^k Y

    The walk that has not left the node (k = 0) does not count: it would only repeat the node's own label.

    Parameters
    ----------
    codes : int array of shape (n_nodes,)
        Classes from 0; -1 is unknown and adds nothing.
    edge_index : int array of shape (2, n_edges)
        Sources and targets; a node sees the sources of its incoming edges. Self-loops are left out.
    n_classes : int
    restart : float, default=0.9
        α in (0, 1].

    Returns
    -------
    float array of shape (n_nodes, n_classes)
        Rows of nodes without neighbours are 0.

    Raises
    ------
    TypeError, ValueError
        For edges of nodes that do not exist, labels that are no classes, or α out of range.

    References
    ----------
    Gasteiger, Weißenberger and Günnemann, "Diffusion improves graph learning", 2019, arXiv:1911.05485.

    Examples
    --------
    >>> diffused_labels([0, 1, -1], [[0, 1], [1, 2]], n_classes=2).round(3).tolist()
    [[0.0, 0.0], [0.09, 0.0], [0.009, 0.09]]
    """
    check_in_range("restart", restart, 0, 1, closed="right")
    check_count("n_classes", n_classes)
    labels = check_ids_in_range("codes", check_ndim("codes", codes, 1) + 1, n_classes + 1) - 1
    edges = check_ndim("edge_index", edge_index, 2)
    if edges.shape[0] != 2:
        raise ValueError(f"`edge_index` must be of shape (2, n_edges); got {edges.shape}. Transpose it.")
    edges = check_ids_in_range("edge_index", edges, labels.size, "Pass the labels of all nodes.")
    edges = edges[:, edges[0] != edges[1]]
    steps = scipy.sparse.csr_array((np.ones(edges.shape[1]), (edges[1], edges[0])), shape=(labels.size,) * 2)
    degrees = steps.sum(axis=1)
    steps = scipy.sparse.diags_array(1 / np.maximum(degrees, 1)) @ steps
    walk = (labels[:, None] == np.arange(n_classes)).astype(np.float64)
    seen, mass = np.zeros_like(walk), restart
    while mass > 0 and (mass := mass * (1 - restart)) > _LEFT_OVER * restart:
        walk = steps @ walk
        seen += mass * walk
    return np.asarray(seen)


def topology_noise(
    y: ArrayLike,
    edge_index: ArrayLike,
    rate: float,
    *,
    restart: float = 0.9,
    temperature: float = 0.01,
    random_state: int | np.random.Generator | None = None,
) -> NDArray[np.int64]:
    r"""Return a copy of the labels with exactly :math:`\lfloor r n \rfloor` wrong ones, placed by the graph.

    .. math:: p_i = \mathrm{softmax}(S_i / T), \qquad
              P(i \text{ is corrupted}) \propto 1 - p_{i y_i}, \qquad
              P(\tilde y_i = c) \propto p_{ic}, \; c \ne y_i

    with the labels S seen around a node, `diffused_labels`.  Nodes are drawn one by one without replacement.
    Where fewer nodes than needed have other classes around them, the rest of the corrupted nodes is drawn
    from all others alike.

    Parameters
    ----------
    y : int array of shape (n_nodes,)
        Classes from 0; -1 is unknown and stays.
    edge_index : int array of shape (2, n_edges)
    rate : float
        r in [0, 1], of the n nodes with a known label.
    restart, temperature : float
        α in (0, 1] and T > 0.
    random_state : int, Generator or None

    Returns
    -------
    int64 array of shape (n_nodes,)

    Raises
    ------
    TypeError, ValueError
        For labels of one class only, edges of nodes that do not exist, or arguments out of range.

    References
    ----------
    Kim et al., "Delving into instance-dependent label noise in graph data: a comprehensive study and
    benchmark" (BeGIN), 2025.

    Examples
    --------
    Two triangles joined by an edge, with classes 0 and 1: the two ends of that edge are mislabelled.

    >>> edges = [[0, 1, 2, 3, 4, 5, 2], [1, 2, 0, 4, 5, 3, 3]]
    >>> both = np.concatenate([edges, edges[::-1]], axis=1)
    >>> topology_noise([0, 0, 0, 1, 1, 1], both, 0.34, random_state=0).tolist()
    [0, 0, 1, 0, 1, 1]
    """
    check_in_range("rate", rate, 0, 1)
    check_in_range("temperature", temperature, 0, closed="neither")
    noisy = check_no_missing("y", check_nonempty("y", check_ndim("y", y, 1))).astype(np.int64)
    known = np.flatnonzero(noisy >= 0)
    # With the share read as a decimal: .29 of 100 is 29.
    n_wrong = int(np.floor(round(rate * known.size, 6)))
    n_classes = int(noisy.max()) + 1
    if n_wrong and np.unique(noisy[known]).size < 2:
        raise ValueError(f"`y` must be of at least two classes; got {noisy[known[0]]} alone. Add another.")
    seen = diffused_labels(noisy, edge_index, n_classes=max(n_classes, 1), restart=restart)[known]
    generator = np.random.default_rng(check_seed("random_state", random_state))
    own = noisy[known]
    around = softmax(seen / temperature, axis=1)
    doubt = 1 - around[np.arange(known.size), own]
    # The largest keys log(u) / w are a draw without replacement with weights w.
    with np.errstate(divide="ignore"):
        keys = np.log(generator.random(known.size)) / np.where(doubt > 0, doubt, 0.0)
    chosen = np.lexsort((generator.random(known.size), -keys))[:n_wrong]
    others = seen[chosen] / temperature
    others[np.arange(n_wrong), own[chosen]] = -np.inf
    levels = np.cumsum(softmax(others, axis=1), axis=1)
    draws = generator.random(n_wrong) * levels[:, -1]
    noisy[known[chosen]] = (draws[:, None] >= levels).sum(axis=1)
    return noisy
