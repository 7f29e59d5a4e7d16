"""The sampled softmax with its corrections as a task inside a `tfrs.Model`.

Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from keras import ops

from recsys_ssl.losses.corrected_softmax import not_negatives, sampled_softmax_loss, similarity_logits
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax, _check_one_a_candidate
from sparse_data import checks

Tensor = Any


@tf.keras.saving.register_keras_serializable(package="sparselabels")
class SampledSoftmaxTask(tf.keras.layers.Layer, tfrs.tasks.Task):
    r"""The sampled softmax with its corrections, in the place of `tfrs.tasks.Retrieval`.

    :math:`L = \frac1N \sum_i w_i \ell_i` (or the sum), with :math:`\ell_i` the loss of
    :class:`~recsys_ssl.SampledSoftmax` of pair *i* among the candidates. Beside `tfrs.tasks.Retrieval`

    * the mean is taken, unless ``reduction="sum"``: learning rates do not hang on the batch size;
    * similarity may be the cosine, the temperature learned, the correction any of three;
    * small sampling probabilities count as they are, where TensorFlow Recommenders raises them to 1e-6;
    * ``score_mask`` removes negatives only, never the positive of a row.

    In both the temperature divides first, and the logarithm of the sampling probability is taken off after.

    Parameters
    ----------
    loss : SampledSoftmax, optional
        By default a dot product with logQ correction and without accidental hits. Only its settings are
        read: a learned temperature is a variable of the task.
    reduction : {"mean", "sum"}, default="mean"
    metrics : tfrs.metrics.Factorized or sequence of them, optional
        Ranks over a corpus of candidates; not part of the configuration, since they hold the corpus.
    batch_metrics : sequence of tf.keras.metrics.Metric, optional
        Updated with one-hot labels and the corrected logits of the batch's candidates.
    loss_metrics : sequence of tf.keras.metrics.Metric, optional
        Updated with the loss.

    Raises
    ------
    TypeError
        If the loss is no SampledSoftmax.
    ValueError
        If the reduction is unknown; at a call, if ids or probabilities that the settings need are not given.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys.

    Examples
    --------
    >>> task = SampledSoftmaxTask(SampledSoftmax(temperature=0.5, remove_accidental_hits=False))
    >>> loss = task(tf.eye(2), tf.eye(2), candidate_sampling_probability=tf.constant([0.5, 0.5]))
    >>> round(float(loss), 4)
    0.1269
    """

    def __init__(
        self,
        loss: SampledSoftmax | None = None,
        *,
        reduction: str = "mean",
        metrics: Any = None,
        batch_metrics: Sequence[Any] | None = None,
        loss_metrics: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (loss is None or isinstance(loss, SampledSoftmax)):
            raise TypeError(
                f"`loss` must be a SampledSoftmax or None; got {loss!r}. "
                "Write SampledSoftmax('cosine', temperature=0.1) for a cosine."
            )
        self.reduction = checks.check_one_of("reduction", reduction, ("mean", "sum"))
        # For its settings alone: no model of Keras 2 would train a temperature that is a variable of Keras 3.
        self.sampled_softmax = SampledSoftmax.from_config({} if loss is None else loss.get_config())
        self.factorized_metrics = metrics
        self._batch_metrics = list(batch_metrics or [])
        self._loss_metrics = list(loss_metrics or [])
        self.log_temperature = None
        if self.sampled_softmax.learn_temperature:
            start = np.log(
                float(self.sampled_softmax.temperature if loss is None else loss.current_temperature())
            )
            self.log_temperature = self.add_weight(
                name="log_temperature", shape=(), initializer=tf.keras.initializers.Constant(start)
            )

    @property
    def factorized_metrics(self) -> list[Any]:
        """Metrics over a corpus of candidates; may be set later."""
        return self._factorized_metrics

    @factorized_metrics.setter
    def factorized_metrics(self, metrics: Any) -> None:
        one = isinstance(metrics, tfrs.metrics.Factorized)
        self._factorized_metrics = [metrics] if one else list(metrics or [])

    def call(
        self,
        query_embeddings: Tensor,
        candidate_embeddings: Tensor,
        sample_weight: Tensor | None = None,
        candidate_sampling_probability: Tensor | None = None,
        candidate_ids: Tensor | None = None,
        compute_metrics: bool = True,
        compute_batch_metrics: bool = True,
        score_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, and update the metrics.

        Parameters
        ----------
        query_embeddings : tensor of shape (batch, dim)
        candidate_embeddings : tensor of shape (n_candidates, dim)
            The positives in the order of the queries, then any further negatives.
        sample_weight : tensor of shape (batch,), optional
            Weights of the pairs in the loss; they change neither the candidates nor the correction.
        candidate_sampling_probability : tensor of shape (n_candidates,), optional
            In (0, 1]; needed by every correction but "none".
        candidate_ids : integer or string tensor of shape (n_candidates,), optional
            Needed when accidental hits are removed.
        compute_metrics, compute_batch_metrics : bool, default=True
            Whether to update the metrics over the corpus, and those over the batch.
        score_mask : bool tensor of shape (batch, n_candidates), optional
            False where a candidate is no negative of the row. The row's own positive always counts.

        Returns
        -------
        scalar tensor
        """
        if len(query_embeddings.shape) != 2:
            raise ValueError(
                f"`query_embeddings` must be of shape (batch, dim); got {tuple(query_embeddings.shape)}. "
                "Reduce several vectors a query to one."
            )
        ids, probability = (_flat(each) for each in (candidate_ids, candidate_sampling_probability))
        # AutoGraph, which Keras 2 applies to all that a layer calls, cannot read it and warns.
        tf.autograph.experimental.do_not_convert(_check_one_a_candidate)(
            candidate_embeddings, candidate_ids=ids, candidate_sampling_probability=probability
        )
        log_q = self._log_q(probability)
        positive, logits = similarity_logits(
            query_embeddings,
            candidate_embeddings,
            similarity=self.sampled_softmax.similarity,
            temperature=self.current_temperature(),
        )
        excluded = not_negatives(
            *ops.shape(logits),
            item_ids=self._ids_for_hits(ids),
            known_positives=None if score_mask is None else ops.logical_not(score_mask),
        )
        rows = sampled_softmax_loss(
            positive,
            logits,
            excluded,
            log_q=log_q,
            correction=self.sampled_softmax.correction,
            num_hard_negatives=self.sampled_softmax.num_hard_negatives,
        )
        if sample_weight is not None:
            rows = rows * ops.cast(_flat(sample_weight), rows.dtype)
        loss = ops.mean(rows) if self.reduction == "mean" else ops.sum(rows)
        for metric in self._loss_metrics:
            metric.update_state(loss)
        if compute_batch_metrics and self._batch_metrics:
            self._update_batch_metrics(logits, excluded, log_q, sample_weight)
        if compute_metrics:
            self._update_metrics(query_embeddings, candidate_embeddings, ids, sample_weight)
        return loss

    def current_temperature(self) -> Tensor:
        """Return the temperature, learned or fixed."""
        return (
            self.sampled_softmax.temperature
            if self.log_temperature is None
            else ops.exp(self.log_temperature)
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments but the metrics."""
        loss = keras.saving.serialize_keras_object(self.sampled_softmax)
        return {**super().get_config(), "loss": loss, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SampledSoftmaxTask:
        """Rebuild the task from :meth:`get_config`."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})

    def _log_q(self, probability: Tensor | None) -> Tensor | None:
        if self.sampled_softmax.correction == "none":
            return None
        if probability is None:
            raise ValueError(
                "`candidate_sampling_probability` must be given when correction is "
                f"{self.sampled_softmax.correction!r}; got None. Pass the sampling probability of every "
                "candidate, or SampledSoftmax(correction='none') as the loss."
            )
        # A probability of 0 is a rounding error, since the candidate was drawn.
        return ops.log(ops.maximum(ops.cast(probability, "float32"), np.finfo(np.float32).tiny))

    def _ids_for_hits(self, candidate_ids: Tensor | None) -> Tensor | None:
        if not self.sampled_softmax.remove_accidental_hits:
            return None
        if candidate_ids is None:
            raise ValueError(
                "`candidate_ids` must be given when accidental hits are removed; got None. Pass the "
                "candidates' ids, or SampledSoftmax(remove_accidental_hits=False) as the loss."
            )
        # Keras 3 has no strings; numbers tell them apart as well.
        return tf.unique(candidate_ids).idx if candidate_ids.dtype == tf.string else candidate_ids

    def _update_metrics(
        self, queries: Tensor, candidates: Tensor, ids: Tensor | None, sample_weight: Tensor | None
    ) -> None:
        batch = ops.shape(queries)[0]
        for metric in self._factorized_metrics:
            metric.update_state(
                queries,
                candidates[:batch],
                true_candidate_ids=None if ids is None else ids[:batch],
                sample_weight=sample_weight,
            )

    def _update_batch_metrics(
        self, logits: Tensor, excluded: Tensor, log_q: Tensor | None, sample_weight: Tensor | None
    ) -> None:
        """Show the metrics the positive against the negatives, on finite logits."""
        labels = tf.eye(*ops.shape(logits), dtype=logits.dtype)
        scores = logits if log_q is None else logits - ops.expand_dims(ops.cast(log_q, logits.dtype), 0)
        lowest = ops.cast(np.finfo(np.float32).min / 100, logits.dtype)
        scores = ops.where(ops.logical_and(excluded, labels == 0), lowest, scores)
        for metric in self._batch_metrics:
            metric.update_state(labels, scores, sample_weight=sample_weight)


def _flat(values: Tensor | None) -> Tensor | None:
    """Return values of shape (n,), as a column of (n, 1) would broadcast to a square."""
    return None if values is None else tf.reshape(values, (-1,))
