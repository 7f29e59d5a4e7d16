"""Adaptive information transfer: each step of a funnel attends to the step before.

Xi et al., Modeling the sequential dependence among audience multi-step conversions with multi-task learning
in targeted display advertising, KDD 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.entire_space.shared_bottom import Experts, glorot_kernels, sub_seeds
from sparse_data import checks

Tensor = Any


def aitm_calibrator(ctr: Tensor, ctcvr: Tensor, *, alpha: float = 0.6) -> Tensor:
    r"""Loss for a later step of the funnel that is given a larger probability than the step before.

    .. math:: \alpha \, \frac1n \sum_{i=1}^n \max(\hat y_t - \hat y_{t-1}, 0)

    Parameters
    ----------
    ctr : tensor of shape (batch,) or (batch, 1)
        Probabilities :math:`\hat y_{t-1}` of the earlier step, such as a click.
    ctcvr : tensor of the shape of `ctr`
        Probabilities :math:`\hat y_t` of both steps, such as a click and a purchase.
    alpha : float, default=0.6

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError
        If the shapes differ, which would pair every row with every other, or `alpha` is negative.

    References
    ----------
    Xi et al. (2021), Modeling the sequential dependence among audience multi-step conversions with multi-task
    learning in targeted display advertising, KDD, arXiv 2105.08489.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(aitm_calibrator(np.array([0.5, 0.25]), np.array([0.25, 0.75]))), 6)
    0.15
    """
    checks.check_in_range("alpha", alpha, low=0)
    ctr, ctcvr = ops.convert_to_tensor(ctr), ops.convert_to_tensor(ctcvr)
    sizes = zip(ctr.shape, ctcvr.shape, strict=False)  # None where a compiled step does not know it
    known = [(left, right) for left, right in sizes if left is not None and right is not None]
    if len(ctr.shape) != len(ctcvr.shape) or any(left != right for left, right in known):
        raise ValueError(
            f"`ctcvr` must be of the shape of `ctr`, {tuple(ctr.shape)}; got {tuple(ctcvr.shape)}. "
            "Reshape one of them."
        )
    return alpha * ops.mean(ops.relu(ctcvr - ctr))


@keras.saving.register_keras_serializable(package="sparselabels")
class InformationTransfer(keras.layers.Layer):
    r"""Attention of a step over its own vector and what the step before hands on.

    .. math::

        p = A z_{t-1} + a, \qquad z_t = \sum_{u \in \{p, q_t\}} w_u h_1(u), \qquad
        w = \mathrm{softmax}_u\!\left(\frac{\langle h_2(u), h_3(u) \rangle}{\sqrt d}\right),

    with affine maps :math:`h_1, h_2, h_3` of *d* outputs.

    Parameters
    ----------
    width : int
        The length *d* of all vectors.
    seed : int, optional
        Of the first weights.

    References
    ----------
    Xi et al. (2021), arXiv 2105.08489.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones((5, 4), "float32")
    >>> tuple(InformationTransfer(4, seed=0)(ones, ones).shape)
    (5, 4)
    """

    def __init__(self, width: int, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = checks.check_count("width", width)
        self.seed = seed
        self.hand_on, self.h1, self.h2, self.h3 = (self._affine(drawn) for drawn in sub_seeds(seed, 4))
        self.built = True

    def _affine(self, seed: int) -> Any:
        layer = keras.layers.Dense(self.width, kernel_initializer="zeros", dtype=self.dtype_policy)
        layer.build((None, self.width))
        layer.kernel.assign(glorot_kernels(np.random.default_rng(seed), self.width, self.width))
        return layer

    def call(self, before: Tensor, own: Tensor) -> Tensor:
        """Return z_t from z_(t-1) and q_t, each of shape (batch, width)."""
        pair = ops.stack([self.hand_on(before), own])
        scores = ops.sum(self.h2(pair) * self.h3(pair), axis=-1, keepdims=True) / math.sqrt(self.width)
        return ops.sum(ops.softmax(scores, axis=0) * self.h1(pair), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "width": self.width, "seed": self.seed}


@keras.saving.register_keras_serializable(package="sparselabels")
class AITM(keras.layers.Layer):
    r"""Adaptive information transfer multi-task, a bottom of models of a funnel with steps in order.

    Each task has a ReLU network :math:`q_t(x)`; :math:`z_1 = q_1`, and each later :math:`z_t` attends to
    :math:`q_t` and to what :math:`z_{t-1}` hands on (:class:`InformationTransfer`). In the paper the heads
    give the probabilities of reaching each step, all over impressions, and :func:`aitm_calibrator` is added
    to the loss.

    Parameters
    ----------
    input_width : int
    num_tasks : int
        Steps of the funnel, the first one first.
    units : sequence of int, default=(128, 64, 32)
        Widths of the layers of each network.
    dropout : float, default=0.0
        Rate of dropout after each layer of the networks, in [0, 1).
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
    Xi et al. (2021), Modeling the sequential dependence among audience multi-step conversions with multi-task
    learning in targeted display advertising, KDD, arXiv 2105.08489.

    Examples
    --------
    >>> import numpy as np
    >>> bottom = AITM(4, 2, units=(8,), seed=0)
    >>> [tuple(vectors.shape) for vectors in bottom(np.ones((5, 4), "float32"))]
    [(5, 8), (5, 8)]
    """

    def __init__(
        self,
        input_width: int,
        num_tasks: int,
        *,
        units: Sequence[int] = (128, 64, 32),
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = checks.check_count("num_tasks", num_tasks)
        self.seed = seed
        of_networks, *of_transfers = sub_seeds(seed, self.num_tasks)
        self.networks = Experts(
            input_width, num_tasks, units=units, dropout=dropout, seed=of_networks, dtype=self.dtype_policy
        )
        self.input_width = self.networks.input_width
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: self.input_width})
        self.output_width = self.networks.units[-1]
        self.transfers = [
            InformationTransfer(self.output_width, seed=drawn, dtype=self.dtype_policy)
            for drawn in of_transfers
        ]
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> list[Tensor]:
        """Return a tensor of shape (batch, output_width) for each task."""
        own = self.networks(x, training=training)
        vectors = [own[0]]
        for task, transfer in enumerate(self.transfers, start=1):
            vectors.append(transfer(vectors[-1], own[task]))
        return vectors

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "num_tasks": self.num_tasks,
            "units": list(self.networks.units),
            "dropout": self.networks.dropout,
            "seed": self.seed,
        }
