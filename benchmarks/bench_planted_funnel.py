"""Planted funnel: every method of the entire space against the truth that no log holds.

600,000 impressions of 1,000 users and 500 items (`make_funnel`) with six category fields; half train (a tenth
of it validates), half test. Every method has the same network, 6 settings tuned on validation by the first
seed, and 5 seeds, which draw new data as well. Measured on test, over all impressions and not the clicked
ones alone: AUC of pCVR against potential conversions, mean pCVR over the true mean; beside it AUC among
clicks, and of pCTCVR with the pCTR of one independently trained network. A process a cell, JAX.

`levelled` and `robust` are the mean ratio after a shift of the logits of pCVR, which changes no AUC: its mean
over the validation impressions becomes the self-normalised inverse-propensity estimate from train clicks, or
the doubly robust one, the mean of pCVR plus the weighted mean residual of validation clicks.

    python benchmarks/bench_planted_funnel.py                       all runs that are not in results yet
    python benchmarks/bench_planted_funnel.py --cell 1,0.8,0.1 --method ESMM BASE
    python benchmarks/bench_planted_funnel.py --summary
    python benchmarks/bench_planted_funnel.py --fast                a small funnel, *_fast.csv
"""

from __future__ import annotations

import argparse
import functools
import json
from typing import Any

import numpy as np
import own_process
from funnel_task import (
    ENVIRONMENT,
    EPOCHS,
    METHODS,
    FunnelTask,
    estimated_means,
    independent_ctr,
    predict,
    shifted,
    train,
    tuned,
    validation_score,
    values_of,
)
from results_file import ResultsFile, circumstances

CELLS = ((1.0, 0.8, 0.1), (1.0, 0.3, 0.1), (0.0, 0.8, 0.1), (0.0, 0.3, 0.1), (1.0, 0.8, 0.03))
CELL = ("strength", "correlation", "click_rate")
SEEDS = 5
ROWS = {False: 600_000, True: 60_000}
# As many as 300,000 impressions can tell apart: of clicks that no network can foresee no propensity is known.
POPULATION = {"n_users": 1_000, "n_items": 500, "dim": 4}
KEY = (*CELL, "method", "seed")
TUNING_KEY = (*CELL, "method", "setting")
PACKAGES = ("numpy", "keras", "jax", "scikit-learn")
# Two models, trained as they are on their own; the mean of their logits is the combination's.
COMBINATIONS = {
    "BASE & ESMM": ("BASE", "ESMM"),
    "SHARED & ESMM": ("SHARED", "ESMM"),
    "UNBIAS & ESMM": ("UNBIAS", "ESMM"),
}
EVERYONE = (*METHODS, *COMBINATIONS)


@functools.lru_cache(maxsize=1)
def planted(strength: float, correlation: float, click_rate: float, seed: int, fast: bool) -> Any:
    """Return the funnel of a seed and its task; the latest one is kept."""
    from recsys_ssl import Category, FeatureEncoder
    from sparse_data.datasets import make_funnel

    funnel = make_funnel(
        ROWS[fast],
        strength=strength,
        correlation=correlation,
        click_rate=click_rate,
        random_state=seed,
        **POPULATION,
    )
    shown = funnel.impressions
    half = len(shown) // 2
    parts = (slice(half // 10, half), slice(half // 10), slice(half, None))
    encoder = FeatureEncoder([Category(name) for name in shown.columns]).fit(shown.columns)
    labels = [values.astype(np.float32) for values in (shown.clicks, shown.conversions)]
    x, specification = encoder.transform(shown.columns), encoder.specification()
    return funnel, FunnelTask(x, *labels, specification, *parts, epochs=2 if fast else EPOCHS)


@functools.lru_cache(maxsize=1)
def shared_ctr(cell: tuple[float, float, float], seed: int, fast: bool) -> Any:
    """Return the pCTR with which every method's pCVR is multiplied."""
    return independent_ctr(planted(*cell, seed, fast)[1], seed)


@functools.lru_cache(maxsize=len(METHODS))
def trained(name: str, setting: str, cell: tuple[float, float, float], seed: int, fast: bool) -> Any:
    """Return what a run scored, pCVR on validation and all predictions on test; for combinations kept."""
    task = planted(*cell, seed, fast)[1]
    run = train(task, METHODS[name], json.loads(setting), seed=seed)
    model = run.pop("model")
    return run, predict(model, task, task.validation)["cvr"], predict(model, task, task.test)


def combined(settings: dict[str, str], cell: tuple[float, float, float], seed: int, fast: bool) -> Any:
    """Return the same of several methods, whose logits of pCVR are averaged; pCTR is that of the last one."""
    runs, validation, test = zip(
        *(trained(name, setting, cell, seed, fast) for name, setting in settings.items()), strict=True
    )
    if len(runs) == 1:
        return runs[0], validation[0], test[0]
    cvr = mean_of_logits([found["cvr"] for found in test])
    kept = mean_of_logits(validation)
    task = planted(*cell, seed, fast)[1]
    run = {
        "score": validation_score(task, kept),
        "epochs": max(run["epochs"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
    }
    return run, kept, {"ctr": test[-1]["ctr"], "cvr": cvr}


def mean_of_logits(probabilities: Any) -> Any:
    """Return the sigmoid of the mean logit."""
    from scipy.special import expit, logit

    return expit(np.mean([logit(np.clip(values, 1e-7, 1 - 1e-7)) for values in probabilities], axis=0))


def measure(settings: dict[str, str], cell: Any, seed: int, fast: bool) -> dict[str, Any]:
    """Train a method, or those of a combination, with the tuned settings and measure on test."""
    from recsys_ssl.measures.conversion_metrics import evaluate_funnel

    funnel, task = planted(*cell, seed, fast)
    ctr = shared_ctr(cell, seed, fast)
    run, cvr, found = combined(settings, cell, seed, fast)
    truth = funnel.potential_conversions[task.test]
    table = evaluate_funnel(
        task.clicks[task.test],
        task.conversions[task.test],
        found,
        shared_ctr=ctr[task.test],
        potential_conversions=truth,
    )
    means = estimated_means(cvr, task, ctr)
    return {
        "validation_auc": run["score"],
        "epochs": run["epochs"],
        "seconds": run["seconds"],
        **values_of(table),
        **{
            f"{name}_ratio": float(shifted(found["cvr"], cvr, mean).mean() / truth.mean())
            for name, mean in means.items()
        },
    }


def run_cell(options: dict[str, Any]) -> dict[str, Any]:
    """Tune and measure the methods of a cell; rows are written as they come."""
    cell, fast, about = tuple(options["cell"]), options["fast"], options["about"]
    tuning, results = _files(fast)
    where = dict(zip(CELL, map("{:g}".format, cell), strict=True))
    settings = {}
    single = [part for name in options["methods"] for part in COMBINATIONS.get(name, (name,))]
    for name in dict.fromkeys(single):
        task = planted(*cell, 0, fast)[1]
        settings[name] = tuned(task, name, about=about, where=where, file=tuning, fast=fast)
    for seed in range(options["seeds"]):
        for name in options["methods"]:
            row = {**where, "method": name, "seed": seed}
            if results.holds(row):
                continue
            parts = {part: settings[part] for part in COMBINATIONS.get(name, (name,))}
            measured = measure(parts, cell, seed, fast)
            results.append({**row, "setting": " ".join(parts.values()), **measured, **about})
            shown = {
                field: round(measured[field], 4) for field in ("entire_auc", "clicked_auc", "mean_ratio")
            }
            print(*cell, name, seed, *parts.values(), shown, flush=True)
    return {}


def _files(fast: bool) -> tuple[ResultsFile, ResultsFile]:
    ending = "_fast" if fast else ""
    return (
        ResultsFile(f"planted_funnel_tuning{ending}", TUNING_KEY),
        ResultsFile(f"planted_funnel{ending}", KEY),
    )


def summary(fast: bool) -> None:
    """Print mean and deviation of every method and cell, and how far each is from the best of its cell."""
    import pandas as pd

    frame = pd.read_csv(_files(fast)[1].path)
    for name in ("levelled", "robust"):
        frame[f"{name}_log_bias"] = np.log(frame[f"{name}_ratio"])
    grouped = frame.groupby([*CELL, "method"], sort=False)
    table = grouped.agg(
        runs=("seed", "count"),
        entire_auc=("entire_auc", "mean"),
        sd=("entire_auc", "std"),
        clicked_auc=("clicked_auc", "mean"),
        shared_ctcvr_auc=("shared_ctcvr_auc", "mean"),
        log_loss=("entire_log_loss", "mean"),
        mean_ratio=("mean_ratio", "mean"),
        log_bias=("log_bias", "mean"),
        levelled_log_bias=("levelled_log_bias", "mean"),
        robust_log_bias=("robust_log_bias", "mean"),
        seconds=("seconds", "mean"),
    )
    table.insert(2, "behind", table.groupby(level=list(range(3)))["entire_auc"].transform("max"))
    table["behind"] -= table["entire_auc"]
    print(table.round(4).to_string())
    print("largest distance from the best of a cell, by method:")
    print(table.groupby(level="method")["behind"].max().sort_values().round(4).to_string())


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_cell):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", nargs="+", help="strength,correlation,click rate")
    parser.add_argument("--method", nargs="+", choices=EVERYONE, default=list(EVERYONE))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    cells = [tuple(map(float, cell.split(","))) for cell in arguments.cell or ()] or list(CELLS)
    if arguments.fast:
        arguments.seeds = 1
    for cell in () if arguments.summary else cells[: 1 if arguments.fast else None]:
        about = circumstances(*PACKAGES)
        options = {"cell": cell, "methods": arguments.method, "seeds": arguments.seeds, "about": about}
        own_process.measure({**options, "fast": arguments.fast}, ENVIRONMENT)
    summary(arguments.fast)


if __name__ == "__main__":
    main()
