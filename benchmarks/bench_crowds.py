"""Crowd labels: accuracy on real crowds, and seconds for a million labels; CROWDLAB beside cleanlab.

Accuracy is against the gold labels, ties broken at random (its expectation).  The planted crowd has labels of
random workers on random items, each worker right with a probability drawn from [.3, .9], else uniform.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_crowds.py
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results_file import ResultsFile, circumstances

from noisy_labels.crowds.crowdlab_consensus import crowdlab
from noisy_labels.crowds.dawid_skene_consensus import dawid_skene
from noisy_labels.crowds.glad_consensus import glad
from noisy_labels.crowds.majority_consensus import majority_vote
from noisy_labels.crowds.one_coin_consensus import one_coin

METHODS: dict[str, Callable[..., Any]] = {
    "majority vote": majority_vote,
    "Dawid-Skene": dawid_skene,
    "one coin": one_coin,
    "GLAD": glad,
}
REAL = ("bluebirds", "face-sentiment", "adult-content-2")
N_ITEMS, N_WORKERS, N_CLASSES, N_LABELS = 100_000, 1_000, 10, 1_000_000


def read_crowd(folder: Path) -> tuple[list[Any], dict[str, str]]:
    with (folder / "answer.csv").open(newline="") as file:
        answers = [(row["question"], row["worker"], row["answer"]) for row in csv.DictReader(file)]
    with (folder / "truth.csv").open(newline="") as file:
        truth = {row["question"]: row["truth"] for row in csv.DictReader(file)}
    return [np.array(column) for column in zip(*answers, strict=True)], truth


def expected_accuracy(consensus: Any, truth: dict[Any, Any]) -> float:
    hits = []
    for item, row in zip(consensus.items.tolist(), consensus.probabilities, strict=True):
        if item in truth:
            hits.append(np.mean(consensus.classes[row >= row.max() - 1e-12] == truth[item]))
    return float(np.mean(hits))


def planted_crowd(n_items: int, n_workers: int, n_labels: int) -> tuple[list[Any], dict[int, int], Any]:
    rng = np.random.default_rng(0)
    true = rng.integers(N_CLASSES, size=n_items)
    accuracy = rng.uniform(0.3, 0.9, n_workers)
    items, workers = rng.integers(n_items, size=n_labels), rng.integers(n_workers, size=n_labels)
    right = rng.random(n_labels) < accuracy[workers]
    labels = np.where(right, true[items], rng.integers(N_CLASSES, size=n_labels))
    probs = np.full((n_items, N_CLASSES), 0.05)
    guess = np.where(rng.random(n_items) < 0.8, true, rng.integers(N_CLASSES, size=n_items))
    probs[np.arange(n_items), guess] += 0.5
    return [items, workers, labels], dict(enumerate(true.tolist())), probs


def cleanlabs_crowdlab(items: Any, workers: Any, labels: Any, probs: Any) -> Any:
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    table = np.full((len(probs), workers.max() + 1), np.nan)
    table[items, workers] = labels
    seen = ~np.isnan(table).all(axis=1)
    start = time.process_time()
    found = get_label_quality_multiannotator(pd.DataFrame(table[seen]), probs[seen], verbose=False)
    return found["label_quality"]["consensus_label"].to_numpy(), seen, time.process_time() - start


def measure(
    results: ResultsFile, run: dict[str, Any], work: Callable[[], Any], truth: dict[Any, Any]
) -> None:
    if results.holds(run):
        return
    wall, cpu = time.perf_counter(), time.process_time()
    consensus = work()
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    measured = {"accuracy": expected_accuracy(consensus, truth), "passes": consensus.n_iter, **times}
    results.append({**run, **measured, **circumstances("numpy", "numba", "cleanlab")})
    print({**run, **measured}, flush=True)


def beside_cleanlab(results: ResultsFile) -> None:
    """CROWDLAB of both, on a crowd small enough for a dense table of items by workers."""
    (items, workers, labels), truth, probs = planted_crowd(5_000, 100, 30_000)
    run = {"crowd": "planted 3e4", "method": "CROWDLAB"}
    _, first = np.unique(np.stack([items, workers]), axis=1, return_index=True)
    once = [items[first], workers[first], labels[first]]  # a dense table holds one label a pair
    measure(results, run, lambda: crowdlab(*once, probs, item_ids=np.arange(len(probs))), truth)
    run = {"crowd": "planted 3e4", "method": "CROWDLAB of cleanlab"}
    if not results.holds(run):
        wall = time.perf_counter()
        found, seen, cpu = cleanlabs_crowdlab(*once, probs)
        true = np.array(list(truth.values()))[seen]
        measured = {"accuracy": float(np.mean(found == true)), "passes": 0}
        measured |= {"seconds": time.perf_counter() - wall, "cpu_seconds": cpu}
        results.append({**run, **measured, **circumstances("numpy", "numba", "cleanlab")})
        print({**run, **measured}, flush=True)


def main() -> None:
    results = ResultsFile("crowds", key=("crowd", "method"))
    for method in METHODS.values():  # compiled beforehand: the time is that of the work
        method([0, 0], [0, 1], [0, 1])
    for name in REAL:
        columns, truth = read_crowd(Path(os.environ["SPARSELABELS_DATA"]) / "crowd-labels" / name)
        for method_name, method in METHODS.items():
            run = {"crowd": name, "method": method_name}
            measure(results, run, lambda m=method, c=columns: m(*c), truth)
    columns, truth, probs = planted_crowd(N_ITEMS, N_WORKERS, N_LABELS)
    for method_name, method in METHODS.items():
        measure(results, {"crowd": "planted 1e6", "method": method_name}, lambda m=method: m(*columns), truth)
    run = {"crowd": "planted 1e6", "method": "CROWDLAB"}
    measure(results, run, lambda: crowdlab(*columns, probs, item_ids=np.arange(N_ITEMS)), truth)
    beside_cleanlab(results)


if __name__ == "__main__":
    main()
