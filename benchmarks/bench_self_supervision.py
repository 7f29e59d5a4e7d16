"""Self-supervised item learning on real data: none, feature dropout, spread-out, RFM and CFM, by slices.

Settings are chosen on validation with one seed, then every variant is measured on test with five seeds that
change first weights, batches and whatever is drawn at random of the data. JAX, one process a data set and
fraction; a file of results beside each stage, so that a run that was cut off goes on.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_self_supervision.py              both stages, all data
    python benchmarks/bench_self_supervision.py --data amazon-beauty --fraction 0.1
    python benchmarks/bench_self_supervision.py --summary
    python benchmarks/bench_self_supervision.py --fast     a tiny part, *_fast.csv
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from results_file import ResultsFile, circumstances

from recsys_ssl.splits import leave_last_out, random_split
from sparse_data import Bags, datasets
from sparse_data.datasets import Interactions

DATA = ("amazon-beauty", "amazon-sports", "yelp", "movielens-100k", "wikipedia-links")
FRACTIONS = (0.1, 1.0)
VARIANTS = ("none", "fd", "so", "rfm", "cfm")
SEEDS = (0, 1, 2, 3, 4)
PROTOCOLS = {
    "amazon-beauty": "5-core, each user's last item is test, the one before it validation",
    "amazon-sports": "5-core, each user's last item is test, the one before it validation",
    "yelp": "5-core users, each user's last item is test, the one before it validation",
    "movielens-100k": "all ratings positive, random 80/20, a tenth of the 80 is validation",
    "wikipedia-links": "random 80/20 of links, a tenth of the 80 is validation, an article's 16 rarest nouns",
}
# The sparser the data, the larger the weight.
WEIGHTS = {1.0: (0.1, 0.3, 1.0), 0.1: (0.5, 2.0, 5.0)}
MOST_NOUNS = 16
SETTINGS = ("l2", "rate", "weight", "temperature", "value_dropout")
START = {"l2": 0.05, "rate": 0.0, "weight": 0.0, "temperature": 0.1, "value_dropout": 0.1}
TRAINING = {"dim": 64, "learning_rate": 0.01, "batch_size": 1024}
MOST_EPOCHS, PATIENCE = 20, 2
SLICES = ("all", "head", "mid", "tail", "unseen")
PACKAGES = ("numpy", "keras", "jax")


def load(data: str) -> Interactions:
    """Return the whole log."""
    if data == "movielens-100k":
        return datasets.fetch_movielens("100k")
    if data == "wikipedia-links":
        log = datasets.fetch_wikipedia_links()
        tables = {side: getattr(log, side) for side in ("users", "items")}
        return log.replace(
            **{side: {**table, "nouns": rarest(table["nouns"])} for side, table in tables.items()}
        )
    return datasets.fetch_yelp() if data == "yelp" else datasets.fetch_amazon(data.removeprefix("amazon-"))


def rarest(bags: Bags) -> Bags:
    """Keep the rarest values of each bag: some articles have 192 nouns, and all rows are padded."""
    frequency = np.bincount(bags.values)
    return Bags.from_lists([sorted(bag, key=lambda noun: frequency[noun])[:MOST_NOUNS] for bag in bags])


def parts(
    log: Interactions, fraction: float, seed: int, *, in_time: bool, validate: bool
) -> tuple[Interactions, Interactions]:
    """Return what to train on, a random fraction, and what to measure on: pairs of users that it knows."""
    if in_time:
        train, test = leave_last_out(log)
        if validate:
            train, test, _ = leave_last_out(log, 3)
    else:
        train, test = random_split(log, (0.8, 0.2), random_state=seed)
        if validate:
            train, test = random_split(train, (0.9, 0.1), random_state=seed)
    chosen = np.random.default_rng([seed, 2]).permutation(len(train))[: round(fraction * len(train))]
    train = train.take(np.sort(chosen))
    # Of other users nothing is known: they get the most popular items from every variant.
    return train, test.take(np.isin(test.user_ids, train.user_ids))


def fit_and_measure(
    variant: str,
    settings: dict[str, Any],
    train: Interactions,
    test: Interactions,
    *,
    seed: int,
    epochs: int,
    validate: bool = False,
    **training: Any,
) -> dict[str, float]:
    """Train once and return recall at 50 by slices; with `validate` the test pairs choose the epoch."""
    import jax
    import keras

    from recsys_ssl import FeatureDropout, SelfSupervision, TwoTowerRetriever, evaluate_retriever

    # Two fields are what some of these data have, which the model warns of.
    warnings.filterwarnings("ignore", message="Items have")
    contrastive = {"weight": settings["weight"], "temperature": settings["temperature"], "seed": seed}
    if variant == "fd":
        task = FeatureDropout(settings["rate"], seed=seed)
    elif variant == "so":
        task = SelfSupervision("none", loss="spread_out", **contrastive)
    elif variant != "none":
        task = SelfSupervision(variant, value_dropout=settings["value_dropout"], **contrastive)
    model = TwoTowerRetriever(
        self_supervision=None if variant == "none" else task,
        l2=settings["l2"],
        epochs=epochs,
        validation_fraction=0.0,
        patience=PATIENCE,
        refit=False,
        seed=seed,
        verbose=False,
        **{**TRAINING, **training},
    )
    start = time.perf_counter()
    model.fit(train, validation=test if validate else None)
    measured = {"epochs": model.best_epoch_, "seconds": time.perf_counter() - start}
    frame = evaluate_retriever(model, train, test, k=50, n_bootstrap=0)
    recalls = frame[frame["metric"] == "hit_rate_per_interaction"].set_index("slice")
    for name in SLICES:
        measured[f"recall_{name}"] = float(recalls["value"].get(name, np.nan))
        measured[f"pairs_{name}"] = int(recalls["n_interactions"].get(name, 0))
    # Some hundred compiled models would not fit into memory; the cache on disk has them again.
    keras.backend.clear_session()
    jax.clear_caches()
    return measured


def merit(row: dict[str, Any], plain: dict[str, Any] | None) -> float:
    """Return what is chosen by: recall without a further task, with one recall in the tail if that holds."""
    if plain is None:
        return float(row["recall_all"])
    # A setting that loses overall comes after all that do not.
    loss = min(float(row["recall_all"]) - float(plain["recall_all"]), 0.0)
    return loss - 1 if loss else float(row["recall_tail"])


def row_of(file: ResultsFile, run: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a run that is in the file."""
    key = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in run.items()}
    return next(row for row in file.rows() if all(row[name] == key[name] for name in file.key))


def compiled_once() -> dict[str, str]:
    """Return the variables of a process: models that differ in their seed alone are compiled once."""
    return {
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "sparselabels-jax-cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


class Cell:
    """One data set at one fraction: chooses settings, then measures; skips rows that are there."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options, self.fast = options, options["fast"]
        self.log = load(options["data"])
        if self.fast:
            keep = np.unique(self.log.user_ids)[:300]
            self.log = self.log.take(np.isin(self.log.user_ids, keep))
        self.tuning, self.results = files(fast=self.fast)
        self.parts: dict[tuple[int, bool], tuple[Interactions, Interactions]] = {}

    def measure(
        self, variant: str, settings: dict[str, Any], seed: int, epochs: int, *, validate: bool
    ) -> dict[str, Any]:
        """Return the row of a run, from the file where it is there."""
        file = self.tuning if validate else self.results
        data, fraction = self.options["data"], self.options["fraction"]
        run = {"data": data, "fraction": fraction, "variant": variant, "seed": seed, **settings}
        if not file.holds(run):
            if (seed, validate) not in self.parts:
                in_time = data not in ("movielens-100k", "wikipedia-links")
                self.parts = {
                    (seed, validate): parts(self.log, fraction, seed, in_time=in_time, validate=validate)
                }
            train, test = self.parts[seed, validate]
            measured = fit_and_measure(
                variant, settings, train, test, seed=seed, epochs=epochs, validate=validate
            )
            detail = {"protocol": PROTOCOLS[data], **self.options["circumstances"]}
            file.append({**run, "training_pairs": len(train), **measured, **detail})
            print(f"{run}: all {measured['recall_all']:.4f} tail {measured['recall_tail']:.4f}", flush=True)
        return row_of(file, run)

    def choose(
        self,
        variant: str,
        base: dict[str, Any],
        steps: list[tuple[str, tuple[float, ...]]],
        plain: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Try the values of one setting after the other, keep the best; return settings and their row."""
        most = 2 if self.fast else MOST_EPOCHS
        settings, tried = dict(base), []
        for name, values in steps:
            for value in values[: 1 if self.fast else None]:
                changed = {**settings, name: value}
                tried.append((changed, self.measure(variant, changed, 0, most, validate=True)))
            settings, row = max(tried, key=lambda pair: merit(pair[1], plain))
        return settings, row

    def run(self) -> None:
        """Do both stages."""
        weights = WEIGHTS[self.options["fraction"]]
        base, plain = self.choose("none", START, [("l2", (0.05, 0.1))])
        chosen = {"none": (base, plain)}
        chosen["fd"] = self.choose("fd", base, [("rate", (0.1, 0.3))], plain)
        chosen["so"] = self.choose("so", {**base, "value_dropout": 0.0}, [("weight", weights)], plain)
        further = [("weight", weights), ("temperature", (0.2,)), ("value_dropout", (0.3,))]
        chosen["cfm"] = self.choose("cfm", base, further, plain)
        # Only the masks differ.
        chosen["rfm"] = chosen["cfm"]
        for seed in SEEDS[: 1 if self.fast else None]:
            for variant in VARIANTS:
                settings, row = chosen[variant]
                self.measure(variant, settings, seed, int(row["epochs"]), validate=False)


def files(*, fast: bool) -> tuple[ResultsFile, ResultsFile]:
    """Return the rows of choosing and of measuring."""
    key = ("data", "fraction", "variant", "seed", *SETTINGS)
    end = "_fast" if fast else ""
    return (
        ResultsFile(f"self_supervision_tuning{end}", key),
        ResultsFile(f"self_supervision{end}", key),
    )


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Do one data set at one fraction."""
    Cell(options).run()
    return {}


def summary(file: ResultsFile, by: list[str]) -> None:
    """Print mean (deviation) of each variant and its paired difference from `none` with a 95 % t interval."""
    import pandas as pd
    from scipy import stats

    frame = pd.read_csv(file.path, keep_default_na=False, na_values=["nan"])
    columns = [f"recall_{name}" for name in SLICES]
    for group, rows in frame.groupby(by):
        print(f"\n{', '.join(f'{name} {value}' for name, value in zip(by, group, strict=True))}")
        values = {variant: part.set_index("seed")[columns] for variant, part in rows.groupby("variant")}
        for variant in [name for name in VARIANTS if name in values]:
            own = values[variant]
            cells = [f"{own[column].mean():.4f} ({own[column].std():.4f})" for column in columns]
            if variant != "none" and "none" in values:
                difference = own - values["none"]
                for place, column in enumerate(columns):
                    change = difference[column].dropna()
                    if len(change) < 2:
                        continue
                    half = stats.t.ppf(0.975, len(change) - 1) * change.sem()
                    relative = 100 * change.mean() / max(values["none"][column].mean(), 1e-9)
                    cells[place] += f" {change.mean():+.4f} +- {half:.4f} ({relative:+.0f} %)"
            print(f"  {variant:5s}" + " | ".join(f"{c[7:]} {v}" for c, v in zip(columns, cells, strict=True)))


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--fraction", nargs="+", type=float, choices=FRACTIONS, default=list(FRACTIONS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    for fraction in () if arguments.summary else arguments.fraction:
        for data in arguments.data:
            options = {"data": data, "fraction": fraction, "fast": arguments.fast}
            own_process.measure({**options, "circumstances": circumstances(*PACKAGES)}, compiled_once())
    summary(files(fast=arguments.fast)[1], ["data", "fraction"])


if __name__ == "__main__":
    main()
