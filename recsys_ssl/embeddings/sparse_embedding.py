"""An embedding table of any size: a lookup and its training step cost what the batch touches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.embeddings.table_initialization import another_draw, blocks_of_rows, can_be_made_in_blocks
from recsys_ssl.sparse_training import backend_module
from sparse_data import Bags, checks
from sparse_data.ops_keras import pool_rows

Tensor = Any

COMBINERS = ("sum", "mean", "sqrtn")
HINT = "Encode unknown ids as a row of their own, or make the table larger."


@keras.saving.register_keras_serializable(package="sparselabels")
class SparseEmbedding(keras.layers.Layer):
    r"""Rows of a table by id, alone or pooled over bags of ids.

    Without a combiner, :math:`y_i = W_{r_i}`. With one, a bag of ids :math:`r_1 \dots r_n` with weights
    :math:`a_1 \dots a_n` gives :math:`\sum_k a_k W_{r_k}` (``"sum"``), that over :math:`\sum_k a_k`
    (``"mean"``) or over :math:`\sqrt{\sum_k a_k^2}` (``"sqrtn"``); an empty bag gives zeros.

    Trained by :class:`~recsys_ssl.RowwiseAdagrad`, :class:`~recsys_ssl.LazyAdam`,
    :class:`~recsys_ssl.SparseAdagrad` or :class:`~recsys_ssl.SparseSGD`, a step reads and writes the rows
    that the batch looks up and nothing else; in JAX the model must be a :class:`~recsys_ssl.SparseModel`.
    The layer may be called several times, for several features that share the table.

    Parameters
    ----------
    num_rows : int
        Rows of the table, including those that are set aside for missing or unknown values.
    dim : int
        Length of a row.
    combiner : {None, "sum", "mean", "sqrtn"}, default=None
    embeddings_initializer : str or keras.Initializer, default="uniform"
        Of the first rows. Zeros, ones, constants, uniform and normal ones fill a large table in blocks of
        rows; any other makes all rows at once, in memory of its own.
    padding_id : int, optional
        An id that stands for nothing: its lookups give zeros and train nothing, in a bag it is absent.

    Raises
    ------
    ValueError
        If a number is out of range or the combiner unknown; at a call, if ids are no rows where their values
        can be seen, or if weights are given without a combiner or in another shape; at loading, if the
        weights are of another size.
    TypeError
        If ids are no integers.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from sparse_data import Bags
    >>> layer = SparseEmbedding(4, 2, combiner="mean", embeddings_initializer="ones")
    >>> keras.ops.convert_to_numpy(layer(Bags.from_lists([[1, 3], []]))).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    >>> tuple(SparseEmbedding(4, 2)(np.array([[0, 1, 2]])).shape)
    (1, 3, 2)
    """

    def __init__(
        self,
        num_rows: int,
        dim: int,
        combiner: str | None = None,
        *,
        embeddings_initializer: Any = "uniform",
        padding_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_rows = checks.check_count("num_rows", num_rows)
        self.dim = checks.check_count("dim", dim)
        self.combiner: Any = combiner
        if combiner is not None:
            checks.check_one_of("combiner", combiner, COMBINERS)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        if padding_id is not None:
            checks.check_count("padding_id", padding_id, minimum=0)
            checks.check_in_range("padding_id", padding_id, high=num_rows - 1)
        self.padding_id = padding_id
        # On CPU the rows of a batch are found by ops whose shapes XLA would have to know.
        self.supports_jit = keras.backend.backend() != "tensorflow" or backend_module().shapes_are_fixed()
        backend = backend_module()
        in_blocks = can_be_made_in_blocks(self.embeddings_initializer, self.num_rows, self.dim)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_rows, self.dim),
            initializer=(lambda shape, dtype: backend.filled(shape, 0.0, dtype))
            if in_blocks
            else self.embeddings_initializer,
            dtype=self.variable_dtype,
            autocast=False,
        )
        self.embeddings.sparse_rows = True
        if in_blocks:
            blocks = blocks_of_rows(self.embeddings_initializer, self.num_rows, self.dim)
            self.fill(blocks)
        self._resets = 0
        self.built = True

    def __call__(self, ids: Any, weights: Any = None, **kwargs: Any) -> Tensor:
        """Look rows up; see :meth:`call`."""
        if isinstance(ids, Bags):
            return self._of_bags(ids, weights)
        return super().__call__(self._checked(ids), weights, **kwargs)

    def call(self, ids: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return rows by id, pooled over the last axis where there is a combiner.

        Parameters
        ----------
        ids : integer tensor of shape (...) or, with a combiner, (..., length) or (batch,)
            Of shape (batch,) every id is a bag. With a combiner also a :class:`~sparse_data.Bags` (outside
            a compiled step) or, in TensorFlow, a ragged tensor of shape (batch, None).
        weights : float tensor of the shape of ids, optional
            Only with a combiner.

        Returns
        -------
        tensor of shape (..., dim)
        """
        _check_integers(ids)
        if weights is not None and self.combiner is None:
            raise ValueError("`weights` must come with a combiner; got none. Choose one, such as 'sum'.")
        if hasattr(ids, "row_splits"):
            flat = None if weights is None else weights.values
            return self._of_flat(ids.values, ids.row_splits, flat)
        if weights is not None and tuple(ids.shape) != tuple(weights.shape):
            raise ValueError(
                f"`weights` must be of the shape of ids, {tuple(ids.shape)}; got {tuple(weights.shape)}. "
                "Pass one weight an id."
            )
        if self.combiner is not None and len(ids.shape) == 1:  # every id is a bag of its own
            ids, weights = ops.expand_dims(ids, -1), None if weights is None else ops.expand_dims(weights, -1)
        weights = self._present(ids, weights)
        if self.combiner is not None:
            return ops.cast(self._pooled(ids, weights), self.compute_dtype)
        rows = backend_module().lookup(self.embeddings, ids)
        if weights is not None:
            rows = rows * ops.expand_dims(weights, -1)
        return ops.cast(rows, self.compute_dtype)

    def _pooled(self, ids: Tensor, weights: Tensor | None) -> Tensor:
        """Look up ids of shape (..., length) and pool over the last axis, in one kernel if there is one."""
        backend = backend_module()
        pooled = backend.pooled(self.embeddings, ids, None, weights, self.combiner)
        if pooled is not None:
            return pooled
        rows = backend.lookup(self.embeddings, ids)
        if weights is None:
            # The mean of no rows is NaN; their sum is 0.
            adds = self.combiner == "sum" or ids.shape[-1] == 0
            pooled = ops.sum(rows, axis=-2) if adds else ops.mean(rows, axis=-2)
            if self.combiner == "sqrtn":
                pooled = pooled * ops.sqrt(ops.cast(ops.shape(rows)[-2], rows.dtype))
            return pooled
        pooled = ops.sum(rows * ops.expand_dims(weights, -1), axis=-2)
        if self.combiner == "sum":
            return pooled
        total = ops.sum(weights ** (1 if self.combiner == "mean" else 2), axis=-1, keepdims=True)
        # The root of 0 has no gradient: an empty bag is divided by 1, and gives zeros.
        empty = total == 0
        total = ops.where(empty, ops.ones_like(total), total)
        pooled = pooled / (total if self.combiner == "mean" else ops.sqrt(total))
        return ops.where(empty, ops.zeros_like(pooled), pooled)

    def _present(self, ids: Tensor, weights: Tensor | None) -> Tensor | None:
        """Return weights that are 0 at padding, or None where every id counts once."""
        weights = None if weights is None else ops.cast(weights, self.variable_dtype)
        if self.padding_id is None:
            return weights
        present = ops.cast(ops.not_equal(ids, self.padding_id), self.variable_dtype)
        return present if weights is None else weights * present

    def _of_bags(self, bags: Bags, weights: Any) -> Tensor:
        if weights is not None:
            raise ValueError("`weights` must be those of the bags; got others. Pass Bags(..., weights=...).")
        ids = self._checked(bags.values if len(bags.values) else np.zeros(0, np.int32))
        own = None if bags.weights is None else ops.convert_to_tensor(bags.weights, self.variable_dtype)
        return self._of_flat(ops.convert_to_tensor(ids), ops.convert_to_tensor(bags.offsets), own)

    def _of_flat(self, ids: Tensor, offsets: Tensor, weights: Tensor | None) -> Tensor:
        backend, weights = backend_module(), self._present(ids, weights)
        if self.combiner is None:
            raise ValueError("`ids` must not be bags without a combiner. Choose one, such as 'mean'.")
        pooled = backend.pooled(self.embeddings, ids, offsets, weights, self.combiner)
        if pooled is None:
            pooled = pool_rows(backend.lookup(self.embeddings, ids), offsets, weights, self.combiner)
        return ops.cast(pooled, self.compute_dtype)

    def _checked(self, ids: Any) -> Any:
        """Raise for ids that are no rows, where their values can be seen."""
        if isinstance(ids, (list, tuple, int, np.ndarray, np.integer)):
            ids = checks.check_ids_in_range("ids", np.asarray(ids), self.num_rows, hint=HINT)
            return ids.astype(np.int32 if self.num_rows < 2**31 else np.int64, copy=False)
        seen = backend_module().visible_values(ids)
        if seen is not None and np.issubdtype(seen.dtype, np.integer):
            checks.check_ids_in_range("ids", seen, self.num_rows, hint=HINT)
        return ids

    def reset_rows(self, rows: Any) -> None:
        """Give rows fresh first values, as for rows that go to other ids.

        Parameters
        ----------
        rows : array_like of int, shape (n,)

        Raises
        ------
        ValueError
            If a row is out of range.
        """
        rows = np.unique(checks.check_integers("rows", rows))
        rows = checks.check_ids_in_range("rows", rows, self.num_rows)
        if len(rows):
            self._resets += 1
            # Numbered apart from the blocks of the first values.
            draw = another_draw(self.embeddings_initializer, 1, self._resets)
            fresh = draw((len(rows), self.dim), dtype=self.variable_dtype)
            backend_module().write_rows(self.embeddings, ops.convert_to_tensor(rows, "int32"), fresh)

    def fill(self, blocks: Iterable[tuple[int, Any]]) -> None:
        """Write given values, a block of rows at a time, so that they need not be in memory at once.

        Parameters
        ----------
        blocks : iterable of (int, array_like of shape (n, dim))
            The row at which a block begins, and its rows.
        """
        converted = ((start, ops.convert_to_tensor(values, self.variable_dtype)) for start, values in blocks)
        backend_module().fill(self.embeddings, converted)

    def load_own_variables(self, store: Any) -> None:
        """Load the table, or raise if it is of another size."""
        found = tuple(store["0"].shape)
        if found != (self.num_rows, self.dim):
            raise ValueError(
                f"The weights of {self.name!r} must be of shape ({self.num_rows}, {self.dim}); got {found}. "
                "Make the layer with the sizes of the saved one, or carry the table over with `grown`."
            )
        super().load_own_variables(store)

    def compute_output_spec(self, ids: Any, weights: Any = None) -> Any:
        """Return shape and dtype of the output; nothing is looked up."""
        del weights
        _check_integers(ids)
        shape = tuple(ids.shape)
        leading = shape if self.combiner is None or len(shape) == 1 else shape[:-1]
        return keras.KerasTensor((*leading, self.dim), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "num_rows": self.num_rows,
            "dim": self.dim,
            "combiner": self.combiner,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "padding_id": self.padding_id,
        }


def _check_integers(ids: Any) -> None:
    """Raise for a tensor of ids that holds anything but integers."""
    dtype = keras.backend.standardize_dtype(ids.dtype)
    if "int" not in dtype:
        raise TypeError(
            f"`ids` must be integers; got {dtype}. Declare keras.Input(..., dtype='int32') or cast them."
        )
