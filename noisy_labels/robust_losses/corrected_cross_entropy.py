"""Cross-entropy corrected for a known transition matrix, forward and backward."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from noisy_labels.robust_losses.class_label_loss import ClassLabelLoss, cross_entropy
from noisy_labels.transitions.loss_correction import backward_matrix
from noisy_labels.transitions.noise_matrices import check_transition_matrix

Tensor = Any  # a tensor of whichever backend Keras runs on

_SMALLEST = 1e-37  # what float32 holds with all its digits, and its inverse too
_LOG_OF_ZERO = -1e30  # no infinity, whose gradient would be NaN


class _Corrected(ClassLabelLoss):
    def __init__(self, transition: ArrayLike, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transition = check_transition_matrix("transition", transition)

    def check_classes(self, log_p: Tensor) -> None:
        """Raise if the model has other classes than the matrix."""
        if log_p.shape[-1] != len(self.transition):
            raise ValueError(
                f"`y_pred` must have {len(self.transition)} columns, as `transition` has; got "
                f"{log_p.shape[-1]}. Pass one column a class."
            )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "transition": self.transition.tolist()}


@keras.saving.register_keras_serializable(package="sparselabels")
class ForwardCorrectedCrossEntropy(_Corrected):
    r"""Cross-entropy of the noisy labels and the probabilities that the model implies for them.

    .. math:: \ell^\rightarrow = -\sum_j y_j \log \sum_i p_i T_{ij}

    Its minimiser is the classifier of the clean labels. The function on arrays is
    :func:`noisy_labels.forward_probabilities`.

    Parameters
    ----------
    transition : array of shape (n_classes, n_classes)
        :math:`T_{ij} = P(\text{observed } j \mid \text{true } i)`: rows are true classes.
    from_logits, reduction, name, dtype
        As of :class:`noisy_labels.robust_losses.class_label_loss.ClassLabelLoss`.

    Raises
    ------
    TypeError, ValueError
        If the rows of `transition` are no distributions.

    References
    ----------
    Patrini et al. (2017), Making deep neural networks robust to label noise: a loss correction approach,
    arXiv:1609.03683.

    Examples
    --------
    >>> loss = ForwardCorrectedCrossEntropy([[0.75, 0.25], [0.0, 1.0]])
    >>> round(float(loss([1], [[1.0, 0.0]])), 4)  # -log(.25)
    1.3863
    """

    def __init__(self, transition: ArrayLike, **kwargs: Any) -> None:
        super().__init__(transition, **kwargs)
        diagonal = self.transition.diagonal()
        self._others = self.transition - np.diag(diagonal)
        self._log_diagonal = np.log(diagonal, out=np.full_like(diagonal, _LOG_OF_ZERO), where=diagonal > 0)

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        self.check_classes(log_p)
        # What stays is added up in logarithms: an improbable label keeps its gradient where exp is 0.
        stays = log_p + ops.cast(self._log_diagonal, log_p.dtype)
        others = ops.matmul(ops.exp(log_p), ops.cast(self._others, log_p.dtype))
        comes = ops.where(others > _SMALLEST, ops.log(ops.maximum(others, _SMALLEST)), _LOG_OF_ZERO)
        return cross_entropy(targets, ops.logaddexp(stays, comes))


@keras.saving.register_keras_serializable(package="sparselabels")
class BackwardCorrectedCrossEntropy(_Corrected):
    r"""Cross-entropy whose expectation under the noise is that on clean labels.

    .. math:: \ell^\leftarrow = -\sum_k (y^\top T^{-1})_k \log p_k

    Some of the weights are negative: the loss has no lower bound, and a network that can tell single rows
    will look for it. Train such a network with :class:`ForwardCorrectedCrossEntropy`. The matrix is that of
    :func:`noisy_labels.backward_matrix`.

    Parameters
    ----------
    transition : array of shape (n_classes, n_classes)
        :math:`T_{ij} = P(\text{observed } j \mid \text{true } i)`: rows are true classes.
    identity_weight : float, default=0
        w in [0, 1): inverts (1 - w) T + w I, for smaller weights with some bias.
    from_logits, reduction, name, dtype
        As of :class:`noisy_labels.robust_losses.class_label_loss.ClassLabelLoss`.

    Raises
    ------
    TypeError, ValueError
        If the rows of `transition` are no distributions, or it has no inverse.

    References
    ----------
    Patrini et al. (2017), arXiv:1609.03683.

    Examples
    --------
    >>> loss = BackwardCorrectedCrossEntropy([[0.75, 0.25], [0.25, 0.75]])
    >>> round(float(loss([1], [[0.8, 0.2]])), 4)  # 1.5 * -log .2 - .5 * -log .8
    2.3026
    """

    def __init__(self, transition: ArrayLike, *, identity_weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(transition, **kwargs)
        self.identity_weight = identity_weight
        self._inverse = backward_matrix(self.transition, identity_weight=identity_weight)

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        self.check_classes(log_p)
        return cross_entropy(ops.matmul(targets, ops.cast(self._inverse, log_p.dtype)), log_p)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "identity_weight": self.identity_weight}
