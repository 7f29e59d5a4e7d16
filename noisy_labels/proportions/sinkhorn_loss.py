"""Optimal-transport pseudo-labels: what a bag's predictions become when its proportions are kept."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from noisy_labels.proportions.bag_loss import BagLoss, BagRows
from noisy_labels.proportions.dllp import proportion_distance
from sparse_data.checks import check_count, check_in_range

Tensor = Any  # a tensor of whichever backend Keras runs on

_SMALLEST = 1e-37


def sinkhorn_labels(rows: BagRows, *, regularization: float = 0.2, iterations: int = 25) -> Tensor:
    r"""Return soft labels near the predictions, of which the sums over a bag are its counts.

    .. math:: Q = \arg\min_Q \sum_{i \in b} \sum_c Q_{ic} (\epsilon \log Q_{ic} - \log p_{ic})
              \quad \text{with} \quad \sum_c Q_{ic} = 1, \quad \sum_{i \in b} Q_{ic} = k_b \alpha_{bc}

    The rows' sums are exact after the last iteration, those of the classes as far as it has converged.

    Parameters
    ----------
    rows : BagRows
    regularization : float, default=0.2
        :math:`\epsilon`, above 0: near 0 labels are hard; with 1 they are first-order posteriors.
    iterations : int, default=25

    Returns
    -------
    tensor of shape (n_rows, n_classes)
        Without a gradient.
    """
    scaled = ops.stop_gradient(rows.log_p) / regularization
    wanted = ops.log(ops.maximum(rows.totals(rows.proportions), _SMALLEST))
    tilt = ops.zeros_like(wanted)
    for _ in range(iterations):
        labels = ops.softmax(scaled + rows.of_row(tilt), axis=-1)
        tilt = tilt + wanted - ops.log(ops.maximum(rows.totals(labels), _SMALLEST))
    return ops.softmax(scaled + rows.of_row(tilt), axis=-1)


@keras.saving.register_keras_serializable(package="sparselabels")
class SinkhornLoss(BagLoss):
    r"""Cross-entropy to optimal-transport pseudo-labels, beside the distance of proportions.

    .. math:: L = -\frac1n \sum_i \sum_c Q_{ic} \log p_{ic} + \lambda L_{DLLP}

    The pseudo-labels Q of :func:`sinkhorn_labels` are made anew every step. They confirm what the model
    believes, so that the loss is no estimate of that on single labels, and bags of thirty rows do not turn a
    model round that starts from nothing, whatever `proportion_weight`: start from one that was trained with
    :class:`DLLPLoss`.

    Parameters
    ----------
    regularization : float, default=0.2
        :math:`\epsilon`, above 0.
    iterations : int, default=25
    proportion_weight : float, default=2
        :math:`\lambda`, at least 0.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Cuturi (2013), Sinkhorn distances: lightspeed computation of optimal transport, arXiv:1306.0895.
    Dulac-Arnold et al. (2019), Deep multi-class learning from label proportions, arXiv:1905.12909.

    Examples
    --------
    >>> loss = SinkhornLoss(regularization=1.0, proportion_weight=0.0)
    >>> round(float(loss([[0, 0.5], [0, 0.5]], [[0.2], [0.8]])), 4)  # labels are the predictions: entropy
    0.5004
    """

    def __init__(
        self,
        regularization: float = 0.2,
        *,
        iterations: int = 25,
        proportion_weight: float = 2.0,
        **kwargs: Any,
    ) -> None:
        check_in_range("regularization", regularization, 0, closed="neither")
        check_in_range("proportion_weight", proportion_weight, 0)
        super().__init__(**kwargs)
        self.regularization, self.proportion_weight = regularization, proportion_weight
        self.iterations = check_count("iterations", iterations)

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        labels = sinkhorn_labels(rows, regularization=self.regularization, iterations=self.iterations)
        pulled = -ops.sum(labels * rows.log_p * rows.member) / rows.n_members()
        return pulled + self.proportion_weight * proportion_distance(rows)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        own = {"regularization": self.regularization, "iterations": self.iterations}
        return {**super().get_config(), **own, "proportion_weight": self.proportion_weight}
