"""Symmetric cross-entropy: cross-entropy and the same with labels and predictions in each other's place."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.robust_losses.class_label_loss import ClassLabelLoss, cross_entropy
from sparse_data.checks import check_in_range

Tensor = Any  # a tensor of whichever backend Keras runs on


def reverse_cross_entropy(targets: Tensor, log_p: Tensor, *, least_target: float = 1e-4) -> Tensor:
    r"""Return :math:`-\sum_k p_k \log \max(y_k, e^A)` of each row.

    Of a one-hot label it is :math:`-A (1 - p_y)`: absolute error times :math:`-A / 2`.

    Parameters
    ----------
    targets, log_p : tensors of shape (..., n_classes)
    least_target : float, default=1e-4
        :math:`e^A`, in place of the zeros of a label.

    Returns
    -------
    tensor of shape (...,)

    References
    ----------
    Wang et al. (2019), arXiv:1908.06112.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(reverse_cross_entropy([0.0, 1.0], np.log([0.75, 0.25]))), 4)  # .75 * -log(1e-4)
    6.9078
    """
    log_p = ops.convert_to_tensor(log_p)
    log_y = ops.log(ops.clip(ops.cast(targets, log_p.dtype), least_target, 1.0))
    return -ops.sum(ops.exp(log_p) * log_y, axis=-1)


@keras.saving.register_keras_serializable(package="sparselabels")
class SymmetricCrossEntropy(ClassLabelLoss):
    r"""Cross-entropy and reverse cross-entropy together.

    .. math:: \ell_{sl} = -\alpha \sum_k y_k \log p_k - \beta \sum_k p_k \log \max(y_k, e^A)

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of cross-entropy, at least 0: what is left of it is what overfits.
    beta : float, default=1
        Weight of reverse cross-entropy, at least 0. The paper has (.1, 1) for ten classes and (6, .1) for a
        hundred.
    least_target : float, default=1e-4
        :math:`e^A` in (0, 1). The authors' program has 1e-4, A = -9.2; their text A = -4, 0.018.
    from_logits, reduction, name, dtype
        As of :class:`noisy_labels.robust_losses.class_label_loss.ClassLabelLoss`.

    Raises
    ------
    ValueError
        If a weight is out of range.

    References
    ----------
    Wang et al. (2019), Symmetric cross entropy for robust learning with noisy labels, arXiv:1908.06112.

    Examples
    --------
    >>> loss = SymmetricCrossEntropy(alpha=0.0, beta=0.5)
    >>> round(float(loss([1], [[0.75, 0.25]])), 4)
    3.4539
    """

    def __init__(
        self, alpha: float = 0.1, beta: float = 1.0, *, least_target: float = 1e-4, **kwargs: Any
    ) -> None:
        check_in_range("alpha", alpha, 0)
        check_in_range("beta", beta, 0)
        check_in_range("least_target", least_target, 0, 1, closed="neither")
        super().__init__(**kwargs)
        self.alpha, self.beta, self.least_target = alpha, beta, least_target

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        reverse = reverse_cross_entropy(targets, log_p, least_target=self.least_target)
        return self.alpha * cross_entropy(targets, log_p) + self.beta * reverse

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        own = {"alpha": self.alpha, "beta": self.beta, "least_target": self.least_target}
        return {**super().get_config(), **own}
