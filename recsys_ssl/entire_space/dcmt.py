"""Direct entire-space causal multi-task model: unclicked impressions teach what a click would have done.

Zhu et al., DCMT, ICDE 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.esmm import esmm_loss
from recsys_ssl.entire_space.propensity import inverse_propensity_loss
from sparse_data import checks

Tensor = Any


def dcmt_cvr_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    counterfactual_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    counterfactual_weight: float = 0.001,
    min_propensity: float = 0.05,
    self_normalised: bool = False,
) -> Tensor:
    r"""Conversion loss of clicked impressions, and of unclicked ones whose label is turned round.

    With clicks *o*, conversions *r*, factual and counterfactual probabilities :math:`\hat r, \hat r^*` and
    the cross entropy :math:`\delta`,

    .. math::

        \frac1n \Big[ \sum_{o_i = 1} \frac{\delta(r_i, \hat r_i)}{\hat o_i}
        + \sum_{o_i = 0} \frac{\delta(1, \hat r^*_i)}{1 - \hat o_i} \Big]
        + \lambda_1 \frac1n \sum_i |1 - \hat r_i - \hat r^*_i|.

    Both propensities, :math:`\hat o` and :math:`1 - \hat o`, are detached and not below ``min_propensity``.
    Self-normalised, each sum is divided by the sum of its own weights.

    Parameters
    ----------
    ctr_logits, cvr_logits, counterfactual_logits : tensors of shape (batch,)
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The means are weighted by it.
    counterfactual_weight : float, default=0.001
        :math:`\lambda_1`.
    min_propensity : float, default=0.05
        In (0, 1].
    self_normalised : bool, default=False

    Returns
    -------
    scalar tensor

    References
    ----------
    Zhu et al. (2023), DCMT: a direct entire-space causal multi-task framework for post-click conversion
    estimation, ICDE.

    Examples
    --------
    >>> round(float(dcmt_cvr_loss([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1, 0], [1, 0])), 4)
    1.3863
    """
    weight = checks.check_in_range("counterfactual_weight", counterfactual_weight, low=0)
    ctr, cvr, twin, clicks = as_rows(ctr_logits, cvr_logits, counterfactual_logits, clicks)
    settings: dict[str, Any] = {
        "sample_weight": sample_weight,
        "min_propensity": min_propensity,
        "self_normalised": self_normalised,
    }
    factual = inverse_propensity_loss(ctr, cvr, clicks, conversions, **settings)
    # Not clicked with probability 1 - sigma(l) = sigma(-l), and a label that is always 1.
    counterfactual = inverse_propensity_loss(-ctr, twin, 1 - clicks, ops.ones_like(clicks), **settings)
    gap = weighted_mean(ops.abs(1 - ops.sigmoid(cvr) - ops.sigmoid(twin)), sample_weight)
    return factual + counterfactual + weight * gap


def dcmt_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    counterfactual_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    cvr_weight: float = 1.0,
    ctcvr_weight: float = 1.0,
    **settings: Any,
) -> Tensor:
    r"""Losses of clicks, conversions and both, :math:`L_{CTR} + w_{cvr} L_{CVR} + w_{ctcvr} L_{CTCVR}`.

    :math:`L_{CVR}` is :func:`dcmt_cvr_loss`, the others are those of :func:`esmm_loss`.

    Parameters
    ----------
    ctr_logits, cvr_logits, counterfactual_logits, clicks, conversions, sample_weight
        As in :func:`dcmt_cvr_loss`.
    cvr_weight, ctcvr_weight : float, default=1.0
    **settings
        ``counterfactual_weight``, ``min_propensity`` and ``self_normalised`` of :func:`dcmt_cvr_loss`.

    Returns
    -------
    scalar tensor

    References
    ----------
    Zhu et al. (2023), DCMT, ICDE.

    Examples
    --------
    >>> round(float(dcmt_loss([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1, 0], [1, 0])), 4)
    2.9164
    """
    cvr_weight = checks.check_in_range("cvr_weight", cvr_weight, low=0)
    labels = {"clicks": clicks, "conversions": conversions, "sample_weight": sample_weight}
    conversion = dcmt_cvr_loss(ctr_logits, cvr_logits, counterfactual_logits, **labels, **settings)
    return esmm_loss(ctr_logits, cvr_logits, ctcvr_weight=ctcvr_weight, **labels) + cvr_weight * conversion


@keras.saving.register_keras_serializable(package="sparselabels")
class DCMT(EntireSpaceModel):
    r"""A click tower and twin conversion towers, factual and counterfactual, trained by :func:`dcmt_loss`.

    The factual tower gives ``"cvr"``; the ``"counterfactual"`` one serves in training alone. Inputs, labels
    and further parameters: :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    cvr_weight, ctcvr_weight, counterfactual_weight, min_propensity, self_normalised
        As in :func:`dcmt_loss`.
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``shared_tables``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Zhu et al. (2023), DCMT, ICDE.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> DCMT(specification, dim=4, hidden_units=(8,)).tasks
    ('ctr', 'cvr', 'counterfactual')
    """

    tasks = ("ctr", "cvr", "counterfactual")

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        cvr_weight: float = 1.0,
        ctcvr_weight: float = 1.0,
        counterfactual_weight: float = 0.001,
        min_propensity: float = 0.05,
        self_normalised: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(specification, **common)
        self.cvr_weight = checks.check_in_range("cvr_weight", cvr_weight, low=0)
        self.ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)
        self.counterfactual_weight = checks.check_in_range(
            "counterfactual_weight", counterfactual_weight, low=0
        )
        self.min_propensity = checks.check_in_range("min_propensity", min_propensity, 0, 1, closed="right")
        self.self_normalised = self_normalised

    def _settings(self) -> dict[str, Any]:
        return {
            "cvr_weight": self.cvr_weight,
            "ctcvr_weight": self.ctcvr_weight,
            "counterfactual_weight": self.counterfactual_weight,
            "min_propensity": self.min_propensity,
            "self_normalised": self.self_normalised,
        }

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`dcmt_loss` of a batch."""
        return dcmt_loss(
            logits["ctr"],
            logits["cvr"],
            logits["counterfactual"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
            **self._settings(),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), **self._settings()}
