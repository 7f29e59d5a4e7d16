"""The data of the retrieval benchmarks: one split, encoded once, and one way to measure vectors.

Nothing here imports a deep-learning framework, so that every contender can use it in its own process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.encoding.entity_features import EntityFeatures
from recsys_ssl.measures.evaluation import evaluate_rankings
from recsys_ssl.recommenders.factor_recommender import FactorRecommender
from recsys_ssl.splits import leave_last_out, random_split
from sparse_data.datasets import Interactions, fetch_amazon, fetch_gowalla, fetch_movielens

DATA = ("movielens-100k", "gowalla")
WITH_BEAUTY = (*DATA, "amazon-beauty")
PROTOCOLS = {
    "movielens-100k": "P1: all ratings positive, random 80/20, full catalogue of 1682, seen removed",
    "gowalla": "LightGCN split, full catalogue of 40981, seen removed",
    "amazon-beauty": "S3-Rec's 5-core, each user's last item is test, full catalogue of 12101, seen removed",
}


@dataclass(frozen=True)
class RetrievalTask:
    """A split log and its encoded features; `users` and `items` are feature rows, one a training pair."""

    train: Interactions
    test: Interactions
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    user_features: Mapping[str, NDArray[Any]]
    item_features: Mapping[str, NDArray[Any]]
    user_specification: list[dict[str, Any]]
    item_specification: list[dict[str, Any]]

    @property
    def item_frequency(self) -> NDArray[np.float64]:
        """Probability that a training pair holds each item."""
        return np.bincount(self.items, minlength=len(self.item_ids)) / len(self.items)


def load_split(data: str, seed: int, *, fast: bool = False) -> tuple[Interactions, Interactions]:
    """Return train and test; with `fast` only some thousand pairs of them."""
    if data == "movielens-100k":
        log = fetch_movielens("100k")
        if fast:
            log = log.take(np.random.default_rng(seed).permutation(len(log))[:10_000])
        train, test = random_split(log, (0.8, 0.2), random_state=seed)
        return train, test
    if data == "amazon-beauty":
        log = fetch_amazon("beauty")
        train, test = leave_last_out(log.replace(users={"user_id": np.unique(log.user_ids)}))
    else:
        train, test = fetch_gowalla()
    if fast:
        train, test = train.take(train.user_ids < 500), test.take(test.user_ids < 500)
    return train, test


def make_task(data: str, seed: int, *, fast: bool = False, validate: bool = False) -> RetrievalTask:
    """Split and encode.

    Parameters
    ----------
    data : {"movielens-100k", "gowalla", "amazon-beauty"}
    seed : int
        Of the split; Gowalla's is given.
    fast : bool
        A tiny part.
    validate : bool
        Forget the test part and hold a tenth of the training part out in its place, to choose settings on.
    """
    train, test = load_split(data, seed, fast=fast)
    if validate:
        train, test = random_split(train, (0.9, 0.1), random_state=seed)
    tables: dict[str, Any] = {"user_id": train.users, "item_id": train.items}
    ids = {name: np.unique(table[name]) for name, table in tables.items()}
    known = {"user_id": np.unique(train.user_ids), "item_id": np.unique(train.item_ids)}
    encoders = {name: EntityFeatures.learn(name, known[name], tables[name]) for name in tables}
    encoded = {name: encoders[name].encode(ids[name], tables[name]) for name in tables}
    return RetrievalTask(
        train=train,
        test=test,
        user_ids=ids["user_id"],
        item_ids=ids["item_id"],
        users=np.searchsorted(ids["user_id"], train.user_ids),
        items=np.searchsorted(ids["item_id"], train.item_ids),
        user_features=encoded["user_id"],
        item_features=encoded["item_id"],
        user_specification=encoders["user_id"].specification(),
        item_specification=encoders["item_id"].specification(),
    )


class GivenVectors(FactorRecommender):
    """Ranks by the inner product of vectors that come from anywhere, over all ids of the side tables."""

    def __init__(self, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]) -> None:
        self.user_vectors = user_vectors
        self.item_vectors = item_vectors

    def _audience(self, interactions: Interactions) -> NDArray[Any]:
        return np.unique(interactions.users["user_id"])

    def _catalogue(self, interactions: Interactions) -> NDArray[Any]:
        return np.unique(interactions.items["item_id"])

    def _fit(self, weights: Any, interactions: Interactions) -> None:
        self.user_factors_, self.item_factors_ = self.user_vectors, self.item_vectors


def measure_vectors(
    task: RetrievalTask, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]
) -> dict[str, float]:
    """Return recall and hit rate at 10 and 100 and NDCG at 100 of the full ranking, seen items removed."""
    model = GivenVectors(user_vectors, item_vectors).fit(task.train)
    users = np.unique(task.test.user_ids)
    ranked, _ = model.recommend(users, 100)
    frame = evaluate_rankings(
        users,
        ranked,
        task.train,
        task.test,
        k=(10, 20, 100),
        slices=None,
        catalogue=task.item_ids,
        n_bootstrap=0,
    )
    value = frame.set_index(["metric", "k"])["value"]
    return {
        "recall_10": float(value["recall", 10]),
        "recall_20": float(value["recall", 20]),
        "recall_100": float(value["recall", 100]),
        "hit_rate_10": float(value["hit_rate_per_interaction", 10]),
        "hit_rate_100": float(value["hit_rate_per_interaction", 100]),
        "ndcg_20": float(value["ndcg", 20]),
        "ndcg_100": float(value["ndcg", 100]),
    }
