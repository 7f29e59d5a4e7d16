"""LLP-VAT: predictions must not change under the small step that would change them most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from noisy_labels.proportions.input_gradient import input_gradient
from sparse_data.checks import check_count, check_in_range

Tensor = Any  # a tensor of whichever backend Keras runs on

_LEAST_NORM = 1e-30


def virtual_adversarial_step(
    predict: Callable[[Tensor], Tensor],
    x: Tensor,
    start: Tensor,
    *,
    radius: float,
    probe: float,
    n_steps: int,
) -> Tensor:
    r"""Return the step of each row that changes its prediction most, found by power iteration.

    .. math:: d \leftarrow \frac{g}{\lVert g \rVert}, \qquad
              g = \nabla_d \operatorname{KL}\big(p(x) \,\|\, p(x + \xi d)\big), \qquad r = \epsilon\, d

    For small :math:`\xi`, g is :math:`\xi H d` with the Hessian H of the divergence: d turns to its first
    eigenvector.

    Parameters
    ----------
    predict : callable
        Of rows; returns the logarithms of their class probabilities, shape (n_rows, n_classes).
    x : float tensor of shape (n_rows, ...)
    start : float tensor of the same shape
        Random directions.
    radius : float
        ε.
    probe : float
        ξ.
    n_steps : int

    Returns
    -------
    tensor of the shape of `x`, without gradient
    """
    held = ops.stop_gradient(predict(x))
    direction = _unit(start)
    for _ in range(n_steps):
        gradient = input_gradient(lambda d: ops.sum(divergence(held, predict(x + probe * d))), direction)
        direction = _unit(ops.stop_gradient(gradient))
    return radius * direction


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Return :math:`\operatorname{KL}(p \| q)` of each row of log-probabilities."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


@keras.saving.register_keras_serializable(package="sparselabels")
class LLPVATModel(keras.Model):
    r"""A network with the consistency of LLP-VAT, to be compiled with a loss of bags.

    .. math:: L = L_{bags} + \frac{w}{n} \sum_i \operatorname{KL}\big(p(x_i) \,\|\, p(x_i + r_i)\big)

    with :math:`r_i` of `virtual_adversarial_step`.  It is added in training alone, with three more passes
    through the network, without dropout, and a gradient.  Rows of zeros, with which `BagBatches` pads, are
    left out.  The divergence is 0 for constant predictions, so that it pulls slopes to 0 also where the loss
    of bags has its minimum at the truth: a little bias, for less noise in large bags.

    Parameters
    ----------
    network : keras.Model
        Of float rows of shape (n_rows, ...) to logits of shape (n_rows, n_outputs); one output is the
        positive class.
    weight : float, default=0.05
        w.
    radius : float, default=1.0
        ε, in units of the rows: standardise them.  6 for the images of the paper.
    probe : float, default=0.01
        ξ; much less is lost in float32.
    n_steps : int, default=1
        Power iterations.
    seed : int, default=0

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Tsai and Lin (2020), Learning from label proportions with consistency regularization, arXiv:1910.13188.

    Examples
    --------
    >>> dense = keras.layers.Dense(1, kernel_initializer="zeros")
    >>> model = LLPVATModel(keras.Sequential([keras.Input((2,)), dense]))
    >>> float(model.inconsistency([[1.0, -2.0], [0.5, 0.0]]))  # of a constant
    0.0
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        weight: float = 0.05,
        radius: float = 1.0,
        probe: float = 0.01,
        n_steps: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.weight = float(check_in_range("weight", weight, 0))
        self.radius = float(check_in_range("radius", radius, 0, closed="neither"))
        self.probe = float(check_in_range("probe", probe, 0, closed="neither"))
        self.n_steps = check_count("n_steps", n_steps)
        self.seed = check_count("seed", seed, minimum=0)
        self._draws = keras.random.SeedGenerator(self.seed)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Return the logits of the network; in training, add the divergence to the losses."""
        logits = self.network(x, training=training)
        if training and self.weight > 0:
            self.add_loss(self.weight * self.inconsistency(x))
        return logits

    def inconsistency(self, x: Tensor) -> Tensor:
        """Return the mean divergence of predictions before and after the adversarial step, a scalar."""
        x = ops.convert_to_tensor(x)
        start = keras.random.normal(ops.shape(x), dtype=x.dtype, seed=self._draws)
        settings: dict[str, Any] = {"radius": self.radius, "probe": self.probe, "n_steps": self.n_steps}
        step = virtual_adversarial_step(self._log_probabilities, x, start, **settings)
        held = ops.stop_gradient(self._log_probabilities(x))
        changed = divergence(held, self._log_probabilities(x + step))
        member = ops.cast(ops.any(ops.reshape(x, (ops.shape(x)[0], -1)) != 0, axis=1), changed.dtype)
        return ops.sum(changed * member) / ops.maximum(ops.sum(member), 1)

    def _log_probabilities(self, x: Tensor) -> Tensor:
        logits = self.network(x, training=False)
        if logits.shape[-1] == 1:
            return ops.concatenate([ops.log_sigmoid(-logits), ops.log_sigmoid(logits)], axis=-1)
        return ops.log_softmax(logits)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "weight": self.weight,
            "radius": self.radius,
            "probe": self.probe,
            "n_steps": self.n_steps,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> LLPVATModel:
        """Make the model anew."""
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**{**config, "network": network})


def _unit(x: Tensor) -> Tensor:
    """Return each row divided by its length, zeros where it is zero."""
    flat = ops.reshape(x, (ops.shape(x)[0], -1))
    # Scaled first: squares of small gradients would be lost in float32.
    largest = ops.maximum(ops.max(ops.abs(flat), axis=1, keepdims=True), _LEAST_NORM)
    flat = flat / largest
    norm = ops.sqrt(ops.maximum(ops.sum(ops.square(flat), axis=1, keepdims=True), _LEAST_NORM))
    return ops.reshape(flat / norm, ops.shape(x))
