"""MovieLens 100K: the baselines under two protocols, one row of the results a run.

P1: all ratings are positive, 80/20 at random; the held-out item in the first k of all items, averaged over
held-out interactions, training items removed or kept.
P2: 8:1:1 at random for each user (rounding leaves the rest to the test part), trained on the first part, the
first two removed from the ranking; means over users at 10.

Runs that are in the results already are left out, so that the script can be cut off and started again:

    SPARSELABELS_DATA=<folder> python benchmarks/bench_movielens_baselines.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from results_file import ResultsFile, circumstances

from recsys_ssl.baselines import EASE, IALS, ItemKNN, Popularity
from recsys_ssl.measures.evaluation import evaluate_retriever
from recsys_ssl.recommenders.recommender import Recommender
from recsys_ssl.splits import per_user_split, random_split
from sparse_data import datasets

SEEDS = (42, 43, 44)
P1_K = (10, 50, 100)
P1_METRICS = tuple(f"{name}@{k}" for name in ("removed", "kept") for k in P1_K)
P2_METRICS = ("recall", "ndcg", "precision", "mrr", "hit")

# What the same protocols gave in a separate implementation (mean of three splits), to compare with.
EXPECTED = {
    ("P1", "Popularity()"): {"removed@10": 0.091, "removed@50": 0.275, "removed@100": 0.415},
    ("P1", "EASE(500)"): {"removed@10": 0.174, "removed@50": 0.461, "removed@100": 0.625},
    ("P1", "EASE(1000)"): {"removed@10": 0.170, "removed@50": 0.452, "removed@100": 0.614},
    ("P1", "IALS(32, .003, .1)"): {"removed@10": 0.142, "removed@50": 0.430, "removed@100": 0.603},
    ("P1", "IALS(32, .03, .3)"): {"removed@10": 0.156, "removed@50": 0.426, "removed@100": 0.588},
    ("P2", "Popularity()"): dict(zip(P2_METRICS, (0.122, 0.149, 0.114, 0.289, 0.616), strict=True)),
    ("P2", "EASE(500)"): dict(zip(P2_METRICS, (0.267, 0.338, 0.237, 0.564, 0.851), strict=True)),
    ("P2", "IALS(32, .01, .3)"): dict(zip(P2_METRICS, (0.272, 0.335, 0.236, 0.555, 0.863), strict=True)),
}


def models(protocol: str, seed: int) -> dict[str, Recommender]:
    """Return the models of a protocol; iALS is named by dimension, regularisation and unobserved weight."""

    def ials(regularization: float, unobserved_weight: float) -> IALS:
        return IALS(32, regularization=regularization, unobserved_weight=unobserved_weight, random_state=seed)

    shared: dict[str, Recommender] = {
        "Popularity()": Popularity(),
        "ItemKNN(100, 10)": ItemKNN(100, shrinkage=10.0),
        "EASE(500)": EASE(500.0),
    }
    if protocol == "P1":
        return shared | {
            "EASE(1000)": EASE(1000.0),
            "IALS(32, .003, .1)": ials(0.003, 0.1),
            "IALS(32, .03, .3)": ials(0.03, 0.3),
        }
    return shared | {"IALS(32, .01, .3)": ials(0.01, 0.3)}


def measure_p1(model: Recommender, log: datasets.Interactions, seed: int) -> dict[str, float]:
    """Return the hit rate over interactions, with training items kept and removed."""
    train, test = random_split(log, (0.8, 0.2), random_state=seed)
    model.fit(train)
    values = {}
    for name, removed in (("removed", True), ("kept", False)):
        frame = evaluate_retriever(model, train, test, P1_K, slices=None, filter_seen=removed, n_bootstrap=0)
        rows = frame[frame.metric == "hit_rate_per_interaction"]
        values |= {f"{name}@{k}": value for k, value in zip(rows.k, rows.value, strict=True)}
    return values


def measure_p2(model: Recommender, log: datasets.Interactions, seed: int) -> dict[str, float]:
    """Return the means over users at 10."""
    train, valid, test = per_user_split(log, (0.8, 0.1, 0.1), remainder="last", random_state=seed)
    model.fit(train)
    seen = datasets.Interactions(
        np.concatenate([train.user_ids, valid.user_ids]), np.concatenate([train.item_ids, valid.item_ids])
    )
    frame = evaluate_retriever(model, seen, test, 10, slices=None, n_bootstrap=0)
    values = frame.set_index("metric").value
    return {metric: float(values[metric]) for metric in P2_METRICS}


def runs(seeds: list[int]) -> Iterator[tuple[str, str, int, Recommender]]:
    for protocol in ("P1", "P2"):
        for seed in seeds:
            for name, model in models(protocol, seed).items():
                yield protocol, name, seed, model


def report(results: ResultsFile) -> None:
    """Print the means over seeds beside the expected figures."""
    rows = pd.DataFrame(results.rows())
    for (protocol, model), part in rows.groupby(["protocol", "model"], sort=False):
        for metric in P1_METRICS if protocol == "P1" else P2_METRICS:
            values = part[metric].astype(float)
            expected = EXPECTED.get((protocol, model), {}).get(metric)
            beside = "" if expected is None else f"  expected {expected:.3f}  {values.mean() - expected:+.3f}"
            print(
                f"{protocol} {model:20s} {metric:12s} {values.mean():.4f} ± {values.std():.4f} "
                f"({values.size}){beside}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options = parser.parse_args()
    log = datasets.fetch_movielens("100k")
    results = ResultsFile("movielens_baselines", key=("protocol", "model", "seed"))
    for protocol, name, seed, model in runs(options.seeds):
        run = {"protocol": protocol, "model": name, "seed": seed}
        if results.holds(run):
            continue
        start = time.perf_counter()
        values = (measure_p1 if protocol == "P1" else measure_p2)(model, log, seed)
        seconds = time.perf_counter() - start
        # Every row has the columns of both protocols.
        metrics = {metric: values.get(metric, "") for metric in (*P1_METRICS, *P2_METRICS)}
        results.append({**run, **metrics, "seconds": seconds, **circumstances("numpy", "scipy", "numba")})
    report(results)


if __name__ == "__main__":
    main()
