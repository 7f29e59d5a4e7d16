"""A Keras loss of class labels, integer or one-hot, and of logits or probabilities."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sparse_data.type_checks import check_flag, check_type

Tensor = Any  # a tensor of whichever backend Keras runs on


def class_targets(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return labels as distributions over the classes of `y_pred`.

    Parameters
    ----------
    y_true : tensor of shape (...,), (..., 1) or (..., n_classes)
        Class numbers, or one-hot or soft labels. A number outside of 0..n_classes - 1 becomes zeros.
    y_pred : tensor of shape (..., n_classes)

    Returns
    -------
    tensor of shape (..., n_classes)

    Raises
    ------
    ValueError
        If the shapes do not fit, or `y_pred` has less than two columns.

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(class_targets(np.array([1, 0]), np.zeros((2, 3)))).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    shape, n_classes = y_true.shape, y_pred.shape[-1] if len(y_pred.shape) else None
    if n_classes is None or n_classes < 2:
        raise ValueError(
            f"`y_pred` must have one column a class; got shape {tuple(y_pred.shape)}. A binary model needs "
            "two outputs."
        )
    if len(shape) == len(y_pred.shape) and shape[-1] == n_classes:
        return ops.cast(y_true, y_pred.dtype)
    if len(shape) == len(y_pred.shape) and shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    elif len(shape) != len(y_pred.shape) - 1:
        raise ValueError(
            f"`y_true` must be class numbers or have {n_classes} columns, as `y_pred` has; got shape "
            f"{tuple(shape)}. Pass one number or one distribution a row."
        )
    return ops.one_hot(ops.cast(y_true, "int32"), n_classes, dtype=y_pred.dtype)


def log_probabilities(y_pred: Tensor, *, from_logits: bool) -> Tensor:
    """Return the logarithms of the class probabilities, in float32 at least.

    Parameters
    ----------
    y_pred : tensor of shape (..., n_classes)
        Logits, or probabilities; these are taken as ``keras.config.epsilon()`` where they are less, which
        leaves them no gradient there.
    from_logits : bool

    Returns
    -------
    tensor of shape (..., n_classes)

    Examples
    --------
    >>> [round(float(value), 4) for value in log_probabilities([0.5, 0.25], from_logits=False)]
    [-0.6931, -1.3863]
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_pred = ops.cast(y_pred, keras.backend.result_type(y_pred.dtype, "float32"))
    if from_logits:
        return ops.log_softmax(y_pred)
    return ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))


def cross_entropy(targets: Tensor, log_p: Tensor) -> Tensor:
    r"""Return :math:`-\sum_k y_k \log p_k` of each row.

    Parameters
    ----------
    targets, log_p : tensors of shape (..., n_classes)

    Returns
    -------
    tensor of shape (...,)

    Examples
    --------
    >>> round(float(cross_entropy([0.0, 1.0], [-1.0, -0.5])), 4)
    0.5
    """
    return -ops.sum(ops.convert_to_tensor(targets) * log_p, axis=-1)


def loss_dtype(dtype: Any) -> str:
    """Return the dtype asked for, or float32 where that is narrower: half precision has no use in a loss."""
    asked = keras.dtype_policies.get(dtype or keras.config.floatx()).compute_dtype
    return str(keras.backend.result_type(asked, "float32"))


def check_reduction(reduction: Any) -> None:
    """Raise TypeError for what is no name: Keras looks it up without a word of the argument."""
    check_type("reduction", reduction, (str, type(None)), "Pass one of Keras, such as 'sum'.")


class ClassLabelLoss(keras.losses.Loss):
    """A loss that subclasses state for targets and log-probabilities, as `rows`.

    Parameters
    ----------
    from_logits : bool, default=False
        Whether the model returns logits rather than probabilities. Logits lose no digits.
    reduction, name, dtype
        As of :class:`keras.losses.Loss`; half precision is computed in float32.
    """

    def __init__(
        self,
        *,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_reduction(reduction)
        super().__init__(name=name, reduction=reduction, dtype=loss_dtype(dtype))
        self.from_logits = check_flag("from_logits", from_logits)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        y_true : tensor of shape (...,), (..., 1) or (..., n_classes)
            Class numbers, or one-hot or soft labels.
        y_pred : tensor of shape (..., n_classes)

        Returns
        -------
        tensor of shape (...,)
        """
        log_p = log_probabilities(y_pred, from_logits=self.from_logits)
        return self.rows(class_targets(y_true, log_p), log_p)

    def rows(self, targets: Tensor, log_p: Tensor) -> Tensor:
        """Return the loss of each row, of tensors of shape (..., n_classes)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "from_logits": self.from_logits, "dtype": self.dtype}
