"""Learning from label proportions on UCI bank-full and Adult: test ROC AUC from the counts of random bags.

60 % of the rows make bags, the last 20 % are the test; no label of a single row is used in fitting or in the
choice of anything.  Each method stands beside itself with the counts permuted between bags.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_label_proportions.py
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap
from noisy_labels.proportions.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.proportions.mean_map import MeanMap
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.smoothed_proportions import SmoothedProportions

METHODS: dict[str, Any] = {
    "BagRidge": BagRidge,
    "LabelProportionsClassifier": LabelProportionsClassifier,
    "MeanMap": MeanMap,
    "LaplacianMeanMap": LaplacianMeanMap,
    "AlternatingMeanMap": AlternatingMeanMap,
    "SmoothedProportions": SmoothedProportions,
    "LLPBeliefPropagationClassifier": LLPBeliefPropagationClassifier,
}


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
    model = method(random_state=options["seed"]) if hasattr(method(), "random_state") else method()
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


def measure(options: argparse.Namespace) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["bank", "adult"], choices=["bank", "adult"])
    parser.add_argument("--bags", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=[*METHODS][:2], choices=METHODS)
    parser.add_argument("--counts", nargs="+", default=["true", "permuted"], choices=["true", "permuted"])
    options = parser.parse_args()
    measure(options)


if __name__ == "__main__":
    main()
