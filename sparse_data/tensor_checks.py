"""Checks of tensors and networks that raise, with the messages of `sparse_data.checks`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from sparse_data.checks import check_numeric


def check_tensor(name: str, value: Any) -> Tensor:
    """Return a tensor as it is, and anything that NumPy reads as numbers as a tensor, else raise.

    Raises
    ------
    TypeError, ValueError
        As `sparse_data.checks.check_numeric`; complex numbers are none.

    Examples
    --------
    >>> check_tensor("labels", ["a"])
    Traceback (most recent call last):
    ...
    TypeError: `labels` must be numeric; got dtype <U1. Convert it to numbers.
    """
    if not isinstance(value, Tensor):
        array = np.require(check_numeric(name, value), requirements="C")
        if array.dtype == np.uint64:
            array = array.view(np.uint64)  # NumPy has two types of this name, of which torch knows one
        # Torch warns of memory that must not be written to.
        return check_tensor(name, torch.from_numpy(array if array.flags.writeable else array.copy()))
    if value.is_complex():
        raise TypeError(f"`{name}` must be numeric; got dtype {value.dtype}. Convert it to numbers.")
    if value.dtype not in (torch.uint16, torch.uint32, torch.uint64):
        return value
    signed = value.long()  # torch computes little with wide unsigned integers
    if bool((signed < 0).any()):
        raise ValueError(f"`{name}` must fit into int64; got values above. Number them from 0.")
    return signed


def check_length(name: str, tensor: Tensor, what: str, length: int) -> Tensor:
    """Return `tensor` if it has one dimension and a value for each of `length` nodes or edges, else raise."""
    if tensor.ndim != 1:
        got = f"shape {tuple(tensor.shape)}"
        raise ValueError(f"`{name}` must be 1-dimensional; got {got}. Pass one value for each of `{what}`.")
    if len(tensor) != length:
        raise ValueError(
            f"`{name}` and `{what}` must be of the same length; got {len(tensor)} and {length}. "
            f"Pass one value for each of `{what}`."
        )
    return tensor


def check_module(name: str, model: Any) -> Module:
    """Return `model` if it is a network of PyTorch, else raise TypeError."""
    if not isinstance(model, Module):
        raise TypeError(f"`{name}` must be a torch.nn.Module; got {type(model).__name__}. Pass a network.")
    return model
