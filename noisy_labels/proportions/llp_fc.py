"""LLP-FC: the number of its bag as a noisy label of each row, corrected by the proportions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from noisy_labels.proportions.bag_loss import BagRows, RandomBagLoss

Tensor = Any  # a tensor of whichever backend Keras runs on

_LEAST = 1e-37  # a proportion that float32 can still take the logarithm of


@keras.saving.register_keras_serializable(package="sparselabels")
class LLPFCLoss(RandomBagLoss):
    r"""Cross-entropy of the number of a row's bag, foretold from its class and the proportions of the batch.

    .. math:: L = -\frac1n \sum_b \sum_{i \in b} \log \sum_c T_{bc}\, q_{ic}, \qquad
              T_{bc} = \frac{k_b}{n} \frac{\alpha_{bc}}{\bar\alpha_c}, \qquad
              q_{ic} = \frac{p_{ic}\, \bar\alpha_c / \pi_c}{\sum_{c'} p_{ic'}\, \bar\alpha_{c'} / \pi_{c'}},
              \qquad \bar\alpha = \sum_b \frac{k_b}{n} \alpha_b

    T is the chance that a row of class c is in bag b of the batch: the transition matrix of forward
    correction.  The paper makes groups of as many bags as classes and weights their rows such that the mix of
    classes is nearly :math:`\pi` in each; here a batch of any bags is a group, and predictions are carried
    from :math:`\pi` to its mix, which is exact.  The true probabilities are the minimum, also where bags
    differ by intent, as long as each class looks alike in all of them; it is no estimate of the loss on
    single labels.  A batch must hold bags of differing proportions: of one bag it says nothing.

    Parameters
    ----------
    prior : float or array of shape (n_classes,)
        :math:`\pi`, above 0: the positive share of all rows, or that of each class.
    from_logits, name, dtype
        As of :class:`noisy_labels.proportions.bag_loss.BagLoss`.

    Raises
    ------
    ValueError
        If `prior` is no distribution, or 0 for a class.

    References
    ----------
    Zhang, Wang and Scott (2022), Learning from label proportions by learning with label noise, NeurIPS,
    arXiv:2203.02496.

    Examples
    --------
    >>> loss = LLPFCLoss(prior=0.5)
    >>> labels = [[0, 1.0], [0, 1.0], [1, 0.0], [1, 0.0]]
    >>> round(float(loss(labels, [[0.8], [0.8], [0.2], [0.2]])), 4)  # labels are known: -log .8
    0.2231
    """

    def __init__(self, prior: float | ArrayLike, **kwargs: Any) -> None:
        super().__init__(prior, **kwargs)
        if (self.prior <= 0).any():
            raise ValueError(
                f"`prior` must be above 0 for each class; got {self.prior.tolist()}. Leave out classes "
                "without rows."
            )

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        n_rows = rows.n_members()
        likelihoods = rows.log_p - ops.cast(np.log(self.prior), rows.log_p.dtype)
        mix = ops.sum(rows.proportions * rows.member, axis=0, keepdims=True) / n_rows
        in_bag = _log_mixture(rows.proportions, likelihoods)
        share = ops.log(rows.of_row(rows.sizes()) / n_rows)
        log_chance = share + in_bag - _log_mixture(mix, likelihoods)
        return -ops.sum(log_chance * rows.member) / n_rows


def _log_mixture(weights: Tensor, log_values: Tensor) -> Tensor:
    """Return log Σ w exp(v) over the classes, shape (n_rows, 1)."""
    logs = ops.log(ops.maximum(weights, _LEAST)) + log_values
    return ops.logsumexp(logs, axis=1, keepdims=True)
