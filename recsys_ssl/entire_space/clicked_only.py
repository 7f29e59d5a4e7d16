"""The usual conversion model: it learns from clicked impressions and is asked about all.

BASE of Ma et al., Entire space multi-task model, SIGIR 2018; with shared tables, a second task beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.log_probabilities import cross_entropy

Tensor = Any


def clicked_only_loss(
    cvr_logits: Tensor, clicks: Tensor, conversions: Tensor, *, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Cross entropy of conversions among clicks *o*, :math:`\sum_i o_i \delta_i / \sum_i o_i`.

    Parameters
    ----------
    cvr_logits, clicks, conversions : tensors of shape (batch,)
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.

    Returns
    -------
    scalar tensor
        0 for a batch without clicks.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> round(float(clicked_only_loss([9.0, 0.0], [0, 1], [0, 1])), 4)
    0.6931
    """
    cvr, clicks, conversions = as_rows(cvr_logits, clicks, conversions)
    return weighted_mean(cross_entropy(cvr, conversions), clicks, sample_weight)


@keras.saving.register_keras_serializable(package="sparselabels")
class ClickedOnly(EntireSpaceModel):
    r"""A click model, and a conversion model trained by :func:`clicked_only_loss`: the paper's BASE.

    The click model is trained by the cross entropy of clicks over all impressions. Without shared tables both
    are independent; with ``shared_tables=True`` or a bottom it is the usual multi-task model. Inputs, labels
    and further parameters: :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    shared_tables : bool, default=False
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> len(ClickedOnly(specification, dim=4, hidden_units=(8,)).fields)
    2
    """

    def __init__(
        self, specification: Sequence[dict[str, Any]], *, shared_tables: bool = False, **common: Any
    ) -> None:
        super().__init__(specification, shared_tables=shared_tables, **common)

    def conversion_loss(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None
    ) -> Tensor:
        """Return the direct loss of conversions."""
        return clicked_only_loss(
            logits["cvr"], labels["click"], labels["conversion"], sample_weight=sample_weight
        )

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the sum of the losses of both models."""
        click = weighted_mean(cross_entropy(logits["ctr"], labels["click"]), sample_weight)
        return click + self.conversion_loss(logits, labels, sample_weight)
