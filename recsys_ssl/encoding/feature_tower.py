"""A tower: the features of a user or an item in, one vector out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.encoding.feature_embedding import FeatureEmbedding
from sparse_data import checks
from sparse_data.type_checks import check_widths

Tensor = Any


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
        self.dim = checks.check_count("dim", dim)
        self.hidden_units = check_widths("hidden_units", hidden_units)
        self.dropout = checks.check_in_range("dropout", dropout, low=0, high=1, closed="left")
        self.l2 = checks.check_in_range("l2", l2, low=0)
        self.initial_scale = initial_scale
        self.seed = seed
        policy = self.dtype_policy
        self.embedding = FeatureEmbedding(
            specification, self.dim, initial_scale=initial_scale, seed=seed, dtype=policy
        )
        self.specification = self.embedding.specification
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
        return self.vector(self.embedding(inputs), training=training)

    def vector(self, fields: dict[str, Tensor], training: bool = False) -> Tensor:
        """Return vectors of shape (batch, dim) from those of the fields, as :attr:`embedding` gives them."""
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
