"""Conversions after a click as the quotient of two models of all impressions.

The competitor DIVISION of Ma et al., Entire space multi-task model, SIGIR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.log_probabilities import cross_entropy

Tensor = Any


def division_loss(
    ctr_logits: Tensor,
    ctcvr_logits: Tensor,
    clicks: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Cross entropies of clicks and of clicks with a conversion, :math:`l(y, \hat y) + l(y z, \hat p)`.

    Parameters
    ----------
    ctr_logits, ctcvr_logits : tensors of shape (batch,)
        Of the click, and of click and conversion both.
    clicks, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.

    Returns
    -------
    scalar tensor

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> round(float(division_loss([0.0, 0.0], [0.0, 0.0], [0, 1], [0, 1])), 4)
    1.3863
    """
    ctr, ctcvr, clicks, conversions = as_rows(ctr_logits, ctcvr_logits, clicks, conversions)
    return weighted_mean(
        cross_entropy(ctr, clicks) + cross_entropy(ctcvr, clicks * conversions), sample_weight
    )


def divided_cvr(ctr_logits: Tensor, ctcvr_logits: Tensor) -> Tensor:
    r"""Quotient of two probabilities, :math:`\sigma(l_{ctcvr}) / \sigma(l_{ctr})`; nothing keeps it below 1.

    Parameters
    ----------
    ctr_logits, ctcvr_logits : tensors of shape (batch,)

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> [round(float(value), 4) for value in divided_cvr([0.0, -2.0], [-2.0, 0.0])]
    [0.2384, 4.1945]
    """
    ctr, ctcvr = as_rows(ctr_logits, ctcvr_logits)
    return ops.exp(ops.softplus(-ctr) - ops.softplus(-ctcvr))


@keras.saving.register_keras_serializable(package="sparselabels")
class Division(EntireSpaceModel):
    r"""Independent models of clicks and of clicks with a conversion, trained by :func:`division_loss`.

    The outputs ``"ctr"`` and ``"ctcvr"`` are their probabilities. ``"cvr"`` is the quotient
    :math:`\hat p_{ctcvr} / \hat p_{ctr}`, which is no probability: it exceeds 1 wherever the models
    contradict each other, and is not cut off. Inputs, labels and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

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
    >>> Division(specification, dim=4, hidden_units=(8,)).tasks
    ('ctr', 'ctcvr')
    """

    tasks = ("ctr", "ctcvr")

    def __init__(
        self, specification: Sequence[dict[str, Any]], *, shared_tables: bool = False, **common: Any
    ) -> None:
        super().__init__(specification, shared_tables=shared_tables, **common)

    def probabilities(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the named outputs from the towers' logits."""
        return {
            "ctr": ops.sigmoid(logits["ctr"]),
            "cvr": divided_cvr(logits["ctr"], logits["ctcvr"]),
            "ctcvr": ops.sigmoid(logits["ctcvr"]),
        }

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`division_loss` of a batch."""
        return division_loss(
            logits["ctr"],
            logits["ctcvr"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
        )
