"""ESMM with experts and a network of clicks alone; held-out clicks tell whether to average them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from recsys_ssl.entire_space.clicked_only import clicked_only_loss
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.esmm import esmm_loss
from recsys_ssl.entire_space.field_vectors import FieldVectors, field_width
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.entire_space.shared_bottom import sub_seeds
from recsys_ssl.entire_space.task_tower import TaskTower
from sparse_data.type_checks import check_widths

Tensor = Any

# None between: a mean of any two models varies less, and where the share of BASE is small, this gain among
# clicks hides what its bias costs where nobody clicked.
SHARES = (0.5, 0.0)


@keras.saving.register_keras_serializable(package="sparselabels")
class AveragedESMM(EntireSpaceModel):
    r"""ESMM, or a mean of its logit of pCVR and that of a model which learns from clicks alone.

    .. math:: \text{logit}\, p_{cvr} = (1 - s)\, z_{ESMM} + s\, z_{BASE}, \qquad
              s \in \{0, \tfrac12\}

    Where preference drives the clicks, ESMM is right about what nobody clicked and a model of clicked
    impressions is not; where clicks fall at random, ESMM learns conversions through a click that cannot be
    foretold, and loses. Both are trained here, on tables of their own: ESMM by :func:`esmm_loss` with a
    mixture of experts between fields and towers, and the conversion network of BASE by
    :func:`clicked_only_loss`. The probability of a click is that of ESMM. A step costs three to five times
    one of ESMM. The combination is of this library.

    :meth:`end_epoch` averages the weights with those after the epoch before, from where training goes on
    (Lookahead with an epoch as its inner loop; it takes about half as many epochs again), and sets the share
    *s* to what is better on held-out impressions. The score at that share is to choose the epoch: where BASE
    has no share, ESMM is trained until it is best by itself. ``EntireSpaceClassifier`` does so; a loop of
    your own calls it after every epoch.

    Inputs, labels and parameters: :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`, but
    for the bottom, which is an :class:`~recsys_ssl.entire_space.mmoe.MMoE` of ESMM alone.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    hidden_units : sequence of int, default=(360, 200, 80)
        Layers of the network of clicked impressions. The first is that of ESMM's experts too, and the
        others, or the first again where there is no other, are those of its towers.
    **common
        ``dim``, ``dropout``, ``l2``, ``seed``.

    Attributes
    ----------
    share : keras.Variable
        *s*, not trained, saved with the weights; .5 at first.

    References
    ----------
    Ma et al. (2018), Entire space multi-task model, SIGIR, arXiv:1804.07931.
    Ma et al. (2018), Modeling task relationships in multi-task learning with multi-gate mixture-of-experts,
    KDD.
    Zhang et al. (2019), Lookahead optimizer: k steps forward, 1 step back, NeurIPS, arXiv:1907.08610.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> model = AveragedESMM(specification, dim=4, hidden_units=(8,))
    >>> model.bottom.output_width, float(model.share)
    (8, 0.5)
    """

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        hidden_units: Sequence[int] = (360, 200, 80),
        **common: Any,
    ) -> None:
        if common.pop("bottom", None) is not None or not common.pop("shared_tables", True):
            raise ValueError(
                "`bottom` must be None and the tables of each model shared; got a bottom or separate tables. "
                "Leave both out, or take ESMM."
            )
        units = check_widths("hidden_units", hidden_units)
        of_experts, of_direct = sub_seeds(common.get("seed"), 4)[2:]
        given = {name: common[name] for name in ("dropout", "dtype") if name in common}
        experts = functools.partial(MMoE, units=units[:1], seed=of_experts, **given)
        super().__init__(specification, hidden_units=units[1:] or units, bottom=experts, **common)
        self.hidden_units = units
        of_fields, of_tower = sub_seeds(of_direct, 2)
        dtype = {"dtype": self.dtype_policy}
        self.direct_fields = FieldVectors(specification, self.dim, l2=self.l2, seed=of_fields, **dtype)
        width = field_width(self.specification, self.dim)
        self.direct_tower = TaskTower(width, units, dropout=self.dropout, seed=of_tower, **dtype)
        self.share = self.add_weight(shape=(), initializer="zeros", trainable=False, name="share")
        self.share.assign(SHARES[0])
        self._before: tuple[NDArray[Any], ...] | None = None

    def logits(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Return the towers' logits by task, and as direct_cvr that of the network of clicked impressions."""
        direct = self.direct_tower(self.direct_fields(inputs, training=training), training=training)
        return {**super().logits(inputs, training=training), "direct_cvr": direct}

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
        return entire + clicked_only_loss(
            logits["direct_cvr"], clicks, conversions, sample_weight=sample_weight
        )

    def end_epoch(self, score: Callable[[], float] | None = None) -> None:
        """Average the weights with those after the epoch before, then choose the share by the score, if any.

        The share is that of the higher score on held-out impressions, the larger one where equal.
        """
        # Copies, since PyTorch's steps write into the arrays themselves.
        weights = tuple(np.array(keras.ops.convert_to_numpy(each)) for each in self.trainable_variables)
        if self._before is not None:
            weights = tuple((new + old) / 2 for new, old in zip(weights, self._before, strict=True))
            for variable, value in zip(self.trainable_variables, weights, strict=True):
                variable.assign(value)
        self._before = weights
        if score is None:
            return
        scores = []
        for share in SHARES:
            self.share.assign(share)
            scores.append(score())
        self.share.assign(SHARES[scores.index(max(scores))])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "bottom": None}
