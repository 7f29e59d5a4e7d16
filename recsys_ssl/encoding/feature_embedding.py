"""The features of a row as one vector each; all ids share one table, and so one step of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from recsys_ssl.embeddings.sparse_embedding import SparseEmbedding
from recsys_ssl.embeddings.table_initialization import BLOCK
from recsys_ssl.encoding.features import MISSING, NUM_RESERVED
from sparse_data import checks
from sparse_data.type_checks import check_seed, check_type

Tensor = Any

SHAPES = {"category": "(batch,)", "multi": "(batch, n)", "dense": "(batch, {num_rows})"}


@keras.saving.register_keras_serializable(package="sparselabels")
class FeatureEmbedding(keras.layers.Layer):
    r"""One vector for every feature of a row.

    A category looks its row up, a multi-valued feature pools the rows of its values, a dense feature
    :math:`(x, m)` (standardised values, missing flag) gives :math:`x A + m b` with a learned matrix *A* and
    vector *b*. The id ``MISSING`` = 0 counts as absent: its vector is zero and is not trained. A dense
    feature that self-supervision hides comes as NaN and gives a learned vector of its own.

    The tables of all categories and multi-valued features are one: id *r* of feature *f*, of which there are
    :math:`n_f`, is row :math:`r + \sum_{g < f} (n_g - 1)`, and ``MISSING`` is row 0 of all. A train step then
    finds, gathers and updates the rows of all features at once.

    Parameters
    ----------
    specification : sequence of dict
        One a feature: ``{"name", "kind": "category" | "multi" | "dense", "num_rows", "combiner"}``, as made
        by :meth:`FeatureEncoder.specification`. The combiner is that of a multi-valued feature.
    dim : int
        Length of the vectors.
    initial_scale : float, default=0.05
        Standard deviation of the tables' first values. The reserved rows start at zero, so that an unseen
        value adds nothing before training has taught it otherwise.
    seed : int, optional

    Raises
    ------
    ValueError
        If the specification is empty, names a feature twice or holds an unknown kind or combiner; at a call,
        if a feature is absent or of another shape, or an id is no row of its feature's table where its
        value can be seen.
    TypeError
        If ids are no integers.

    Examples
    --------
    >>> import numpy as np
    >>> embedding = FeatureEmbedding([{"name": "id", "kind": "category", "num_rows": 7}], dim=4, seed=0)
    >>> vectors = embedding({"id": np.array([0, 3, 6])})
    >>> tuple(vectors["id"].shape)
    (3, 4)
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        dim: int,
        *,
        initial_scale: float = 0.05,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.specification = _checked(specification)
        self.dim = checks.check_count("dim", dim)
        self.initial_scale = checks.check_in_range("initial_scale", initial_scale, low=0)
        self.seed = seed
        self.looked_up = [entry for entry in self.specification if entry["kind"] != "dense"]
        sizes = [entry["num_rows"] for entry in self.looked_up]
        self.first_rows = dict(
            zip([entry["name"] for entry in self.looked_up], _first_rows(sizes), strict=True)
        )
        # Paths must differ between towers, or Keras on PyTorch takes two tables for one and does not clear
        # its gradient.
        self.table: Any = self._common_table(1 + sum(size - 1 for size in sizes)) if sizes else None
        self.dense_kernels: dict[str, Any] = {}
        self.dense_masks: dict[str, Any] = {}
        self._draw(np.random.default_rng(check_seed("seed", seed)))
        self.built = True

    def _common_table(self, num_rows: int) -> SparseEmbedding:
        return SparseEmbedding(
            num_rows,
            self.dim,
            embeddings_initializer="zeros",
            padding_id=MISSING,
            name=f"{self.name}_table",
            dtype=self.dtype_policy,
        )

    def _draw(self, generator: np.random.Generator) -> None:
        """Make the dense features' weights, and draw first values feature by feature."""
        for place, entry in enumerate(self.specification):
            if entry["kind"] != "dense":
                first = self.first_rows[entry["name"]]
                self.table.fill(
                    _first_values(generator, self.initial_scale, entry["num_rows"], self.dim, first)
                )
                continue
            # Named by its place: a column may be called what a variable may not.
            name = f"{self.name}_dense_{place}"
            shape = (entry["num_rows"], self.dim)
            kernel = self.add_weight(name=name, shape=shape, initializer="zeros")
            kernel.assign(generator.normal(0.0, self.initial_scale, size=shape))
            self.dense_kernels[entry["name"]] = kernel
            self.dense_masks[entry["name"]] = self.add_weight(
                name=f"{name}_mask", shape=(self.dim,), initializer="zeros"
            )

    def call(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return vectors by feature name, each of shape (batch, dim).

        Parameters
        ----------
        inputs : dict of str to tensor
            As of :meth:`FeatureEncoder.transform`.
        """
        _check_inputs(self.specification, inputs)
        vectors = self._looked_up(inputs) if self.looked_up else {}
        for name, kernel in self.dense_kernels.items():
            vectors[name] = self._dense(inputs[name], kernel, self.dense_masks[name])
        return {entry["name"]: vectors[entry["name"]] for entry in self.specification}

    def _looked_up(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        columns = [ops.convert_to_tensor(inputs[entry["name"]]) for entry in self.looked_up]
        # Ids of 64 bits must not be cut to 32 before they are compared.
        dtype = keras.backend.result_type(*(column.dtype for column in columns))
        columns = [ops.cast(column, dtype) for column in columns]
        columns = [column[:, None] if len(column.shape) == 1 else column for column in columns]
        widths = [ops.shape(column)[1] for column in columns]
        ids = ops.concatenate(columns, axis=1)
        sizes = _repeated([entry["num_rows"] for entry in self.looked_up], widths, dtype)
        # An id that is no row of its own feature must not find a row of the next one.
        inside = ops.logical_and(ids >= 0, ids < sizes)
        rows = ops.where(ids > 0, ids + _repeated(list(self.first_rows.values()), widths, dtype), ids)
        rows = ops.cast(ops.where(inside, rows, -ops.ones_like(rows)), "int32")
        found = self.table(rows)  # (batch, sum of widths, dim)
        vectors = {}
        for entry, column, part in zip(self.looked_up, columns, _parts(found, widths), strict=True):
            pooled = part[:, 0] if entry["kind"] == "category" else _pooled(part, column, entry["combiner"])
            vectors[entry["name"]] = pooled
        return vectors

    def _dense(self, values: Tensor, kernel: Any, mask: Any) -> Tensor:
        values = ops.cast(values, self.compute_dtype)
        hidden = ops.isnan(values)
        known = ops.where(hidden, ops.zeros_like(values), values)
        vectors = ops.matmul(known, kernel)  # (batch, width + 1) x (width + 1, dim)
        return ops.where(hidden[:, :1], ops.convert_to_tensor(mask), vectors)

    def check_arrays(self, inputs: dict[str, Any]) -> None:
        """Raise, naming the feature, for ids in NumPy arrays that are no rows of their feature.

        Parameters
        ----------
        inputs : dict of str to array_like
            As of :meth:`FeatureEncoder.transform`.
        """
        for entry in self.looked_up:
            values = inputs.get(entry["name"])
            if isinstance(values, np.ndarray):
                hint = "Encode the column with the FeatureEncoder whose specification this layer has."
                checks.check_ids_in_range(entry["name"], values, entry["num_rows"], hint=hint)

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """Return where the ids 0, 1, ... of a category or multi-valued feature lie in the common table.

        Examples
        --------
        >>> fields = [{"name": name, "kind": "category", "num_rows": 4} for name in "ab"]
        >>> FeatureEmbedding(fields, dim=2).rows_of("b").tolist()
        [0, 4, 5, 6]
        """
        sizes = {entry["name"]: entry["num_rows"] for entry in self.looked_up}
        ids = np.arange(sizes[checks.check_one_of("name", name, tuple(sizes))])
        return np.where(ids > 0, ids + self.first_rows[name], 0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "specification": [dict(entry) for entry in self.specification],
            "dim": self.dim,
            "initial_scale": self.initial_scale,
            "seed": self.seed,
        }


def _pooled(vectors: Tensor, ids: Tensor, combiner: str) -> Tensor:
    """Pool (batch, n, dim) over n; absent ids have vectors of zeros, rows of nothing else give zeros."""
    total = ops.sum(vectors, axis=1)
    if combiner == "sum":
        return total
    count = ops.sum(ops.cast(ops.not_equal(ids, MISSING), vectors.dtype), axis=1, keepdims=True)
    count = ops.maximum(count, ops.ones_like(count))
    return total / (count if combiner == "mean" else ops.sqrt(count))


def _repeated(values: Sequence[int], widths: Sequence[Any], dtype: str) -> Any:
    """Return each value as often as its feature is wide; TensorFlow may know a width only in the step."""
    if all(isinstance(width, int) for width in widths):
        return ops.convert_to_tensor(np.repeat(values, widths), dtype=dtype)
    return ops.concatenate(
        [ops.full((width,), value, dtype=dtype) for value, width in zip(values, widths, strict=True)]
    )


def _parts(vectors: Tensor, widths: Sequence[Any]) -> Any:
    """Cut (batch, sum of widths, dim) at the widths."""
    if len(widths) == 1:
        return [vectors]
    if all(isinstance(width, int) for width in widths):
        # The gradient of one split is one concatenation, that of slices a tensor of full size for each.
        return ops.split(vectors, np.cumsum(widths)[:-1].tolist(), axis=1)
    ends = [sum(widths[: place + 1]) for place in range(len(widths))]
    return [vectors[:, end - width : end] for end, width in zip(ends, widths, strict=True)]


def _first_rows(sizes: Sequence[int]) -> list[int]:
    """Return what is added to the ids of each feature; id 0 is common to all."""
    return [sum(size - 1 for size in sizes[:place]) for place in range(len(sizes))]


def _first_values(
    generator: np.random.Generator, scale: float, num_rows: int, dim: int, first: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks of normal rows, the reserved ones zero: the same numbers in every backend."""
    height = max(BLOCK // dim, NUM_RESERVED)
    for start in range(0, num_rows, height):
        values = generator.normal(0.0, scale, size=(min(height, num_rows - start), dim)).astype(np.float32)
        values[: max(NUM_RESERVED - start, 0)] = 0.0
        common = 1 if start == 0 else 0  # id 0 is row 0, which is zero already
        yield first + start + common, values[common:]


def check_specification(specification: Sequence[Mapping[str, Any]]) -> None:
    """Raise if it is no sequence of mappings with a name, a kind and a number of rows."""
    for entry in check_type("specification", specification, (list, tuple), "Pass a list of dicts."):
        check_type("specification", entry, Mapping, "Pass what `FeatureEncoder.specification` returned.")
        absent = {"name", "kind", "num_rows"} - set(entry)
        if isinstance(entry.get("kind"), str) and entry["kind"] == "dense":
            absent -= {"num_rows"}
        if absent:
            raise ValueError(
                f"`specification` must tell {sorted(absent)} of each feature; got {dict(entry)}. "
                "Pass what `FeatureEncoder.specification` returned."
            )
        check_type("name", entry["name"], str, "Name the feature by text.")


def _checked(specification: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a copy of the specification, or raise if `FeatureEncoder.specification` cannot have made it."""
    check_specification(specification)
    names = [entry["name"] for entry in specification]
    checks.check_nonempty("specification", names, hint="Declare a feature.")
    if len(set(names)) != len(names):
        raise ValueError(f"`specification` must have different names; got {names}. Remove the double one.")
    for entry in specification:
        checks.check_one_of("kind", entry["kind"], ("category", "multi", "dense"))
        checks.check_count("num_rows", entry["num_rows"], maximum=2**31 - 1)
        if entry["kind"] == "multi":
            checks.check_one_of("combiner", entry.get("combiner"), ("mean", "sum", "sqrtn"))
    # Numbers of NumPy of few bits would overflow as rows are counted on.
    return [{**entry, "num_rows": int(entry["num_rows"])} for entry in specification]


def _check_inputs(specification: Sequence[dict[str, Any]], inputs: dict[str, Tensor]) -> None:
    """Raise for features that are absent, or of a shape or dtype that is not of their kind."""
    absent = [entry["name"] for entry in specification if entry["name"] not in inputs]
    if absent:
        raise ValueError(
            f"`inputs` must hold every feature; got none called {', '.join(map(repr, absent))}. "
            "Encode the columns with the FeatureEncoder whose specification this layer has."
        )
    for entry in specification:
        values, kind = inputs[entry["name"]], entry["kind"]
        shape = tuple(values.shape)
        fits = len(shape) == (1 if kind == "category" else 2)
        if not fits or (kind == "dense" and shape[1] not in (None, entry["num_rows"])):
            raise ValueError(
                f"`{entry['name']}` must be of shape {SHAPES[kind].format(**entry)}; got {shape}. "
                "Encode the columns with the FeatureEncoder whose specification this layer has."
            )
        dtype = keras.backend.standardize_dtype(values.dtype)
        if kind != "dense" and "int" not in dtype:
            raise TypeError(f"`{entry['name']}` must be integers; got {dtype}. Encode the column first.")
