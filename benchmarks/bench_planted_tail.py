"""A planted long-tail catalogue: what self-supervision finds, and which fields it should mask.

Of a made-up catalogue a tenth of the training pairs is kept. Two fields of an item tell each other
(redundancy 1): a mask at random mostly leaves one of them to be read off, CFM hides both together. Each seed
draws another catalogue. The weight is chosen on validation with a seed of its own.

    python benchmarks/bench_planted_tail.py
    python benchmarks/bench_planted_tail.py --summary
    python benchmarks/bench_planted_tail.py --fast     a tiny part, *_fast.csv
"""

from __future__ import annotations

import argparse
from typing import Any

import own_process
from bench_self_supervision import (
    PACKAGES,
    START,
    compiled_once,
    fit_and_measure,
    merit,
    parts,
    row_of,
    summary,
)
from results_file import ResultsFile, circumstances

from sparse_data.datasets import Interactions, make_interactions

CATALOGUE = {"n_users": 2000, "n_items": 2000, "n_interactions": 100_000, "affinity": 3.0, "redundancy": 1.0}
SMALL = {**CATALOGUE, "n_users": 300, "n_items": 400, "n_interactions": 9000}
FRACTION = 0.1
VARIANTS = ("none", "rfm", "cfm")
WEIGHTS = (0.5, 1.0, 2.0)
SEEDS = range(20)
TUNING_SEED = 100
KEY = ("stage", "fraction", "variant", "seed", "weight")


def catalogue(seed: int, *, fast: bool) -> Interactions:
    """Return a log whose items have a category and a department that are one under two names."""
    return make_interactions(**(SMALL if fast else CATALOGUE), random_state=seed).interactions


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train once and measure."""
    validate = options["stage"] == "choose"
    log = catalogue(options["seed"], fast=options["fast"])
    train, test = parts(log, options["fraction"], options["seed"], in_time=False, validate=validate)
    settings = {**START, "weight": options["weight"]}
    measured = fit_and_measure(
        options["variant"],
        settings,
        train,
        test,
        seed=options["seed"],
        epochs=options["epochs"],
        validate=validate,
        batch_size=512,
    )
    return {"training_pairs": len(train), **measured}


def main() -> None:
    """Choose a weight and a number of epochs for each variant, then measure."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    file = ResultsFile("planted_tail" + ("_fast" if arguments.fast else ""), KEY)

    def measure(stage: str, variant: str, seed: int, weight: float, epochs: int) -> dict[str, Any]:
        run = {"stage": stage, "fraction": FRACTION, "variant": variant, "seed": seed, "weight": weight}
        if not file.holds(run):
            options = {**run, "epochs": epochs, "fast": arguments.fast}
            measured = own_process.measure(options, compiled_once())
            file.append({**run, **measured, **circumstances(*PACKAGES)})
            print(f"{run}: tail {measured['recall_tail']:.4f}", flush=True)
        return row_of(file, run)

    if not arguments.summary:
        chosen: dict[str, dict[str, Any]] = {}
        for variant in VARIANTS:
            weights = (0.0,) if variant == "none" else WEIGHTS[: 1 if arguments.fast else None]
            most = 2 if arguments.fast else 40
            tried = [measure("choose", variant, TUNING_SEED, weight, most) for weight in weights]
            chosen[variant] = max(tried, key=lambda row: merit(row, chosen.get("none")))
        for seed in SEEDS[: 1 if arguments.fast else None]:
            for variant, row in chosen.items():
                measure("measure", variant, seed, float(row["weight"]), int(row["epochs"]))
    summary(file, ["stage", "fraction"])


if __name__ == "__main__":
    main()
