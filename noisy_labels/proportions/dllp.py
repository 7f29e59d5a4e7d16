"""Deep learning from label proportions: the mean prediction of a bag has to be its proportion."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from noisy_labels.proportions.bag_loss import BagLoss, BagRows
from sparse_data.checks import check_one_of

Tensor = Any  # a tensor of whichever backend Keras runs on
Distance = Literal["cross_entropy", "squares"]

_SMALLEST = 1e-37  # a mean prediction that float32 can still divide by


def proportion_distance(rows: BagRows, *, distance: Distance = "cross_entropy") -> Tensor:
    r"""Return the mean over bags of the distance of their proportions and mean predictions.

    Parameters
    ----------
    rows : BagRows
    distance : {"cross_entropy", "squares"}, default="cross_entropy"
        :math:`-\sum_c \alpha_{bc} \log \bar p_{bc}` or :math:`\frac12 \sum_c (\alpha_{bc} - \bar p_{bc})^2`.

    Returns
    -------
    scalar tensor
    """
    given, predicted = rows.means(rows.proportions), rows.means(ops.exp(rows.log_p))
    if distance == "squares":
        return 0.5 * ops.sum(ops.square(given - predicted)) / rows.n_bags()
    return -ops.sum(given * ops.log(ops.maximum(predicted, _SMALLEST))) / rows.n_bags()


@keras.saving.register_keras_serializable(package="sparselabels")
class DLLPLoss(BagLoss):
    r"""Distance of a bag's proportions to the mean of its predictions.

    .. math:: L = -\frac1m \sum_b \sum_c \alpha_{bc} \log \frac{1}{k_b} \sum_{i \in b} p_{ic}

    The mean is over probabilities; over their logarithms it would train every row on its bag's proportions.
    It is no estimate of the loss on single labels: predictions that all equal the proportion are a minimum of
    every bag. Start the last bias at the log odds of the share of positives: a model that starts at a half
    learns the share through all of its weights, and large bags may never undo the ranking that this leaves.

    Parameters
    ----------
    distance : {"cross_entropy", "squares"}, default="cross_entropy"
        Squares take proportions outside of [0, 1], as privacy noise makes them.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    References
    ----------
    Ardehaly and Culotta (2017), Co-training for demographic classification using deep learning from label
    proportions, arXiv:1709.04108.

    Examples
    --------
    >>> loss = DLLPLoss()
    >>> round(float(loss([[0, 0.5], [0, 0.5]], [[0.2], [0.8]])), 4)  # log 2
    0.6931
    """

    def __init__(self, distance: Distance = "cross_entropy", **kwargs: Any) -> None:
        check_one_of("distance", distance, ("cross_entropy", "squares"))
        super().__init__(**kwargs)
        self.distance = distance

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        return proportion_distance(rows, distance=self.distance)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "distance": self.distance}
