"""Two-tower retrieval: a query tower and an item tower, trained by a sampled softmax.

Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from recsys_ssl.embeddings.sparse_model import SparseModel
from recsys_ssl.losses.contrastive_losses import uniformity
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.self_supervised.feature_dropout import FeatureDropout
from recsys_ssl.self_supervised.self_supervision import SelfSupervision
from recsys_ssl.sparse_training.training_callbacks import WarnOnCollapse
from sparse_data.type_checks import check_type

Tensor = Any
WATCHED = 256  # items of a batch whose pairs are enough to watch uniformity


@keras.saving.register_keras_serializable(package="sparselabels")
class TwoTower(SparseModel):
    r"""A query tower :math:`Q` and an item tower :math:`I` whose vectors' similarity ranks the items.

    Trained on pairs by :math:`L = \frac1N \sum_i w_i \ell_i`, with :math:`\ell_i` the loss of pair *i*
    among the candidates of its batch (see :class:`SampledSoftmax`) and :math:`w_i` its sample weight. Weights
    act on the loss alone: they change neither the candidates nor the correction. Use it as any Keras model:
    ``compile(optimizer=...)``, ``fit``, ``save``.

    Inputs are a dict:

    * ``"query"``: what the query tower takes, batch first;
    * ``"item"``: what the item tower takes, the positives of the queries in their order;
    * ``"negatives"`` (optional): the same for further negatives, for mixed negative sampling;
    * ``"item_ids"``: integers of shape (batch + n_negatives,), to recognise accidental hits;
    * ``"log_q"``: log sampling probabilities of shape (batch + n_negatives,), for the corrections;
    * ``"known_positives"`` (optional): bool of shape (batch, batch + n_negatives);
    * ``"uniform_items"``: with self-supervision, what the item tower takes, for items drawn uniformly.

    Calling the model gives the vectors of queries and of candidates. With self-supervision ``fit`` reports
    the main and the self-supervised loss, alignment and uniformity, and warns when vectors collapse.

    Parameters
    ----------
    query_tower : keras.Layer
    item_tower : keras.Layer
        Vectors of the length that the query tower gives.
    loss : SampledSoftmax, optional
        By default a dot product with logQ correction and without accidental hits.
    self_supervision : SelfSupervision or FeatureDropout, optional
        Further task on items, :math:`L = L_{main} + \alpha L_{self}`, or dropout of the items' fields. It
        must be adapted to the item tower's fields.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys.

    Examples
    --------
    >>> import keras, numpy as np
    >>> towers = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)]
    >>> model = TwoTower(*towers, loss=SampledSoftmax(correction="none", remove_accidental_hits=False))
    >>> model.compile(optimizer="adam")
    >>> pairs = {"query": np.eye(3, dtype="float32"), "item": np.eye(3, dtype="float32")}
    >>> history = model.fit(pairs, batch_size=3, verbose=0)
    >>> sorted(history.history)
    ['loss']
    """

    def __init__(
        self,
        query_tower: keras.Layer,
        item_tower: keras.Layer,
        loss: SampledSoftmax | None = None,
        self_supervision: SelfSupervision | FeatureDropout | None = None,
        **kwargs: Any,
    ) -> None:
        for name, tower in (("query_tower", query_tower), ("item_tower", item_tower)):
            check_type(name, tower, keras.Layer, "Pass a layer or a model.")
        if loss is not None:
            check_type("loss", loss, SampledSoftmax, "Pass a SampledSoftmax.")
        super().__init__(**kwargs)
        self.query_tower = query_tower
        self.item_tower = item_tower
        self.sampled_softmax = SampledSoftmax() if loss is None else loss
        # Towers that know their shapes need no first call: weights can be loaded at once.
        self.built = query_tower.built and item_tower.built
        self.self_supervision = self_supervision
        self.trackers: list[keras.metrics.Mean] = []
        self._weight = getattr(self_supervision, "weight", 0.0)
        if isinstance(self_supervision, SelfSupervision):
            names = ("main_loss", *self_supervision.terms(), "uniformity")
            self.trackers = [keras.metrics.Mean(name=name) for name in names]
            if self_supervision.heads != "tower" and self_supervision.dim is None:
                self_supervision.make_heads(_length_of_vectors(item_tower))

    def call(self, inputs: dict[str, Any], training: bool = False) -> tuple[Any, ...]:
        """Vectors of the queries, shape (batch, dim), and of the candidates, (batch + n_negatives, dim).

        In training with self-supervision, its terms as well.
        """
        queries = self.query_tower(inputs["query"], training=training)
        positives = inputs["item"]
        if isinstance(self.self_supervision, FeatureDropout):
            positives = self.self_supervision(positives, training=training)
        items = self.item_tower(positives, training=training)
        if "negatives" in inputs:
            further = self.item_tower(inputs["negatives"], training=training)
            items = ops.concatenate([items, further], axis=0)
        if not training or not isinstance(self.self_supervision, SelfSupervision):
            return queries, items
        if "uniform_items" not in inputs:
            raise ValueError(
                "`inputs` must hold 'uniform_items' for self-supervision; got none. Pass encoded features of "
                "items drawn uniformly from the catalogue, as InteractionBatches does."
            )
        terms = self.self_supervision(inputs["uniform_items"], item_tower=self.item_tower)
        # Of whole items: views that show little are near each other by themselves.
        return queries, items, {**terms, "uniformity": uniformity(ops.stop_gradient(items[:WATCHED]))}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Mean of the weighted losses of the batch's pairs, and what the towers add."""
        del y, training  # the items are the labels
        queries, items, *further = y_pred
        rows = self.sampled_softmax(
            queries,
            items,
            item_ids=x.get("item_ids"),
            log_q=x.get("log_q"),
            known_positives=x.get("known_positives"),
        )
        if sample_weight is not None:
            rows = rows * ops.cast(ops.reshape(sample_weight, (-1,)), rows.dtype)
        loss = sum(self.losses, start=ops.mean(rows))
        for terms in further:
            values = {"main_loss": loss, **terms}
            for tracker in self.trackers:
                tracker.update_state(values[tracker.name])
            loss = loss + self._weight * terms["self_loss"]
        return loss

    def fit(self, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
        """Train; as of :class:`keras.Model`."""
        if self.trackers and not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [WarnOnCollapse(), *keras.tree.flatten(callbacks or [])]
        return super().fit(*args, callbacks=callbacks, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "query_tower": keras.saving.serialize_keras_object(self.query_tower),
            "item_tower": keras.saving.serialize_keras_object(self.item_tower),
            "loss": keras.saving.serialize_keras_object(self.sampled_softmax),
            "self_supervision": keras.saving.serialize_keras_object(self.self_supervision),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TwoTower:
        """Rebuild the model from :meth:`get_config`."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("query_tower", "item_tower", "loss", "self_supervision")
        }
        return cls(**{**config, **parts})


def _length_of_vectors(tower: Any) -> int:
    """Return the length of a tower's vectors, which it tells as `dim` or by its output's shape."""
    length = getattr(tower, "dim", None)
    if length is None:
        length = tower.output_shape[-1]
    return int(length)
