"""Debiased squares: the squared error on the labels of rows, estimated from label proportions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.proportions.bag_loss import BagRows, RandomBagLoss

Tensor = Any  # a tensor of whichever backend Keras runs on


@keras.saving.register_keras_serializable(package="sparselabels")
class DebiasedSquareLoss(RandomBagLoss):
    r"""Squares between proportions and mean predictions, less what they hold beside the squares of rows.

    .. math:: L = \frac12 \sum_b \frac{k_b}{n} \Big[ k_b \|\alpha_b - \bar p_b\|^2
              - (k_b - 1) \|\bar p - \pi\|^2 \Big]

    An estimate of :math:`\frac12 E \|y - p\|^2` where rows fall into bags at random. With the mean prediction
    :math:`\bar p` of the batch itself, as here, it is too low by :math:`(k - 1) / n` times the variance of
    predictions, so take many bags a batch.

    Parameters
    ----------
    prior : float or array of shape (n_classes,)
        :math:`\pi`: the positive share of all rows, or that of each class.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    ValueError
        If `prior` is no distribution.

    References
    ----------
    Li et al. (2024), Optimistic rates for learning from label proportions, COLT.

    Examples
    --------
    >>> loss = DebiasedSquareLoss(prior=0.5)
    >>> labels = [[0, 1.0], [0, 1.0], [1, 0.0], [1, 0.0]]
    >>> round(float(loss(labels, [[0.8], [0.6], [0.2], [0.2]])), 4)  # .09 + .04 - (.45 - .5) ** 2
    0.1275
    """

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        p, sizes = ops.exp(rows.log_p), rows.sizes()
        of_bags = ops.sum(ops.square(sizes * (rows.means(rows.proportions) - rows.means(p))))
        mean = ops.sum(p * rows.member, axis=0) / rows.n_members()
        excess = ops.sum(sizes * ops.maximum(sizes - 1, 0)) * ops.sum(
            ops.square(mean - ops.cast(self.prior, mean.dtype))
        )
        return 0.5 * (of_bags - excess) / rows.n_members()
