"""Early-learning regularisation: hold on to what the model believed before it learned the wrong labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.robust_losses.class_label_loss import cross_entropy
from noisy_labels.robust_losses.row_loss_model import RowLoss
from sparse_data.checks import check_in_range

Tensor = Any  # a tensor of whichever backend Keras runs on

_LEAST = 1e-4  # probabilities are kept between this and 1 minus this


def moved_targets(memory: Tensor, log_p: Tensor, *, momentum: float) -> Tensor:
    r"""Return the moving averages of predictions, :math:`t \leftarrow \beta t + (1 - \beta) p / \sum_k p_k`.

    Parameters
    ----------
    memory : tensor of shape (batch, n_classes)
        t.
    log_p : tensor of shape (batch, n_classes)
        Probabilities p are taken in [1e-4, 1 - 1e-4].
    momentum : float

    Returns
    -------
    tensor of shape (batch, n_classes)
        Without a gradient.

    Examples
    --------
    >>> import numpy as np
    >>> moved = moved_targets(np.array([[1.0, 0.0]]), np.log([[0.5, 0.5]]), momentum=0.75)
    >>> np.asarray(moved).round(4).tolist()
    [[0.875, 0.125]]
    """
    p = ops.stop_gradient(ops.clip(ops.exp(log_p), _LEAST, 1 - _LEAST))
    return momentum * memory + (1 - momentum) * p / ops.sum(p, axis=-1, keepdims=True)


def early_learning_penalty(targets: Tensor, log_p: Tensor) -> Tensor:
    r"""Return :math:`\log(1 - \langle t, p \rangle)` of each row, which falls as predictions stay with t.

    Parameters
    ----------
    targets : tensor of shape (batch, n_classes)
        t.
    log_p : tensor of shape (batch, n_classes)

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> import numpy as np
    >>> penalty = early_learning_penalty(np.array([[1.0, 0.0]]), np.log([[0.5, 0.5]]))
    >>> round(float(penalty[0]), 4)
    -0.6931
    """
    p = ops.clip(ops.exp(log_p), _LEAST, 1 - _LEAST)
    return ops.log1p(-ops.sum(targets * p, axis=-1))


@keras.saving.register_keras_serializable(package="sparselabels")
class EarlyLearning(RowLoss):
    r"""Cross-entropy and a pull towards the moving average of a row's own predictions.

    .. math:: t_i \leftarrow \beta t_i + (1 - \beta) \frac{p_i}{\sum_k p_{ik}}, \qquad
              \ell_i = -\log p_{i y_i} + \lambda \log(1 - \langle t_i, p_i \rangle)

    Networks learn what labels have in common before they learn single wrong ones; the second term keeps
    the gradients of rows that were understood early from fading, and turns those of wrong labels round. A row
    whose :math:`\arg\max t_i` is not its label is probably mislabelled: ``row_loss.memory`` holds t.
    Train a classifier with it through :class:`RowLossModel`.

    Parameters
    ----------
    n_rows : int
        Number of training rows; memory is O(n_rows n_classes).
    n_classes : int
    momentum : float, default=0.7
        :math:`\beta` in [0, 1).
    strength : float, default=3
        :math:`\lambda`, at least 0; 0 is cross-entropy. The paper has (.7, 3) for CIFAR-10, (.9, 1) with
        asymmetric noise and (.9, 7) for CIFAR-100.
    from_logits : bool, default=False
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Liu, Niles-Weed, Razavian and Fernandez-Granda (2020), Early-learning regularization prevents memorization
    of noisy labels, arXiv:2007.00151.

    Examples
    --------
    >>> import numpy as np
    >>> loss = EarlyLearning(n_rows=5, n_classes=2, momentum=0.5, strength=1.0)
    >>> rows = loss(np.array([1]), np.array([[0.5, 0.5]]), np.array([3]))
    >>> round(float(rows[0]), 4)  # log 2 + log(1 - .25)
    0.4055
    >>> np.asarray(loss.memory)[2:4].tolist()
    [[0.0, 0.0], [0.25, 0.25]]
    """

    def __init__(
        self, n_rows: int, n_classes: int, *, momentum: float = 0.7, strength: float = 3.0, **kwargs: Any
    ) -> None:
        check_in_range("momentum", momentum, 0, 1, closed="left")
        check_in_range("strength", strength, 0)
        super().__init__(n_rows, n_classes, **kwargs)
        self.momentum, self.strength = momentum, strength
        shape = (self.n_rows, self.n_classes)
        self.memory = self.add_weight(shape, initializer="zeros", trainable=False, name="memory")

    def call(self, y_true: Tensor, y_pred: Tensor, row: Tensor) -> Tensor:
        """Return the loss of each row of a batch, and move the memory of these rows."""
        targets, log_p = self.targets_and_log_probabilities(y_true, y_pred)
        moved = moved_targets(ops.take(self.memory, row, axis=0), log_p, momentum=self.momentum)
        self.memory.assign(ops.scatter_update(self.memory, ops.expand_dims(row, -1), moved))
        return cross_entropy(targets, log_p) + self.strength * early_learning_penalty(moved, log_p)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "momentum": self.momentum, "strength": self.strength}
