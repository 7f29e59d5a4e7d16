"""Bootstrapping: targets that are part label, part what the model itself predicts."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.robust_losses.class_label_loss import ClassLabelLoss, cross_entropy
from sparse_data.checks import check_in_range

Tensor = Any  # a tensor of whichever backend Keras runs on


class _Bootstrap(ClassLabelLoss):
    def __init__(self, beta: float, **kwargs: Any) -> None:
        check_in_range("beta", beta, 0, 1)
        super().__init__(**kwargs)
        self.beta = beta

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        own = cross_entropy(self.predicted(log_p), log_p)
        return self.beta * cross_entropy(targets, log_p) + (1 - self.beta) * own

    def predicted(self, log_p: Tensor) -> Tensor:
        """Return what the model would have for a label."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "beta": self.beta}


@keras.saving.register_keras_serializable(package="sparselabels")
class SoftBootstrap(_Bootstrap):
    r"""Cross-entropy with targets between the label and the predicted distribution.

    .. math:: \ell = -\sum_k (\beta y_k + (1 - \beta) p_k) \log p_k

    The second part is the entropy of the predictions, and its gradient flows through both of its factors.

    Parameters
    ----------
    beta : float, default=0.95
        In [0, 1]; 1 is cross-entropy.
    from_logits, reduction, name, dtype
        As of :class:`noisy_labels.robust_losses.class_label_loss.ClassLabelLoss`.

    Raises
    ------
    ValueError
        If `beta` is out of range.

    References
    ----------
    Reed et al. (2015), Training deep neural networks on noisy labels with bootstrapping, arXiv:1412.6596.

    Examples
    --------
    >>> loss = SoftBootstrap(beta=0.5)
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    def __init__(self, beta: float = 0.95, **kwargs: Any) -> None:
        super().__init__(beta, **kwargs)

    def predicted(self, log_p: Tensor) -> Tensor:
        """Return the predicted distribution."""
        return ops.exp(log_p)


@keras.saving.register_keras_serializable(package="sparselabels")
class HardBootstrap(_Bootstrap):
    r"""Cross-entropy with targets between the label and the most probable class.

    .. math:: \ell = -\sum_k (\beta y_k + (1 - \beta) z_k) \log p_k, \qquad z_k = 1[k = \arg\max_j p_j]

    Parameters
    ----------
    beta : float, default=0.8
        In [0, 1]; 1 is cross-entropy.
    from_logits, reduction, name, dtype
        As of :class:`noisy_labels.robust_losses.class_label_loss.ClassLabelLoss`.

    Raises
    ------
    ValueError
        If `beta` is out of range.

    References
    ----------
    Reed et al. (2015), arXiv:1412.6596.

    Examples
    --------
    >>> loss = HardBootstrap(beta=0.5)
    >>> round(float(loss([1], [[0.8, 0.2]])), 4)  # half of -log .2, half of -log .8
    0.9163
    """

    def __init__(self, beta: float = 0.8, **kwargs: Any) -> None:
        super().__init__(beta, **kwargs)

    def predicted(self, log_p: Tensor) -> Tensor:
        """Return the most probable class, one-hot."""
        return ops.one_hot(ops.argmax(log_p, axis=-1), log_p.shape[-1], dtype=log_p.dtype)
