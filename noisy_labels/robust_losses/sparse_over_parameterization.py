"""Sparse over-parameterisation: a row may explain its own label away, by a term that starts at zero."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.robust_losses.row_loss_model import RowLoss
from sparse_data.checks import check_in_range
from sparse_data.type_checks import check_layer_seed

Tensor = Any  # a tensor of whichever backend Keras runs on

_LEAST = 1e-4  # the least corrected probability
_SPREAD = 1e-8  # standard deviation of the first values


def sop_loss(targets: Tensor, log_p: Tensor, u: Tensor, v: Tensor) -> Tensor:
    r"""Return the loss of each row of predictions with a sparse correction.

    .. math::

        \ell &= -\sum_k y_k \log \frac{q_k}{\sum_j q_j} + \sum_k (z_k + s_k - y_k)^2, \\
        q &= \max(p + s, 10^{-4}), \qquad s = u^2 y - v^2 (1 - y), \qquad z_k = 1[k = \arg\max_j p_j].

    Parameters
    ----------
    targets, log_p : tensors of shape (batch, n_classes)
    u : tensor of shape (batch, 1)
    v : tensor of shape (batch, n_classes)

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> import numpy as np
    >>> u, v = np.array([[0.5]]), np.zeros((1, 2))
    >>> rows = sop_loss(np.array([[0.0, 1.0]]), np.log([[0.75, 0.25]]), u, v)
    >>> round(float(rows[0]), 4)  # -log(.5 / 1.25) + 1 + .75 ** 2
    2.4788
    """
    s = ops.square(u) * targets - ops.square(v) * (1 - targets)
    q = ops.maximum(ops.exp(log_p) + s, _LEAST)
    normalised = ops.log(q) - ops.log(ops.sum(q, axis=-1, keepdims=True))
    return ops.sum(ops.square(_most_probable(log_p) + s - targets) - targets * normalised, axis=-1)


def sop_gradients(targets: Tensor, log_p: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the gradients of :func:`sop_loss` in u and v, where v sees the squares alone.

    .. math::

        \frac{\partial \ell}{\partial u} &= 2 u \sum_k y_k \Big[ 2 (z_k + s_k - y_k)
            + 1[q_k > 10^{-4}] \Big(\frac{\sum_j y_j}{\sum_j q_j} - \frac{y_k}{q_k}\Big) \Big], \\
        \frac{\partial \ell}{\partial v_k} &= -4 v_k (1 - y_k) (z_k + s_k - y_k).

    Parameters
    ----------
    targets, log_p, u, v
        As in :func:`sop_loss`.

    Returns
    -------
    tensors of shape (batch, 1) and (batch, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> u, v = np.array([[0.5]]), np.array([[0.5, 0.0]])
    >>> parts = sop_gradients(np.array([[0.0, 1.0]]), np.log([[0.75, 0.25]]), u, v)
    >>> [np.asarray(part).round(4).tolist() for part in parts]  # -1.5 + 1 - 2, and -2 * .75
    [[[-2.5]], [[-1.5, 0.0]]]
    """
    s = ops.square(u) * targets - ops.square(v) * (1 - targets)
    q = ops.exp(log_p) + s
    above = ops.cast(q > _LEAST, q.dtype)
    q = ops.maximum(q, _LEAST)
    slope = ops.sum(targets, axis=-1, keepdims=True) / ops.sum(q, axis=-1, keepdims=True) - targets / q
    distance = _most_probable(log_p) + s - targets
    of_u = 2 * u * ops.sum(targets * (2 * distance + above * slope), axis=-1, keepdims=True)
    return of_u, -4 * v * (1 - targets) * distance


@keras.saving.register_keras_serializable(package="sparselabels")
class SparseOverParameterization(RowLoss):
    r"""Cross-entropy of predictions to which every row adds a sparse correction of its own, u and v.

    The loss is :func:`sop_loss`. Rows learn u and v by plain gradient descent of the mean loss of the batch,
    at rates of their own, whatever optimizer the classifier has: they start at
    :math:`\mathcal N(0, 10^{-8})`, where growth is exponential, and only rows that the network cannot
    fit get far, to 1 at most. Their gradients are written out, see :func:`sop_gradients`; sample weights do
    not reach them. Train a classifier with it through :class:`RowLossModel`.

    Parameters
    ----------
    n_rows : int
        Number of training rows; memory is O(n_rows n_classes).
    n_classes : int
    u_rate, v_rate : float, default=1 and 10
        Learning rates, at least 0; with both 0 the corrections stay nothing. The authors have (1, 10) for
        CIFAR-100 with symmetric noise and (.1, 100) with asymmetric noise.
    from_logits : bool, default=False
    seed : int, optional
        For the first values.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Liu, Zhu, Qu and You (2022), Robust training under label noise by over-parameterization, arXiv:2202.14026.

    Examples
    --------
    >>> import numpy as np
    >>> loss = SparseOverParameterization(n_rows=5, n_classes=2, seed=0)
    >>> rows = loss(np.array([1]), np.array([[0.25, 0.75]]), np.array([3]))
    >>> round(float(rows[0]), 4)  # -log .75
    0.2877
    """

    def __init__(
        self,
        n_rows: int,
        n_classes: int,
        *,
        u_rate: float = 1.0,
        v_rate: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_in_range("u_rate", u_rate, 0)
        check_in_range("v_rate", v_rate, 0)
        check_layer_seed("seed", seed)
        super().__init__(n_rows, n_classes, **kwargs)
        self.u_rate, self.v_rate, self.seed = u_rate, v_rate, seed
        start = keras.initializers.RandomNormal(stddev=_SPREAD, seed=keras.random.SeedGenerator(seed))
        self.u = self.add_weight((self.n_rows, 1), initializer=start, trainable=False, name="u")
        self.v = self.add_weight((self.n_rows, self.n_classes), initializer=start, trainable=False, name="v")

    def call(self, y_true: Tensor, y_pred: Tensor, row: Tensor) -> Tensor:
        """Return the loss of each row of a batch, and move u and v of these rows."""
        targets, log_p = self.targets_and_log_probabilities(y_true, y_pred)
        u, v = ops.take(self.u, row, axis=0), ops.take(self.v, row, axis=0)
        of_u, of_v = sop_gradients(targets, ops.stop_gradient(log_p), u, v)
        size = ops.cast(ops.shape(row)[0], u.dtype)
        self._move(self.u, row, u - self.u_rate * of_u / size)
        self._move(self.v, row, v - self.v_rate * of_v / size)
        return sop_loss(targets, log_p, u, v)

    def _move(self, variable: Any, row: Tensor, values: Tensor) -> None:
        # A correction beyond 1 means nothing, and descent at a high rate runs away from there.
        within = ops.clip(values, -1.0, 1.0)
        variable.assign(ops.scatter_update(variable, ops.expand_dims(row, -1), within))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "u_rate": self.u_rate, "v_rate": self.v_rate, "seed": self.seed}


def _most_probable(log_p: Tensor) -> Tensor:
    return ops.one_hot(ops.argmax(log_p, axis=-1), log_p.shape[-1], dtype=log_p.dtype)
