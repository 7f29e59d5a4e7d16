"""A tower: the features of a user or an item in, one vector out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from recsys_ssl.features import MISSING, NUM_RESERVED
from recsys_ssl.sparse_embedding import SparseEmbedding
from recsys_ssl.table_initialization import BLOCK
from sparse_data import checks

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class FeatureEmbedding(keras.layers.Layer):
    r"""One vector for every feature of a row.

    A category looks its row up, a multi-valued feature pools the rows of its values, a dense feature
    :math:`(x, m)` (standardised values, missing flag) gives :math:`x A + m b` with a learned matrix *A* and
    vector *b*. The row ``MISSING`` = 0 counts as absent: its vector is zero and is not trained. A dense
    feature that self-supervision hides comes as NaN and gives a learned vector of its own.

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
        If the specification is empty, names a feature twice or holds an unknown kind or combiner.

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
        generator = np.random.default_rng(seed)
        self.tables: dict[str, Any] = {}
        self.dense_masks: dict[str, Any] = {}
        for place, entry in enumerate(self.specification):
            # Named by its place: a column may be called what a variable may not. Paths must differ between
            # towers, or Keras on PyTorch takes two tables for one and does not clear its gradient.
            name = f"{self.name}_table_{place}"
            if entry["kind"] == "dense":
                shape = (entry["num_rows"], self.dim)
                weight = self.add_weight(name=name, shape=shape, initializer="zeros")
                weight.assign(generator.normal(0.0, initial_scale, size=shape))
                self.tables[entry["name"]] = weight
                self.dense_masks[entry["name"]] = self.add_weight(
                    name=f"{name}_mask", shape=(self.dim,), initializer="zeros"
                )
                continue
            table = SparseEmbedding(
                entry["num_rows"],
                self.dim,
                entry["combiner"] if entry["kind"] == "multi" else None,
                embeddings_initializer="zeros",
                padding_id=MISSING,
                name=name,
                dtype=self.dtype_policy,
            )
            table.fill(_first_values(generator, initial_scale, entry["num_rows"], self.dim))
            self.tables[entry["name"]] = table
        self.built = True

    def call(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return vectors by feature name, each of shape (batch, dim)."""
        absent = [entry["name"] for entry in self.specification if entry["name"] not in inputs]
        if absent:
            raise ValueError(
                f"`inputs` must hold every feature; got none called {', '.join(map(repr, absent))}. "
                "Encode the columns with the FeatureEncoder whose specification this layer has."
            )
        return {entry["name"]: self._embed(entry, inputs[entry["name"]]) for entry in self.specification}

    def _embed(self, entry: dict[str, Any], values: Tensor) -> Tensor:
        table = self.tables[entry["name"]]
        if entry["kind"] == "dense":
            values = ops.cast(values, table.dtype)
            hidden = ops.isnan(values)
            known = ops.where(hidden, ops.zeros_like(values), values)
            vectors = ops.matmul(known, table)  # (batch, width + 1) x (width + 1, dim)
            mask = ops.convert_to_tensor(self.dense_masks[entry["name"]])
            return ops.where(hidden[:, :1], mask, vectors)
        return table(values)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "specification": self.specification,
            "dim": self.dim,
            "initial_scale": self.initial_scale,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="sparselabels")
class FeatureTower(keras.layers.Layer):
    r"""The features of a user or an item as one vector.

    Without hidden layers the vector is the sum of the features' vectors, :math:`u = \sum_f e_f`, which needs
    little data. With ``hidden_units`` the vectors are concatenated and pass ReLU layers and a linear one.

    Parameters
    ----------
    specification : sequence of dict
        As made by :meth:`FeatureEncoder.specification`.
    dim : int
        Length of the tower's vector.
    hidden_units : sequence of int, default=()
    dropout : float, default=0.0
        Rate of dropout on the tower's vector, in [0, 1).
    l2 : float, default=0.0
        Weight of the mean squared length of the batch's vectors, added to the loss. It shrinks only rows that
        the batch touches.
    initial_scale : float, default=0.05
        As in :class:`FeatureEmbedding`.
    seed : int, optional
        Of the first weights and of dropout.

    Raises
    ------
    ValueError
        If the specification is empty or wrong, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> tower = FeatureTower([{"name": "id", "kind": "category", "num_rows": 7}], dim=4, seed=0)
    >>> tuple(tower({"id": np.array([0, 3, 6])}).shape)
    (3, 4)
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        dim: int,
        *,
        hidden_units: Sequence[int] = (),
        dropout: float = 0.0,
        l2: float = 0.0,
        initial_scale: float = 0.05,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.specification = _checked(specification)
        self.dim = checks.check_count("dim", dim)
        self.hidden_units = tuple(checks.check_count("hidden_units", units) for units in hidden_units)
        self.dropout = checks.check_in_range("dropout", dropout, low=0, high=1, closed="left")
        self.l2 = checks.check_in_range("l2", l2, low=0)
        self.initial_scale = initial_scale
        self.seed = seed
        policy = self.dtype_policy
        self.embedding = FeatureEmbedding(
            specification, self.dim, initial_scale=initial_scale, seed=seed, dtype=policy
        )
        self.hidden = []
        width = self.dim * len(self.specification)
        for place, units in enumerate([*self.hidden_units, self.dim] if self.hidden_units else []):
            last = place == len(self.hidden_units)
            initializer = keras.initializers.GlorotUniform(seed=None if seed is None else seed + place)
            activation = None if last else "relu"
            layer = keras.layers.Dense(units, activation, kernel_initializer=initializer, dtype=policy)
            layer.build((None, width))
            self.hidden.append(layer)
            width = units
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=policy) if dropout else None
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Return vectors of shape (batch, dim)."""
        fields = self.embedding(inputs)
        parts = [fields[entry["name"]] for entry in self.specification]
        if self.hidden:
            vector = ops.concatenate(parts, axis=-1)
            for layer in self.hidden:
                vector = layer(vector)
        else:
            vector = sum(parts[1:], start=parts[0])
        if self.l2 and training:
            self.add_loss(self.l2 * ops.mean(ops.sum(ops.square(vector), axis=-1)))
        return vector if self.drop is None else self.drop(vector, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "specification": self.specification,
            "dim": self.dim,
            "hidden_units": list(self.hidden_units),
            "dropout": self.dropout,
            "l2": self.l2,
            "initial_scale": self.initial_scale,
            "seed": self.seed,
        }


def _first_values(
    generator: np.random.Generator, scale: float, num_rows: int, dim: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks of normal rows, the reserved ones zero: the same numbers in every backend."""
    height = max(BLOCK // dim, NUM_RESERVED)
    for start in range(0, num_rows, height):
        values = generator.normal(0.0, scale, size=(min(height, num_rows - start), dim)).astype(np.float32)
        values[: max(NUM_RESERVED - start, 0)] = 0.0
        yield start, values


def _checked(specification: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a copy of the specification, or raise if `FeatureEncoder.specification` cannot have made it."""
    names = [entry["name"] for entry in specification]
    checks.check_nonempty("specification", names, hint="Declare a feature.")
    if len(set(names)) != len(names):
        raise ValueError(f"`specification` must have different names; got {names}. Remove the double one.")
    for entry in specification:
        checks.check_one_of("kind", entry["kind"], ("category", "multi", "dense"))
        checks.check_count("num_rows", entry["num_rows"])
        if entry["kind"] == "multi":
            checks.check_one_of("combiner", entry.get("combiner"), ("mean", "sum", "sqrtn"))
    return [dict(entry) for entry in specification]
