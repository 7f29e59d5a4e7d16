"""Checks of arguments that are tensors of PyTorch, with the messages of `sparse_data.checks`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_float_tensor(name: str, value: Any, *, n_rows: int | None = None) -> Tensor:
    """Return a float32 or float64 tensor of two dimensions, of `n_rows` rows if that is given, or raise.

    Examples
    --------
    >>> check_float_tensor("Z", torch.tensor([[1]]))
    Traceback (most recent call last):
    ...
    TypeError: `Z` must be a float32 or float64 tensor; got torch.int64. Convert it with .float().
    """
    if not isinstance(value, Tensor) or value.dtype not in (torch.float32, torch.float64):
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"`{name}` must be a float32 or float64 tensor; got {got}. Convert it with .float().")
    if value.ndim != 2 or not value.numel() or (n_rows is not None and len(value) != n_rows):
        wanted = "rows and columns" if n_rows is None else f"{n_rows} rows and columns"
        raise ValueError(
            f"`{name}` must be of two dimensions with {wanted}; got {tuple(value.shape)}. Pass a row a node."
        )
    return value


def check_codes(name: str, value: Any, *, low: int, high: int, n: int | None = None) -> Tensor:
    """Return an integer tensor of one dimension as int64 if all values lie in [low, high), else raise.

    Examples
    --------
    >>> check_codes("labels", torch.tensor([0, 2]), low=-1, high=2)
    Traceback (most recent call last):
    ...
    ValueError: `labels` must be in [-1, 2); got values from 0 to 2. Number the classes from 0.
    """
    integer = isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())
    if not integer or value.dtype == torch.bool:
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"`{name}` must be an integer tensor; got {got}. Convert it with .long().")
    codes: Tensor = value.long()
    if codes.ndim != 1 or (n is not None and len(codes) != n):
        wanted = "one dimension" if n is None else f"shape ({n},)"
        raise ValueError(f"`{name}` must be of {wanted}; got {tuple(codes.shape)}. Pass one value a node.")
    if codes.numel() and not (low <= int(codes.min()) and int(codes.max()) < high):
        got = f"values from {int(codes.min())} to {int(codes.max())}"
        raise ValueError(f"`{name}` must be in [{low}, {high}); got {got}. Number the classes from 0.")
    return codes
