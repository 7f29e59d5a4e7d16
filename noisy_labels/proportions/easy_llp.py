"""EasyLLP: an unbiased estimate, from label proportions, of the cross-entropy on the labels of rows."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from noisy_labels.proportions.bag_loss import BagRows, RandomBagLoss
from sparse_data.type_checks import check_flag

Tensor = Any  # a tensor of whichever backend Keras runs on


@keras.saving.register_keras_serializable(package="sparselabels")
class EasyLLPLoss(RandomBagLoss):
    r"""Cross-entropy with weights that are in expectation the label of the row.

    .. math:: L = \frac1n \sum_b \sum_{i \in b} \sum_c w_{bc} (-\log p_{ic}), \qquad
              w_{bc} = k_b (\alpha_{bc} - \pi_c) + \pi_c

    Unbiased where rows fall into bags at random. Its variance grows with the size k of the bags, and weights
    below 0 leave it without a lower bound: a network that can tell rows apart goes there. `bounded` takes
    :math:`\sum_c | \cdot |` of the part of each class, which is no longer unbiased, but cannot fall below 0
    and agrees with the other in large batches.

    Parameters
    ----------
    prior : float or array of shape (n_classes,)
        :math:`\pi`: the positive share of all rows, or that of each class.
    bounded : bool, default=False
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    ValueError
        If `prior` is no distribution.

    References
    ----------
    Busa-Fekete et al. (2023), Easy learning from label proportions, arXiv:2302.03115.

    Examples
    --------
    >>> loss = EasyLLPLoss(prior=0.5)
    >>> round(float(loss([[0, 1.0], [0, 1.0]], [[0.5], [0.8]])), 4)  # 1.5 and -.5 for weights
    0.1116
    """

    def __init__(self, prior: float | ArrayLike, *, bounded: bool = False, **kwargs: Any) -> None:
        super().__init__(prior, **kwargs)
        self.bounded = check_flag("bounded", bounded)

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        prior = ops.cast(self.prior, rows.log_p.dtype)
        weights = rows.of_row(rows.sizes()) * (rows.proportions - prior) + prior
        parts = -ops.sum(weights * rows.log_p * rows.member, axis=0) / rows.n_members()
        return ops.sum(ops.abs(parts) if self.bounded else parts)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "bounded": self.bounded}
