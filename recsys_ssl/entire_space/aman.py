"""All missing as negative: a part of the unclicked impressions counts as not converted.

Pan et al., One-class collaborative filtering, ICDM 2008; a competitor in Ma et al., SIGIR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.clicked_only import ClickedOnly
from recsys_ssl.entire_space.log_probabilities import cross_entropy
from sparse_data import checks

Tensor = Any


def aman_loss(
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    rate: float = 0.1,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Cross entropy of conversions where a part of what was not clicked counts as not converted.

    .. math:: \sum_i a_i \delta(o_i r_i, \hat r_i) \Big/ \sum_i a_i, \qquad a_i = o_i + \rho (1 - o_i)

    The paper samples unclicked impressions at the rate :math:`\rho`; the weight gives what samples give on
    average, without their variance.

    Parameters
    ----------
    cvr_logits, clicks, conversions : tensors of shape (batch,)
    rate : float, default=0.1
        :math:`\rho` in [0, 1]; the paper tries 0.1, 0.2, 0.5 and 1. At 0 it is :func:`clicked_only_loss`.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError
        If the rate is out of range.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> round(float(aman_loss([0.0, 2.0], [1, 0], [1, 0], rate=0.5)), 4)  # (log 2 + 0.5 * 2.1269) / 1.5
    1.1711
    """
    checks.check_in_range("rate", rate, low=0, high=1)
    cvr, clicks, conversions = as_rows(cvr_logits, clicks, conversions)
    return weighted_mean(
        cross_entropy(cvr, clicks * conversions), clicks + rate * (1 - clicks), sample_weight
    )


@keras.saving.register_keras_serializable(package="sparselabels")
class AMAN(ClickedOnly):
    r"""A click model, and a conversion model trained by :func:`aman_loss`.

    Its ``"cvr"`` is drawn towards 0, the more the larger the rate: unclicked is not the same as not wanted.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    rate : float, default=0.1
        As in :func:`aman_loss`.
    **common
        As of :class:`~recsys_ssl.entire_space.clicked_only.ClickedOnly`.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> AMAN(specification, dim=4, hidden_units=(8,), rate=0.2).rate
    0.2
    """

    def __init__(self, specification: Sequence[dict[str, Any]], *, rate: float = 0.1, **common: Any) -> None:
        super().__init__(specification, **common)
        self.rate = checks.check_in_range("rate", rate, low=0, high=1)

    def conversion_loss(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None
    ) -> Tensor:
        """Return :func:`aman_loss` of a batch."""
        return aman_loss(
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            rate=self.rate,
            sample_weight=sample_weight,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "rate": self.rate}
