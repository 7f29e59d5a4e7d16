"""Entire-space multi-task model: conversions are learned from all impressions, through the click.

Ma et al., Entire space multi-task model, SIGIR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.log_probabilities import cross_entropy, product_cross_entropy
from sparse_data import checks

Tensor = Any


def esmm_loss(
    ctr_logits: Tensor,
    cvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    ctr_weight: float = 1.0,
    ctcvr_weight: float = 1.0,
) -> Tensor:
    r"""Cross entropy of clicks, and of conversions through the click, over all impressions.

    With clicks *y*, conversions *z* and the cross entropy *l* (eq. 3, as a mean),

    .. math::

        L = \frac1n \sum_i \lambda_{ctr}\, l(y_i, \hat y_i) + \lambda_{ctcvr}\, l(y_i z_i, \hat y_i \hat z_i),
        \qquad \hat y = \sigma(l_{ctr}),\ \hat z = \sigma(l_{cvr}).

    No term compares :math:`\hat z` with conversions among clicks directly. Finite in float32 wherever the
    logits are.

    Parameters
    ----------
    ctr_logits, cvr_logits : tensors of shape (batch,)
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.
    ctr_weight, ctcvr_weight : float, default=1.0
        :math:`\lambda_{ctr}, \lambda_{ctcvr}`.

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError
        If lengths differ.

    References
    ----------
    Ma et al. (2018), Entire space multi-task model: an effective approach for estimating post-click
    conversion rate, SIGIR, arXiv:1804.07931.

    Examples
    --------
    >>> round(float(esmm_loss([-1.0, 0.5], [0.2, -1.0], [0, 1], [0, 0])), 4)
    0.5653
    """
    ctr_weight = checks.check_in_range("ctr_weight", ctr_weight, low=0)
    ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)
    ctr, cvr, clicks, conversions = as_rows(ctr_logits, cvr_logits, clicks, conversions)
    click = cross_entropy(ctr, clicks)
    both = product_cross_entropy(ctr, cvr, clicks * conversions)
    return weighted_mean(ctr_weight * click + ctcvr_weight * both, sample_weight)


@keras.saving.register_keras_serializable(package="sparselabels")
class ESMM(EntireSpaceModel):
    r"""A click tower and a conversion tower on shared tables, trained by :func:`esmm_loss`.

    With ``shared_tables=False`` it is the paper's ESMM-NS. Inputs, labels and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    ctr_weight, ctcvr_weight : float, default=1.0
        As in :func:`esmm_loss`.
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``shared_tables``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_ssl import LazyAdam
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> model = ESMM(specification, dim=4, hidden_units=(8,), seed=0)
    >>> model.compile(optimizer=LazyAdam(0.01))
    >>> fields = {"item": np.array([3, 4, 3, 5], dtype="int32")}
    >>> labels = {"click": np.array([1, 0, 1, 0]), "conversion": np.array([1, 0, 0, 0])}
    >>> history = model.fit(fields, labels, verbose=0)
    >>> sorted(model.predict(fields, verbose=0))
    ['ctcvr', 'ctr', 'cvr']
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        ctr_weight: float = 1.0,
        ctcvr_weight: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(specification, **common)
        self.ctr_weight = checks.check_in_range("ctr_weight", ctr_weight, low=0)
        self.ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`esmm_loss` of a batch."""
        return esmm_loss(
            logits["ctr"],
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
            ctr_weight=self.ctr_weight,
            ctcvr_weight=self.ctcvr_weight,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        weights = {"ctr_weight": self.ctr_weight, "ctcvr_weight": self.ctcvr_weight}
        return {**super().get_config(), **weights}
