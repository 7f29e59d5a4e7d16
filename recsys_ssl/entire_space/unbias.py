"""Clicked impressions drawn anew so that they look like all impressions.

Zhang et al., Bid-aware gradient descent for unbiased learning with censored data in display advertising,
KDD 2016; the competitor UNBIAS in Ma et al., SIGIR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from recsys_ssl.entire_space.clicked_only import ClickedOnly
from recsys_ssl.entire_space.propensity import inverse_propensity_loss
from sparse_data import checks

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class Unbias(ClickedOnly):
    r"""A click model, and a conversion model that sees likely clicks less.

    The paper rejects clicked impressions by their predicted click probability :math:`\hat o`. A clicked
    impression kept with probability proportional to :math:`1 / \hat o` counts, on average over the draws, as
    in the self-normalised :func:`~recsys_ssl.entire_space.propensity.inverse_propensity_loss`, by which this
    model is trained; nothing is drawn.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    min_propensity : float, default=0.05
        In (0, 1]; smaller click probabilities count as this.
    **common
        As of :class:`~recsys_ssl.entire_space.clicked_only.ClickedOnly`.

    References
    ----------
    Ma et al. (2018), arXiv:1804.07931.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> Unbias(specification, dim=4, hidden_units=(8,)).min_propensity
    0.05
    """

    def __init__(
        self, specification: Sequence[dict[str, Any]], *, min_propensity: float = 0.05, **common: Any
    ) -> None:
        super().__init__(specification, **common)
        self.min_propensity = checks.check_in_range("min_propensity", min_propensity, 0, 1, closed="right")

    def conversion_loss(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None
    ) -> Tensor:
        """Return the self-normalised loss of inverse propensities of a batch."""
        return inverse_propensity_loss(
            logits["ctr"],
            logits["cvr"],
            labels["click"],
            labels["conversion"],
            sample_weight=sample_weight,
            min_propensity=self.min_propensity,
            self_normalised=True,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "min_propensity": self.min_propensity}
