"""What RTGNN makes of each training label: trusted, replaced or doubted; and how neighbours must agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_DOUBT = 0.1  # weight of a label that is neither trusted nor replaced


def govern_labels(first: Tensor, second: Tensor, codes: Tensor, *, progress: float) -> tuple[Tensor, Tensor]:
    r"""Return a label and a weight for each training node.

    With the progress :math:`t = e / E` of the training and the losses
    :math:`\ell_i = -\ln p^1_{i y_i} - \ln p^2_{i y_i}`:

    - trusted, weight 1: the smallest losses, a share of :math:`1 - t / 2`, or all that are below the mean
      if these are more;
    - replaced, weight :math:`(p^1_c p^2_c)^{(1 - t) / 2}`: where both peers name another class c and
      :math:`p^1_c p^2_c > 1 - (1 - \min(1/2, 1/K)) t`;
    - doubted, weight 0.1: the rest.

    Parameters
    ----------
    first, second : float tensors of shape (n, n_classes)
        Probabilities of the two peers.
    codes : int64 tensor of shape (n,)
    progress : float
        t in [0, 1].

    Returns
    -------
    labels : int64 tensor of shape (n,)
    weights : float tensor of shape (n,)

    Examples
    --------
    >>> sure = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.9, 0.1]])
    >>> labels, weights = govern_labels(sure, sure, torch.tensor([0, 0, 1, 1]), progress=1.0)
    >>> labels.tolist(), [round(weight, 2) for weight in weights.tolist()]
    ([0, 0, 1, 0], [1.0, 1.0, 0.1, 1.0])
    """
    rows = torch.arange(len(codes), device=codes.device)
    losses = -(first[rows, codes] * second[rows, codes]).log()
    share = max(1 - progress / 2, float((losses < losses.mean()).double().mean()))
    trusted = torch.zeros_like(codes, dtype=torch.bool)
    trusted[losses.argsort(stable=True)[: math.ceil(round(share * len(codes), 6))]] = True
    named = first.argmax(dim=1)
    certainty = first[rows, named] * second[rows, named]
    bound = 1 - (1 - min(0.5, 1 / first.shape[1])) * progress
    replaced = ~trusted & (named == second.argmax(dim=1)) & (named != codes) & (certainty > bound)
    weights = torch.full_like(losses, _DOUBT)
    weights[trusted] = 1
    weights[replaced] = certainty[replaced] ** ((1 - progress) / 2)
    return torch.where(replaced, named, codes), weights


def neighbour_divergence(log_probs: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
    r"""Return how far the predictions of targets are from those of their sources, each edge by its weight.

    .. math:: \frac{\sum_{(j, i)} w_{ji} \mathrm{KL}(p_i \| p_j)}{\sum_{(j, i)} w_{ji}}

    Parameters
    ----------
    log_probs : float tensor of shape (n_nodes, n_classes)
    edges : int64 tensor of shape (2, n_edges)
        Sources j, targets i.
    weights : float tensor of shape (n_edges,)
    """
    targets, sources = log_probs[edges[1]], log_probs[edges[0]]
    divergence = (targets.exp() * (targets - sources)).sum(dim=1)
    return (weights * divergence).sum() / weights.sum().clamp_min(1e-12)
