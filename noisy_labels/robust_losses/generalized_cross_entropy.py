"""Generalized cross-entropy: between cross-entropy, which learns fast, and the robust absolute error."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from noisy_labels.robust_losses.class_label_loss import (
    check_reduction,
    class_targets,
    log_probabilities,
    loss_dtype,
)
from sparse_data.checks import check_in_range
from sparse_data.type_checks import check_flag

Tensor = Any  # a tensor of whichever backend Keras runs on


def generalized_cross_entropy(
    targets: Tensor, log_p: Tensor, *, q: float = 0.7, threshold: float = 0.0
) -> Tensor:
    r"""Return the (truncated) generalized cross-entropy of each row.

    .. math:: \mathcal L_q = \frac{1 - p_y^q}{q}, \qquad
              \mathcal L_{trunc} = \mathcal L_q(\max(p_y, k))

    :math:`q \to 0` is cross-entropy, :math:`q = 1` is :math:`1 - p_y`, half of the absolute error. Soft
    labels take the mean of the losses of their classes.

    Parameters
    ----------
    targets : tensor of shape (..., n_classes)
        One-hot or soft labels.
    log_p : tensor of shape (..., n_classes)
        Logarithms of the class probabilities.
    q : float, default=0.7
        In (0, 1].
    threshold : float, default=0
        k in [0, 1): a label of no more than this probability has a constant loss and no gradient.

    Returns
    -------
    tensor of shape (...,)

    Raises
    ------
    ValueError
        If `q` or `threshold` is out of range.

    References
    ----------
    Zhang and Sabuncu (2018), Generalized cross entropy loss for training deep neural networks with noisy
    labels, arXiv:1805.07836.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(generalized_cross_entropy([0.0, 1.0], np.log([0.75, 0.25]), q=1.0)), 4)
    0.75
    """
    check_in_range("q", q, 0, 1, closed="right")
    check_in_range("threshold", threshold, 0, 1, closed="left")
    log_p = ops.convert_to_tensor(log_p)
    if threshold:
        log_p = ops.maximum(log_p, math.log(threshold))
    return ops.sum(ops.cast(targets, log_p.dtype) * -ops.expm1(q * log_p), axis=-1) / q


@keras.saving.register_keras_serializable(package="sparselabels")
class GeneralizedCrossEntropy(keras.losses.CategoricalGeneralizedCrossEntropy):
    r"""Generalized cross-entropy of class numbers or one-hot labels and of logits or probabilities.

    .. math:: \mathcal L_q = \frac{1 - p_y^q}{q}

    The gradient is that of cross-entropy times :math:`p_y^q`, so that labels in which the model does not
    believe count less. Beside the Keras class: the paper's `q`, logits, one-hot labels, labels of shape
    (n, 1), which there give an (n, n) matrix, and finite gradients at :math:`p_y = 0`.

    Parameters
    ----------
    q : float, default=0.7
        In (0, 1); near 0 is cross-entropy, near 1 absolute error.
    from_logits : bool, default=False
    reduction, name, dtype
        As of :class:`keras.losses.Loss`; half precision is computed in float32.

    Raises
    ------
    ValueError
        If `q` is out of range.

    References
    ----------
    Zhang and Sabuncu (2018), arXiv:1805.07836.

    Examples
    --------
    >>> loss = GeneralizedCrossEntropy(q=0.5)
    >>> round(float(loss([[1]], [[0.75, 0.25]])), 4)
    1.0
    """

    def __init__(
        self,
        q: float = 0.7,
        *,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        check_in_range("q", q, 0, 1, closed="neither")
        check_reduction(reduction)
        super().__init__(q=q, reduction=reduction, name=name, dtype=loss_dtype(dtype))
        self.from_logits = check_flag("from_logits", from_logits)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        y_true : tensor of shape (...,), (..., 1) or (..., n_classes)
        y_pred : tensor of shape (..., n_classes)

        Returns
        -------
        tensor of shape (...,)
        """
        log_p = log_probabilities(y_pred, from_logits=self.from_logits)
        return self.rows(class_targets(y_true, log_p), log_p)

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        return generalized_cross_entropy(targets, log_p, q=self.q)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "from_logits": self.from_logits, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="sparselabels")
class TruncatedGeneralizedCrossEntropy(GeneralizedCrossEntropy):
    r"""Generalized cross-entropy that leaves out labels which the model finds improbable.

    .. math:: \mathcal L_{trunc} = \frac{1 - \max(p_y, k)^q}{q}

    An untrained model believes in no label and would learn nothing: train some epochs with
    :class:`GeneralizedCrossEntropy` first, then ``model.compile(optimizer=model.optimizer,
    loss=TruncatedGeneralizedCrossEntropy())`` and go on. The paper looks anew which labels are left out every
    tenth epoch; here it is every step.

    Parameters
    ----------
    q : float, default=0.7
        In (0, 1).
    threshold : float, default=0.5
        k in (0, 1).
    from_logits : bool, default=False
    reduction, name, dtype
        As of :class:`keras.losses.Loss`; half precision is computed in float32.

    Raises
    ------
    ValueError
        If `q` or `threshold` is out of range.

    References
    ----------
    Zhang and Sabuncu (2018), arXiv:1805.07836, section 3.3.

    Examples
    --------
    >>> loss = TruncatedGeneralizedCrossEntropy(q=0.5, threshold=0.25)
    >>> round(float(loss([1, 1], [[0.99, 0.01], [0.75, 0.25]])), 4)
    1.0
    """

    def __init__(
        self,
        q: float = 0.7,
        threshold: float = 0.5,
        *,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "truncated_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        check_in_range("threshold", threshold, 0, 1, closed="neither")
        super().__init__(q, from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)
        self.threshold = threshold

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        return generalized_cross_entropy(targets, log_p, q=self.q, threshold=self.threshold)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "threshold": self.threshold}
