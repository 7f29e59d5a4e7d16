"""Gathered rows in PyTorch: embedding lookups whose gradient is a sparse tensor."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from recsys_ssl.sparse_training.row_gradient import REFUSAL, RowGradient

Tensor = Any

OLDEST_GPU = (8, 0)  # the compute capability that Triton asks for


def lookup(variable: Any, ids: Tensor) -> Tensor:
    """Rows of the table by id, shape (..., dim); an id that is no row raises."""
    table = variable.value
    if ids.device.type == "cpu" and ids.numel():
        _check_ids(ids, len(table))
    return torch.nn.functional.embedding(ids, table, sparse=True)


def _check_ids(ids: Tensor, num_rows: int) -> None:
    low, high = torch.stack(torch.aminmax(ids)).tolist()
    if low < 0 or high >= num_rows:
        raise ValueError(
            f"`ids` must be in [0, {num_rows}); got {low if low < 0 else high}. "
            "Encode unknown ids as the OOV row, or make the table larger."
        )


def pooled(
    variable: Any, ids: Tensor, offsets: Tensor | None, weights: Tensor | None, combiner: str
) -> Tensor | None:
    """Bags of rows of the table in one kernel, shape (..., dim); None where there is no kernel to take.

    Bags are the last axis of ids, or lie between ``offsets``. An id that is no row raises: the kernel would
    read foreign memory.
    """
    table = variable.value
    if not _has_kernels(table.device) or torch.compiler.is_compiling():
        return None
    if ids.numel():
        _check_ids(ids, len(table))
    shape = ids.shape[:-1]
    if offsets is None:
        offsets = torch.arange(shape.numel() + 1, device=ids.device) * ids.shape[-1]
    else:
        shape = (len(offsets) - 1,)
    flat = None if weights is None else weights.reshape(-1)
    bags = _kernels().pooled_lookup(table, ids.reshape(-1), offsets, flat, combiner, check=False)
    return bags.reshape(*shape, table.shape[1])


@functools.cache
def _has_kernels(device: Any) -> bool:
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= OLDEST_GPU


def _kernels() -> ModuleType:
    return importlib.import_module("sparse_data.ops_triton")


def visible_values(ids: Tensor) -> NDArray[Any] | None:
    """None: the lookup itself checks."""
    del ids
    return None


def row_gradient(gradient: Any, variable: Any) -> RowGradient | None:
    """Add up the gradients of a row that was looked up several times; None where the gradient is dense."""
    del variable
    if isinstance(gradient, RowGradient):
        return gradient
    if not gradient.is_sparse:
        return None
    if gradient.device.type == "cuda":
        # Adds in an order that does not change from run to run, as index_add_ does there.
        summed = gradient.coalesce()
        return RowGradient(summed.indices()[0], summed.values())
    rows, place = torch.unique(gradient._indices()[0], return_inverse=True)
    values = gradient._values()
    summed = torch.zeros((len(rows), values.shape[1]), dtype=values.dtype, device=values.device)
    return RowGradient(rows, summed.index_add_(0, place, values))


def read_rows(variable: Any, rows: Tensor) -> Tensor:
    """Rows of a variable."""
    # Five times as fast as indexing where rows are not in the cache.
    return variable.value.detach().index_select(0, rows)


def write_rows(variable: Any, rows: Tensor, values: Tensor) -> None:
    """Write rows in place."""
    whole = variable.value.detach()
    rows, values = rows.long(), values.detach().to(whole.dtype)
    plain = whole.device.type == "cpu" and whole.dtype == torch.float32 and whole.is_contiguous()
    if plain and not torch.compiler.is_compiling():
        width = whole[0].numel()
        _put(whole.view(-1, width).numpy(), rows.numpy(), values.reshape(-1, width).contiguous().numpy())
    else:
        whole.index_copy_(0, rows, values)


@numba.njit(cache=True, nogil=True)
def _put(table: NDArray[np.float32], rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
    # PyTorch writes column by column, which comes back to every row once a column.
    for place in range(len(rows)):
        table[rows[place]] = values[place]


def filled(shape: Sequence[int], value: float, dtype: str) -> Tensor:
    """First values of a table or a slot, all alike."""
    if dtype != "float32" or torch.accelerator.is_available():
        return torch.full(tuple(shape), value, dtype=getattr(torch, dtype))
    # NumPy asks the system for huge pages, and of zeros it touches none before they are needed.
    shape = tuple(shape)
    return torch.from_numpy(np.full(shape, value, np.float32) if value else np.zeros(shape, np.float32))


def fill(variable: Any, blocks: Iterable[tuple[int, Tensor]]) -> None:
    """Write blocks of rows in place; each comes with the row at which it begins."""
    for start, values in blocks:
        variable.value.detach()[start : start + len(values)] = values


def update_touched(
    due: Tensor,
    mask: Any,
    count: Any,
    changing: Sequence[Any],
    reading: Sequence[Any],
    update: Callable[[Tensor], None],
) -> None:
    """Call ``update`` with the rows marked in a mask where ``due``, and set their count back to 0."""
    del changing, reading
    if bool(due):
        update(torch.nonzero(mask.value.detach())[:, 0])
        count.assign(0)


def outside_of_the_step() -> AbstractContextManager[None]:
    """Run at once what stands in a step: nothing to do here."""
    return nullcontext()


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function: PyTorch runs it as it is."""
    return function


@contextmanager
def refusal(
    finite: Tensor, variables: Sequence[Any], gradients: list[RowGradient | None], refused_steps: Any
) -> Iterator[list[RowGradient | None]]:
    """Stop before the first update where a gradient is not finite."""
    del variables, refused_steps
    if not bool(finite):
        raise FloatingPointError(REFUSAL)
    yield gradients
