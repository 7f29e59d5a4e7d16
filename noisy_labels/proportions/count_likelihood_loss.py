"""The exact likelihood of the counts of bags, for gradient descent on any backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from noisy_labels.proportions.bag_loss import BagLoss, BagRows
from sparse_data.checks import check_count

Tensor = Any  # a tensor of whichever backend Keras runs on

_HALVINGS = 26  # of an interval of some hundred: the tilt need not be exact
_BEYOND = 20.0  # how far beyond the logits the tilt may be
_SMALLEST = 1e-37


def log_count_likelihood(rows: BagRows, logits: Tensor, *, max_bag_size: int) -> Tensor:
    r"""Return :math:`\log P(\sum_{i \in b} Y_i = s_b)` of each bag, for independent labels with these logits.

    With :math:`\tilde p_i = \sigma(z_i + \theta)`, whatever the tilt :math:`\theta`,

    .. math::

        \log P = \sum_i \log \frac{1 + e^{z_i + \theta}}{1 + e^{z_i}} - \theta s
        + \log \frac1M \sum_{k=0}^{M-1} e^{-2 \pi \mathrm i k s / M}
        \prod_i (1 - \tilde p_i + \tilde p_i e^{2 \pi \mathrm i k / M}).

    The tilt that puts the mean of the count at s leaves nothing to cancel in the sum; M is odd, so that no
    factor is 0. Time and memory are O(n M).

    Parameters
    ----------
    rows : BagRows
    logits : tensor of shape (n_rows, 1)
        z.
    max_bag_size : int
        Less than M.

    Returns
    -------
    tensor of shape (n_rows, 1)
        0 where there is no bag.
    """
    size = max_bag_size + 1 + max_bag_size % 2
    share = rows.proportions[:, 1:] * rows.member
    theta = ops.stop_gradient(_tilt(rows, logits, share))
    tilted = logits + theta
    p = ops.sigmoid(tilted)
    angles = ops.cast(2 * np.pi / size * np.arange(1, (size + 1) // 2)[None], logits.dtype)
    real, imaginary = 1 - p * (1 - ops.cos(angles)), p * ops.sin(angles)
    modulus = rows.totals(0.5 * ops.log(ops.square(real) + ops.square(imaginary)))
    # Each row takes off its part of the angle of s, so that sums stay near 0.
    angle = rows.totals(ops.arctan2(imaginary, real) - angles * share)
    mass = (1 + 2 * ops.sum(ops.exp(modulus) * ops.cos(angle), axis=1, keepdims=True)) / size
    moved = rows.totals(ops.softplus(tilted) - ops.softplus(logits) - theta * share)
    held = ops.cast(rows.sizes() > 0, logits.dtype)
    return held * (moved + ops.log(ops.maximum(mass, _SMALLEST)))


def _tilt(rows: BagRows, logits: Tensor, share: Tensor) -> Tensor:
    """Return for each row the tilt of its bag that moves the mean of the count to the count."""
    count = rows.totals(share)
    width = ops.max(ops.abs(logits)) + _BEYOND
    middle = ops.zeros_like(count)
    for halving in range(_HALVINGS):
        mean = rows.totals(ops.sigmoid(logits + rows.of_row(middle)))
        middle = middle + width * 0.5 ** (halving + 1) * ops.sign(count - mean)
    return rows.of_row(middle)


@keras.saving.register_keras_serializable(package="sparselabels")
class CountLikelihoodLoss(BagLoss):
    r"""Negative log-likelihood of the number of positives of each bag, exactly.

    .. math:: L = -\frac1m \sum_b \log P\Big(\sum_{i \in b} Y_i = s_b\Big), \qquad
              \frac{\partial L}{\partial z_i} = \frac1m \big(p_i - P(y_i = 1 \mid s_b)\big)

    with :math:`Y_i` independent of probability :math:`p_i`, and :math:`s_b` the nearest whole number to the
    proportion times the size. Of bags of one row it is cross-entropy. :func:`noisy_labels.count_posterior`
    gives the posterior, and takes counts that are noisy or partial.

    Parameters
    ----------
    max_bag_size : int
        Of all bags; time and memory of a batch are this times its rows.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    TypeError, ValueError
        If `max_bag_size` is no whole number from 1 on, or there are more than two classes.

    References
    ----------
    Shukla et al. (2023), A unified approach to count-based weakly-supervised learning, arXiv:2311.13718.

    Examples
    --------
    >>> loss = CountLikelihoodLoss(max_bag_size=2)
    >>> round(float(loss([[0, 0.5], [0, 0.5]], [[0.2], [0.8]])), 4)  # -log(.04 + .64)
    0.3857
    """

    def __init__(self, max_bag_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_bag_size = check_count("max_bag_size", max_bag_size)

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        if rows.log_p.shape[1] != 2:
            raise ValueError(
                f"`y_pred` must have one column or two; got {rows.log_p.shape[1]}. Use `DLLPLoss` or "
                "`SinkhornLoss` for more than two classes."
            )
        whole = ops.round(rows.of_row(rows.sizes()) * rows.proportions) / ops.maximum(
            rows.of_row(rows.sizes()), 1
        )
        logits = (rows.log_p[:, 1:] - rows.log_p[:, :1]) * rows.member
        of_bags = log_count_likelihood(
            rows._replace(proportions=whole), logits, max_bag_size=self.max_bag_size
        )
        return -ops.sum(of_bags) / rows.n_bags()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "max_bag_size": self.max_bag_size}
