"""What the optimizers of gathered rows share: tables by their touched rows, all other variables densely."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.sparse_training import RowGradient, backend_module, is_table
from sparse_data import checks

if TYPE_CHECKING:
    from typing import Any as MixedIntoOptimizer  # what it calls is a Keras optimizer's
else:
    MixedIntoOptimizer = object

Tensor = Any


@dataclass(frozen=True)
class _Trained:
    """What an optimizer was built on, held apart: variables of an attribute count as the optimizer's own."""

    variables: list[Any]
    tables: list[Any]
    slots: list[list[Any]]
    accumulators: list[tuple[Any, Any, Any]]


class GatheredRowsOptimizer(MixedIntoOptimizer):
    r"""Mixed into a Keras optimizer: it updates the rows of tables that a batch touched, and no others.

    A table is a variable of a :class:`~recsys_ssl.SparseEmbedding`. For its touched rows *r* the gradients of
    all lookups are added up to :math:`g_r`, clipped and decayed as the settings say, and
    :math:`W_r, S_r \leftarrow \mathrm{rule}(W_r, S_r, g_r)` with the slots *S*. Every other variable is
    updated by the Keras optimizer itself. What the base class offers means, for tables:

    * ``weight_decay`` shrinks touched rows alone; ``clipnorm``, ``clipvalue`` and ``global_clipnorm`` act on
      :math:`g_r`, which gives what the dense gradient would;
    * ``gradient_accumulation_steps`` keeps one accumulator of the table's size and updates the rows touched
      since the last update;
    * ``use_ema`` is refused, since an average changes every row at every step.

    A step whose gradients hold NaN or infinity is refused before anything changes: TensorFlow (unless
    compiled with XLA, which leaves checks out) and PyTorch raise; JAX, which cannot raise from compiled code,
    leaves everything as it was and counts the step in ``refused_steps``, on which
    :class:`~recsys_ssl.SparseModel` raises.
    """

    def _refuse_unsupported(self, **settings: Any) -> None:
        """Raise for settings of the Keras optimizer that would touch every row."""
        for name in ("use_ema", "amsgrad", "nesterov", "momentum"):
            if settings.get(name):
                raise ValueError(
                    f"`{name}` must be off; got it set. It moves rows that a batch does not touch. "
                    "Leave it out, or use a Keras optimizer on dense variables."
                )
        if settings.get("global_clipnorm") and settings.get("gradient_accumulation_steps"):
            raise ValueError(
                "`global_clipnorm` must not be combined with gradient_accumulation_steps; got both. "
                "Use clipnorm or clipvalue."
            )

    def slots_of(self, variable: Any) -> list[tuple[str, tuple[int, ...], float]]:
        """Name, shape and first value of each slot that a table needs."""
        raise NotImplementedError

    def update_rows(
        self, values: Tensor, slots: list[Tensor], gradient: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return new rows, shape (n, dim), and new rows of the slots."""
        raise NotImplementedError

    def build(self, variables: Sequence[Any]) -> None:
        """Make the slots: those of tables by the rule, all others as the Keras optimizer does."""
        if self.built:
            return
        super().build([variable for variable in variables if not is_table(variable)])
        tables = [variable for variable in variables if is_table(variable)]
        slots = [[self._add_slot(table, *slot) for slot in self.slots_of(table)] for table in tables]
        accumulators = []
        if self.gradient_accumulation_steps:
            accumulators = [
                (
                    self._add_slot(table, "gradient_accumulator", tuple(table.shape), 0.0),
                    self._add_slot(table, "touched", (table.shape[0],), 0.0, dtype="int8"),
                    self._add_slot(table, "num_touched", (), 0.0, dtype="int32"),
                )
                for table in tables
            ]
        self._trained = _Trained(list(variables), tables, slots, accumulators)
        self.refused_steps = self.add_variable(shape=(), dtype="int32", name="refused_steps")

    def _add_slot(
        self, table: Any, name: str, shape: tuple[int, ...], first: float, dtype: str | None = None
    ) -> Any:
        backend, path = backend_module(), table.path.replace("/", "_")
        return self.add_variable(
            shape=shape,
            initializer=lambda shape, dtype: backend.filled(shape, first, dtype),
            dtype=table.dtype if dtype is None else dtype,
            name=f"{path}_{name}",
        )

    def reset_rows(self, variable: Any, rows: Any) -> None:
        """Set a table's slots to their first values in some rows, as for a row given to another id.

        Parameters
        ----------
        variable : keras.Variable
            ``embeddings`` of a :class:`~recsys_ssl.SparseEmbedding` of the model.
        rows : array_like of int, shape (n,)

        Raises
        ------
        ValueError
            If the optimizer does not know the table, or a row is out of range.
        """
        if not (self.built and any(table is variable for table in self._trained.tables)):
            raise ValueError(
                "`variable` must be a table that this optimizer trains; got another. "
                "Pass layer.embeddings of a compiled and built model."
            )
        rows = np.unique(checks.check_integers("rows", rows))
        rows = checks.check_ids_in_range("rows", rows, variable.shape[0])
        backend = backend_module()
        for slot, (_, shape, first) in zip(
            self._trained.slots[self._place(variable)], self.slots_of(variable), strict=True
        ):
            fresh = np.full((len(rows), *shape[1:]), first, dtype=np.float32)
            backend.write_rows(slot, ops.convert_to_tensor(rows, "int32"), ops.convert_to_tensor(fresh))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables by gradients: row gradients for tables where there are any.

        Parameters
        ----------
        grads : sequence
            Tensors; for a table `tf.IndexedSlices`, a sparse PyTorch tensor or a
            :class:`~recsys_ssl.sparse_training.RowGradient`; None where there is no gradient.
        trainable_variables : sequence of keras.Variable, optional
            Those that the optimizer was built with by default.
        """
        if not self.built:
            if trainable_variables is None:
                raise ValueError("The optimizer must be built or be given variables. Call build(variables).")
            # Slots made while a step is traced would be filled from zeros that are kept beside them.
            with keras.name_scope(self.name), backend_module().outside_of_the_step():
                self.build(list(trainable_variables))
        variables = list(self._trained.variables if trainable_variables is None else trainable_variables)
        backend = backend_module()
        dense = [(g, v) for g, v in zip(grads, variables, strict=True) if not is_table(v)]
        tables = [(g, v) for g, v in zip(grads, variables, strict=True) if is_table(v) and g is not None]
        scale = 1.0 if self.loss_scale_factor is None else 1.0 / self.loss_scale_factor
        gradients = [self._row_gradient(g, v, scale) for g, v in tables]
        finite = _all_finite([*(g.values for g in gradients), *(g for g, _ in dense if g is not None)])
        of_tables = [*self._trained.slots, *self._trained.accumulators]
        per_row = {id(slot) for group in of_tables for slot in group}
        others = [v for v in self.variables if id(v) not in per_row and v is not self.refused_steps]
        others += [v for _, v in dense]
        with backend.refusal(finite, others, gradients, self.refused_steps) as gradients:
            if self.global_clipnorm:
                gradients, dense = self._clipped_together(gradients, dense, scale)
            for gradient, (_, table) in zip(gradients, tables, strict=True):
                if self.gradient_accumulation_steps:
                    self._accumulate(gradient, table, finite)
                else:
                    self._update_table(gradient, table)
            if dense:
                super().apply([g for g, _ in dense], [v for _, v in dense])
            else:
                self._iterations.assign_add(1)

    def stateless_apply(
        self, optimizer_variables: list[Tensor], grads: list[Any], trainable_variables: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the trainable and the optimizer's variables after a step, without changing any (JAX)."""
        if not self.built:
            raise ValueError("The optimizer must be built before `stateless_apply`. Call build(variables).")
        known = [*self._trained.variables, *self.variables]
        values = [*trainable_variables, *optimizer_variables]
        with keras.StatelessScope(state_mapping=list(zip(known, values, strict=True))) as scope:
            self.apply(grads)
        return (
            [scope.get_current_value(variable) for variable in self._trained.variables],
            [scope.get_current_value(variable) for variable in self.variables],
        )

    def _row_gradient(self, gradient: Any, table: Any, scale: float) -> RowGradient:
        found = backend_module().row_gradient(gradient, table)
        if found is None:
            warnings.warn(
                f"The gradient of the table {table.path} is dense, so that every step costs the whole table. "
                "In JAX make the model a recsys_ssl.SparseModel; elsewhere read the table through its layer.",
                stacklevel=2,
            )
            found = RowGradient(ops.arange(table.shape[0]), gradient)
        return found if scale == 1.0 else RowGradient(found.rows, found.values * scale)

    def _clipped_together(
        self, gradients: list[RowGradient], dense: list[tuple[Any, Any]], scale: float
    ) -> tuple[list[RowGradient], list[tuple[Any, Any]]]:
        squares = [ops.sum(ops.square(gradient.values)) for gradient in gradients]
        squares += [ops.sum(ops.square(g * scale)) for g, _ in dense if g is not None]
        ratio = self.global_clipnorm / ops.maximum(ops.sqrt(sum(squares)), self.global_clipnorm)
        return (
            [RowGradient(rows, values * ratio) for rows, values in gradients],
            [(None if g is None else g * ratio, v) for g, v in dense],
        )

    def _clipped(self, values: Tensor) -> Tensor:
        if self.clipnorm:
            norm = ops.sqrt(ops.sum(ops.square(values)))
            return values * (self.clipnorm / ops.maximum(norm, self.clipnorm))
        if self.clipvalue:
            return ops.clip(values, -self.clipvalue, self.clipvalue)
        return values

    def _update_table(self, gradient: RowGradient, table: Any) -> None:
        backend = backend_module()
        rows, values = gradient.rows, ops.cast(self._clipped(gradient.values), table.dtype)
        slots = self.slots(table)
        learning_rate = ops.cast(self.learning_rate, table.dtype)
        before = backend.read_rows(table, rows)
        if self.weight_decay is not None and self._use_weight_decay(table):
            before = before - before * self.weight_decay * learning_rate
        after, slots_after = self.update_rows(
            before, [backend.read_rows(slot, rows) for slot in slots], values, learning_rate
        )
        for slot, value in zip(slots, slots_after, strict=True):
            backend.write_rows(slot, rows, value)
        backend.write_rows(table, rows, after)

    def slots(self, table: Any) -> list[Any]:
        """Return the slots of a table, once the optimizer is built."""
        return self._trained.slots[self._place(table)]

    def _place(self, table: Any) -> int:
        return next(place for place, known in enumerate(self._trained.tables) if known is table)

    def _accumulate(self, gradient: RowGradient, table: Any, proceeds: Tensor) -> None:
        """Add to the accumulator, and update the rows touched so far at every n-th step."""
        backend, place = backend_module(), self._place(table)
        total, touched, count = self._trained.accumulators[place]
        rows = gradient.rows
        backend.write_rows(total, rows, backend.read_rows(total, rows) + gradient.values)
        inside = ops.logical_and(rows >= 0, rows < table.shape[0])
        fresh = ops.logical_and(inside, ops.equal(backend.read_rows(touched, rows), 0))
        count.assign(count + ops.sum(ops.cast(fresh, "int32")))
        backend.write_rows(touched, rows, ops.ones_like(rows, dtype="int8"))

        def update(rows: Tensor) -> None:
            values = backend.read_rows(total, rows) / self.gradient_accumulation_steps
            self._update_table(RowGradient(rows, values), table)
            backend.write_rows(total, rows, ops.zeros_like(values))
            backend.write_rows(touched, rows, ops.zeros_like(rows, dtype="int8"))

        due = ops.equal((self._iterations + 1) % self.gradient_accumulation_steps, 0)
        changing = [table, total, touched, *self._trained.slots[place]]
        backend.update_touched(
            ops.logical_and(due, proceeds), touched, count, changing, list(self.variables), update
        )


def _all_finite(tensors: list[Tensor]) -> Tensor:
    """Whether no value is NaN or infinite."""
    finite = ops.convert_to_tensor(True)
    for tensor in tensors:
        finite = ops.logical_and(finite, ops.all(ops.isfinite(tensor)))
    return finite
