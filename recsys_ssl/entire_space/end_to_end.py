"""Heads of clicks and of purchases over all impressions, which are kept in the order of the funnel.

The training of Xi et al., Modeling the sequential dependence among audience multi-step conversions, KDD 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.division import Division, division_loss
from sparse_data import checks

Tensor = Any


def end_to_end_loss(
    ctr_logits: Tensor,
    ctcvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    alpha: float = 0.6,
) -> Tensor:
    r"""Cross entropies of both heads, and a loss where the later step is given a larger probability.

    .. math:: L = \frac1n \sum_i l(y_i, \hat y_i) + l(y_i z_i, \hat p_i) + \alpha \max(\hat p_i - \hat y_i, 0)

    Parameters
    ----------
    ctr_logits, ctcvr_logits : tensors of shape (batch,)
        Of the click, and of click and conversion both.
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.
    alpha : float, default=0.6

    Returns
    -------
    scalar tensor

    References
    ----------
    Xi et al. (2021), Modeling the sequential dependence among audience multi-step conversions with multi-task
    learning in targeted display advertising, KDD, arXiv:2105.08489.

    Examples
    --------
    >>> round(float(end_to_end_loss([-2.0], [0.0], [0], [0])), 4)  # 0.1269 + 0.6931 + 0.6 * 0.3808
    1.0486
    """
    alpha = checks.check_in_range("alpha", alpha, low=0)
    ctr, ctcvr = as_rows(ctr_logits, ctcvr_logits)
    entropies = division_loss(ctr, ctcvr, clicks, conversions, sample_weight=sample_weight)
    beyond = ops.relu(ops.sigmoid(ctcvr) - ops.sigmoid(ctr))
    return entropies + alpha * weighted_mean(beyond, sample_weight)


@keras.saving.register_keras_serializable(package="sparselabels")
class EndToEnd(Division):
    r"""Shared tables and a head for each step of the funnel, trained by :func:`end_to_end_loss`.

    With the bottom :class:`~recsys_ssl.entire_space.aitm.AITM` it is the paper's model.

    The outputs ``"ctr"`` and ``"ctcvr"`` are the heads; ``"cvr"`` is their quotient, which can exceed 1 where
    the heads are out of order. Inputs, labels and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    alpha : float, default=0.6
        As in :func:`end_to_end_loss`.
    shared_tables : bool, default=True
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Xi et al. (2021), arXiv:2105.08489.

    Examples
    --------
    >>> from recsys_ssl.entire_space.aitm import AITM
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> EndToEnd(specification, dim=4, hidden_units=(), bottom=AITM).bottom.num_tasks
    2
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        alpha: float = 0.6,
        shared_tables: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(specification, shared_tables=shared_tables, **common)
        self.alpha = checks.check_in_range("alpha", alpha, low=0)

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`end_to_end_loss` of a batch."""
        return end_to_end_loss(
            logits["ctr"],
            logits["ctcvr"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
            alpha=self.alpha,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "alpha": self.alpha}
