"""Semantic labels of ERASE: what prototypes, given labels and neighbours together say of every node."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from noisy_labels.node_labels.structural_denoising import propagate
from noisy_labels.node_labels.tensor_arguments import check_codes, check_float_tensor
from sparse_data.checks import check_count, check_in_range
from sparse_data.sparse_pattern import SparsePattern


def class_prototypes(Z: Tensor, labels: Tensor, *, n_classes: int) -> Tensor:
    r"""Return the mean embedding of each class, 0 for a class without nodes.

    .. math:: \mu_c = \frac1{n_c} \sum_{y_i = c} z_i

    Parameters
    ----------
    Z : float tensor of shape (N, d)
    labels : int64 tensor of shape (N,)
    n_classes : int

    Returns
    -------
    tensor of shape (n_classes, d)

    Examples
    --------
    >>> class_prototypes(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), n_classes=2).tolist()
    [[2.0], [0.0]]
    """
    counts = torch.bincount(labels, minlength=n_classes)
    sums = Z.new_zeros(n_classes, Z.shape[1]).index_add(0, labels, Z)
    return sums / counts.clamp(min=1)[:, None]


def prototype_similarity(Z: Tensor, prototypes: Tensor) -> Tensor:
    r"""Return :math:`|\cos(z_i, \mu_c)|`, 0 where either is 0; shape (N, n_classes).

    Examples
    --------
    >>> prototype_similarity(torch.tensor([[-2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0]]
    """
    lengths = torch.linalg.vector_norm(Z, dim=1, keepdim=True).clamp(min=torch.finfo(Z.dtype).tiny)
    cosines: Tensor = Z @ normalize(prototypes, dim=1).T / lengths
    return cosines.abs()


def semantic_scores(
    Z: Tensor,
    denoised: Tensor,
    labelled: Tensor,
    neighbours: SparsePattern,
    *,
    alpha: float = 0.6,
    beta: float = 0.6,
    steps: int = 5,
    refinements: int = 0,
) -> Tensor:
    r"""Return scores of all classes at all nodes, whose largest is the semantic label.

    .. math:: Q = \mathrm{softmax}(\beta Y + (1 - \beta) |\cos(z_i, \mu_c)|), \qquad
              Q \leftarrow \alpha Q + (1 - \alpha) A D^{-1} Q

    Parameters
    ----------
    Z : float tensor of shape (n_nodes, d)
    denoised : float tensor of shape (n_nodes, n_classes)
        Y, of `denoise_labels`.
    labelled : int64 tensor of shape (n_labelled,)
        Nodes whose largest entry of Y makes the prototypes.
    neighbours : SparsePattern of shape (n_nodes, n_nodes)
    alpha, beta : float, default=0.6
    steps : int, default=5
    refinements : int, default=0
        How often prototypes are made anew, and scores after them, from those labelled nodes whose semantic
        label is that of the largest entry of Y: fewer of these are wrong.  A class without such a node
        keeps its prototype.

    Returns
    -------
    tensor of shape (n_nodes, n_classes)

    References
    ----------
    Chen et al., "ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance", 2024,
    arXiv:2312.08852.

    Examples
    --------
    >>> pair = SparsePattern.from_entries(torch.tensor([[0, 2, 1, 3], [2, 0, 3, 1]]), (4, 4))
    >>> given = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    >>> Z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    >>> semantic_scores(Z, given, torch.tensor([0, 1]), pair).argmax(1).tolist()
    [0, 1, 0, 1]
    """
    check_in_range("beta", beta, 0, 1)
    check_float_tensor("denoised", denoised, n_rows=len(check_float_tensor("Z", Z)))
    labelled = check_codes("labelled", labelled, low=0, high=len(Z))
    check_count("refinements", refinements, minimum=0)
    n_classes = denoised.shape[1]

    def scores_of(prototypes: Tensor) -> Tensor:
        scores = (beta * denoised + (1 - beta) * prototype_similarity(Z, prototypes)).softmax(1)
        return propagate(scores, neighbours, alpha=alpha, steps=steps)

    rows, hard = Z[labelled], denoised[labelled].argmax(1)
    prototypes = class_prototypes(rows, hard, n_classes=n_classes)
    scores = scores_of(prototypes)
    for _ in range(refinements):
        agree = scores[labelled].argmax(1) == hard
        means = class_prototypes(rows[agree], hard[agree], n_classes=n_classes)
        missing = torch.bincount(hard[agree], minlength=n_classes) == 0
        prototypes = torch.where(missing[:, None], prototypes, means)
        scores = scores_of(prototypes)
    return scores
