"""Fields of an impression as one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.encoding.feature_embedding import FeatureEmbedding, check_specification
from sparse_data import checks

Tensor = Any


def field_width(specification: Sequence[dict[str, Any]], dim: int) -> int:
    """Width of the vector of all fields, that is the input width of a bottom.

    Parameters
    ----------
    specification : sequence of dict
        As made by :meth:`FeatureEncoder.specification`.
    dim : int

    Raises
    ------
    TypeError, ValueError
        If the specification is none, or the width below 1.

    Examples
    --------
    >>> field_width([{"name": "id", "kind": "category", "num_rows": 7}], 18)
    18
    """
    check_specification(specification)
    return len(specification) * checks.check_count("dim", dim)


@keras.saving.register_keras_serializable(package="sparselabels")
class FieldVectors(keras.layers.Layer):
    r"""Vectors of all fields side by side, in the order of the specification.

    Each is that of :class:`~recsys_ssl.FeatureEmbedding`.

    Parameters
    ----------
    specification : sequence of dict
        As made by :meth:`FeatureEncoder.specification`.
    dim : int
        Length of a field's vector.
    l2 : float, default=0.0
        Weight of the mean squared length of the batch's vectors, added to the loss.
    initial_scale : float, default=0.05
        Standard deviation of the tables' first values; reserved rows start at zero.
    seed : int, optional

    Raises
    ------
    ValueError
        If the specification is empty, names a field twice or holds an unknown kind or combiner; at a call, if
        a field is absent or of another shape, or an id is no row of its field where its value can be seen.

    Examples
    --------
    >>> import numpy as np
    >>> layer = FieldVectors([{"name": "id", "kind": "category", "num_rows": 7}], 4, seed=0)
    >>> tuple(layer({"id": np.array([0, 3, 6])}).shape)
    (3, 4)
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        dim: int,
        *,
        l2: float = 0.0,
        initial_scale: float = 0.05,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.l2 = checks.check_in_range("l2", l2, low=0)
        self.embedding = FeatureEmbedding(
            specification, dim, initial_scale=initial_scale, seed=seed, dtype=self.dtype_policy
        )
        self.specification = self.embedding.specification
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Return a vector an impression, shape (batch, field_width).

        Parameters
        ----------
        inputs : dict of str to tensor
            As of :meth:`FeatureEncoder.transform`.
        training : bool
        """
        vector = ops.concatenate(list(self.embedding(inputs).values()), axis=-1)
        if self.l2 and training:
            self.add_loss(self.l2 * ops.mean(ops.sum(ops.square(vector), axis=-1)))
        return vector

    def compute_output_spec(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return shape and dtype of the output; nothing is looked up."""
        batch = next(iter(inputs.values())).shape[0]
        width = field_width(self.specification, self.embedding.dim)
        return keras.KerasTensor((batch, width), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "specification": [dict(entry) for entry in self.specification],
            "dim": self.embedding.dim,
            "l2": self.l2,
            "initial_scale": self.embedding.initial_scale,
            "seed": self.embedding.seed,
        }
