"""Structural denoising of ERASE: neighbours vote on the given labels, before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from noisy_labels.node_labels.tensor_arguments import check_codes
from sparse_data.checks import check_count, check_in_range
from sparse_data.sparse_pattern import SparsePattern, pattern_matmul
from sparse_data.type_checks import check_flag


def propagate(
    mass: Tensor, neighbours: SparsePattern, *, alpha: float, steps: int, restart: bool = False
) -> Tensor:
    r"""Let every node spread its mass over its neighbours, a few times.

    .. math:: Y \leftarrow \alpha Y + (1 - \alpha) A D^{-1} Y

    Columns of :math:`A D^{-1}` sum to 1, or are 0 for an isolated node: what is spread is never multiplied.

    Parameters
    ----------
    mass : float tensor of shape (n_nodes, n_classes)
        Y.
    neighbours : SparsePattern of shape (n_nodes, n_nodes)
        A without self-loops, targets by row.
    alpha : float
        In [0, 1].
    steps : int
        T; 0 changes nothing.
    restart : bool, default=False
        Whether the first term is that of the start in every step.

    Returns
    -------
    tensor of shape (n_nodes, n_classes)

    References
    ----------
    Chen et al., "ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance", 2024,
    arXiv:2312.08852.

    Examples
    --------
    >>> path = SparsePattern.from_entries(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), (3, 3))
    >>> propagate(torch.tensor([[1.0], [0.0], [0.0]]), path, alpha=0.5, steps=2).flatten().tolist()
    [0.375, 0.5, 0.125]
    """
    check_in_range("alpha", alpha, 0, 1)
    check_count("steps", steps, minimum=0)
    out_degrees = torch.bincount(neighbours.columns, minlength=neighbours.n_columns)
    weights = (1 / out_degrees.to(mass.dtype))[neighbours.columns]
    start = mass
    for _ in range(steps):
        kept = start if restart else mass
        mass = alpha * kept + (1 - alpha) * pattern_matmul(neighbours, weights, mass)
    return mass


def denoise_labels(
    labels: Tensor,
    neighbours: SparsePattern,
    *,
    n_classes: int,
    alpha: float = 0.6,
    steps: int = 5,
    whole_graph: bool = False,
    normalize: bool = False,
) -> Tensor:
    r"""Return the mass of every class at every node after the labels have been spread.

    The paper's form spreads over edges between labelled nodes alone.  Where there are few of these it changes
    no label, and leaves :math:`\alpha^T` of a label that has no labelled neighbour.

    Parameters
    ----------
    labels : int64 tensor of shape (n_nodes,)
        From 0; -1 where there is none.
    neighbours : SparsePattern of shape (n_nodes, n_nodes)
    n_classes : int
    alpha : float, default=0.6
    steps : int, default=5
    whole_graph : bool, default=False
        Whether labels travel through unlabelled nodes, too, and start anew in every step.  Unlabelled nodes
        have no mass in the end: what few labels say of them is worth less than what prototypes say.
    normalize : bool, default=False
        Whether the masses of a labelled node sum to 1, unless there are none.

    Returns
    -------
    float tensor of shape (n_nodes, n_classes)

    References
    ----------
    Chen et al., 2024, arXiv:2312.08852.

    Examples
    --------
    >>> path = SparsePattern.from_entries(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), (3, 3))
    >>> mass = denoise_labels(torch.tensor([0, 1, -1]), path, n_classes=2, alpha=0.5, steps=1)
    >>> mass.tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]
    """
    check_count("n_classes", n_classes, maximum=2**31 - 1)
    check_flag("whole_graph", whole_graph)
    check_flag("normalize", normalize)
    labels = check_codes("labels", labels, low=-1, high=n_classes, n=len(neighbours.offsets) - 1)
    known = labels >= 0
    mass = torch.zeros(len(labels), n_classes, device=labels.device)
    mass[known, labels[known]] = 1.0
    if not whole_graph:
        entries = torch.stack([neighbours.rows, neighbours.columns])
        between = known[entries[0]] & known[entries[1]]
        neighbours = SparsePattern.from_entries(entries[:, between], (len(labels), len(labels)))
    mass = propagate(mass, neighbours, alpha=alpha, steps=steps, restart=whole_graph) * known[:, None]
    if normalize:
        totals = mass.sum(1, keepdim=True)
        mass = torch.where(totals > 0, mass / totals, mass)
    return mass
