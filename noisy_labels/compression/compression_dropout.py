"""Compression by plain dropout of features."""

from __future__ import annotations

from typing import Any

import keras

from sparse_data.checks import check_in_range
from sparse_data.type_checks import check_layer_seed


@keras.saving.register_keras_serializable(package="sparselabels")
class CompressionDropout(keras.layers.Dropout):
    r"""Drop each feature before a bias-free linear classifier with probability p.

    .. math:: z \mapsto z \odot m, \qquad m_j \sim \mathrm{Bernoulli}(1 - p) / (1 - p)

    This is dropout as usual, the plain form of compression beside :class:`~noisy_labels.NestedDropout`;
    outside training all features count.

    Parameters
    ----------
    rate : float
        p, in [0, 1).
    seed : int, optional

    Raises
    ------
    TypeError, ValueError
        If the rate is out of its range.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, "Compressing features for learning with noisy labels", 2022,
    arXiv:2206.13140.

    Examples
    --------
    >>> CompressionDropout(0.3, seed=1).get_config()["rate"]
    0.3
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs: Any) -> None:
        check_in_range("rate", rate, 0, 1, closed="left")
        super().__init__(rate, seed=check_layer_seed("seed", seed), **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompressionDropout:
        # `sklearn.clone` copies parameters; Keras's own way goes through an archive.
        copy: CompressionDropout = type(self).from_config(self.get_config())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        config.pop("noise_shape", None)
        return {**config, "rate": self.rate, "seed": self.seed}
