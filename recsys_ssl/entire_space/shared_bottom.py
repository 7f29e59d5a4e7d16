"""The hard sharing of a network by all tasks.

Caruana, Multitask learning, Machine Learning 28, 1997.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from sparse_data import checks
from sparse_data.type_checks import check_seed, check_widths

Tensor = Any


def glorot_kernels(generator: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Glorot's uniform first values for a stack of kernels (..., inputs, outputs), the same in every backend.

    Examples
    --------
    >>> kernels = glorot_kernels(np.random.default_rng(0), 5, 2, 4)
    >>> kernels.shape, bool(abs(kernels).max() <= 1)
    ((5, 2, 4), True)
    """
    limit = np.sqrt(6 / (shape[-2] + shape[-1]))
    return generator.uniform(-limit, limit, size=shape)


def sub_seeds(seed: int | None, number: int) -> list[int]:
    """Seeds for the parts of a layer, so that no two parts start with the same numbers.

    Examples
    --------
    >>> len(set(sub_seeds(0, 3)))
    3
    """
    generator = np.random.default_rng(check_seed("seed", seed))
    return [int(drawn) for drawn in generator.integers(2**31, size=number)]


@keras.saving.register_keras_serializable(package="sparselabels")
class Experts(keras.layers.Layer):
    r"""Networks of one shape side by side, :math:`h_e \leftarrow \max(h_e W_e + b_e, 0)` for all *e* at once.

    A layer of all networks is one batched matrix product of (experts, batch, inputs) and
    (experts, inputs, outputs).

    Parameters
    ----------
    input_width : int
    num_experts : int
    units : sequence of int, default=(256, 128)
        Widths of the layers of each network.
    dropout : float, default=0.0
        Rate of dropout after each layer, in [0, 1).
    seed : int, optional
        Of the first weights and of dropout.

    Raises
    ------
    ValueError
        If a number is out of range or `units` is empty.

    Examples
    --------
    >>> import numpy as np
    >>> tuple(Experts(4, 3, units=(8, 2))(np.ones((5, 4), "float32")).shape)
    (3, 5, 2)
    """

    def __init__(
        self,
        input_width: int,
        num_experts: int,
        *,
        units: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_width = checks.check_count("input_width", input_width)
        self.num_experts = checks.check_count("num_experts", num_experts)
        self.units = check_widths("units", units)
        checks.check_nonempty("units", self.units, hint="Give the width of a layer.")
        self.dropout = checks.check_in_range("dropout", dropout, low=0, high=1, closed="left")
        self.seed = seed
        self.input_spec = keras.layers.InputSpec(axes={-1: self.input_width})
        generator = np.random.default_rng(check_seed("seed", seed))
        self.kernels, self.biases = [], []
        width = self.input_width
        for place, outputs in enumerate(self.units):
            shape = (self.num_experts, width, outputs)
            kernel = self.add_weight(name=f"kernel_{place}", shape=shape, initializer="zeros")
            kernel.assign(glorot_kernels(generator, *shape))
            self.kernels.append(kernel)
            self.biases.append(
                self.add_weight(
                    name=f"bias_{place}", shape=(self.num_experts, 1, outputs), initializer="zeros"
                )
            )
            width = outputs
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy) if dropout else None
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return (experts, batch, units[-1]) from (batch, input_width) or one input an expert."""
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = ops.relu(ops.matmul(x, kernel) + bias)
            if self.drop is not None:
                x = self.drop(x, training=training)
        return x

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "num_experts": self.num_experts,
            "units": list(self.units),
            "dropout": self.dropout,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="sparselabels")
class SharedBottom(keras.layers.Layer):
    r"""One ReLU network whose vector :math:`z_k(x) = f(x)` is the same for every task *k*.

    Parameters
    ----------
    input_width : int
    num_tasks : int
    units : sequence of int, default=(256, 128)
        Widths of the layers.
    dropout : float, default=0.0
        Rate of dropout after each layer, in [0, 1).
    seed : int, optional
        Of the first weights and of dropout.

    Attributes
    ----------
    output_width : int
        Width of each task's vector, ``units[-1]``.

    Raises
    ------
    ValueError
        If a number is out of range or `units` is empty.

    References
    ----------
    Caruana (1997), Multitask learning, Machine Learning 28.

    Examples
    --------
    >>> import numpy as np
    >>> bottom = SharedBottom(4, 2, units=(8,), seed=0)
    >>> [tuple(vectors.shape) for vectors in bottom(np.ones((5, 4), "float32"))]
    [(5, 8), (5, 8)]
    """

    def __init__(
        self,
        input_width: int,
        num_tasks: int,
        *,
        units: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = checks.check_count("num_tasks", num_tasks)
        self.seed = seed
        self.network = Experts(
            input_width, 1, units=units, dropout=dropout, seed=seed, dtype=self.dtype_policy
        )
        self.input_width = self.network.input_width
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: self.input_width})
        self.output_width = self.network.units[-1]
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> list[Tensor]:
        """Return a tensor of shape (batch, output_width), once for each task."""
        return [self.network(x, training=training)[0]] * self.num_tasks

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "num_tasks": self.num_tasks,
            "units": list(self.network.units),
            "dropout": self.network.dropout,
            "seed": self.seed,
        }
