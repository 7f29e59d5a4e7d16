"""UPM: EasyLLP with a control variate, for large bags."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.proportions.bag_loss import BagRows, RandomBagLoss

Tensor = Any  # a tensor of whichever backend Keras runs on


@keras.saving.register_keras_serializable(package="sparselabels")
class UPMLoss(RandomBagLoss):
    r"""EasyLLP with a control variate: the losses of a bag count from the mean loss of the batch.

    .. math:: L = \frac1n \sum_b k_b \sum_c (\alpha_{bc} - \pi_c) \sum_{i \in b} (\ell_{ic} - E_c)
              + \sum_c \pi_c E_c, \qquad \ell_{ic} = -\log p_{ic}, \quad E_c = \frac1n \sum_i \ell_{ic}

    The variance no longer grows with the mean of the losses. With E from the batch itself, as here, what the
    proportions tell is shrunk by the factor 1 - 1 / m for m equal bags: of a single bag the prior alone is
    left.

    Parameters
    ----------
    prior : float or array of shape (n_classes,)
        :math:`\pi`.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    ValueError
        If `prior` is no distribution.

    References
    ----------
    Applebaum et al. (2025), arXiv:2509.15145.

    Examples
    --------
    >>> loss = UPMLoss(prior=0.5)
    >>> labels = [[0, 1.0], [0, 1.0], [1, 0.0], [1, 0.0]]
    >>> round(float(loss(labels, [[0.8], [0.8], [0.2], [0.2]])), 4)  # .9163 - ln 4
    -0.47
    """

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        prior = ops.cast(self.prior, rows.log_p.dtype)
        losses = -rows.log_p
        mean = ops.sum(losses * rows.member, axis=0) / rows.n_members()
        weights = rows.of_row(rows.sizes()) * (rows.proportions - prior)
        centred = ops.sum(weights * (losses - mean) * rows.member) / rows.n_members()
        return centred + ops.sum(prior * mean)
