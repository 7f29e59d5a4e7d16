"""A train step in TensorFlow on CPU as one program of XLA, between reading rows and writing them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from recsys_ssl.sparse_training import is_table
from recsys_ssl.sparse_training.row_gradient import REFUSAL, RowGradient

Tensor = Any


class RowsOfStep:
    """Stands in for tables and slots in a step: first their ids are noted, then rows are handed out."""

    def __init__(self, tables: Sequence[Any]) -> None:
        self.ids: dict[int, list[Tensor]] = {id(table): [] for table in tables}
        self.places: dict[int, list[Tensor]] | None = None
        self.rows: dict[int, Tensor] = {}
        self.finite: Tensor = True

    def take(self, table: Any, ids: Tensor) -> Tensor:
        """Rows of a table by id."""
        if self.places is None:
            self.ids[id(table)].append(ids)
            return tf.gather(table.value, ids)
        return tf.gather(self.rows[id(table)], self.places[id(table)].pop(0))


_rows_of_step: ContextVar[RowsOfStep | None] = ContextVar("rows_of_step", default=None)


def rows_of_step(variable: Any = None) -> RowsOfStep | None:
    """Return what stands in for a table or a slot, if anything does."""
    rows = _rows_of_step.get()
    if rows is None or variable is None or id(variable) in rows.ids or id(variable) in rows.rows:
        return rows
    return None


@contextmanager
def _standing_in(rows: RowsOfStep) -> Iterator[None]:
    token = _rows_of_step.set(rows)
    try:
        yield
    finally:
        _rows_of_step.reset(token)


def compiled_step(model: Any, data: Any) -> dict[str, Tensor] | None:
    """Run a train step, or return None where it cannot be one program.

    That is where ids do not depend on the batch alone, where a table is read otherwise than by lookups,
    and where the optimizer does more than to write the rows of the batch.

    Parameters
    ----------
    model : SparseModel
    data : nest of tensor
        A batch, as a Keras model's ``train_step`` gets it.

    Returns
    -------
    dict of str to tensor, or None
    """
    optimizer = model.optimizer
    alone = hasattr(optimizer, "slots_of") and not optimizer.gradient_accumulation_steps
    if tf.executing_eagerly() or not alone or tf.distribute.has_strategy():
        return None
    others = [layer for layer in model._flatten_layers() if not is_table(getattr(layer, "embeddings", None))]
    if not _can_be_passed(data) or not all(layer.supports_jit for layer in others):
        return None
    with tf.init_scope():  # variables, slots and metrics are made before a program is traced
        model._symbolic_build(data_batch=data)
    tables = [variable for variable in model.trainable_variables if is_table(variable)]
    ids = _ids_of(model, data, tables)
    if ids is None:
        return None
    variables = [[table, *optimizer.slots(table)] for table in tables]
    flat = [variable for group in variables for variable in group]
    rows, places, padded = zip(*map(_unique, ids, tables), strict=True)
    gathered = [tf.gather(v.value, ids) for group, ids in zip(variables, padded, strict=True) for v in group]

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def program(data: Any, places: list[list[Tensor]], gathered: list[Tensor]) -> Any:
        handed = RowsOfStep(tables)
        handed.places = {id(table): list(group) for table, group in zip(tables, places, strict=True)}
        handed.rows = {id(variable): value for variable, value in zip(flat, gathered, strict=True)}
        with _standing_in(handed):
            logs = _step(model, data, handed)
        return logs, handed.finite, [handed.rows[id(variable)] for variable in flat]

    arguments = (data, list(places), gathered)
    captured = program.get_concrete_function(*arguments).captured_inputs
    if any(one is table.value.handle for one in captured for table in tables):
        return None
    logs, finite, written = program(*arguments)
    with tf.control_dependencies([tf.debugging.Assert(finite, [REFUSAL])]):
        left = iter(written)
        for group, of_group in zip(variables, rows, strict=True):
            for variable in group:
                fresh = next(left)[: tf.size(of_group)]
                variable.value.scatter_update(tf.IndexedSlices(fresh, of_group))
    found: dict[str, Tensor] = logs
    return found


def _can_be_passed(data: Any) -> bool:
    """Tell whether XLA takes a batch: tensors of numbers, none of them ragged or sparse."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return all(isinstance(leaf, tf.Tensor) and leaf.dtype != tf.string for leaf in leaves)


def _ids_of(model: Any, data: Any, tables: Sequence[Any]) -> list[list[Tensor]] | None:
    """Return the ids of every lookup of a forward pass that leaves nothing else behind."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    noted = RowsOfStep(tables)
    with _standing_in(noted), keras.StatelessScope():
        model._compute_loss(x, y, _forward(model, x), sample_weight, training=True)
    found = [noted.ids[id(table)] for table in tables]
    graph = tf.compat.v1.get_default_graph()
    for one in (one for of_table in found for one in of_table):
        if one.graph is not graph or _reads_state(one):
            return None
    return found if all(found) else None


def _reads_state(tensor: Tensor) -> bool:
    """Tell whether a tensor depends on a variable or on chance, which may come out otherwise in XLA."""
    left, seen = [tensor.op], set()
    while left:
        op = left.pop()
        if op.op_def.is_stateful:
            return True
        if op not in seen:
            seen.add(op)
            left += [one.op for one in op.inputs]
    return False


def _unique(ids: list[Tensor], table: Any) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return the different ids of all lookups, the place of each lookup's ids, and ids of a known number."""
    dtype = tf.int32 if all(one.dtype == tf.int32 for one in ids) else tf.int64
    flat = tf.concat([tf.reshape(tf.cast(one, dtype), (-1,)) for one in ids], axis=0)
    rows, place = tf.unique(flat)
    sizes = [tf.size(one) for one in ids]
    places = []
    for part, one in zip(tf.split(place, sizes) if len(ids) > 1 else [place], ids, strict=True):
        places.append(tf.ensure_shape(tf.reshape(part, tf.shape(one)), one.shape))
    # XLA must know the shapes: as many rows as there can be, row 0 for those too many, which are not written.
    blank = tf.minimum(tf.size(flat), table.shape[0]) - tf.size(rows)
    return rows, places, tf.pad(rows, [[0, blank]])


def _forward(model: Any, x: Any) -> Any:
    return model(x, training=True) if model._call_has_training_arg else model(x)


def _step(model: Any, data: Any, handed: RowsOfStep) -> dict[str, Tensor]:
    """Differentiate with respect to the rows handed out, and let the optimizer update them."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    variables = model.trainable_variables
    sources = [handed.rows.get(id(variable), variable.value) for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch([handed.rows[key] for key in handed.ids])
        y_pred = _forward(model, x)
        loss = model._compute_loss(x, y, y_pred, sample_weight, training=True)
        first = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None)
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(first)[0])
        scaled = model.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, sources)
    for place, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
        if id(variable) in handed.ids and gradient is not None:
            # The gradient of a lookup in rows is one of slices again: they are added up here.
            summed = tf.convert_to_tensor(gradient)
            gradients[place] = RowGradient(tf.range(tf.shape(summed)[0]), summed)
    model.optimizer.apply(gradients, variables)
    logs: dict[str, Tensor] = model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    return logs
