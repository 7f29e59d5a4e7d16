"""Validation metrics of a two-tower model whose tables train by gathered rows (LazyAdam) and densely (Adam).

LazyAdam without momentum in tables, which is the default, and with that of Adam.

Same data, first values, batches and settings (those of TwoTowerRetriever, plain on Gowalla and Beauty); a
tenth of train is held out and measured over the full catalogue. JAX, a process of its own a run.

    python benchmarks/bench_gathered_rows_quality.py            all runs that are not in results yet
    python benchmarks/bench_gathered_rows_quality.py --data gowalla --seeds 1
    python benchmarks/bench_gathered_rows_quality.py --summary
    python benchmarks/bench_gathered_rows_quality.py --fast     a tiny part, *_fast.csv
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import own_process
from results_file import ResultsFile, circumstances
from retrieval_task import PROTOCOLS, WITH_BEAUTY, make_task, measure_vectors

SETTINGS = {
    "movielens-100k": {"learning_rate": 0.005, "epochs": 12, "l2": 0.05},
    "gowalla": {"learning_rate": 0.005, "epochs": 3, "l2": 0.05},
    "amazon-beauty": {"learning_rate": 0.005, "epochs": 6, "l2": 0.05},
}
DIM, BATCH = 64, 2048
SEEDS = (42, 43, 44)
UPDATES = ("gathered", "gathered, momentum", "dense")
KEY = ("data", "updates", "seed")
PACKAGES = ("numpy", "keras", "jax")


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train once and measure."""
    import keras

    from recsys_ssl import LazyAdam, SparseTraining
    from recsys_ssl.retrieval.two_tower_training import Pairs, build_two_tower, train_two_tower, vectors_of

    optimizer: Any = functools.partial(
        LazyAdam, table_beta_1=0.9 if options["updates"] == "gathered, momentum" else 0.0
    )
    if options["updates"] == "dense":
        # What a plain Keras model does: JAX's dense gradient and Keras's own optimizer.
        for name in ("train_step", "make_train_function"):
            delattr(SparseTraining, name)
        optimizer = keras.optimizers.Adam
    task = make_task(options["data"], options["seed"], fast=options["fast"], validate=True)
    settings = dict(SETTINGS[options["data"]])
    if options["fast"]:
        settings["epochs"] = 1
    model = build_two_tower(
        task.user_specification, task.item_specification, dim=DIM, l2=settings.pop("l2"), seed=options["seed"]
    )
    run = train_two_tower(
        model,
        Pairs(task.users, task.items, None, (len(task.user_ids), len(task.item_ids))),
        None,
        user_features=task.user_features,
        item_features=task.item_features,
        batch_size=BATCH,
        patience=1,
        seed=options["seed"],
        optimizer=optimizer,
        verbose=False,
        **settings,
    )
    vectors = [vectors_of(model, side, getattr(task, f"{name}_features")) for side, name in SIDES]
    seconds = [epoch["seconds"] for epoch in run.history][1:]
    return {"seconds_per_epoch": sum(seconds) / max(len(seconds), 1), **measure_vectors(task, *vectors)}


SIDES = (("query", "user"), ("item", "item"))


def summary(file: ResultsFile) -> None:
    """Print mean and deviation of each way."""
    import pandas as pd

    frame = pd.read_csv(file.path)
    columns = ["ndcg_100", "recall_20", "hit_rate_100", "seconds_per_epoch"]
    print(frame.groupby(["data", "updates"])[columns].agg(["mean", "std"]).round(4).to_string())


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=WITH_BEAUTY, default=list(WITH_BEAUTY))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    file = ResultsFile("gathered_rows_quality" + ("_fast" if arguments.fast else ""), KEY)
    for seed in () if arguments.summary else SEEDS[: 1 if arguments.fast else arguments.seeds]:
        for data in arguments.data:
            for updates in UPDATES:
                options = {"data": data, "updates": updates, "seed": seed}
                if file.holds(options):
                    continue
                measured = own_process.measure({**options, "fast": arguments.fast}, {"KERAS_BACKEND": "jax"})
                protocol = PROTOCOLS[data] + "; measured on a tenth of train"
                file.append({**options, "protocol": protocol, **measured, **circumstances(*PACKAGES)})
                print(f"{data} {updates} {seed}: NDCG@100 {measured['ndcg_100']:.4f}", flush=True)
    summary(file)


if __name__ == "__main__":
    main()
