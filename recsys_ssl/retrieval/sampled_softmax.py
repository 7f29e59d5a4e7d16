"""Sampled softmax over in-batch and uniform negatives, with sampling-bias correction.

Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.losses import blocked_softmax
from recsys_ssl.losses.corrected_softmax import (
    CORRECTIONS,
    SIMILARITIES,
    not_negatives,
    sampled_softmax_loss,
    scaled_vectors,
    similarity_logits,
)
from recsys_ssl.sparse_training import backend_module
from sparse_data import checks

Tensor = Any  # a tensor of whichever backend Keras runs on


@keras.saving.register_keras_serializable(package="sparselabels")
class SampledSoftmax(keras.layers.Layer):
    r"""Softmax loss of a two-tower model over the candidates of a batch.

    The similarity is divided by the temperature first and corrected by :math:`\log q_j` after, as in Yi et
    al. (2019): :math:`L = \frac1N \sum_i -\log \mathrm{softmax}_j(s(q_i, x_j)/\tau - \log q_j)_i`.

    Parameters
    ----------
    similarity : {"dot", "cosine"}, default="dot"
    temperature : float, default=1.0
        Above 0. The starting value when ``learn_temperature`` is set.
    learn_temperature : bool, default=False
        Train the logarithm of the temperature with the model.
    correction : {"logq", "none", "negatives", "leave_positive_out"}, default="logq"
        See :func:`sampled_softmax_loss`.
    remove_accidental_hits : bool, default=True
        A candidate that is the row's own item is no negative: its logit becomes minus infinity. It needs
        the candidates' ids. Known positives, where they are given, are removed in either case.
    num_hard_negatives : int, optional
        Keep only this many negatives a row, the hardest after correction and removal of hits.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range; at a call, if the ids or log probabilities that the
        settings need are not given, or are not one a candidate.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys.

    Examples
    --------
    >>> import numpy as np
    >>> loss = SampledSoftmax(temperature=0.5, correction="none", remove_accidental_hits=False)
    >>> rows = loss(np.eye(2, dtype="float32"), np.eye(2, dtype="float32"))
    >>> [round(float(row), 4) for row in rows]
    [0.1269, 0.1269]
    """

    def __init__(
        self,
        similarity: str = "dot",
        *,
        temperature: float = 1.0,
        learn_temperature: bool = False,
        correction: str = "logq",
        remove_accidental_hits: bool = True,
        num_hard_negatives: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.similarity = checks.check_one_of("similarity", similarity, SIMILARITIES)
        self.temperature = checks.check_in_range("temperature", temperature, low=0, closed="neither")
        self.correction = checks.check_one_of("correction", correction, CORRECTIONS)
        if num_hard_negatives is not None:
            checks.check_count("num_hard_negatives", num_hard_negatives)
        self.learn_temperature = learn_temperature
        self.remove_accidental_hits = remove_accidental_hits
        self.num_hard_negatives = num_hard_negatives
        self.built = True
        self.log_temperature = None
        if learn_temperature:
            self.log_temperature = self.add_weight(
                name="log_temperature",
                shape=(),
                initializer=keras.initializers.Constant(float(np.log(temperature))),
            )

    def current_temperature(self) -> Tensor:
        """Return the temperature, learned or fixed."""
        return self.temperature if self.log_temperature is None else ops.exp(self.log_temperature)

    def call(
        self,
        queries: Tensor,
        items: Tensor,
        item_ids: Tensor | None = None,
        log_q: Tensor | None = None,
        known_positives: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        queries : tensor of shape (batch, dim)
        items : tensor of shape (n_candidates, dim)
            The batch's positives in the order of the queries, then any further negatives.
        item_ids : integer tensor of shape (n_candidates,), optional
            Needed when accidental hits are removed.
        log_q : tensor of shape (n_candidates,), optional
            Needed by the corrections.
        known_positives : bool tensor of shape (batch, n_candidates), optional
            Candidates that the row's user is known to like: they are no negatives.

        Returns
        -------
        tensor of shape (batch,)
        """
        if self.remove_accidental_hits and item_ids is None:
            raise ValueError(
                "`item_ids` must be given when accidental hits are removed; got None. "
                "Pass the candidates' ids, or use remove_accidental_hits=False."
            )
        _check_one_a_candidate(items, item_ids=item_ids, log_q=log_q)
        measure: dict[str, Any] = {"similarity": self.similarity, "temperature": self.current_temperature()}
        no_negatives: dict[str, Any] = {
            "item_ids": item_ids if self.remove_accidental_hits else None,
            "known_positives": known_positives,
        }
        if self.correction in blocked_softmax.CORRECTIONS and self.num_hard_negatives is None:
            queries, items = scaled_vectors(queries, items, **measure)
            return backend_module().compiled(blocked_softmax.blocked_softmax_loss)(
                queries, items, log_q=log_q, correction=self.correction, **no_negatives
            )
        positive, logits = similarity_logits(queries, items, **measure)
        excluded = not_negatives(*ops.shape(logits), **no_negatives)
        return sampled_softmax_loss(
            positive,
            logits,
            excluded,
            log_q=log_q,
            correction=self.correction,
            num_hard_negatives=self.num_hard_negatives,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> SampledSoftmax:
        # `sklearn.clone` copies parameters; Keras's own way goes through an archive.
        copy: SampledSoftmax = type(self).from_config(self.get_config())
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "similarity": self.similarity,
            "temperature": self.temperature,
            "learn_temperature": self.learn_temperature,
            "correction": self.correction,
            "remove_accidental_hits": self.remove_accidental_hits,
            "num_hard_negatives": self.num_hard_negatives,
        }


def _check_one_a_candidate(items: Tensor, **values: Tensor | None) -> None:
    """Raise if a tensor that has one value a candidate has another length; lengths unknown yet pass."""
    for name, value in values.items():
        if value is None or None in (items.shape[0], value.shape[0]):
            continue
        if (want := items.shape[0]) != value.shape[0]:
            raise ValueError(
                f"`{name}` must be of shape ({want},), one value a candidate; got {tuple(value.shape)}. "
                "Pass the positives' values followed by those of the further negatives."
            )
