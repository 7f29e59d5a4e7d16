"""Gathered rows in JAX: a train step that differentiates with respect to the rows that the batch looks up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from recsys_ssl.sparse_training.row_gradient import RowGradient

Tensor = Any

ROWS_AT_ONCE = 4096  # rows that one round of an accumulated update writes


class _Lookups:
    """The lookups of one forward pass by table: first their ids are noted, then rows are handed out."""

    def __init__(self, tables: Sequence[Any]) -> None:
        self.ids: list[list[Tensor]] = [[] for _ in tables]
        self.rows: list[list[Tensor]] | None = None
        self._place = {id(variable): place for place, variable in enumerate(tables)}

    def take(self, variable: Any, ids: Tensor) -> Tensor:
        place = self._place.get(id(variable))
        if place is None:
            return _gather(variable.value, ids)
        if self.rows is None:
            self.ids[place].append(ids)
            return _gather(jax.lax.stop_gradient(variable.value), ids)
        return self.rows[place].pop(0)


_lookups: ContextVar[_Lookups | None] = ContextVar("lookups", default=None)


def _gather(table: Tensor, ids: Tensor) -> Tensor:
    # An id that is no row gives NaN, so that the step is refused; compiled code cannot raise.
    return table.at[ids].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def lookup(variable: Any, ids: Tensor) -> Tensor:
    """Rows of the table by id, shape (..., dim); NaN where an id is no row."""
    lookups = _lookups.get()
    return _gather(variable.value, ids) if lookups is None else lookups.take(variable, ids)


@contextmanager
def _noting(lookups: _Lookups) -> Iterator[None]:
    token = _lookups.set(lookups)
    try:
        yield
    finally:
        _lookups.reset(token)


def value_and_gradients(
    loss: Callable[[list[Tensor]], tuple[Tensor, Any]],
    dense: list[Tensor],
    tables: Sequence[Any],
    table_values: list[Tensor],
) -> tuple[tuple[Tensor, Any], list[Tensor], list[RowGradient | None]]:
    r"""Differentiate a loss with respect to dense variables and to the rows that it looks up.

    A first pass notes the ids of every lookup; nothing else of it is left once compiled. Then, for the unique
    ids :math:`r` of each table, :math:`\partial L / \partial W_r` is computed with the rows as inputs.

    Parameters
    ----------
    loss : callable
        ``loss(dense) -> (value, auxiliary)``, which reads tables through :func:`lookup` alone.
    dense : list of tensor
    tables : sequence of Variable
    table_values : list of tensor
        Values of the tables, in their order.

    Returns
    -------
    ((value, auxiliary), gradients of dense, row gradients of tables)
        None for a table without lookups.
    """
    first = _Lookups(tables)
    with _noting(first):
        loss(dense)
    unique, places, gathered = [], [], []
    for ids, table in zip(first.ids, table_values, strict=True):
        flat = jnp.concatenate([jnp.ravel(one) for one in ids]) if ids else jnp.zeros((0,), jnp.int32)
        rows, place = _unique(flat, table.shape[0])
        unique.append(rows)
        places.append(place)
        gathered.append(_gather(table, rows))

    def with_rows(dense: list[Tensor], gathered: list[Tensor]) -> tuple[Tensor, Any]:
        second = _Lookups(tables)
        second.rows = []
        for rows, place, ids in zip(gathered, places, first.ids, strict=True):
            parts, start = [], 0
            for one in ids:
                own = place[start : start + one.size].reshape(one.shape)
                parts.append(jnp.take(rows, own, axis=0, mode="clip"))
                start += one.size
            second.rows.append(parts)
        with _noting(second):
            return loss(dense)

    result, (dense_gradients, row_gradients) = jax.value_and_grad(with_rows, argnums=(0, 1), has_aux=True)(
        dense, gathered
    )
    return (
        result,
        dense_gradients,
        [
            RowGradient(rows, values) if len(rows) else None
            for rows, values in zip(unique, row_gradients, strict=True)
        ],
    )


def _unique(ids: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Return the different ids in order, at the end ids behind the table, and the place of each id.

    Each platform its own way to the places: on a CPU a sort alone and a search take a quarter of the time of
    `jnp.unique`, which sorts pairs; on a GPU every halving of the search would be kernels of its own.
    """
    # Ids that are no rows come out behind the table, where they read NaN.
    ids = jnp.where((ids < 0) | (ids > num_rows), num_rows, ids)
    size = min(ids.size, num_rows + 1)
    searched, paired = (functools.partial(way, size=size, fill=num_rows) for way in (_searched, _paired))
    found: tuple[Tensor, Tensor] = jax.lax.platform_dependent(ids, cpu=searched, default=paired)
    return found


def _searched(ids: Tensor, size: int, fill: int) -> tuple[Tensor, Tensor]:
    ordered = jnp.sort(ids)
    number = jnp.cumsum(jnp.diff(ordered, prepend=-1) != 0) - 1
    rows = jnp.full((size,), fill, ids.dtype).at[number].set(ordered)
    return rows, jnp.searchsorted(rows, ids)


def _paired(ids: Tensor, size: int, fill: int) -> tuple[Tensor, Tensor]:
    ordered, order = jax.lax.sort_key_val(ids, jnp.arange(ids.size, dtype=jnp.int32))
    number = jnp.cumsum(jnp.diff(ordered, prepend=-1) != 0) - 1
    rows = jnp.full((size,), fill, ids.dtype).at[number].set(ordered)
    return rows, jnp.zeros_like(number).at[order].set(number, unique_indices=True)


def pooled(variable: Any, ids: Tensor, offsets: Tensor | None, weights: Tensor | None, combiner: str) -> None:
    """None: rows are looked up first and pooled by Keras."""
    del variable, ids, offsets, weights, combiner


def visible_values(ids: Tensor) -> NDArray[Any] | None:
    """Values of ids where they are known already, else None."""
    return np.asarray(ids) if isinstance(ids, jax.Array) and not isinstance(ids, jax.core.Tracer) else None


def row_gradient(gradient: Any, variable: Any) -> RowGradient | None:
    """Return the gradient if it is one of rows, else None."""
    del variable
    return gradient if isinstance(gradient, RowGradient) else None


def read_rows(variable: Any, rows: Tensor) -> Tensor:
    """Rows of a variable, of any content where a row lies behind its end."""
    return variable.value.at[rows].get(mode="clip")


def write_rows(variable: Any, rows: Tensor, values: Tensor) -> None:
    """Write rows; those behind the end of the variable are dropped. In place where the buffer was donated."""
    value = variable.value
    variable.assign(value.at[rows].set(values.astype(value.dtype), mode="drop"))


def filled(shape: Sequence[int], value: float, dtype: str) -> Tensor:
    """First values of a table or a slot, all alike."""
    return jnp.full(tuple(shape), value, dtype)


def fill(variable: Any, blocks: Iterable[tuple[int, Tensor]]) -> None:
    """Write blocks of rows in place, each from the row at which it begins."""
    table = variable.value
    for start, values in blocks:
        table = _put_block(table, values, start)
    variable.assign(table)


@functools.partial(jax.jit, donate_argnums=0)
def _put_block(table: Tensor, values: Tensor, start: int) -> Tensor:
    return jax.lax.dynamic_update_slice(table, values, (start, 0))


def update_touched(
    due: Tensor,
    mask: Any,
    count: Any,
    changing: Sequence[Any],
    reading: Sequence[Any],
    update: Callable[[Tensor], None],
) -> None:
    """Call ``update`` with the rows marked in a mask where ``due``, and set their count back to 0.

    Rows come a fixed number at a time, in a loop that updates its buffers in place; where it is not due the
    loop has no rounds.
    """
    still = [(variable, variable.value) for variable in reading if all(variable is not v for v in changing)]

    def body(state: tuple[Tensor, list[Tensor]]) -> tuple[Tensor, list[Tensor]]:
        left, values = state
        mapping = [*still, *zip(changing, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            marked = mask.value
            update(jnp.nonzero(marked, size=ROWS_AT_ONCE, fill_value=marked.shape[0])[0])
        return left - ROWS_AT_ONCE, [scope.get_current_value(variable) for variable in changing]

    start = (jnp.where(due, count.value, 0), [variable.value for variable in changing])
    _, values = jax.lax.while_loop(lambda state: state[0] > 0, body, start)
    for variable, value in zip(changing, values, strict=True):
        variable.assign(value)
    count.assign(jnp.where(due, 0, count.value))


def outside_of_the_step() -> AbstractContextManager[None]:
    """Run at once what stands in a step: nothing to do here."""
    return nullcontext()


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function: Keras compiles the whole step."""
    return function


@contextmanager
def refusal(
    finite: Tensor, variables: Sequence[Any], gradients: list[RowGradient | None], refused_steps: Any
) -> Iterator[list[RowGradient | None]]:
    """Leave every variable as it was where a gradient is not finite, and count the step as refused."""
    before = [variable.value for variable in variables]
    kept: list[RowGradient | None] = []
    for gradient in gradients:
        if gradient is None:
            kept.append(None)
            continue
        # No row is written when all of them lie behind the table.
        rows = jnp.where(finite, gradient.rows, jnp.iinfo(gradient.rows.dtype).max)
        kept.append(RowGradient(rows, gradient.values))
    yield kept
    for variable, old in zip(variables, before, strict=True):
        variable.assign(jnp.where(finite, variable.value, old))
    refused_steps.assign(refused_steps.value + jnp.where(finite, 0, 1).astype(refused_steps.dtype))
