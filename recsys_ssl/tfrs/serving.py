"""Trained two-tower models in the layers of TensorFlow Recommenders that answer queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.embeddings.id_lookup import as_ids, check_k
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.retrieval.two_tower import TwoTower
from sparse_data import checks

Tensor = Any


class QueryTower(tf.keras.Model):
    """The query tower of a `TwoTower` as a query model for the layers of `tfrs.layers.factorized_top_k`.

    Called with what the tower takes; gives vectors of shape (batch, dim), of length 1 where the model's
    similarity is the cosine.

    Parameters
    ----------
    model : TwoTower
    """

    def __init__(self, model: TwoTower, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tower = model.query_tower
        self.similarity = model.sampled_softmax.similarity

    def call(self, inputs: Any) -> Tensor:
        """Return the vectors of the queries."""
        vectors = self.tower(inputs, training=False)
        return _unit(vectors) if self.similarity == "cosine" else vectors

    def get_config(self) -> dict[str, Any]:
        """Raise: a tower of Keras 3 is no part of a configuration of Keras 2. `tf.saved_model.save` works."""
        raise NotImplementedError


class UserVectors(tf.keras.Model):
    """User ids in, the vectors of a fitted `TwoTowerRetriever` out.

    One more column is 1 for users of whom nothing is known and 0 for all others: there the items hold the
    popularity prior, so that unknown users are ranked as by `TwoTowerRetriever.recommend`.

    Parameters
    ----------
    retriever : TwoTowerRetriever
        Fitted.
    """

    def __init__(self, retriever: TwoTowerRetriever, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        ids, factors = retriever.user_ids_, retriever.user_factors_
        rows = tf.range(len(ids), dtype=tf.int64)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(ids), rows), default_value=len(ids)
        )
        # The row behind the last one is that of unknown users: (n_users + 1, dim + 1)
        table = np.pad(factors, ((0, 1), (0, 1)))
        table[~table.any(axis=1), -1] = 1.0
        self.vectors = self.add_weight(name="vectors", shape=table.shape, trainable=False)
        self.vectors.assign(table)

    def call(self, user_ids: Tensor) -> Tensor:
        """Return vectors of shape (n, dim + 1) of ids of shape (n,)."""
        user_ids = tf.convert_to_tensor(user_ids)
        if user_ids.dtype.is_integer:
            user_ids = tf.cast(user_ids, tf.int64)
        return tf.gather(self.vectors, self.rows.lookup(user_ids))

    def get_config(self) -> dict[str, Any]:
        """Raise: the vectors are no part of a configuration. `tf.saved_model.save` works."""
        raise NotImplementedError


def brute_force_layer(
    model: TwoTower | TwoTowerRetriever,
    item_vectors: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
    *,
    k: int = 10,
) -> Any:
    """Serve a model by `tfrs.layers.factorized_top_k.BruteForce`, exactly.

    ``layer(queries, k=...)`` returns scores and item ids; ``layer.query_with_exclusions`` leaves seen items
    out. After a first call ``tf.saved_model.save`` writes query tower and index, and a process that knows
    neither Keras nor this library serves them.

    Parameters
    ----------
    model : TwoTower or fitted TwoTowerRetriever
        Queries are what the query tower takes, or the user ids of the retriever's log; unknown users get
        the popularity prior.
    item_vectors : array of shape (n_items, dim)
        What the item tower gives. Not for a retriever, which has them.
    item_ids : array of shape (n_items,), optional
        Distinct integers or strings; by default 0, 1, ... Not for a retriever.
    k : int, default=10
        Items a query where the call does not say.

    Returns
    -------
    tfrs.layers.factorized_top_k.BruteForce

    Raises
    ------
    TypeError
        If the model is of another kind.
    ValueError
        If the vectors are not finite, not given or given twice, an id is doubled, or `k` is above the number
        of items.

    Examples
    --------
    >>> import keras
    >>> towers = [keras.Sequential([keras.Input((2,)), keras.layers.Identity()]) for _ in range(2)]
    >>> vectors = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> layer = brute_force_layer(TwoTower(*towers), vectors, ["a", "b", "c"], k=2)
    >>> scores, ids = layer(tf.constant([[1.0, 0.5]]))
    >>> scores.numpy().tolist(), ids.numpy().tolist()
    ([[1.5, 1.0]], [[b'c', b'a']])
    """
    query_model, vectors, ids = _index(model, item_vectors, item_ids, k)
    return tfrs.layers.factorized_top_k.BruteForce(query_model, k=k).index(vectors, ids)


def streaming_layer(
    model: TwoTower | TwoTowerRetriever,
    item_vectors: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
    *,
    k: int = 10,
    batch_size: int = 4096,
) -> Any:
    """Serve a model by `tfrs.layers.factorized_top_k.Streaming`: exactly, a batch of items at a time.

    Parameters
    ----------
    model, item_vectors, item_ids, k
        As in :func:`brute_force_layer`.
    batch_size : int, default=4096
        Items scored at once.

    Returns
    -------
    tfrs.layers.factorized_top_k.Streaming

    Raises
    ------
    TypeError, ValueError
        As :func:`brute_force_layer`.
    """
    checks.check_count("batch_size", batch_size)
    query_model, vectors, ids = _index(model, item_vectors, item_ids, k)
    items = tf.data.Dataset.from_tensor_slices((ids, vectors)).batch(batch_size)
    return tfrs.layers.factorized_top_k.Streaming(query_model, k=k).index_from_dataset(items)


def scann_layer(
    model: TwoTower | TwoTowerRetriever,
    item_vectors: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
    *,
    k: int = 10,
    num_leaves: int = 100,
    num_leaves_to_search: int = 10,
    num_reordering_candidates: int | None = None,
) -> Any:
    """Serve a model by `tfrs.layers.factorized_top_k.ScaNN`, approximately.

    Parameters
    ----------
    model, item_vectors, item_ids, k
        As in :func:`brute_force_layer`.
    num_leaves, num_leaves_to_search, num_reordering_candidates
        Of the layer: partitions of the items, those that a query visits, and how many of the items found are
        scored exactly.

    Returns
    -------
    tfrs.layers.factorized_top_k.ScaNN

    Raises
    ------
    ImportError
        Where the package `scann` is not installed.
    TypeError, ValueError
        As :func:`brute_force_layer`.
    """
    query_model, vectors, ids = _index(model, item_vectors, item_ids, k)
    try:
        layer = tfrs.layers.factorized_top_k.ScaNN(
            query_model,
            k=k,
            num_leaves=num_leaves,
            num_leaves_to_search=num_leaves_to_search,
            num_reordering_candidates=num_reordering_candidates,
        )
    except ImportError as error:
        raise ImportError("scann_layer needs scann: pip install scann", name="scann") from error
    return layer.index(vectors, ids)


def _index(
    model: TwoTower | TwoTowerRetriever, item_vectors: ArrayLike | None, item_ids: ArrayLike | None, k: int
) -> tuple[Any, Tensor, Tensor]:
    """Return the query model, the items' vectors (n_items, dim) and their ids (n_items,)."""
    if isinstance(model, TwoTowerRetriever):
        check_is_fitted(model)
        if not (item_vectors is None and item_ids is None):
            raise ValueError(
                "`item_vectors` and `item_ids` must be left out with a retriever, which has its own; got "
                "them. Pass its `model_` to serve other items."
            )
        check_k(k, len(model.item_ids_))
        prior = model._score_unknown(model.user_ids_[:1])[0]
        vectors = np.column_stack([model.item_factors_, prior])
        return UserVectors(model), tf.constant(vectors, tf.float32), tf.constant(model.item_ids_)
    if not isinstance(model, TwoTower):
        raise TypeError(
            f"`model` must be a TwoTower or a TwoTowerRetriever; got {type(model).__name__}. "
            "Index the vectors of other models by the layer itself."
        )
    if item_vectors is None:
        raise ValueError(
            "`item_vectors` must be given with a TwoTower; got None. Pass what its item tower gives."
        )
    matrix = checks.check_finite("item_vectors", checks.check_ndim("item_vectors", item_vectors, 2))
    ids = np.arange(len(matrix)) if item_ids is None else as_ids("item_ids", item_ids)
    checks.check_same_length(item_vectors=matrix, item_ids=ids)
    if np.unique(ids).size < ids.size:
        raise ValueError("`item_ids` must be distinct; got duplicates. Keep one vector an item.")
    check_k(k, len(ids))
    vectors = tf.constant(matrix, tf.float32)
    cosine = model.sampled_softmax.similarity == "cosine"
    return QueryTower(model), _unit(vectors) if cosine else vectors, tf.constant(ids)


def _unit(vectors: Tensor) -> Tensor:
    """Divide every row by its length; a zero vector stays."""
    return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24)
