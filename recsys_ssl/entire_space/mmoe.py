"""The multi-gate mixture of experts: every task weighs the same networks in its own way.

Ma et al., Modeling task relationships in multi-task learning with multi-gate mixture-of-experts, KDD 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from recsys_ssl.entire_space.shared_bottom import Experts, glorot_kernels, sub_seeds
from sparse_data import checks

Tensor = Any

# Far enough below any logit that the softmax gives zero, also in half precision.
HIDDEN_LOGIT = -1e4


def gate_weights(logits: Tensor, *, dropout: float = 0.0, seed: Any = None) -> Tensor:
    r"""Softmax over experts, of which a share is dropped at random and the rest renormalised.

    .. math:: g_i = \frac{m_i e^{a_i}}{\sum_j m_j e^{a_j}}, \qquad m_i \sim \mathrm{Bernoulli}(1 - r),

    with all :math:`m_i = 1` where the draw has dropped every expert.

    Parameters
    ----------
    logits : tensor of shape (..., experts)
        The :math:`a_i`.
    dropout : float, default=0.0
        The rate *r*, in [0, 1).
    seed : int or keras.random.SeedGenerator, optional

    Returns
    -------
    tensor of the shape of `logits`
        Non-negative, the sum over the last axis is 1.

    Examples
    --------
    >>> import numpy as np
    >>> ops.convert_to_numpy(gate_weights(np.log([[1.0, 3.0]]).astype("float32"))).tolist()
    [[0.25, 0.75]]
    """
    if dropout:
        kept = keras.random.uniform(ops.shape(logits), seed=seed) >= dropout
        kept = ops.logical_or(kept, ops.logical_not(ops.any(kept, axis=-1, keepdims=True)))
        logits = ops.where(kept, logits, ops.cast(HIDDEN_LOGIT, logits.dtype))
    if logits.shape[-1] == 1:  # of which Keras warns
        return ops.ones_like(logits)
    return ops.softmax(logits, axis=-1)


def load_balance_loss(gates: Tensor) -> Tensor:
    r"""Squared coefficient of variation of the experts' use: 0 where it is even, E - 1 where one does all.

    .. math:: E \sum_{i=1}^E \bar g_i^2 - 1, \qquad \bar g_i = \frac{1}{K n} \sum_{k, x} g^k_i(x)

    The mean runs over tasks too: tasks may prefer different experts at no cost, an idle expert costs.

    Parameters
    ----------
    gates : tensor of shape (tasks, batch, experts)

    Returns
    -------
    scalar tensor

    References
    ----------
    Shazeer et al. (2017), Outrageously large neural networks, arXiv 1701.06538.

    Examples
    --------
    >>> import numpy as np
    >>> float(load_balance_loss(np.array([[[1.0, 0.0]], [[1.0, 0.0]]])))
    1.0
    >>> float(load_balance_loss(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])))
    0.0
    """
    use = ops.mean(gates, axis=(0, 1))
    return gates.shape[-1] * ops.sum(ops.square(use)) - 1


@keras.saving.register_keras_serializable(package="sparselabels")
class MMoE(keras.layers.Layer):
    r"""Multi-gate mixture of experts, a bottom of multi-task models.

    .. math:: z_k(x) = \sum_{i=1}^E g^k_i(x) f_i(x), \qquad g^k(x) = \mathrm{softmax}(W_k x)

    Gates tend to settle on one expert. `gate_dropout` hides experts from the gates in training
    (:func:`gate_weights`), `load_balance` adds a loss for idle experts (:func:`load_balance_loss`), and
    :meth:`gate_usage` tells what the gates do.

    Parameters
    ----------
    input_width : int
    num_tasks : int
    num_experts : int, default=8
    units : sequence of int, default=(256, 128)
        Widths of the layers of each expert.
    dropout : float, default=0.0
        Rate of dropout after each layer of the experts, in [0, 1).
    gate_dropout : float, default=0.0
        Chance that a gate does not see an expert, drawn for each row, task and expert, in [0, 1).
    load_balance : float, default=0.0
        Weight of the load-balance loss.
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
    Ma et al. (2018), Modeling task relationships in multi-task learning with multi-gate mixture-of-experts,
    KDD.

    Examples
    --------
    >>> import numpy as np
    >>> bottom = MMoE(4, 2, num_experts=3, units=(8,), seed=0)
    >>> [tuple(vectors.shape) for vectors in bottom(np.ones((5, 4), "float32"))]
    [(5, 8), (5, 8)]
    """

    def __init__(
        self,
        input_width: int,
        num_tasks: int,
        *,
        num_experts: int = 8,
        units: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        gate_dropout: float = 0.0,
        load_balance: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_width = checks.check_count("input_width", input_width)
        self.num_tasks = checks.check_count("num_tasks", num_tasks)
        self.gate_dropout = checks.check_in_range("gate_dropout", gate_dropout, low=0, high=1, closed="left")
        self.load_balance = checks.check_in_range("load_balance", load_balance, low=0)
        self.seed = seed
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: self.input_width})
        of_experts, of_gates, of_dropout = sub_seeds(seed, 3)
        self.experts = Experts(
            input_width, num_experts, units=units, dropout=dropout, seed=of_experts, dtype=self.dtype_policy
        )
        self.output_width = self.experts.units[-1]
        shape = (self.num_tasks, self.input_width, num_experts)
        self.gates = self.add_weight(name="gates", shape=shape, initializer="zeros")
        self.gates.assign(glorot_kernels(np.random.default_rng(of_gates), *shape))
        self.seed_generator = keras.random.SeedGenerator(of_dropout)
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> list[Tensor]:
        """Return a tensor of shape (batch, output_width) for each task."""
        rate = self.gate_dropout if training else 0.0
        gates = gate_weights(ops.matmul(x, self.gates), dropout=rate, seed=self.seed_generator)
        if self.load_balance and training:
            self.add_loss(self.load_balance * load_balance_loss(gates))
        mixed = ops.einsum("kbe,ebo->kbo", gates, self.experts(x, training=training))
        return [mixed[task] for task in range(self.num_tasks)]

    def gate_usage(self, x: Tensor) -> NDArray[np.float64]:
        """Return the mean weight of each expert in each task's gate, (num_tasks, num_experts).

        Rows sum to 1. A one in a row is a collapsed gate, a column of zeros an idle expert.

        Parameters
        ----------
        x : tensor of shape (batch, input_width)
        """
        gates = gate_weights(ops.matmul(ops.cast(x, self.compute_dtype), self.gates))
        return np.asarray(np.mean(ops.convert_to_numpy(gates), axis=1, dtype=np.float64))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "num_tasks": self.num_tasks,
            "num_experts": self.experts.num_experts,
            "units": list(self.experts.units),
            "dropout": self.experts.dropout,
            "gate_dropout": self.gate_dropout,
            "load_balance": self.load_balance,
            "seed": self.seed,
        }
