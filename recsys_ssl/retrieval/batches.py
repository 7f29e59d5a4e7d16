"""Batches of (user, item) pairs with their features, further negatives and sampling probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_ssl.embeddings.streaming_frequency import StreamingFrequency
from recsys_ssl.losses.mixed_sampling import mixed_sampling_log_probability

Features = Mapping[str, NDArray[Any]]


class InteractionBatches(keras.utils.PyDataset):
    """Shuffled batches for :class:`~recsys_ssl.TwoTower`, features gathered row by row.

    Parameters
    ----------
    users, items : integer ndarray of shape (n_pairs,)
        Rows of the tables below.
    weights : ndarray of shape (n_pairs,) or None
        Sample weights.
    user_features, item_features : mapping of str to ndarray
        Encoded features, one row a user or an item.
    log_q : ndarray of shape (n_items,) or None
        Log sampling probability of each item; None asks for the streaming estimate.
    batch_size : int
        The last, smaller batch of an epoch is left out: the next epoch shuffles anew.
    uniform_negatives : int, default=0
        Further negatives a batch, drawn uniformly from the catalogue.
    seen : CSR array of shape (n_users, n_items), optional
        Marks a user's other positives, so that they are no negatives.
    self_supervised : bool, default=False
        Bring a second stream: as many items as pairs, drawn uniformly from the catalogue, none twice in a
        batch (all of them, in any order, where the catalogue is smaller).
    seed : int
        Of the shuffling and of the negatives; the epoch's number is mixed in.
    """

    def __init__(
        self,
        users: NDArray[np.integer[Any]],
        items: NDArray[np.integer[Any]],
        weights: NDArray[np.floating[Any]] | None,
        *,
        user_features: Features,
        item_features: Features,
        log_q: NDArray[np.float64] | None,
        batch_size: int,
        uniform_negatives: int = 0,
        seen: sparse.csr_array | None = None,
        self_supervised: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.users, self.items, self.weights = users, items, weights
        self.user_features, self.item_features = user_features, item_features
        self.n_items = len(next(iter(item_features.values())))
        self.log_q = log_q
        self.frequency = StreamingFrequency(seed=seed) if log_q is None else None
        self.batch_size = min(batch_size, len(users))
        self.uniform_negatives = uniform_negatives
        self.seen = None if seen is None else (seen.indptr.astype(np.int64), seen.indices.astype(np.int64))
        self.self_supervised = self_supervised
        self.seed = seed
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.users) // self.batch_size

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.users))

    def __getitem__(self, place: int) -> Any:
        chosen = self.order[place * self.batch_size : (place + 1) * self.batch_size]
        users, items = self.users[chosen], self.items[chosen]
        candidates = items
        batch: dict[str, Any] = {
            "query": {name: column[users] for name, column in self.user_features.items()},
            "item": {name: column[items] for name, column in self.item_features.items()},
        }
        if self.uniform_negatives:
            generator = np.random.default_rng([self.seed, self.epoch, place])
            drawn = generator.integers(self.n_items, size=self.uniform_negatives)
            batch["negatives"] = {name: column[drawn] for name, column in self.item_features.items()}
            candidates = np.concatenate([items, drawn])
        if self.self_supervised:
            uniform = self.uniform_items(place)
            batch["uniform_items"] = {name: column[uniform] for name, column in self.item_features.items()}
        batch["item_ids"] = candidates.astype(np.int32)
        batch["log_q"] = self._log_probability(items, candidates).astype(np.float32)
        if self.seen is not None:
            batch["known_positives"] = mark_known_positives(users, candidates, *self.seen)
        if self.weights is None:
            return (batch,)
        return batch, np.zeros(len(users), dtype=np.float32), self.weights[chosen].astype(np.float32)

    def uniform_items(self, place: int) -> NDArray[np.int64]:
        """Return the items of the second stream in a batch, shape (min(batch_size, n_items),)."""
        generator = np.random.default_rng([self.seed, self.epoch, place, 1])
        return generator.choice(self.n_items, min(self.batch_size, self.n_items), replace=False)

    def _log_probability(
        self, items: NDArray[np.integer[Any]], candidates: NDArray[np.integer[Any]]
    ) -> NDArray[np.float64]:
        if self.log_q is not None:
            return np.asarray(self.log_q[candidates])
        assert self.frequency is not None
        self.frequency.update(items)
        return mixed_sampling_log_probability(
            self.frequency.probability(candidates) / len(items),
            batch=len(items),
            uniform=self.uniform_negatives,
            corpus=self.n_items,
        )


@numba.njit(cache=True, nogil=True)
def mark_known_positives(
    users: NDArray[np.integer[Any]],
    candidates: NDArray[np.integer[Any]],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each candidate is among the items that each user has seen.

    Parameters
    ----------
    users : integer ndarray of shape (batch,)
    candidates : integer ndarray of shape (n_candidates,)
    indptr, indices : ndarray
        CSR structure of users x items.

    Returns
    -------
    bool ndarray of shape (batch, n_candidates)
    """
    marked = np.zeros((len(users), len(candidates)), dtype=np.bool_)
    # Only what the batch's users have seen is looked up, among the sorted candidates: the catalogue's size
    # does not matter.
    order = np.argsort(candidates)
    ranked = candidates[order]
    for row in range(len(users)):
        for place in range(indptr[users[row]], indptr[users[row] + 1]):
            at = np.searchsorted(ranked, indices[place])
            while at < len(ranked) and ranked[at] == indices[place]:
                marked[row, order[at]] = True
                at += 1
    return marked
