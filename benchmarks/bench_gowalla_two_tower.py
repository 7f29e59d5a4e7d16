"""Gowalla, the LightGCN split: the two-tower retriever by ids alone, Recall@20 and NDCG@20, full catalogue.

Settings are chosen on a tenth cut out of the training part (`--stage select`); the test part is measured with
the settings chosen. Training may take 15 minutes on 2 cores:

    SPARSELABELS_DATA=<folder> KERAS_BACKEND=jax python benchmarks/bench_gowalla_two_tower.py
"""

from __future__ import annotations

import argparse
import time

import keras
from results_file import ResultsFile, circumstances

from recsys_ssl import TwoTowerRetriever, evaluate_retriever
from recsys_ssl.splits import random_split
from sparse_data import datasets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", choices=["select", "test"], default="test")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--l2", type=float, default=0.07)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    options = vars(parser.parse_args())
    train, test = datasets.fetch_gowalla()
    if options["stage"] == "select":
        train, test = random_split(train, (0.9, 0.1), random_state=0)
    names = ("stage", "dim", "l2", "learning_rate", "batch_size", "epochs")
    results = ResultsFile("gowalla_two_tower", key=(*names, "seed"))
    for seed in options["seeds"]:
        run = {**{name: options[name] for name in names}, "seed": seed}
        if results.holds(run):
            continue
        settings = {name: options[name] for name in names[1:]}
        model = TwoTowerRetriever(**settings, seed=seed, validation_fraction=0.0)
        start = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        frame = evaluate_retriever(model, train, test, 20, n_bootstrap=0)
        evaluation = time.perf_counter() - start
        values = frame.set_index(["slice", "metric"])["value"]
        figures = {
            "recall": float(values["all", "recall"]),
            "ndcg": float(values["all", "ndcg"]),
            **{f"recall_{part}": float(values[part, "recall"]) for part in ("head", "mid", "tail")},
        }
        timing = {"backend": keras.backend.backend(), "seconds": seconds, "evaluation_seconds": evaluation}
        results.append({**run, **figures, **timing, **circumstances("keras", "tensorflow", "jax", "numpy")})
        print(run, figures, timing)


if __name__ == "__main__":
    main()
