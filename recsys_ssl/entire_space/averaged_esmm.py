"""ESMM and the usual multi-task model side by side; held-out clicks tell whether to average them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from recsys_ssl.entire_space.batch_rows import weighted_mean
from recsys_ssl.entire_space.clicked_only import clicked_only_loss
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.esmm import esmm_loss
from recsys_ssl.entire_space.field_vectors import FieldVectors
from recsys_ssl.entire_space.log_probabilities import cross_entropy
from recsys_ssl.entire_space.shared_bottom import sub_seeds

Tensor = Any

SHARES = (0.5, 0.0)


@keras.saving.register_keras_serializable(package="sparselabels")
class AveragedESMM(EntireSpaceModel):
    r"""ESMM, or the mean of its logit of pCVR and that of a model which learns from clicks alone.

    .. math:: \text{logit}\, p_{cvr} = (1 - s)\, z_{ESMM} + s\, z_{SHARED}, \qquad s \in \{0, \tfrac12\}

    Where preference drives the clicks, ESMM is right about what nobody clicked and a model of clicked
    impressions is not; where clicks fall at random, ESMM learns conversions through a click that cannot be
    foretold, and loses. Both are trained here, on tables of their own, by :func:`esmm_loss` and
    :func:`clicked_only_loss`, at twice the cost of one; :meth:`settle` sets the share *s* to what is better
    on held-out impressions. The probability of a click is that of ESMM. The combination is of this
    library.

    Inputs, labels and parameters: :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`, but
    for the bottom, which would have to be two.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    **common
        ``dim``, ``hidden_units``, ``dropout``, ``l2``, ``seed``.

    Attributes
    ----------
    share : keras.Variable
        *s*, not trained, saved with the weights; .5 at first.

    References
    ----------
    Ma et al. (2018), Entire space multi-task model, SIGIR, arXiv:1804.07931.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> AveragedESMM(specification, dim=4, hidden_units=(8,)).tasks
    ('ctr', 'cvr', 'direct_ctr', 'direct_cvr')
    """

    tasks = ("ctr", "cvr", "direct_ctr", "direct_cvr")

    def __init__(self, specification: Sequence[dict[str, Any]], **common: Any) -> None:
        if common.get("bottom") is not None or not common.get("shared_tables", True):
            raise ValueError(
                "`bottom` must be None and the tables of each model shared; got a bottom or separate tables. "
                "Leave both out, or take ESMM."
            )
        super().__init__(specification, **common)
        drawn = sub_seeds(self.seed, 3)[-1]
        self.direct_fields = FieldVectors(
            self.specification, self.dim, l2=self.l2, seed=drawn, dtype=self.dtype_policy
        )
        self.share = self.add_weight(shape=(), initializer="zeros", trainable=False, name="share")
        self.share.assign(SHARES[0])

    def logits(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Return the towers' logits by task, each of shape (batch,)."""
        vectors = [fields(inputs, training=training) for fields in (self.fields[0], self.direct_fields)]
        return {
            task: tower(vectors[task.startswith("direct")], training=training)
            for task, tower in zip(self.tasks, self.towers, strict=True)
        }

    def probabilities(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the named outputs from the towers' logits."""
        share = keras.ops.convert_to_tensor(self.share)
        averaged = (1 - share) * logits["cvr"] + share * logits["direct_cvr"]
        return super().probabilities({"ctr": logits["ctr"], "cvr": averaged})

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the sum of the losses of both models."""
        clicks, conversions = labels["click"], labels["conversion"]
        entire = esmm_loss(logits["ctr"], logits["cvr"], clicks, conversions, sample_weight=sample_weight)
        click = weighted_mean(cross_entropy(logits["direct_ctr"], clicks), sample_weight)
        direct = clicked_only_loss(logits["direct_cvr"], clicks, conversions, sample_weight=sample_weight)
        return entire + click + direct

    def settle(self, score: Callable[[], float]) -> None:
        """Set the share to that of the highest score on held-out impressions, the mean where equal."""
        scores = []
        for share in SHARES:
            self.share.assign(share)
            scores.append(score())
        self.share.assign(SHARES[scores.index(max(scores))])
