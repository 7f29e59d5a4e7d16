"""Which k values are the smallest, exactly and in a fixed order among equals."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


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
    threshold = kth_smallest(values, k)
    mask = values < threshold
    ties = (values == threshold).nonzero()[:, 0]
    mask[ties[len(ties) - (k - int(mask.sum())) :]] = True
    return mask


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """Return the k-th smallest value, k from 1."""
    if values.is_cpu:  # NumPy selects twice as fast as kthvalue
        return torch.as_tensor(np.partition(values.numpy(), k - 1)[k - 1])
    return values.kthvalue(k).values


def floor_share(share: float, total: int) -> int:
    """Return floor(share * total), with the share read as a decimal: 0.29 of 100 is 29."""
    return math.floor(round(share * total, 6))
