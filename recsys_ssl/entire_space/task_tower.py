"""The network of one task, from a vector to a logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.shared_bottom import sub_seeds
from sparse_data import checks
from sparse_data.type_checks import check_widths

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class TaskTower(keras.layers.Layer):
    r"""ReLU layers and a linear one.

    :math:`l = w^\top h_L + b` with :math:`h_k = \max(W_k h_{k-1} + b_k, 0)`.

    Parameters
    ----------
    input_width : int
    hidden_units : sequence of int, default=(360, 200, 80)
        Widths of the ReLU layers, none of them at all for a linear logit.
    dropout : float, default=0.0
        Rate of dropout after each ReLU layer, in [0, 1).
    seed : int, optional
        Of the first weights and of dropout.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> tuple(TaskTower(4, (8,), seed=0)(np.ones((5, 4), "float32")).shape)
    (5,)
    """

    def __init__(
        self,
        input_width: int,
        hidden_units: Sequence[int] = (360, 200, 80),
        *,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_width = checks.check_count("input_width", input_width)
        self.hidden_units = check_widths("hidden_units", hidden_units)
        self.dropout = checks.check_in_range("dropout", dropout, low=0, high=1, closed="left")
        self.seed = seed
        self.hidden: list[Any] = []
        width = self.input_width
        *seeds, of_dropout = sub_seeds(seed, len(self.hidden_units) + 2)
        for units, drawn in zip((*self.hidden_units, 1), seeds, strict=True):
            last = len(self.hidden) == len(self.hidden_units)
            layer = keras.layers.Dense(
                units,
                None if last else "relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed=drawn),
                dtype=self.dtype_policy,
            )
            layer.build((None, width))
            self.hidden.append(layer)
            width = units
        self.drop = (
            keras.layers.Dropout(dropout, seed=of_dropout, dtype=self.dtype_policy) if dropout else None
        )
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return logits of shape (batch,) from (batch, input_width), in the dtype of the weights."""
        *hidden, last = self.hidden
        for layer in hidden:
            x = layer(x)
            if self.drop is not None:
                x = self.drop(x, training=training)
        # Logits are what losses need in full precision.
        return ops.cast(ops.squeeze(last(x), axis=-1), self.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "hidden_units": list(self.hidden_units),
            "dropout": self.dropout,
            "seed": self.seed,
        }
