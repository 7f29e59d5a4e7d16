"""Oversampling: conversions are rare among clicks, so that each is there several times.

Weiss, Mining with rarity, SIGKDD Explorations 2004; a competitor in Ma et al., SIGIR 2018.
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


def oversampling_loss(
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    copies: int = 2,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Cross entropy of conversions among clicks, where each conversion is there *k* times.

    .. math:: \sum_i a_i \delta(r_i, \hat r_i) \Big/ \sum_i a_i, \qquad a_i = o_i (1 + (k - 1) r_i)

    Parameters
    ----------
    cvr_logits, clicks, conversions : tensors of shape (batch,)
    copies : int, default=2
        *k*; the paper tries 2, 3, 5 and 10. At 1 it is :func:`clicked_only_loss`.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError
        If ``copies`` is below 1.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> round(float(oversampling_loss([0.0, 2.0], [1, 1], [1, 0], copies=3)), 4)  # (3 log 2 + 2.1269) / 4
    1.0516
    """
    checks.check_count("copies", copies)
    cvr, clicks, conversions = as_rows(cvr_logits, clicks, conversions)
    times = clicks * (1 + (copies - 1) * conversions)
    return weighted_mean(cross_entropy(cvr, conversions), times, sample_weight)


@keras.saving.register_keras_serializable(package="sparselabels")
class Oversampling(ClickedOnly):
    r"""A click model, and a conversion model trained by :func:`oversampling_loss`.

    Its ``"cvr"`` ranks; as a probability it is too large, about *k* times where conversions are rare.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    copies : int, default=2
        As in :func:`oversampling_loss`.
    **common
        As of :class:`~recsys_ssl.entire_space.clicked_only.ClickedOnly`.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> Oversampling(specification, dim=4, hidden_units=(8,), copies=5).copies
    5
    """

    def __init__(self, specification: Sequence[dict[str, Any]], *, copies: int = 2, **common: Any) -> None:
        super().__init__(specification, **common)
        self.copies = checks.check_count("copies", copies)

    def conversion_loss(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None
    ) -> Tensor:
        """Return :func:`oversampling_loss` of a batch."""
        return oversampling_loss(
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            copies=self.copies,
            sample_weight=sample_weight,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "copies": self.copies}
