"""Two-tower training, TensorFlow Recommenders against sparselabels: pairs a second and quality.

Same split, features, model (sum of feature vectors, dot product, logQ correction, accidental hits removed),
dim, batch size and epochs. Every run is a process of its own; the contenders take turns, round by round, and
round r uses seed 42 + r for the split, the weights and the batches. A run's speed is its median epoch after
the first, the data pipeline included.

    python benchmarks/bench_tfrs_training.py --tune                  learning rates, on a tenth of train
    python benchmarks/bench_tfrs_training.py                         all runs that are not in results yet
    python benchmarks/bench_tfrs_training.py --data gowalla --dim 32 --batch 4096 --epochs 5
    python benchmarks/bench_tfrs_training.py --summary               medians and ratios of what is there
    python benchmarks/bench_tfrs_training.py --fast                  a minute on a tiny part, *_fast.csv
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator
from typing import Any

import own_process
from results_file import ResultsFile, circumstances
from retrieval_task import DATA, PROTOCOLS, make_task, measure_vectors

CONTENDERS = ("sparselabels_adagrad-tensorflow", "tfrs-adagrad", "sparselabels_adagrad-jax")
ALL_CONTENDERS = (
    *CONTENDERS,
    "sparselabels-tensorflow",
    "sparselabels-jax",
    "tfrs-adam",
    "tfrs-legacy_adagrad",
    "tfrs-legacy_adam",
)
# The regularised model is the default of TwoTowerRetriever; the plain one that of the TFRS tutorials.
VARIANTS = {"plain": {"dropout": 0.0, "l2": 0.0}, "regularised": {"dropout": 0.0, "l2": 0.05}}
EPOCHS = {"movielens-100k": 10, "gowalla": 5}
FIRST_SEED = 42
KEY = ("contender", "variant", "data", "dim", "batch_size", "epochs", "learning_rate", "seed")
PACKAGES = ("numpy", "tensorflow", "keras", "tf-keras", "tensorflow-recommenders", "jax")
# Keras 2 draws the rows of its tables uniformly from -.05 to .05; ours are normal, of the same deviation.
INITIAL_SCALE = 0.05 / 3**0.5
# Tried by --tune for every setting; the second one is used where nothing was tuned.
LEARNING_RATES = {"sparselabels": (0.003, 0.004, 0.005, 0.01, 0.03), "adam": (0.001, 0.003, 0.01, 0.03)}
LEARNING_RATES |= {"adagrad": (0.05, 0.07, 0.1, 0.3)}


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train once and measure; in the process of the contender."""
    task = make_task(options["data"], options["seed"], fast=options["fast"], validate=options["validate"])
    settings = {name: options[name] for name in ("learning_rate", "dim", "batch_size", "epochs", "seed")}
    settings |= VARIANTS[options["variant"]]
    library, flavour = options["contender"].split("-", 1)
    if library == "tfrs":
        import tfrs_two_tower

        seconds, users, items = tfrs_two_tower.train(task, optimizer=flavour, **settings)
    else:
        rule = library.partition("_")[2]
        seconds, users, items = train_sparselabels(task, rule, **settings)
    batch_size = min(options["batch_size"], len(task.users))
    n_pairs = len(task.users) // batch_size * batch_size
    return {
        "pairs_per_second": n_pairs / statistics.median(seconds[1:]),
        "first_epoch_seconds": seconds[0],
        "epoch_seconds": " ".join(f"{value:.4f}" for value in seconds[1:]),
        **measure_vectors(task, users, items),
    }


def train_sparselabels(
    task: Any, rule: str, *, dim: int, dropout: float, l2: float, seed: int, **training: Any
) -> tuple[list[float], Any, Any]:
    """Return seconds of every epoch and the vectors of all users and items."""
    from recsys_ssl import LazyAdam, SparseAdagrad
    from recsys_ssl.retrieval.two_tower_training import Pairs, build_two_tower, train_two_tower, vectors_of

    def summed_adagrad(rate: float) -> Any:
        # TFRS's loss is the sum over the batch, ours the mean: with these two the steps are the same.
        scale = training["batch_size"] ** -2.0
        return SparseAdagrad(rate, initial_accumulator_value=0.1 * scale, epsilon=1e-7 * scale)

    shape = (len(task.user_ids), len(task.item_ids))
    model = build_two_tower(
        task.user_specification,
        task.item_specification,
        dim=dim,
        dropout=dropout,
        l2=l2,
        initial_scale=INITIAL_SCALE,
        seed=seed,
    )
    features = {"user_features": task.user_features, "item_features": task.item_features}
    run = train_two_tower(
        model,
        Pairs(task.users, task.items, None, shape),
        None,
        **features,
        **training,
        optimizer=summed_adagrad if rule == "adagrad" else LazyAdam,
        patience=1,
        seed=seed,
        verbose=False,
    )
    seconds = [epoch["seconds"] for epoch in run.history]
    users = vectors_of(model, "query", task.user_features)
    return seconds, users, vectors_of(model, "item", task.item_features)


def environment_of(contender: str) -> dict[str, str]:
    library, flavour = contender.split("-", 1)
    return {"TF_USE_LEGACY_KERAS": "1"} if library == "tfrs" else {"KERAS_BACKEND": flavour}


def rates_of(contender: str) -> tuple[float, ...]:
    library, flavour = contender.split("-", 1)
    if library == "tfrs":
        return LEARNING_RATES[flavour.removeprefix("legacy_")]
    return LEARNING_RATES["adagrad" if library.endswith("adagrad") else "sparselabels"]


def optimizer_of(contender: str) -> str:
    """Contenders that take the same steps share their learning rate."""
    library, flavour = contender.split("-", 1)
    if library == "sparselabels":
        return library
    return "adagrad" if library.endswith("adagrad") else flavour.removeprefix("legacy_")


def tuned_rate(tuning: ResultsFile, options: dict[str, Any]) -> float:
    """Return the rate of the best mean NDCG at 100 on validation, from the most similar setting tuned."""

    def likeness(row: dict[str, str]) -> tuple[bool, ...]:
        return tuple(row[name] == str(options[name]) for name in ("batch_size", "variant", "dim", "epochs"))

    steps = optimizer_of(options["contender"]), options["data"]
    rows = [row for row in tuning.rows() if (optimizer_of(row["contender"]), row["data"]) == steps]
    if not rows:
        return rates_of(options["contender"])[1]
    most = max(map(likeness, rows))
    merits: dict[float, list[float]] = {}
    for row in rows:
        if likeness(row) == most:
            merits.setdefault(float(row["learning_rate"]), []).append(float(row["ndcg_100"]))
    return max(merits, key=lambda rate: statistics.mean(merits[rate]))


def settings_of(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield every setting and seed, contender last: the contenders take turns."""
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.rounds)
    grid = itertools.product(arguments.data, arguments.variant, arguments.dim, arguments.batch, seeds)
    contenders = list(arguments.contender)
    if arguments.tune:  # JAX takes the same steps as TensorFlow
        twins = {name.replace("-tensorflow", "-jax") for name in contenders if name.endswith("-tensorflow")}
        contenders = [name for name in contenders if name not in twins]
    for data, variant, dim, batch_size, seed in grid:
        for contender in contenders:
            yield {
                "contender": contender,
                "variant": variant,
                "data": data,
                "dim": dim,
                "batch_size": batch_size,
                "epochs": arguments.epochs or (2 if arguments.fast else EPOCHS[data]),
                "seed": seed,
            }


def run_all(arguments: argparse.Namespace) -> None:
    ending = "_fast" if arguments.fast else ""
    tuning = ResultsFile("tfrs_training_tuning" + ending, KEY)
    results = tuning if arguments.tune else ResultsFile("tfrs_training" + ending, KEY)
    for setting in settings_of(arguments):
        contender = setting["contender"]
        tried = arguments.learning_rate or (
            rates_of(contender) if arguments.tune else [tuned_rate(tuning, setting)]
        )
        for learning_rate in tried:
            options = {**setting, "learning_rate": learning_rate}
            if results.holds(options):
                continue
            about = circumstances(*PACKAGES)
            measured = own_process.measure(
                {**options, "fast": arguments.fast, "validate": arguments.tune}, environment_of(contender)
            )
            part = "; measured on a tenth of train" if arguments.tune else ""
            results.append({**about, **options, "protocol": PROTOCOLS[setting["data"]] + part, **measured})
            shown = " ".join(f"{options[name]}" for name in KEY)
            print(
                f"{shown}: {measured['pairs_per_second']:,.0f} pairs/s, "
                f"hit rate @10 {measured['hit_rate_10']:.4f} @100 {measured['hit_rate_100']:.4f}, "
                f"recall @20 {measured['recall_20']:.4f}",
                flush=True,
            )


def summarise(arguments: argparse.Namespace) -> None:
    """Print medians over rounds, the speed over that of TFRS, and mean and deviation of the quality."""
    import pandas as pd

    results = ResultsFile("tfrs_training" + ("_fast" if arguments.fast else ""), KEY)
    if not results.path.exists():
        raise SystemExit(f"nothing is measured yet: {results.path.name} is missing")
    frame = pd.read_csv(results.path)
    setting = ["data", "variant", "dim", "batch_size", "epochs"]
    grouped = frame.groupby([*setting, "contender"])
    table = grouped.agg(
        runs=("seed", "count"),
        learning_rate=("learning_rate", "first"),
        pairs_per_second=("pairs_per_second", "median"),
        hit_rate_10=("hit_rate_10", "mean"),
        hit_rate_100=("hit_rate_100", "mean"),
        hit_rate_100_sd=("hit_rate_100", "std"),
        recall_10=("recall_10", "mean"),
        recall_20=("recall_20", "mean"),
        recall_100=("recall_100", "mean"),
    ).reset_index()
    # Of several TFRS optimizers the fastest one is the one to beat.
    fastest = table[table.contender.str.startswith("tfrs")].groupby(setting)["pairs_per_second"].max()
    ratio = table.set_index(setting)["pairs_per_second"] / fastest.reindex(table.set_index(setting).index)
    table.insert(8, "ratio_to_tfrs", ratio.to_numpy())
    print(table.round(4).to_string(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--contender", nargs="+", choices=ALL_CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--variant", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--dim", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--batch", nargs="+", type=int, default=[1024, 4096, 8192])
    parser.add_argument("--epochs", type=int, help="default: 10 on MovieLens, 5 on Gowalla")
    parser.add_argument("--learning-rate", nargs="+", type=float, help="default: the tuned one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    if arguments.fast:
        arguments.data, arguments.dim, arguments.batch, arguments.rounds = ["movielens-100k"], [32], [1024], 1
    if arguments.summary:
        summarise(arguments)
    else:
        run_all(arguments)


if __name__ == "__main__" and not own_process.answer_if_asked(run_one):
    main()
