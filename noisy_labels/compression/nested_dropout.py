"""Nested dropout: of ordered features a random number of the first is kept, the same for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from sparse_data.checks import (
    check_count,
    check_finite,
    check_in_range,
    check_ndim,
    check_non_negative,
    check_numeric,
    check_one_of,
)
from sparse_data.type_checks import check_layer_seed, check_list

Tensor = Any
Distribution = str | Sequence[float]
_LARGEST = 1e100  # whose squares fit into doubles, and so do their quotients
NAMES = ("half_gaussian", "geometric")


def prefix_probabilities(
    n_features: int, sigma: float, *, mu: float = 0.0, distribution: Distribution = "half_gaussian"
) -> NDArray[np.float64]:
    r"""Return the probabilities of keeping 1, 2, ..., D features.

    .. math:: P(k = i) = \frac{\exp(-((i - \mu) / \sigma)^2)}{\sum_{j=1}^D \exp(-((j - \mu) / \sigma)^2)}

    There is no factor 1/2 before the square: the standard deviation of the untruncated law is
    :math:`\sigma / \sqrt 2`.  Features beyond about 2.8 sigma are practically never trained.

    Parameters
    ----------
    n_features : int
        D.
    sigma : float
        Above 0.
    mu : float, default=0.0
    distribution : {"half_gaussian", "geometric"} or sequence of D weights, default="half_gaussian"
        ``"geometric"`` is :math:`P(k = i) \propto (1 - 1 / \sigma)^{i - 1}` with sigma of at least 1, the law
        of Rippel et al.; weights are divided by their sum, and sigma and mu are then not used.

    Returns
    -------
    float64 array of shape (D,)
        The i-th is P(k = i + 1).

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range, or the weights are not D numbers of which one is above 0.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, "Compressing features for learning with noisy labels", 2022,
    arXiv:2206.13140.  Rippel, Gelbart and Adams, "Learning ordered representations with nested dropout",
    2014, arXiv:1402.0915.

    Examples
    --------
    >>> prefix_probabilities(3, 1.0).round(4).tolist()
    [0.9523, 0.0474, 0.0003]
    """
    check_count("n_features", n_features)
    if not isinstance(distribution, str):
        return _given_weights(n_features, distribution)
    check_one_of("distribution", distribution, NAMES)
    check_in_range("mu", mu, -_LARGEST, _LARGEST)
    sizes = np.arange(1, n_features + 1)
    if distribution == "geometric":
        check_in_range("sigma", sigma, 1)
        weights = (1 - 1 / sigma) ** (sizes - 1.0)
    else:
        check_in_range("sigma", sigma, 1 / _LARGEST, _LARGEST)
        exponents = -(((sizes - mu) / sigma) ** 2)
        weights = np.exp(exponents - exponents.max())
    return np.asarray(weights / weights.sum())


def _given_weights(n_features: int, weights: Sequence[float]) -> NDArray[np.float64]:
    values = check_finite(
        "distribution", check_ndim("distribution", check_numeric("distribution", weights), 1)
    )
    check_non_negative("distribution", values)
    if values.size != n_features or not values.sum() > 0:
        raise ValueError(
            f"`distribution` must hold {n_features} weights, one above 0; got {values.size} of sum "
            f"{values.sum():g}. Pass one weight a feature."
        )
    return np.asarray(values / values.sum())


@keras.saving.register_keras_serializable(package="sparselabels")
class NestedDropout(keras.layers.Layer):
    r"""Keep the first k of D features, k drawn anew for every batch in training.

    .. math:: z \mapsto z \odot m, \qquad m = (\underbrace{1, \dots, 1}_k, 0, \dots, 0)

    Nothing is rescaled, neither in training nor afterwards.  The features become ordered by what they
    contribute, and the last ones are hardly trained: afterwards the weight `k` says how many count.  It is
    not trainable, saved with the weights and D at first;
    :func:`~noisy_labels.compression.compression_path.choose_size` finds a better one.

    Parameters
    ----------
    sigma : float
        Of the law of k, see :func:`prefix_probabilities`.
    mu : float, default=0.0
    distribution : {"half_gaussian", "geometric"} or sequence of D weights, default="half_gaussian"
    turn : {0, 1}, optional
        For two layers in one network: a fair coin shows in every iteration which of the two masks.  One
        layer takes turn 0, the other 1, and both the same `seed`, which makes them see the same coin.
    seed : int, optional

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range, or `turn` is given without `seed`.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, "Compressing features for learning with noisy labels", 2022,
    arXiv:2206.13140.

    Examples
    --------
    >>> layer = NestedDropout(10.0, seed=0)
    >>> layer.build((None, 4))
    >>> int(layer.k)
    4
    >>> _ = layer.k.assign(2)
    >>> ops.convert_to_numpy(layer(np.ones((1, 4), dtype="float32"))).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """

    k: Any

    def __init__(
        self,
        sigma: float,
        mu: float = 0.0,
        *,
        distribution: Distribution = "half_gaussian",
        turn: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_layer_seed("seed", seed)
        named = isinstance(distribution, str)
        if not named:
            distribution = check_list("distribution", distribution, "Name one, or pass a weight a feature.")
        prefix_probabilities(1 if named else len(distribution), sigma, mu=mu, distribution=distribution)
        check_one_of("turn", turn, (None, 0, 1))
        if turn is not None and seed is None:
            raise ValueError(
                f"`seed` must be given with `turn`={turn}; got None. Give both layers the same number."
            )
        self.sigma, self.mu, self.turn, self.seed = sigma, mu, turn, seed
        self.distribution = distribution if named else [float(weight) for weight in distribution]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.coins = None if turn is None else keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weight `k`, which is D at first."""
        n_features = input_shape[-1]
        if n_features is None:
            raise ValueError(
                "the last axis of the inputs must be of known length; got None. Declare the input's shape."
            )
        chances = prefix_probabilities(n_features, self.sigma, mu=self.mu, distribution=self.distribution)
        # Chances below the smallest float32 are 0 there; their logarithm would be minus infinity.
        self._log_chances = np.log(np.maximum(chances, 1e-37)).astype(np.float32)[None]
        self.k = self.add_weight(
            name="k",
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(n_features),
            trainable=False,
        )
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Mask the last axis.

        Parameters
        ----------
        inputs : float tensor of shape (..., D)
        training : bool
            Whether k is drawn; otherwise it is the weight `k`.

        Returns
        -------
        float tensor of shape (..., D)
        """
        kept = self._draw() if training else self.k
        mask = ops.arange(self._log_chances.shape[1], dtype="int32") < kept
        return inputs * ops.cast(mask, inputs.dtype)

    def _draw(self) -> Tensor:
        drawn = keras.random.categorical(
            ops.convert_to_tensor(self._log_chances), 1, dtype="int32", seed=self.seed_generator
        )
        kept = ops.reshape(drawn, ()) + 1
        if self.coins is None:
            return kept
        side = keras.random.randint((), 0, 2, dtype="int32", seed=self.coins)
        return ops.where(side == self.turn, kept, self._log_chances.shape[1])

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        """Return the shape of the inputs."""
        return input_shape

    def __deepcopy__(self, memo: dict[int, Any]) -> NestedDropout:
        # `sklearn.clone` copies parameters; Keras's own way goes through an archive.
        copy: NestedDropout = type(self).from_config(self.get_config())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "mu": self.mu,
            "distribution": self.distribution,
            "turn": self.turn,
            "seed": self.seed,
        }
