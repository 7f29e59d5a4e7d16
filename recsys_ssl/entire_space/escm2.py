"""Entire-space counterfactual multi-task model: an unbiased conversion loss beside that of ESMM.

Wang et al., ESCM2: Entire space counterfactual multi-task model, SIGIR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.esmm import esmm_loss
from recsys_ssl.entire_space.log_probabilities import cross_entropy
from recsys_ssl.entire_space.propensity import inverse_propensity_loss, propensity
from sparse_data import checks

Tensor = Any

ESTIMATORS = ("ips", "snips", "dr")


def doubly_robust_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    imputed: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    min_propensity: float = 0.05,
) -> tuple[Tensor, Tensor]:
    r"""Doubly robust conversion loss, and the error of the imputation that it needs.

    With clicks *o*, the cross entropy :math:`\delta` of conversions, imputed ones :math:`\hat\delta` and the
    detached propensity :math:`\hat o` of :func:`propensity`,

    .. math::

        L_{err} = \frac1n \sum_i \hat\delta_i + \frac{o_i (\delta_i - \hat\delta_i)}{\hat o_i}, \qquad
        L_{imp} = \frac1n \sum_i \frac{o_i (\delta_i - \hat\delta_i)^2}{\hat o_i}.

    In :math:`L_{imp}` the :math:`\delta` is detached: it teaches the imputation, and never the conversion
    tower to be predictable.

    Parameters
    ----------
    ctr_logits, cvr_logits : tensors of shape (batch,)
    imputed : tensor of shape (batch,)
        :math:`\hat\delta`, without an upper bound, as cross entropies have none.
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The means are weighted by it.
    min_propensity : float, default=0.05
        In (0, 1].

    Returns
    -------
    (scalar tensor, scalar tensor)
        :math:`L_{err}` and :math:`L_{imp}`.

    References
    ----------
    Wang et al. (2022), ESCM2, arXiv:2204.05125.

    Examples
    --------
    >>> losses = doubly_robust_loss([0.0, 0.0], [0.0, 0.0], [0.5, 0.5], [1, 0], [1, 0])
    >>> [round(float(loss), 4) for loss in losses]
    [0.6931, 0.0373]
    """
    cvr, imputed, clicks, conversions = as_rows(cvr_logits, imputed, clicks, conversions)
    weight = clicks / propensity(ctr_logits, min_propensity=min_propensity)
    found = cross_entropy(cvr, conversions)
    error = weighted_mean(imputed + weight * (found - imputed), sample_weight)
    missed = ops.square(ops.stop_gradient(found) - imputed)
    return error, weighted_mean(weight * missed, sample_weight)


def escm2_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    imputed: Tensor | None = None,
    estimator: str = "ips",
    sample_weight: Tensor | None = None,
    cvr_weight: float = 0.1,
    ctcvr_weight: float = 1.0,
    min_propensity: float = 0.05,
) -> Tensor:
    r"""Loss of clicks, of conversions without the bias of clicking, and of conversions through the click.

    .. math:: L = L_{CTR} + \lambda_c L_{CVR} + \lambda_g L_{CTCVR}

    The first and the last are those of :func:`esmm_loss`. :math:`L_{CVR}` is by estimator that of
    :func:`inverse_propensity_loss` (``"ips"``), the same self-normalised (``"snips"``), or the sum of both
    losses of :func:`doubly_robust_loss` (``"dr"``).

    Parameters
    ----------
    ctr_logits, cvr_logits : tensors of shape (batch,)
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    imputed : tensor of shape (batch,), optional
        Imputed cross entropies, needed by ``"dr"``.
    estimator : {"ips", "snips", "dr"}
    sample_weight : tensor of shape (batch,), optional
        All means are weighted by it.
    cvr_weight, ctcvr_weight : float, default=0.1, 1.0
        :math:`\lambda_c, \lambda_g`. With :math:`\lambda_c = 0` it is ESMM's loss.
    min_propensity : float, default=0.05
        In (0, 1].

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError
        If the estimator is unknown, or ``"dr"`` comes without ``imputed``.

    References
    ----------
    Wang et al. (2022), ESCM2: entire space counterfactual multi-task model for post-click conversion rate
    estimation, SIGIR, arXiv:2204.05125.

    Examples
    --------
    >>> round(float(escm2_loss([-1.0, 0.5], [0.2, -1.0], [0, 1], [0, 0])), 4)
    0.5904
    """
    checks.check_one_of("estimator", estimator, ESTIMATORS)
    cvr_weight = checks.check_in_range("cvr_weight", cvr_weight, low=0)
    labels = {"clicks": clicks, "conversions": conversions, "sample_weight": sample_weight}
    if estimator == "dr":
        if imputed is None:
            raise ValueError(
                "`imputed` must be given for the estimator 'dr'; got None. "
                "Pass the imputation tower's output."
            )
        parts = doubly_robust_loss(ctr_logits, cvr_logits, imputed, min_propensity=min_propensity, **labels)
        conversion = parts[0] + parts[1]
    else:
        conversion = inverse_propensity_loss(
            ctr_logits,
            cvr_logits,
            min_propensity=min_propensity,
            self_normalised=estimator == "snips",
            **labels,
        )
    return esmm_loss(ctr_logits, cvr_logits, ctcvr_weight=ctcvr_weight, **labels) + cvr_weight * conversion


@keras.saving.register_keras_serializable(package="sparselabels")
class ESCM2(EntireSpaceModel):
    r"""ESMM with a counterfactual loss of conversions, trained by :func:`escm2_loss`.

    With ``"dr"`` there is a third tower, ``"imputation"``, whose softplus is :math:`\hat\delta`. The paper
    has MMoE as its bottom. Inputs, labels and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    estimator, cvr_weight, ctcvr_weight, min_propensity
        As in :func:`escm2_loss`.
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``shared_tables``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Wang et al. (2022), arXiv:2204.05125.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> ESCM2(specification, estimator="dr", dim=4, hidden_units=(8,)).tasks
    ('ctr', 'cvr', 'imputation')
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        estimator: str = "ips",
        cvr_weight: float = 0.1,
        ctcvr_weight: float = 1.0,
        min_propensity: float = 0.05,
        **common: Any,
    ) -> None:
        checks.check_one_of("estimator", estimator, ESTIMATORS)
        tasks = ("ctr", "cvr", "imputation") if estimator == "dr" else ("ctr", "cvr")
        super().__init__(specification, tasks=tasks, **common)
        self.estimator = estimator
        self.cvr_weight = checks.check_in_range("cvr_weight", cvr_weight, low=0)
        self.ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)
        self.min_propensity = checks.check_in_range("min_propensity", min_propensity, 0, 1, closed="right")

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`escm2_loss` of a batch."""
        return escm2_loss(
            logits["ctr"],
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            imputed=ops.softplus(logits["imputation"]) if self.estimator == "dr" else None,
            estimator=self.estimator,
            sample_weight=sample_weight,
            cvr_weight=self.cvr_weight,
            ctcvr_weight=self.ctcvr_weight,
            min_propensity=self.min_propensity,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "cvr_weight": self.cvr_weight,
            "ctcvr_weight": self.ctcvr_weight,
            "min_propensity": self.min_propensity,
        }
