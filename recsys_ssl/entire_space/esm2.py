"""ESM2: conversions through what users do between click and purchase.

Wen et al., Entire space multi-task modeling via post-click behavior decomposition, SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.log_probabilities import cross_entropy, log_product, product_cross_entropy
from sparse_data import checks

Tensor = Any


def decomposed_cvr_logits(
    action_logits: Tensor, after_action_logits: Tensor, otherwise_logits: Tensor
) -> Tensor:
    r"""Logit of a conversion after a click, by what is done in between.

    With :math:`y_2` the probability of the deterministic action, such as a cart, and :math:`y_3, y_4` those
    of a purchase after it and after anything else, :math:`p = y_2 y_3 + (1 - y_2) y_4`; the logit is
    :math:`\log p - \log(1 - p)`, both by sums of logarithms.

    Parameters
    ----------
    action_logits, after_action_logits, otherwise_logits : tensors of shape (batch,)
        Of :math:`y_2, y_3, y_4`.

    Returns
    -------
    tensor of shape (batch,)

    References
    ----------
    Wen et al. (2020), arXiv:1910.07099.

    Examples
    --------
    >>> round(float(decomposed_cvr_logits([0.5], [-0.5], [-2.0])[0]), 4)
    -0.9444
    """
    action, after, otherwise = as_rows(action_logits, after_action_logits, otherwise_logits)
    bought = ops.logaddexp(log_product(action, after), log_product(-action, otherwise))
    not_bought = ops.logaddexp(log_product(action, -after), log_product(-action, -otherwise))
    return bought - not_bought


def esm2_loss(
    ctr_logits: Tensor,
    action_logits: Tensor,
    after_action_logits: Tensor,
    otherwise_logits: Tensor,
    clicks: Tensor,
    actions: Tensor,
    conversions: Tensor,
    *,
    sample_weight: Tensor | None = None,
    ctr_weight: float = 1.0,
    ctavr_weight: float = 1.0,
    ctcvr_weight: float = 1.0,
) -> Tensor:
    r"""Cross entropies of clicks, of actions and of conversions, all over all impressions.

    .. math::

        L = \frac1n \sum w_1\, l(click, y_1) + w_2\, l(click \land action, y_1 y_2) + w_3\, l(buy, y_1 p),
        \qquad p = y_2 y_3 + (1 - y_2) y_4.

    Parameters
    ----------
    ctr_logits, action_logits, after_action_logits, otherwise_logits : tensors of shape (batch,)
        Of :math:`y_1` to :math:`y_4`; see :func:`decomposed_cvr_logits`.
    clicks, actions, conversions : tensors of shape (batch,)
        0 or 1.
    sample_weight : tensor of shape (batch,), optional
        The mean is weighted by it.
    ctr_weight, ctavr_weight, ctcvr_weight : float, default=1.0
        :math:`w_1, w_2, w_3`.

    Returns
    -------
    scalar tensor

    References
    ----------
    Wen et al. (2020), Entire space multi-task modeling via post-click behavior decomposition for conversion
    rate prediction, SIGIR, arXiv:1910.07099.

    Examples
    --------
    >>> round(float(esm2_loss([0.0], [0.5], [-0.5], [-2.0], [1], [1], [0])), 4)
    2.0112
    """
    ctr_weight = checks.check_in_range("ctr_weight", ctr_weight, low=0)
    ctavr_weight = checks.check_in_range("ctavr_weight", ctavr_weight, low=0)
    ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)
    ctr, action, clicks, actions, conversions = as_rows(
        ctr_logits, action_logits, clicks, actions, conversions
    )
    cvr = decomposed_cvr_logits(action, after_action_logits, otherwise_logits)
    rows = (
        ctr_weight * cross_entropy(ctr, clicks)
        + ctavr_weight * product_cross_entropy(ctr, action, clicks * actions)
        + ctcvr_weight * product_cross_entropy(ctr, cvr, clicks * conversions)
    )
    return weighted_mean(rows, sample_weight)


@keras.saving.register_keras_serializable(package="sparselabels")
class ESM2(EntireSpaceModel):
    r"""Four towers, of clicks, actions, and purchases after them or otherwise, trained by :func:`esm2_loss`.

    Labels have ``"action"`` beside ``"click"`` and ``"conversion"``: whether a click was followed by an
    action that most purchases pass, such as a cart or a wish list. The outputs have ``"ctavr"``
    :math:`= y_1 y_2` as well. Inputs and further parameters:
    :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    ctr_weight, ctavr_weight, ctcvr_weight : float, default=1.0
        As in :func:`esm2_loss`.
    **common
        ``dim``, ``hidden_units``, ``bottom``, ``shared_tables``, ``dropout``, ``l2``, ``seed``.

    References
    ----------
    Wen et al. (2020), arXiv:1910.07099.

    Examples
    --------
    >>> import numpy as np
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> model = ESM2(specification, dim=4, hidden_units=(8,))
    >>> sorted(model({"item": np.array([3, 4], dtype="int32")}))
    ['ctavr', 'ctcvr', 'ctr', 'cvr']
    """

    tasks = ("ctr", "action", "after_action", "otherwise")
    labels = ("click", "action", "conversion")

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        ctr_weight: float = 1.0,
        ctavr_weight: float = 1.0,
        ctcvr_weight: float = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(specification, **common)
        self.ctr_weight = checks.check_in_range("ctr_weight", ctr_weight, low=0)
        self.ctavr_weight = checks.check_in_range("ctavr_weight", ctavr_weight, low=0)
        self.ctcvr_weight = checks.check_in_range("ctcvr_weight", ctcvr_weight, low=0)

    def probabilities(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the named outputs from the towers' logits."""
        ctr = ops.sigmoid(logits["ctr"])
        cvr = ops.sigmoid(decomposed_cvr_logits(*(logits[task] for task in self.tasks[1:])))
        return {"ctr": ctr, "cvr": cvr, "ctcvr": ctr * cvr, "ctavr": ctr * ops.sigmoid(logits["action"])}

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return :func:`esm2_loss` of a batch."""
        return esm2_loss(
            *(logits[task] for task in self.tasks),
            *(labels[name] for name in self.labels),
            sample_weight=sample_weight,
            **self._weights(),
        )

    def _weights(self) -> dict[str, float]:
        return {
            "ctr_weight": self.ctr_weight,
            "ctavr_weight": self.ctavr_weight,
            "ctcvr_weight": self.ctcvr_weight,
        }

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), **self._weights()}
