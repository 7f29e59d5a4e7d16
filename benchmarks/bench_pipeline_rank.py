"""Retrieve, then rank, on MovieLens 100K: does a model of conversions improve what a retriever found.

A rating is a click, a rating of 4 or 5 a conversion, four films that were not rated a click are impressions
without a click. 8:1:1 at random for each user; the best 100 unseen films of a two-tower retriever of clicks
are put into another order; relevant is what the user gave 4 or 5 in the held-out part. The validation part
chooses the order and its weight, nothing is trained on it; a seed changes the split, the impressions and all
first weights.

    SPARSELABELS_DATA=<folder> KERAS_BACKEND=jax python benchmarks/bench_pipeline_rank.py
    python benchmarks/bench_pipeline_rank.py --summary
    python benchmarks/bench_pipeline_rank.py --fast     one seed, one epoch, *_fast.csv
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances

from recsys_ssl import (
    Category,
    Dense,
    EntireSpaceClassifier,
    MultiCategory,
    TwoTowerRetriever,
    evaluate_rankings,
    fused_scores,
)
from recsys_ssl.splits import per_user_split
from sparse_data.datasets import Interactions, fetch_movielens

SEEDS = (0, 1, 2, 3, 4)
CONTROL = "retrieval alone"
WEIGHTS = (0.5, 1.0, 2.0)
LEAST_RATING, CANDIDATES, UNCLICKED = 4, 100, 4
OF_USERS = [Dense("age"), Category("gender"), Category("occupation")]
OF_ITEMS = [MultiCategory("genres"), Dense("year")]
EVERYTHING = [Category("user_id"), Category("item_id"), *OF_USERS, *OF_ITEMS]
RETRIEVER = {"dim": 64, "validation_fraction": 0.0, "epochs": 15}
RANKER = {
    "dim": 16,
    "hidden_units": (64, 32),
    "learning_rate": 0.002,
    "epochs": 7,
    "validation_fraction": 0.0,
}
PACKAGES = ("keras", "jax", "numpy")


def converted(log: Interactions) -> Interactions:
    """Return the rows that are conversions."""
    return log.take(np.asarray(log.ratings) >= LEAST_RATING)


def joined(log: Interactions, users: NDArray[Any], items: NDArray[Any]) -> dict[str, Any]:
    """Return the columns of impressions: ids and the features of both side tables."""
    columns: dict[str, Any] = {"user_id": users, "item_id": items}
    for table, key, features in ((log.users, "user_id", OF_USERS), (log.items, "item_id", OF_ITEMS)):
        rows = np.searchsorted(table[key], columns[key])
        columns |= {feature.name: table[feature.name][rows] for feature in features}
    return columns


def impressions(train: Interactions, seed: int) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any]]:
    """Return columns, clicks and conversions: what was rated, and films that were not, drawn uniformly."""
    generator = np.random.default_rng([seed, 1])
    n = UNCLICKED * len(train)
    users = generator.choice(train.user_ids, n)
    items = generator.choice(train.items["item_id"], n)
    factor = int(train.items["item_id"].max()) + 1
    free = ~np.isin(users * factor + items, train.user_ids * factor + train.item_ids)
    users, items = np.append(train.user_ids, users[free]), np.append(train.item_ids, items[free])
    clicks = np.arange(len(users)) < len(train)
    conversions = np.zeros(len(users), dtype=bool)
    conversions[: len(train)] = train.ratings >= LEAST_RATING
    return joined(train, users, items), clicks, conversions


def smoothed_rate(train: Interactions) -> NDArray[np.float64]:
    """Return each film's share of conversions among its ratings by film id, drawn towards that of all."""
    size = int(train.items["item_id"].max()) + 1
    ratings = np.bincount(train.item_ids, minlength=size)
    liked = np.bincount(converted(train).item_ids, minlength=size)
    return np.asarray((liked + 10 * liked.sum() / ratings.sum()) / (ratings + 10))


class Rankings:
    """Orders of the same candidates, measured on one held-out part."""

    def __init__(self, retriever: TwoTowerRetriever, seen: Interactions, held_out: Interactions) -> None:
        self.seen, self.held_out = seen, held_out
        self.users = np.unique(held_out.user_ids)
        most = int(np.unique(seen.user_ids, return_counts=True)[1].max())
        length = min(CANDIDATES + most, retriever.item_ids_.size)
        items, relevance = retriever.recommend(self.users, length, filter_seen=False)
        factor = int(retriever.item_ids_.max()) + 1
        pairs = self.users[:, None] * factor + items
        relevance[np.isin(pairs, seen.user_ids * factor + seen.item_ids)] = -np.inf
        order = np.argsort(-relevance, axis=1, kind="stable")[:, :CANDIDATES]
        self.items = np.take_along_axis(items, order, axis=1)
        self.relevance = np.take_along_axis(relevance, order, axis=1)

    def measure(self, scores: NDArray[Any], catalogue: NDArray[Any]) -> dict[str, float]:
        """Return recall and NDCG at 10 of the candidates in the order of their scores."""
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(self.items, order, axis=1)
        frame = evaluate_rankings(
            self.users,
            ranked,
            self.seen,
            self.held_out,
            k=(10, CANDIDATES),
            slices=None,
            catalogue=catalogue,
            n_bootstrap=0,
        )
        value = frame.set_index(["metric", "k"])["value"]
        return {
            "recall_10": float(value["recall", 10]),
            "ndcg_10": float(value["ndcg", 10]),
            "recall_100": float(value["recall", CANDIDATES]),
        }


def orders(
    rankings: Rankings, log: Interactions, train: Interactions, rankers: dict[str, EntireSpaceClassifier]
) -> dict[str, NDArray[Any]]:
    """Return the scores of the candidates by the name of the order."""
    shape = rankings.items.shape
    found = {CONTROL: rankings.relevance}
    size = int(log.items["item_id"].max()) + 1
    found["popularity"] = np.bincount(converted(train).item_ids, minlength=size)[rankings.items]
    rate = smoothed_rate(train)[rankings.items]
    found["the film's own rate"] = rate
    for weight in WEIGHTS:
        found[f"fused with the film's own rate, weight {weight:g}"] = fused_scores(
            rankings.relevance, rate, weight=weight
        )
    columns = joined(log, np.repeat(rankings.users, shape[1]), rankings.items.ravel())
    for name, ranker in rankers.items():
        chances = ranker.predict_proba(columns)
        for by in ("ctr", "cvr", "ctcvr"):
            found[f"{name}, p{by.upper()} alone"] = chances[by].reshape(shape)
            for weight in WEIGHTS:
                found[f"fused with {name}'s p{by.upper()}, weight {weight:g}"] = fused_scores(
                    rankings.relevance, chances[by].reshape(shape), weight=weight
                )
    return found


def run(seed: int, results: ResultsFile, *, fast: bool) -> None:
    """Train the models of one seed and write a row an order."""
    log = fetch_movielens("100k")
    train, valid, test = per_user_split(log, (0.8, 0.1, 0.1), random_state=seed)
    quick = {"epochs": 1} if fast else {}
    features = {"user_features": OF_USERS, "item_features": OF_ITEMS, "seed": seed, "verbose": False}
    start = time.process_time()
    retriever = TwoTowerRetriever(**{**RETRIEVER, **features, **quick}).fit(train)
    of_conversions = TwoTowerRetriever(**{**RETRIEVER, **features, **quick}).fit(converted(train))
    shown, clicks, conversions = impressions(train, seed)
    rankers = {
        name: EntireSpaceClassifier(
            method, features=EVERYTHING, seed=seed, verbose=False, **{**RANKER, **quick}
        ).fit(shown, clicks, conversions)
        for name, method in (("ESMM", "esmm"), ("BASE", "base"))
    }
    seconds = time.process_time() - start
    both = {name: np.append(getattr(train, name), getattr(valid, name)) for name in ("user_ids", "item_ids")}
    catalogue = log.items["item_id"]
    for part, seen, held_out in (
        ("validation", train, converted(valid)),
        ("test", Interactions(**both), converted(test)),
    ):
        rankings = Rankings(retriever, seen, held_out)
        found = {
            name: rankings.measure(scores, catalogue)
            for name, scores in orders(rankings, log, train, rankers).items()
        }
        alone = Rankings(of_conversions, seen, held_out)
        found["retriever of conversions alone"] = alone.measure(alone.relevance, catalogue)
        for name, values in found.items():
            row = {"seed": seed, "part": part, "order": name}
            if not results.holds(row):
                results.append({**row, **values, "seconds": seconds, **CIRCUMSTANCES})
            print(row, {key: round(value, 4) for key, value in values.items()}, flush=True)


def summary(results: ResultsFile) -> None:
    """Print each order, mean ± deviation, and on test the paired difference from the control."""
    import pandas as pd
    from scipy import stats

    frame = pd.read_csv(results.path)
    for name, rows in frame.groupby("order", sort=False):
        cells = []
        for part in ("validation", "test"):
            for metric in ("recall_10", "ndcg_10"):
                own = rows[rows.part == part].set_index("seed")[metric]
                cells.append(f"{own.mean():.4f} ± {own.std():.4f}")
                if part == "test" and len(own) > 1:
                    of_part = frame[(frame.part == part) & (frame.order == CONTROL)].set_index("seed")[metric]
                    change = own - of_part
                    half = stats.t.ppf(0.975, len(change) - 1) * change.sem()
                    cells[-1] += f" ({change.mean():+.4f} ± {half:.4f})"
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"seeds {sorted(frame.seed.unique())}, CPU seconds a seed {frame.seconds.mean():.0f}")


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    results = ResultsFile(
        "pipeline_rank_fast" if options.fast else "pipeline_rank", ("seed", "part", "order")
    )
    last = {"part": "test", "order": "retriever of conversions alone"}  # the last row of a seed
    for seed in () if options.summary else options.seeds[: 1 if options.fast else None]:
        if not results.holds({"seed": seed, **last}):
            run(seed, results, fast=options.fast)
    summary(results)


CIRCUMSTANCES = circumstances(*PACKAGES)

if __name__ == "__main__":
    main()
