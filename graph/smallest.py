"""Which k values are the smallest, exactly and in a fixed order among equals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SAMPLE = 1 << 14


def smallest_mask(values: Tensor, k: int) -> Tensor:
    """Return a mask of the k smallest values; of those equal to the largest of them the last ones.

    Linear in the number of values. A larger k adds to the mask and takes nothing away.

    Parameters
    ----------
    values : tensor of shape (n,)
        Without NaN.
    k : int
        In [0, n].

    Examples
    --------
    >>> smallest_mask(torch.tensor([2.0, 1.0, 2.0, 3.0, 2.0]), 3).tolist()
    [False, True, True, False, True]
    """
    if k == 0:
        return torch.zeros(len(values), dtype=torch.bool, device=values.device)
    if values.dtype is torch.bfloat16:  # which NumPy does not have
        values = values.float()
    threshold = kth_smallest(values, k)
    mask = at_most(values, threshold)
    if count(mask) == k:
        return mask
    mask = values < threshold
    ties = (values == threshold).nonzero()[:, 0]
    mask[ties[len(ties) - (k - count(mask)) :]] = True
    return mask


def at_most(values: Tensor, threshold: Tensor) -> Tensor:
    """Return a mask of the values up to a threshold of the same dtype."""
    if values.is_cpu:  # NumPy compares several times faster
        return torch.from_numpy(values.numpy() <= threshold.numpy())
    return values <= threshold


def count(mask: Tensor) -> int:
    """Return how many values a mask selects."""
    return int(np.count_nonzero(mask.numpy())) if mask.is_cpu else int(mask.count_nonzero())


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """Return the k-th smallest value, k from 1."""
    if values.is_cpu:  # NumPy selects twice as fast as kthvalue
        return torch.as_tensor(_select(values.numpy(), k))
    return values.kthvalue(k).values


def _select(values: NDArray[Any], k: int) -> Any:
    """Return the k-th smallest value, sought among those near to where a sample has it."""
    sample = values[:: max(len(values) // _SAMPLE, 1)]
    place, margin = k / len(values) * len(sample), 2 * math.sqrt(len(sample))
    ranks = max(int(place - margin), 0), min(int(place + margin), len(sample) - 1)
    low, high = np.partition(sample, ranks)[list(ranks)]
    below = values < low
    band = values.compress(~below & (values <= high))
    rank = k - int(np.count_nonzero(below))
    if not 0 < rank <= len(band):  # the sample misleads, or k is near to an end
        return np.partition(values, k - 1)[k - 1]
    if rank <= np.count_nonzero(band == low):  # selection is slow among many equals
        return low
    if rank > np.count_nonzero(band < high):
        return high
    return np.partition(band, rank - 1)[rank - 1]


def floor_share(share: float, total: int) -> int:
    """Return floor(share * total), with the share read as a decimal: 0.29 of 100 is 29."""
    return math.floor(round(share * total, 6))
