"""Train two towers on the pairs of a log, with the number of epochs chosen on held-out pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_ssl.embeddings.id_lookup import UNKNOWN, lookup
from recsys_ssl.embeddings.rowwise import LazyAdam
from recsys_ssl.encoding.feature_tower import FeatureTower
from recsys_ssl.losses.mixed_sampling import mixed_sampling_log_probability
from recsys_ssl.measures.metrics import ndcg
from recsys_ssl.measures.ranking_accumulator import hit_matrix
from recsys_ssl.recommenders.blocked_top_k import blocked_top_k
from recsys_ssl.retrieval.batches import InteractionBatches
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.retrieval.two_tower import TwoTower
from recsys_ssl.self_supervised.feature_dropout import FeatureDropout
from recsys_ssl.self_supervised.field_diagnostics import field_information
from recsys_ssl.self_supervised.self_supervision import SelfSupervision
from recsys_ssl.sparse_training.training_callbacks import BestEpoch, Finite, ProgressBar, Stopwatch
from sparse_data import checks
from sparse_data.datasets.interactions import Interactions

Encoded = Mapping[str, NDArray[Any]]

# Validation ranks the full catalogue for at most this many users, so that an epoch is not mostly measuring.
VALIDATION_USERS = 4096
STEPS_AT_ONCE = 8  # of TensorFlow, between two looks at the callbacks
VECTORS_AT_ONCE = 8192
COMPILED_FROM = 500  # steps


@dataclass(frozen=True)
class Pairs:
    """Distinct (user, item) pairs as rows and columns of a matrix.

    Parameters
    ----------
    users, items : int64 ndarray of shape (n_pairs,)
    weights : float32 ndarray of shape (n_pairs,) or None
    shape : tuple of int
        Numbers of users and of items.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def matrix(self) -> csr_array:
        """The pairs as a CSR array of bool."""
        data = np.ones(len(self), dtype=np.bool_)
        return csr_array((data, (self.users, self.items)), shape=self.shape)

    def take(self, index: NDArray[Any]) -> Pairs:
        """Return some of the pairs."""
        weights = None if self.weights is None else self.weights[index]
        return Pairs(self.users[index], self.items[index], weights, self.shape)

    def hold_out(self, fraction: float, *, seed: int) -> tuple[Pairs, Pairs]:
        """Split the pairs at random into those to train on and ``fraction`` of them to measure on."""
        order = np.random.default_rng([seed, 1]).permutation(len(self))
        cut = min(max(1, round(fraction * len(self))), len(self) - 1)
        return self.take(np.sort(order[cut:])), self.take(np.sort(order[:cut]))


def held_out_pairs(
    validation: Interactions, user_ids: NDArray[Any], item_ids: NDArray[Any], logged: csr_array
) -> Pairs:
    """Return the distinct pairs of a validation log that a model can be measured on.

    Parameters
    ----------
    validation : Interactions
    user_ids, item_ids : ndarray
        Sorted; pairs of others are left out.
    logged : csr_array of shape (n_users, n_items)
        What the training log holds is never recommended: as a held-out pair it would count as missed.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        If no pair is left.
    """
    rows = lookup("validation", validation.user_ids, user_ids)
    columns = lookup("validation", validation.item_ids, item_ids)
    known = (rows != UNKNOWN) & (columns != UNKNOWN)
    n_items, in_log = item_ids.size, logged.tocoo()
    known &= ~np.isin(rows * n_items + columns, in_log.row.astype(np.int64) * n_items + in_log.col)
    hint = "Pass pairs of users and items of the log that are not in the log themselves."
    checks.check_nonempty("validation", rows[known], hint=hint)
    distinct = np.unique(np.stack([rows[known], columns[known]], axis=1), axis=0)
    return Pairs(distinct[:, 0], distinct[:, 1], None, (user_ids.size, n_items))


@dataclass
class TrainingRun:
    """What came of training: the model, its best epoch, the logs of all, and whether Ctrl-C ended it."""

    model: TwoTower
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False


def train_two_tower(
    model: TwoTower,
    training: Pairs,
    held_out: Pairs | None,
    *,
    user_features: Encoded,
    item_features: Encoded,
    uniform_negatives: int = 0,
    streaming_frequency: bool = False,
    mask_known_positives: bool = False,
    learning_rate: float,
    optimizer: Callable[[float], Any] = LazyAdam,
    batch_size: int,
    epochs: int,
    patience: int,
    seed: int,
    description: str = "fit",
    verbose: bool = True,
) -> TrainingRun:
    """Compile and fit the model; keep the epoch that ranks the held-out pairs best.

    Parameters
    ----------
    model : TwoTower
    training, held_out : Pairs
        Without held-out pairs the last epoch counts as the best.
    user_features, item_features : mapping of str to ndarray
        Encoded, one row a user or an item of the pairs' matrix.
    uniform_negatives, streaming_frequency, mask_known_positives, learning_rate, batch_size, epochs
    patience, seed, verbose
        As in :class:`~recsys_ssl.TwoTowerRetriever`.
    optimizer : callable
        Makes the optimizer from the learning rate.
    description : str
        Before the progress bar.

    Returns
    -------
    TrainingRun
        Ctrl-C ends training and is reported in it, unless no epoch was finished: then KeyboardInterrupt is
        raised.
    """
    log_q = None
    if not streaming_frequency:
        frequency = np.bincount(training.items, minlength=training.shape[1]) / len(training)
        sizes = {"batch": min(batch_size, len(training)), "uniform": uniform_negatives}
        log_q = mixed_sampling_log_probability(frequency, **sizes, corpus=training.shape[1])
    batches = InteractionBatches(
        training.users,
        training.items,
        training.weights,
        user_features=user_features,
        item_features=item_features,
        log_q=log_q,
        batch_size=batch_size,
        uniform_negatives=uniform_negatives,
        seen=training.matrix if mask_known_positives else None,
        self_supervised=isinstance(model.self_supervision, SelfSupervision),
        seed=seed,
    )
    logs = keras.callbacks.History()
    callbacks: list[keras.callbacks.Callback] = [Stopwatch(), Finite()]
    best = None
    if held_out is not None and len(held_out):
        name, measure = _validation(model, training, held_out, user_features, item_features)
        best = BestEpoch(measure, name=name, patience=patience)
        callbacks.append(best)
    callbacks += [
        logs,
        ProgressBar(len(batches) * batches.batch_size, description=description, disable=not verbose),
    ]
    data, steps_at_once = _as_fast_data(batches, callbacks)
    # Batches of one shape: in TensorFlow compiling them pays off after some hundred steps.
    long = epochs * len(batches) >= COMPILED_FROM
    model.compile(
        optimizer=optimizer(learning_rate),
        jit_compile={"jax": True, "tensorflow": long}.get(keras.backend.backend(), False),
        steps_per_execution=steps_at_once,
    )
    run = TrainingRun(model)
    try:
        model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    except KeyboardInterrupt:
        if not logs.epoch:
            raise
        run.interrupted = True
    if best is not None:
        best.restore()
    run.best_epoch = len(logs.epoch) if best is None else best.best_epoch
    names = list(logs.history)
    run.history = [dict(zip(names, row, strict=True)) for row in zip(*logs.history.values(), strict=False)]
    return run


def _as_fast_data(batches: InteractionBatches, callbacks: list[keras.callbacks.Callback]) -> tuple[Any, int]:
    """Return what to fit on and the steps to run at once; what it needs is added to the callbacks."""
    if keras.backend.backend() != "tensorflow":
        return batches, 1
    from recsys_ssl.retrieval import tensorflow_batches

    if not tensorflow_batches.can_be_gathered(batches):
        return batches, 1
    dataset, shuffle = tensorflow_batches.gathered_batches(batches)
    callbacks.append(shuffle)
    return dataset, min(STEPS_AT_ONCE, len(batches))


def build_two_tower(
    user_specification: list[dict[str, Any]],
    item_specification: list[dict[str, Any]],
    *,
    dim: int,
    hidden_units: tuple[int, ...] = (),
    dropout: float = 0.0,
    l2: float = 0.0,
    initial_scale: float = 0.05,
    loss: SampledSoftmax | None = None,
    self_supervision: SelfSupervision | FeatureDropout | None = None,
    item_features: Encoded | None = None,
    seed: int = 0,
) -> TwoTower:
    """Make the model of :class:`~recsys_ssl.TwoTowerRetriever`: dropout acts on query vectors, l2 on all.

    Self-supervision learns from the encoded features of the items, which it needs, what they say about each
    other.
    """
    common: dict[str, Any] = {"hidden_units": hidden_units, "l2": l2, "initial_scale": initial_scale}
    query_tower = FeatureTower(
        user_specification, dim, dropout=dropout, seed=2 * seed, name="query_tower", **common
    )
    item_tower = FeatureTower(item_specification, dim, seed=2 * seed + 1, name="item_tower", **common)
    # Copies, so that two fits with one object share no learned temperature and no fields.
    own_loss = None if loss is None else SampledSoftmax.from_config(loss.get_config())
    if self_supervision is not None:
        self_supervision = type(self_supervision).from_config(self_supervision.get_config())
        if item_features is None or getattr(self_supervision, "masking", "none") == "none":
            self_supervision.adapt(item_specification)
        else:
            known = field_information(item_features, item_specification)
            known.warn_if_too_few()
            self_supervision.adapt(item_specification, known.adjusted, known.identifiers)
    return TwoTower(query_tower, item_tower, own_loss, self_supervision)


def vectors_of(model: TwoTower, side: str, features: Encoded) -> NDArray[np.float32]:
    """Vectors of all rows of encoded features, in blocks; of unit length where the similarity is the cosine.

    Parameters
    ----------
    model : TwoTower
    side : {"query", "item"}
    features : mapping of str to ndarray with n rows

    Returns
    -------
    float32 ndarray of shape (n, dim)
    """
    tower = model.query_tower if side == "query" else model.item_tower
    n_rows = len(next(iter(features.values())))
    blocks = []
    for start in range(0, n_rows, VECTORS_AT_ONCE):
        block = {name: column[start : start + VECTORS_AT_ONCE] for name, column in features.items()}
        blocks.append(keras.ops.convert_to_numpy(tower(block, training=False)))
    vectors = np.concatenate(blocks).astype(np.float32, copy=False)
    if model.sampled_softmax.similarity == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors


def _validation(
    model: TwoTower, training: Pairs, held_out: Pairs, user_features: Encoded, item_features: Encoded
) -> tuple[str, Any]:
    """Return the name of the validation metric and a function that measures it over the full catalogue."""
    measured = np.unique(held_out.users)
    if len(measured) > VALIDATION_USERS:
        measured = np.sort(np.random.default_rng(0).choice(measured, VALIDATION_USERS, replace=False))
    inside = np.isin(held_out.users, measured)
    users, items = np.searchsorted(measured, held_out.users[inside]), held_out.items[inside]
    relevant = np.bincount(users, minlength=len(measured))
    features = {name: column[measured] for name, column in user_features.items()}
    seen = training.matrix
    k = min(100, training.shape[1])

    def measure() -> float:
        queries, vectors = vectors_of(model, "query", features), vectors_of(model, "item", item_features)

        def score_into(start: int, stop: int, out: NDArray[np.float32]) -> None:
            np.matmul(queries[start:stop], vectors.T, out=out)

        columns, _ = blocked_top_k(score_into, len(measured), len(vectors), k, seen=seen, seen_rows=measured)
        return float(np.mean(ndcg(hit_matrix(columns, users, items), relevant, k)))

    return f"val_ndcg@{k}", measure
