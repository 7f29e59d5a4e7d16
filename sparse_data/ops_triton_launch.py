"""Launch of Triton kernels over the rows of a table, and checks of the tensors that they are given."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from sparse_data.checks import check_ids_in_range

Tensor = torch.Tensor
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int32, torch.int64)
NUMBERS_A_WARP, MOST_WARPS = 2048, 8  # one warp as a rule: more of them wait for each other at every sum
INTERPRETED = not isinstance(tl.zeros, triton.runtime.JITFunction)


def launch(
    kernel: Any, num_programs: int, arguments: tuple[Any, ...], settings: dict[str, Any], numbers: int
) -> None:
    """Start a kernel on the device of its first argument, with warps for the numbers that a program holds."""
    num_warps = min(max(numbers // NUMBERS_A_WARP, 1), MOST_WARPS)
    # Fusion is said aloud, since its default changes with the versions of Triton.
    options = {"num_warps": num_warps, "enable_fp_fusion": True}
    if INTERPRETED:
        arguments = tuple(given.detach() if isinstance(given, Tensor) else given for given in arguments)
    device = arguments[0].device
    elsewhere = device.type == "cuda" and device.index != torch.cuda.current_device()
    with torch.cuda.device(device) if elsewhere else nullcontext():
        kernel[(num_programs,)](*arguments, **settings, **options)


def power_of_2(number: int) -> int:
    """Return the smallest power of 2 that is at least a positive number; Triton's takes microseconds."""
    return 1 << (number - 1).bit_length()


def check_table(name: str, table: Tensor, dtypes: tuple[Any, ...], *, written: bool = False) -> None:
    """Raise if kernels cannot go through the rows of a table, or two programs could write the same number."""
    check_tensor(name, table, dtypes, 2)
    if not INTERPRETED and table.device.type != "cuda":
        raise ValueError(
            f"`{name}` must be on a CUDA device; got {table.device}. Move it, use sparse_data.ops_torch, or "
            "set TRITON_INTERPRET=1 before the start of Python to try the kernels on a CPU."
        )
    num_rows, dim = table.shape
    apart = dim > 1 and table.stride(1) != 1
    overlapping = written and num_rows > 1 and table.stride(0) < dim
    if apart or overlapping:
        raise ValueError(
            f"`{name}` must have rows of adjacent numbers that do not overlap; got strides {table.stride()}. "
            "Pass table.contiguous()."
        )


def check_tensor(
    name: str, tensor: Tensor, dtypes: tuple[Any, ...], ndim: int, table: Tensor | None = None
) -> None:
    """Raise if a tensor is of another dtype or number of dimensions, or not on the device of the table."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor; got {type(tensor).__name__}. Use torch.as_tensor.")
    if tensor.dtype not in dtypes:
        listed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(
            f"`{name}` must be of dtype {listed}; got {tensor.dtype}. Convert it with .to(dtype)."
        )
    if tensor.ndim != ndim or tensor.layout != torch.strided:
        got = f"shape {tuple(tensor.shape)}, layout {tensor.layout}"
        raise ValueError(f"`{name}` must be dense and {ndim}-dimensional; got {got}. Reshape it.")
    if table is not None and tensor.device != table.device:
        raise ValueError(f"`{name}` must be on {table.device}, as the table; got {tensor.device}. Move it.")


def check_range(name: str, ids: Tensor, size: int) -> None:
    """Raise if an id is not in [0, size); both extremes come from the device at once."""
    if len(ids):
        check_ids_in_range(name, np.array(torch.stack(ids.aminmax()).tolist()), size)
