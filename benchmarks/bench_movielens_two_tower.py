"""MovieLens 100K: the two-tower retriever under the protocols of bench_movielens_baselines.py.

Settings are chosen on a tenth cut out of the training part (P1) or on the validation part (P2), the test part
is measured once a seed with the settings chosen:

    SPARSELABELS_DATA=<folder> python benchmarks/bench_movielens_two_tower.py --stage select
    SPARSELABELS_DATA=<folder> python benchmarks/bench_movielens_two_tower.py --stage test
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from bench_movielens_baselines import P1_METRICS, P2_METRICS, SEEDS
from results_file import ResultsFile, circumstances

from recsys_ssl import FeatureDropout, SelfSupervision, TwoTowerRetriever, evaluate_retriever
from recsys_ssl.splits import per_user_split, random_split
from sparse_data import datasets
from sparse_data.datasets import Interactions


def task(masking: str, weight: float, temperature: float) -> SelfSupervision:
    return SelfSupervision(masking, weight=weight, temperature=temperature, seed=0)


# The settings tried; the first are the library's defaults, which read all features of users and films.
CANDIDATES = {
    "defaults": {},
    "ids alone": {"user_features": [], "item_features": []},
    "cfm .03": {"self_supervision": task("cfm", 0.03, 0.2)},
    "cfm .1": {"self_supervision": task("cfm", 0.1, 0.2)},
    "cfm .1, cooler": {"self_supervision": task("cfm", 0.1, 0.1)},
    "rfm .1": {"self_supervision": task("rfm", 0.1, 0.2)},
    "feature dropout .1": {"self_supervision": FeatureDropout(0.1, seed=0)},
    "batch 1024": {"batch_size": 1024},
    "l2 .04": {"l2": 0.04},
    "l2 .06": {"l2": 0.06},
    "dim 128": {"dim": 128},
    "dim 32": {"dim": 32},
}


def parts(
    protocol: str, log: Interactions, seed: int, stage: str
) -> tuple[Interactions, Interactions, Interactions]:
    """Return what to train on, what counts as seen, and what to measure on."""
    if protocol == "P1":
        train, test = random_split(log, (0.8, 0.2), random_state=seed)
        if stage == "select":
            train, test = random_split(train, (0.9, 0.1), random_state=seed)
        return train, train, test
    train, valid, test = per_user_split(log, (0.8, 0.1, 0.1), remainder="last", random_state=seed)
    if stage == "select":
        return train, train, valid
    both = train.replace(
        user_ids=np.concatenate([train.user_ids, valid.user_ids]),
        item_ids=np.concatenate([train.item_ids, valid.item_ids]),
        timestamps=None,
        ratings=None,
    )
    return train, both, test


def measure(
    protocol: str, model: TwoTowerRetriever, seen: Interactions, test: Interactions
) -> dict[str, float]:
    """Return the protocol's figures of a fitted model."""
    if protocol == "P2":
        values = (
            evaluate_retriever(model, seen, test, 10, slices=None, n_bootstrap=0).set_index("metric").value
        )
        return {metric: float(values[metric]) for metric in P2_METRICS}
    figures = {}
    for name, removed in (("removed", True), ("kept", False)):
        frame = evaluate_retriever(
            model, seen, test, (10, 50, 100), slices=None, filter_seen=removed, n_bootstrap=0
        )
        rows = frame[frame.metric == "hit_rate_per_interaction"]
        figures |= {f"{name}@{k}": value for k, value in zip(rows.k, rows.value, strict=True)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=["select", "test"], default="test")
    parser.add_argument("--settings", nargs="+", choices=list(CANDIDATES), default=None)
    parser.add_argument("--protocols", nargs="+", choices=["P1", "P2"], default=["P1", "P2"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options = parser.parse_args()
    log = datasets.fetch_movielens("100k")
    results = ResultsFile("movielens_two_tower", key=("stage", "protocol", "settings", "seed"))
    names = options.settings or (list(CANDIDATES) if options.stage == "select" else ["defaults"])
    for seed in options.seeds:
        for protocol in options.protocols:
            for name in names:
                run = {"stage": options.stage, "protocol": protocol, "settings": name, "seed": seed}
                if results.holds(run):
                    continue
                train, seen, test = parts(protocol, log, seed, options.stage)
                start = time.perf_counter()
                model = TwoTowerRetriever(seed=seed, verbose=False, **CANDIDATES[name]).fit(train)
                seconds = time.perf_counter() - start
                values = measure(protocol, model, seen, test)
                metrics = {metric: values.get(metric, "") for metric in (*P1_METRICS, *P2_METRICS)}
                detail = {"epochs": model.best_epoch_, "seconds": seconds, **CIRCUMSTANCES}
                results.append({**run, **metrics, **detail})
    rows = pd.read_csv(results.path)
    shown = [metric for metric in (*P1_METRICS, *P2_METRICS) if metric in rows]
    print(rows.groupby(["stage", "protocol", "settings"])[shown].agg(["mean", "std"]).to_string())


CIRCUMSTANCES = circumstances("keras", "tensorflow", "jax", "numpy")

if __name__ == "__main__":
    main()
