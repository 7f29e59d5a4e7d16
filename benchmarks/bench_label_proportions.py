"""Learning from label proportions on UCI bank-full and Adult: test ROC AUC from the counts of random bags.

60 % of the rows make bags, the last 20 % are the test; no label of a single row is used in fitting or in the
choice of anything.  Each method stands beside itself with the counts permuted between bags.  `--speed` times
one exact pass over the counts of a million rows and fifty passes of belief propagation instead.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_label_proportions.py [--speed]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import own_process
import pandas as pd
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.sparse import coo_array, csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from noisy_labels.bag_construction import make_bags
from noisy_labels.bag_ridge import BagRidge
from noisy_labels.count_messages import count_factor
from noisy_labels.count_potentials import ExactCount
from noisy_labels.label_proportions import LabelProportionsClassifier
from noisy_labels.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.loopy_propagation import belief_propagation
from noisy_labels.nearest_neighbours import neighbour_graph

METHODS: dict[str, Any] = {
    "BagRidge": BagRidge,
    "LabelProportionsClassifier": LabelProportionsClassifier,
    "LLPBeliefPropagationClassifier": LLPBeliefPropagationClassifier,
}
ROWS = 1_000_000


@cache
def read(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return features, categories one-hot, and labels."""
    root = Path(os.environ["SPARSELABELS_DATA"])
    if name == "bank":
        archive = zipfile.ZipFile(root / "bank-marketing/bank-additional.zip")
        with archive, archive.open("bank-additional/bank-full.csv") as file:
            frame = pd.read_csv(file, sep=";")
        labels = (frame.pop("y") == "yes").to_numpy()
    else:
        files = [(root / "adult/adult.data", 0), (root / "adult/adult.test", 1)]
        frames = [pd.read_csv(f, header=None, skipinitialspace=True, skiprows=skip) for f, skip in files]
        frame = pd.concat(frames)
        labels = frame.pop(14).str.startswith(">50K").to_numpy()
    numbers, categories = frame.select_dtypes("number"), frame.select_dtypes(exclude="number")
    one_hot = pd.get_dummies(categories).to_numpy(dtype=np.float64)
    return np.hstack([numbers.to_numpy(dtype=np.float64), one_hot]), labels.astype(np.int64)


@cache
def split(name: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of train and of test."""
    n_rows = read(name)[1].size
    order = np.random.default_rng(seed).permutation(n_rows)
    return order[: int(0.6 * n_rows)], order[int(0.8 * n_rows) :]


@cache
def graph(name: str, seed: int) -> csr_array:
    """Return the graph that the classifier would make itself, once for all bags."""
    rows = read(name)[0][split(name, seed)[0]]
    return neighbour_graph(StandardScaler().fit_transform(rows), n_neighbors=10)


def fit_and_test(options: Mapping[str, Any]) -> dict[str, float]:
    X, y = read(options["data"])
    train, test = split(options["data"], options["seed"])
    made = make_bags(y[train], size=options["bag"], random_state=options["seed"])
    counts = made.counts
    if options["counts"] == "permuted":
        shares = np.random.default_rng(options["seed"]).permutation(counts / made.sizes)
        counts = np.round(shares * made.sizes)
    given: dict[str, Any] = {"bags": made.bags, "counts": counts}
    method = METHODS[options["method"]]
    model = method() if method is BagRidge else method(random_state=options["seed"])
    if method is LabelProportionsClassifier:
        given["graph"] = graph(options["data"], options["seed"])
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(X[train], **given)
    seconds = time.process_time() - start
    auc = {
        "test_auc": float(roc_auc_score(y[test], model.decision_function(X[test]))),
        "train_posterior_auc": float(roc_auc_score(y[train], model.transduce_proba_[:, 1])),
    }
    return {**auc, "cpu_seconds": seconds}


def measure_quality(options: argparse.Namespace) -> None:
    results = ResultsFile("label_proportions", key=("data", "method", "counts", "bag", "seed"))
    for seed in options.seeds:
        for data in options.data:
            for bag in options.bags:
                for method in options.methods:
                    for counts in options.counts:
                        run = {"data": data, "method": method, "counts": counts, "bag": bag, "seed": seed}
                        if results.holds(run):
                            continue
                        measured = fit_and_test(run)
                        results.append({**run, **measured, **circumstances("numpy", "scikit-learn", "numba")})
                        print({**run, **measured}, flush=True)


def time_one(options: dict[str, Any]) -> dict[str, float]:
    """Time exact messages (or belief propagation, where neighbours are given) on a million rows."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 1.5, ROWS)
    bags = np.arange(ROWS) // options["bag"]
    y = rng.random(ROWS) < 1 / (1 + np.exp(-logits))
    factor = count_factor(bags, ExactCount(np.bincount(bags, y)), ROWS, method="exact")
    if options["neighbours"]:
        # Seven out of ten thousand nearby rows, made symmetric: the 14 directed edges a row of a graph of 10.
        node = np.repeat(np.arange(ROWS), 7)
        other = np.clip(node + rng.integers(-5000, 5000, node.size), 0, ROWS - 1)
        edges = coo_array((np.full(node.size, 0.1), (node, other)), shape=(ROWS, ROWS)).tocsr()
        edges.data[:] = 0.1
        edges = edges.maximum(edges.T)

    def run(passes: int) -> None:
        if not options["neighbours"]:
            factor.messages(logits)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            belief_propagation(logits, graph=edges, factor=factor, max_iter=passes, tol=0)

    run(1)
    wall, cpu = time.perf_counter(), time.process_time()
    run(50)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_speed() -> None:
    results = ResultsFile("label_proportions_speed", key=("bag", "neighbours"))
    runs = [{"bag": bag, "neighbours": 0} for bag in (8, 32, 128, 512, 2048, ROWS)]
    for run in [*runs, {"bag": 32, "neighbours": 10}]:
        if results.holds(run):
            continue
        measured = own_process.measure(run, {})
        results.append({**run, **measured, **circumstances("numpy", "numba")})
        print({**run, **measured}, flush=True)


def main() -> None:
    if own_process.answer_if_asked(time_one):
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--data", nargs="+", default=["bank", "adult"], choices=["bank", "adult"])
    parser.add_argument("--bags", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=[*METHODS][:2], choices=METHODS)
    parser.add_argument("--counts", nargs="+", default=["true", "permuted"], choices=["true", "permuted"])
    options = parser.parse_args()
    if options.speed:
        measure_speed()
    else:
        measure_quality(options)


if __name__ == "__main__":
    main()
