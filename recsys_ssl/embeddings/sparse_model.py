"""A Keras model whose train step costs what the batch touches, in every backend."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from recsys_ssl.embeddings.gathered_rows_optimizer import GatheredRowsOptimizer
from recsys_ssl.sparse_training import REFUSAL, backend_module, is_table

if TYPE_CHECKING:
    from typing import Any as MixedIntoModel  # what it calls is a Keras model's
else:
    MixedIntoModel = object

Tensor = Any

REFUSED = "refused_steps"
INT32 = np.iinfo(np.int32)


class SparseTraining(MixedIntoModel):
    """What :class:`SparseModel` adds to a Keras model; mixed into a class before Keras's own model."""

    train_function: Any

    @property
    def jit_compile(self) -> bool:
        """Whether Keras compiles whole steps with XLA, as set by ``compile``.

        In TensorFlow on a CPU it cannot, since rows are found by ops that XLA does not have. There
        ``compile(..., jit_compile=True)`` makes a train step one program between reading the rows of the
        batch and writing them back, which takes about a second for every shape of a batch. Steps stay as they
        are where ids do not depend on the batch alone, tables are read otherwise than by lookups, gradients
        are accumulated or a strategy distributes the model.
        """
        found: bool = super().jit_compile
        return found

    @jit_compile.setter
    def jit_compile(self, value: Any) -> None:
        # Keras would warn that it compiles nothing.
        keras.Model.jit_compile.fset(self, False if self._is_cut_at_rows() else value)

    def _is_cut_at_rows(self) -> bool:
        if keras.backend.backend() != "tensorflow" or backend_module().shapes_are_fixed():
            return False
        return not all(layer.supports_jit for layer in self._flatten_layers())

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        """Run one step; in JAX a function from state and data to logs and state."""
        if not self._has_tables():
            return super().train_step(*args, **kwargs)
        self._check_optimizer()
        # What `compile` was asked for: the property is False by now.
        if self._compile_config.config["jit_compile"] and self._is_cut_at_rows():
            from recsys_ssl.sparse_training.tensorflow_step import compiled_step

            logs = compiled_step(self, *args, **kwargs)
            if logs is not None:
                return logs
        if keras.backend.backend() != "jax":
            return super().train_step(*args, **kwargs)
        return self._gathered_train_step(*args, **kwargs)

    def make_train_function(self, force: bool = False) -> None:
        """Compile the train step; in JAX it is watched for steps that were refused."""
        super().make_train_function(force)
        step: Any = self.train_function
        watched = getattr(step, "is_watched", False)
        if keras.backend.backend() == "jax" and not watched and self._has_tables():
            self.train_function = _watched(self, step)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train; as of :class:`keras.Model`."""
        self._check_width(x)
        self._refused = None
        with _refusal_named():
            history = super().fit(x, *args, **kwargs)
        self._raise_if_refused()
        return history

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one step on a batch; as of :class:`keras.Model`."""
        self._check_width(x)
        self._refused = None
        with _refusal_named():
            logs = super().train_on_batch(x, *args, **kwargs)
        self._raise_if_refused()
        return logs

    def _check_width(self, x: Any) -> None:
        """Raise for integers that would be cut to the 32 bits of a declared input, or of JAX."""
        leaves = keras.tree.flatten(x)
        declared = [tensor.dtype for tensor in getattr(self, "inputs", None) or []]
        everything = keras.backend.backend() == "jax"
        for place, leaf in enumerate(leaves):
            if everything or (len(declared) == len(leaves) and declared[place] == "int32"):
                _check_fits_int32(leaf)

    def _has_tables(self) -> bool:
        return any(is_table(variable) for variable in self.trainable_variables)

    def _raise_if_refused(self) -> None:
        """Raise if a step of this fit was refused."""
        refused, self._refused = self._refused, None
        if refused is not None and any(int(count) > refused[0] for count in refused[1]):
            raise FloatingPointError(REFUSAL)

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model; a file or folder of that name is replaced only once the new one is whole.

        Keras makes the file of a zipped archive in memory where it seems to have room. For tables of more
        than a sixth of the memory pass ``zipped=False``, a folder, which is written and read in pieces.
        """
        if not overwrite or (zipped is not False and Path(filepath).is_dir()):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        in_place = _folder_put_in_place if zipped is False else _put_in_place
        with in_place(filepath) as fresh:
            super().save(fresh, zipped=zipped, **kwargs)

    def save_weights(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        max_shard_size: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the weights; a file of that name is replaced only once the new one is whole."""
        if not overwrite or max_shard_size is not None:
            super().save_weights(filepath, overwrite=overwrite, max_shard_size=max_shard_size, **kwargs)
            return
        with _put_in_place(filepath) as fresh:
            super().save_weights(fresh, **kwargs)

    def _place_of_refused_steps(self) -> int:
        return [v is self.optimizer.refused_steps for v in self.optimizer.variables].index(True)

    def _check_optimizer(self) -> None:
        optimizer = self.optimizer
        if keras.backend.backend() != "jax":
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not isinstance(optimizer, GatheredRowsOptimizer):
            raise ValueError(
                f"`optimizer` must be one that updates touched rows; got {type(optimizer).__name__}, which "
                "reads and writes every table at every step. Use LazyAdam, RowwiseAdagrad, SparseAdagrad or "
                "SparseSGD; for mixed_float16 pass compile(auto_scale_loss=False) and loss_scale_factor."
            )

    def _gathered_train_step(self, state: Any, data: Any) -> Any:
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        tables = [is_table(variable) for variable in self.trainable_variables]

        def merged(dense: list[Tensor]) -> list[Tensor]:
            rest = iter(dense)
            return [value if table else next(rest) for value, table in zip(trainable, tables, strict=True)]

        def loss(dense: list[Tensor]) -> tuple[Tensor, Any]:
            found: tuple[Tensor, Any] = self.compute_loss_and_updates(
                merged(dense),
                non_trainable,
                metrics_variables,
                x,
                y,
                sample_weight,
                training=True,
                optimizer_variables=optimizer_variables,
            )
            return found

        (_, aux), dense_gradients, row_gradients = backend_module().value_and_gradients(
            loss,
            [value for value, table in zip(trainable, tables, strict=True) if not table],
            [variable for variable, table in zip(self.trainable_variables, tables, strict=True) if table],
            [value for value, table in zip(trainable, tables, strict=True) if table],
        )
        unscaled_loss, y_pred, non_trainable, metrics_variables = aux
        dense, rows = iter(dense_gradients), iter(row_gradients)
        gradients = [next(rows) if table else next(dense) for table in tables]
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
        logs, metrics_variables = self._update_metrics_variables(
            metrics_variables, unscaled_loss, x, y, y_pred, sample_weight
        )
        # Not donated to the next step, unlike the optimizer's own variable.
        logs = {**logs, REFUSED: optimizer_variables[self._place_of_refused_steps()] + 0}
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)


@keras.saving.register_keras_serializable(package="sparselabels")
class SparseModel(SparseTraining, keras.Model):
    r"""A :class:`keras.Model` that trains :class:`~recsys_ssl.SparseEmbedding` by gathered rows in JAX too.

    In TensorFlow and PyTorch a plain :class:`keras.Model` does: there the gradient of a lookup is sparse by
    itself. JAX has dense gradients alone, so that the train step itself must differentiate with respect to
    the gathered rows; this class does that, functional (``SparseModel(inputs, outputs)``) or subclassed. A
    plain Keras model trains with a table in JAX as well, at the cost of the whole table a step. In JAX a
    table is trained by its lookups alone: what a layer makes of ``embeddings`` otherwise has no gradient.

    ``save`` and ``save_weights`` write beside the file first and put it in its place when it is whole; what
    Keras writes as a folder or in shards, or does not overwrite, it writes as always.

    Raises
    ------
    FloatingPointError
        At a step whose gradients hold NaN or infinity, which has changed nothing. In JAX an id that is no row
        of its table leads there as well, elsewhere it is an error of its own, and one more step may have run
        by then. TensorFlow compiled with XLA (its default on a GPU) leaves the check out.
    ValueError
        If the optimizer is not one of gathered rows; in JAX also if it scales the loss dynamically.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from recsys_ssl import LazyAdam, SparseEmbedding
    >>> ids = keras.Input((), dtype="int32")
    >>> model = SparseModel(ids, keras.layers.Dense(1)(SparseEmbedding(1000, 8)(ids)))
    >>> model.compile(optimizer=LazyAdam(0.01), loss="mse")
    >>> history = model.fit(np.arange(8), np.ones((8, 1)), epochs=2, verbose=0)
    >>> history.history["loss"][1] < history.history["loss"][0]
    True
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a functional model of inputs and outputs, as `keras.Model` does."""
        functional = len(args) + ("inputs" in kwargs) + ("outputs" in kwargs) >= 2
        # Keras rewrites the bases of a class that is called so: of one that nobody subclasses, then.
        if cls is SparseModel and functional:
            return FunctionalSparseModel(*args, **kwargs)
        return super().__new__(cls)


@keras.saving.register_keras_serializable(package="sparselabels")
class FunctionalSparseModel(SparseTraining, keras.Model):
    """What ``SparseModel(inputs, outputs)`` gives."""


def _watched(model: Any, step: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap JAX's train function: raise before a step if one before the last was refused.

    The last one may still run, while the host prepares and starts the next.
    """

    def watched(state: Any, iterator: Iterator[Any]) -> Any:
        batch = next(iterator)
        for leaf in keras.tree.flatten(batch):
            _check_fits_int32(leaf)
        if model._refused is None:
            model._refused = (int(state[2][model._place_of_refused_steps()]), collections.deque())
        known, counts = model._refused
        while counts and (len(counts) > 1 or counts[0].is_ready()):
            if int(counts.popleft()) > known:
                raise FloatingPointError(REFUSAL)
        logs, state = step(state, itertools.chain([batch], iterator))
        counts.append(logs.pop(REFUSED))
        return logs, state

    watched.is_watched = True  # type: ignore[attr-defined]
    return watched


def _check_fits_int32(leaf: Any) -> None:
    wide = isinstance(leaf, np.ndarray) and leaf.dtype in (np.int64, np.uint64, np.uint32) and leaf.size
    if wide and (leaf.max() > INT32.max or leaf.min() < INT32.min):
        got = leaf.max() if leaf.max() > INT32.max else leaf.min()
        raise ValueError(
            f"`ids` must fit 32 bits; got {got}. Encode or hash them to rows first, or outside JAX declare "
            "keras.Input(..., dtype='int64')."
        )


@contextlib.contextmanager
def _refusal_named() -> Iterator[None]:
    """Give the refusal of a step the same type in every backend."""
    try:
        yield
    except FloatingPointError:
        raise
    except Exception as error:
        if REFUSAL not in str(error):
            raise
        raise FloatingPointError(REFUSAL) from error


@contextlib.contextmanager
def _put_in_place(filepath: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside the file, which replaces the file when the block ends without an error."""
    target = Path(filepath)
    fresh = target.with_name(f"{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        yield fresh
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_put_in_place(filepath: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder to write next to the one wanted, and rename it over that one at the end."""
    target = Path(filepath)
    if target.exists() and not (target / "metadata.json").is_file():
        raise FileExistsError(
            f"`filepath` must be a new folder or one with a saved model; got {str(target)!r}. Choose another."
        )
    fresh, earlier = (target.with_name(f".{target.name}.{uuid.uuid4().hex}") for _ in range(2))
    try:
        yield fresh
        if target.exists():
            os.replace(target, earlier)
        os.replace(fresh, target)
    finally:
        if earlier.exists() and not target.exists():
            os.replace(earlier, target)
        for left_over in (fresh, earlier):
            shutil.rmtree(left_over, ignore_errors=True)
