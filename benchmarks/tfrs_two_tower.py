"""The same two-tower model in TensorFlow Recommenders; needs a process with TF_USE_LEGACY_KERAS=1."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras
from numpy.typing import NDArray
from retrieval_task import RetrievalTask

OPTIMIZERS = {
    "adagrad": tf_keras.optimizers.Adagrad,
    "adam": tf_keras.optimizers.Adam,
    "legacy_adagrad": tf_keras.optimizers.legacy.Adagrad,
    "legacy_adam": tf_keras.optimizers.legacy.Adam,
}


class PooledEmbedding(tf_keras.layers.Layer):
    """Mean of the vectors of a row's values, 0 pads; GlobalAveragePooling1D gives NaN to an empty row."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.embedding = tf_keras.layers.Embedding(rows, dim)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Vectors of shape (batch, dim)."""
        present = tf.cast(tf.not_equal(values, 0), tf.float32)[:, :, None]  # (batch, longest bag, 1)
        total = tf.reduce_sum(self.embedding(values) * present, axis=1)
        return total / tf.maximum(tf.reduce_sum(present, axis=1), 1.0)


class Tower(tf_keras.Model):
    """The sum of the vectors of all features: lookups, pooled lookups, a dense layer for numbers."""

    def __init__(self, specification: list[dict[str, Any]], dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fields = {}
        for entry in specification:
            rows, kind = entry["num_rows"], entry["kind"]
            layers = {
                "category": lambda rows=rows: tf_keras.layers.Embedding(rows, dim),
                "multi": lambda rows=rows: PooledEmbedding(rows, dim),
                "dense": lambda: tf_keras.layers.Dense(dim, use_bias=False),
            }
            self.fields[entry["name"]] = layers[kind]()
        self.drop = tf_keras.layers.Dropout(dropout) if dropout else None

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Vectors of shape (batch, dim)."""
        vector = tf.add_n([layer(inputs[name]) for name, layer in self.fields.items()])
        return vector if self.drop is None else self.drop(vector, training=training)


class TfrsTwoTower(tfrs.Model):
    """Retrieval task with logQ correction and accidental hits removed; no corpus metric while training."""

    def __init__(self, task: RetrievalTask, dim: int, dropout: float, l2: float) -> None:
        super().__init__()
        self.query_tower = Tower(task.user_specification, dim, dropout)
        self.item_tower = Tower(task.item_specification, dim)
        self.l2 = l2
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Sum over the batch, as TensorFlow Recommenders has it."""
        queries = self.query_tower(inputs["query"], training=training)
        items = self.item_tower(inputs["item"], training=training)
        loss = self.task(
            queries,
            items,
            candidate_sampling_probability=inputs["probability"],
            candidate_ids=inputs["item_ids"],
            compute_metrics=False,
            compute_batch_metrics=False,
        )
        if self.l2:
            loss += self.l2 * (tf.reduce_sum(queries**2) + tf.reduce_sum(items**2))
        return loss


class EpochTimes(tf_keras.callbacks.Callback):
    """Seconds from one epoch's end to the next, whatever happens between."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Start."""
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the time."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def make_pipeline(task: RetrievalTask, batch_size: int, seed: int) -> tf.data.Dataset:
    """Shuffle row numbers, batch them, gather the features of a batch at once, prefetch.

    Gathering by batch is several times faster than slicing every pair's features out one by one.
    """
    users, items = tf.constant(task.users), tf.constant(task.items)
    user_features = {name: tf.constant(column) for name, column in task.user_features.items()}
    item_features = {name: tf.constant(column) for name, column in task.item_features.items()}
    probability = tf.constant(task.item_frequency.astype(np.float32))

    def gather(rows: tf.Tensor) -> dict[str, Any]:
        user, item = tf.gather(users, rows), tf.gather(items, rows)
        return {
            "query": {name: tf.gather(column, user) for name, column in user_features.items()},
            "item": {name: tf.gather(column, item) for name, column in item_features.items()},
            "item_ids": item,
            "probability": tf.gather(probability, item),
        }

    n_pairs = len(task.users)
    batch_size = min(batch_size, n_pairs)
    rows = tf.data.Dataset.range(n_pairs).shuffle(n_pairs, seed=seed).batch(batch_size, drop_remainder=True)
    return rows.map(gather, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def train(
    task: RetrievalTask,
    *,
    optimizer: str,
    learning_rate: float,
    dim: int,
    batch_size: int,
    epochs: int,
    dropout: float,
    l2: float,
    seed: int,
) -> tuple[list[float], NDArray[np.float32], NDArray[np.float32]]:
    """Return seconds of every epoch and the vectors of all users and items."""
    tf_keras.utils.set_random_seed(seed)
    model = TfrsTwoTower(task, dim, dropout, l2)
    model.compile(optimizer=OPTIMIZERS[optimizer](learning_rate))
    times = EpochTimes()
    model.fit(make_pipeline(task, batch_size, seed), epochs=epochs, verbose=0, callbacks=[times])
    user_vectors = model.query_tower(task.user_features, training=False).numpy()
    item_vectors = model.item_tower(task.item_features, training=False).numpy()
    return times.seconds, user_vectors, item_vectors
