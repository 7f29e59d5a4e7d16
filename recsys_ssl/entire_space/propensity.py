"""Conversion losses of clicked impressions, weighted by how unlikely their clicks were."""

from __future__ import annotations

from typing import Any

from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.log_probabilities import cross_entropy
from sparse_data import checks
from sparse_data.type_checks import check_flag

Tensor = Any


def propensity(ctr_logits: Tensor, *, min_propensity: float = 0.05) -> Tensor:
    r"""Predicted probability of a click, :math:`\hat o = \max(\sigma(l), c)`, as a constant.

    Without the detached gradient a loss divided by it would be lowered by predicting more clicks.

    Parameters
    ----------
    ctr_logits : tensor of shape (batch,)
    min_propensity : float, default=0.05
        *c* in (0, 1]; no weight is larger than its inverse.

    Returns
    -------
    tensor of shape (batch,)

    Raises
    ------
    ValueError
        If ``min_propensity`` is out of range.

    Examples
    --------
    >>> [round(float(value), 3) for value in propensity([0.0, -9.0])]
    [0.5, 0.05]
    """
    checks.check_in_range("min_propensity", min_propensity, low=0, high=1, closed="right")
    (logits,) = as_rows(ctr_logits)
    return ops.stop_gradient(ops.maximum(ops.sigmoid(logits), min_propensity))


def inverse_propensity_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    min_propensity: float = 0.05,
    self_normalised: bool = False,
) -> Tensor:
    r"""Conversion loss of clicked impressions as if all impressions had been clicked.

    With clicks *o*, the cross entropy :math:`\delta` of conversions and :math:`\hat o` of :func:`propensity`,

    .. math::

        \frac1n \sum_i \frac{o_i \delta_i}{\hat o_i} \qquad \text{or, self-normalised,} \qquad
        \sum_i \frac{o_i \delta_i}{\hat o_i} \Big/ \sum_i \frac{o_i}{\hat o_i}.

    Parameters
    ----------
    ctr_logits, cvr_logits : tensors of shape (batch,)
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.
    min_propensity : float, default=0.05
        In (0, 1].
    self_normalised : bool, default=False

    Returns
    -------
    scalar tensor
        Its gradient with respect to the click logits is 0.

    References
    ----------
    Wang et al. (2022), ESCM2, arXiv:2204.05125.

    Examples
    --------
    >>> round(float(inverse_propensity_loss([0.0, 0.0], [0.0, 0.0], [1, 0], [1, 0])), 4)
    0.6931
    """
    check_flag("self_normalised", self_normalised)
    cvr, clicks, conversions = as_rows(cvr_logits, clicks, conversions)
    weight = clicks / propensity(ctr_logits, min_propensity=min_propensity)
    found = cross_entropy(cvr, conversions)
    if self_normalised:
        return weighted_mean(found, weight, sample_weight)
    return weighted_mean(weight * found, sample_weight)
