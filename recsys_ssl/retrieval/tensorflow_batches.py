"""Batches of interactions that TensorFlow gathers itself: no array crosses from Python at every step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recsys_ssl.retrieval.batches import InteractionBatches


def can_be_gathered(batches: InteractionBatches) -> bool:
    """Tell whether batches are made of columns alone, without anything that is computed in NumPy.

    Parameters
    ----------
    batches : InteractionBatches
    """
    return (
        batches.log_q is not None
        and batches.seen is None
        and batches.weights is None
        and not batches.uniform_negatives
    )


def gathered_batches(batches: InteractionBatches) -> tuple[tf.data.Dataset, keras.callbacks.Callback]:
    """Give the same batches in the same order, gathered by TensorFlow from columns that it holds.

    Parameters
    ----------
    batches : InteractionBatches
        Those of :func:`can_be_gathered`.

    Returns
    -------
    (tf.data.Dataset, keras.callbacks.Callback)
        The callback shuffles for the next epoch; training needs both.
    """
    users, items = tf.constant(batches.users), tf.constant(batches.items)
    log_q = tf.constant(batches.log_q, tf.float32)
    query_columns, item_columns = (
        {name: tf.constant(column) for name, column in features.items()}
        for features in (batches.user_features, batches.item_features)
    )
    order = tf.Variable(batches.order, trainable=False)
    second = tf.Variable(_second_stream(batches), trainable=False)

    def gather(place: tf.Tensor) -> tuple[dict[str, Any]]:
        start = place * batches.batch_size
        chosen = order[start : start + batches.batch_size]
        chosen = tf.ensure_shape(chosen, (batches.batch_size,))
        user, item = tf.gather(users, chosen), tf.gather(items, chosen)
        stream = {}
        if batches.self_supervised:
            drawn = second[place]
            stream["uniform_items"] = {
                name: tf.gather(column, drawn) for name, column in item_columns.items()
            }
        return (
            {
                **stream,
                "query": {name: tf.gather(column, user) for name, column in query_columns.items()},
                "item": {name: tf.gather(column, item) for name, column in item_columns.items()},
                "item_ids": tf.cast(item, tf.int32),
                "log_q": tf.gather(log_q, item),
            },
        )

    class Shuffle(keras.callbacks.Callback):
        """Bring the next epoch's order."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            batches.on_epoch_end()
            order.assign(batches.order)
            second.assign(_second_stream(batches))

    dataset = tf.data.Dataset.range(len(batches)).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE), Shuffle()


def _second_stream(batches: InteractionBatches) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the items of the second stream of all batches of an epoch, one row a batch."""
    if not batches.self_supervised:
        return np.zeros((0, 0), dtype=np.int64)
    return np.stack([batches.uniform_items(place) for place in range(len(batches))])
