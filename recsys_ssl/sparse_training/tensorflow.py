"""Gathered rows in TensorFlow: lookups of the resource variable, whose gradient is `IndexedSlices`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_ssl.sparse_training.row_gradient import REFUSAL, RowGradient
from recsys_ssl.sparse_training.tensorflow_step import rows_of_step

Tensor = Any


def lookup(variable: Any, ids: Tensor) -> Tensor:
    """Rows of the table by id, shape (..., dim); the table itself is not read."""
    if (rows := rows_of_step(variable)) is not None:
        return rows.take(variable, ids)
    rows = tf.gather(variable.value, ids)
    if not shapes_are_fixed():
        return rows  # on CPU an id that is no row stops the step
    inside = (ids >= 0) & (ids < tf.cast(variable.shape[0], ids.dtype))
    return tf.where(inside[..., tf.newaxis], rows, tf.constant(float("nan"), rows.dtype))


def pooled(variable: Any, ids: Tensor, offsets: Tensor | None, weights: Tensor | None, combiner: str) -> None:
    """None: rows are looked up first and pooled by Keras."""
    del variable, ids, offsets, weights, combiner


def visible_values(ids: Tensor) -> NDArray[Any] | None:
    """Values of ids where they are known already, else None."""
    return np.asarray(ids) if isinstance(ids, tf.Tensor) and hasattr(ids, "numpy") else None


def row_gradient(gradient: Any, variable: Any) -> RowGradient | None:
    """Add up the gradients of a row that was looked up several times; None where the gradient is dense."""
    if isinstance(gradient, RowGradient):
        return gradient
    if not isinstance(gradient, tf.IndexedSlices):
        return None
    if shapes_are_fixed():
        return _sorted_row_gradient(gradient.indices, gradient.values, int(variable.shape[0]))
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return RowGradient(rows, values)


def _sorted_row_gradient(ids: Tensor, gradients: Tensor, num_rows: int) -> RowGradient:
    """Add up by sorting, with as many rows as lookups: XLA needs to know the shape."""
    order = tf.argsort(ids, stable=True)
    ordered = tf.gather(ids, order)
    first = tf.concat([tf.ones_like(ordered[:1], tf.bool), ordered[1:] != ordered[:-1]], axis=0)
    segment = tf.cumsum(tf.cast(first, ids.dtype)) - 1
    count = tf.size(ids)
    values = tf.math.unsorted_segment_sum(tf.gather(gradients, order), segment, count)
    # A segment that does not exist lies behind the table, each at a place of its own.
    rows = tf.math.unsorted_segment_max(ordered, segment, count)
    behind = num_rows + tf.range(count, dtype=ids.dtype)
    return RowGradient(tf.where(tf.range(count, dtype=ids.dtype) <= segment[-1], rows, behind), values)


def read_rows(variable: Any, rows: Tensor) -> Tensor:
    """Rows of a variable, of any content where a row lies behind its end."""
    if (handed := rows_of_step(variable)) is not None:
        return handed.rows[id(variable)]
    if shapes_are_fixed():
        rows = tf.minimum(rows, tf.cast(variable.shape[0], rows.dtype) - 1)
    return tf.gather(variable.value, rows)


def write_rows(variable: Any, rows: Tensor, values: Tensor) -> None:
    """Write rows in place; those behind the end of the variable are dropped."""
    if (handed := rows_of_step(variable)) is not None:
        handed.rows[id(variable)] = tf.cast(values, variable.value.dtype)
        return
    variable.value.scatter_update(tf.IndexedSlices(tf.cast(values, variable.value.dtype), rows))


def filled(shape: Sequence[int], value: float, dtype: str) -> Tensor:
    """First values of a table or a slot, all alike."""
    return tf.fill(tuple(shape), tf.cast(value, dtype))


def fill(variable: Any, blocks: Iterable[tuple[int, Tensor]]) -> None:
    """Write blocks of rows in place; each comes with the row at which it begins."""
    with tf.init_scope():
        for start, values in blocks:
            write_rows(variable, tf.range(start, start + len(values)), values)


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

    def proceed() -> Tensor:
        update(tf.reshape(tf.where(tf.not_equal(mask.value, 0)), (-1,)))
        count.assign(0)
        return tf.constant(True)

    tf.cond(due, proceed, lambda: tf.constant(False))


def outside_of_the_step() -> AbstractContextManager[None]:
    """Run at once what stands in a step that is being traced."""
    scope: AbstractContextManager[None] = tf.init_scope()
    return scope


def shapes_are_fixed() -> bool:
    """Tell whether ops must have static shapes: on a GPU, where Keras compiles with XLA."""
    return bool(tf.config.list_logical_devices("GPU"))


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile a function of tensors with XLA where a graph is being made."""
    return function if tf.executing_eagerly() else tf.function(function, jit_compile=True, autograph=False)


@contextmanager
def refusal(
    finite: Tensor, variables: Sequence[Any], gradients: list[RowGradient | None], refused_steps: Any
) -> Iterator[list[RowGradient | None]]:
    """Stop before the first update where a gradient is not finite; XLA leaves the check out.

    In a compiled step, which cannot stop, variables stay as they were and the step stops after it.
    """
    del refused_steps
    if (handed := rows_of_step()) is not None:
        handed.finite, before = finite, [tf.convert_to_tensor(variable.value) for variable in variables]
        yield gradients
        for variable, old in zip(variables, before, strict=True):
            variable.assign(tf.where(finite, variable.value, old))
        return
    check = tf.debugging.Assert(finite, [REFUSAL])
    with tf.control_dependencies([] if check is None else [check]):
        yield gradients
