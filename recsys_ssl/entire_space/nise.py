"""Non-click samples improved semi-supervised estimation: what is not clicked gets the model's own labels.

The conversion loss of unclicked impressions is the entropy of their prediction, and its weight follows the
ratio of both losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.log_probabilities import cross_entropy
from sparse_data import checks

Tensor = Any

TINY = 1e-30  # below every loss, and within float32


def nise_cvr_loss(
    cvr_logits: Tensor, clicks: Tensor, conversions: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Cross entropy of conversions among clicks, entropy of the prediction among all else.

    .. math::

        L_{CVR} = \frac1n \Big[ \sum_{o_i = 1} \delta(r_i, \hat r_i)
        + \sum_{o_i = 0} \delta(\hat r_i, \hat r_i) \Big]

    The pseudo-label :math:`\hat r` is not detached: of :math:`\delta` with a detached one the gradient would
    be 0. So unclicked impressions draw their predictions to 0 or 1, to the side on which they are.

    Parameters
    ----------
    cvr_logits, clicks, conversions : tensors of shape (batch,)
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> round(float(nise_cvr_loss([0.0, 0.0], [1, 0], [1, 0])), 4)
    0.6931
    """
    cvr, clicks, conversions = as_rows(cvr_logits, clicks, conversions)
    labels = ops.where(clicks > 0, conversions, ops.sigmoid(cvr))
    return weighted_mean(cross_entropy(cvr, labels), sample_weight)


def nise_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 50.0,
) -> Tensor:
    r"""Loss of clicks and, with a weight that brings it to the same size, :func:`nise_cvr_loss`.

    .. math:: L = L_{CTR} + w L_{CVR}, \qquad w = \alpha \min(L_{CTR} / L_{CVR}, \beta)

    The weight *w* of the batch is a constant for the gradient.

    Parameters
    ----------
    ctr_logits, cvr_logits, clicks, conversions : tensors of shape (batch,)
    sample_weight : tensor of shape (batch,), optional
        Both means are weighted by it.
    alpha : float, default=1.0
    beta : float, default=50.0

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> round(float(nise_loss([-1.0, 0.5], [0.2, -1.0], [0, 1], [0, 0])), 4)  # twice the loss of clicks
    0.7873
    """
    alpha = checks.check_in_range("alpha", alpha, low=0)
    beta = checks.check_in_range("beta", beta, low=0)
    ctr, clicks = as_rows(ctr_logits, clicks)
    click = weighted_mean(cross_entropy(ctr, clicks), sample_weight)
    conversion = nise_cvr_loss(cvr_logits, clicks, conversions, sample_weight=sample_weight)
    weight = alpha * ops.minimum(click / ops.maximum(conversion, TINY), beta)
    return click + ops.stop_gradient(weight) * conversion


@keras.saving.register_keras_serializable(package="sparselabels")
class NISE(EntireSpaceModel):
    r"""A click and a conversion tower, trained by :func:`nise_loss`; no term is about both together.

    The entropy of what is not clicked is smallest at 0 and 1: where conversions are rare it can draw pCVR
    towards 0, while its order stays. Look at ``mean_ratio`` of :func:`~recsys_ssl.evaluate_funnel`, or
    calibrate.

    Inputs, labels and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    alpha, beta : float, default=1.0, 50.0
        As in :func:`nise_loss`.
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``shared_tables``, ``dropout``, ``l2``, ``seed``.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> NISE(specification, dim=4, hidden_units=(8,), beta=10.0).get_config()["beta"]
    10.0
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        alpha: float = 1.0,
        beta: float = 50.0,
        **common: Any,
    ) -> None:
        super().__init__(specification, **common)
        self.alpha = checks.check_in_range("alpha", alpha, low=0)
        self.beta = checks.check_in_range("beta", beta, low=0)

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`nise_loss` of a batch."""
        return nise_loss(
            logits["ctr"],
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
            alpha=self.alpha,
            beta=self.beta,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
