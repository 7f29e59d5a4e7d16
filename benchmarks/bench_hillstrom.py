"""Hillstrom's e-mails (visit, purchase) by every method of the entire space, and clicks of Open Bandit.

Hillstrom: 64,000 customers without an order in time, so ten random halves; a fifth of the training half
validates, 6 settings a method are tuned on the first. The two tasks of the table in the paper of ESMM: AUC of
pCVR among visits, and of pCTCVR on all rows with the pCTR of one network that was trained on visits alone.
The set is small: a test half has about 290 purchases, and one AUC of the conversion task a standard error of
about 0.017; the standard deviation over halves is printed beside every mean.

Open Bandit (six logs of 10,000 impressions, 38 to 69 clicks, no conversions): the first half in time trains,
AUC of pCTR on the second. Nothing is tuned there, because a validation part would have a handful of clicks.

    python benchmarks/bench_hillstrom.py                   all runs that are not in results yet
    python benchmarks/bench_hillstrom.py --data open-bandit
    python benchmarks/bench_hillstrom.py --summary         beside the paper's table of another data set
    python benchmarks/bench_hillstrom.py --fast            two epochs, one half, *_fast.csv
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import own_process
from funnel_task import ENVIRONMENT, METHODS, FunnelTask, independent_ctr, predict, train, tuned, values_of
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances

DATA = ("hillstrom", "open-bandit")
SEEDS = tuple(range(10))
BATCH, EPOCHS = 256, 15
KEY = ("data", "method", "seed")
TUNING_KEY = ("data", "method", "setting")
BANDIT_KEY = ("policy", "campaign", "seed")
PACKAGES = ("numpy", "keras", "jax", "scikit-learn")
# Ma et al. (2018), table 2: AUC in % on a part of Ali-CCP, mean and deviation of ten runs.
PAPER = {
    "BASE": ("66.00 ± 0.37", "62.07 ± 0.45"),
    "AMAN": ("65.21 ± 0.59", "63.53 ± 0.57"),
    "OVERSAMPLING": ("67.18 ± 0.32", "63.05 ± 0.48"),
    "UNBIAS": ("66.65 ± 0.28", "63.56 ± 0.70"),
    "DIVISION": ("67.56 ± 0.48", "63.62 ± 0.09"),
    "ESMM-NS": ("68.25 ± 0.44", "64.44 ± 0.62"),
    "ESMM": ("68.56 ± 0.37", "65.32 ± 0.49"),
}


def run_hillstrom(options: dict[str, Any]) -> None:
    """Tune and measure the methods; rows are written as they come."""
    fast, about, where = options["fast"], options["about"], {"data": "hillstrom"}
    results, tuning, _ = _files(fast)
    first = half_of_hillstrom(SEEDS[0], fast)
    names = options["methods"]
    settings = {name: tuned(first, name, about=about, where=where, file=tuning, fast=fast) for name in names}
    for seed in SEEDS[: 1 if fast else None]:
        missing = [name for name in names if not results.holds({**where, "method": name, "seed": seed})]
        if not missing:
            continue
        task = half_of_hillstrom(seed, fast)
        ctr = independent_ctr(task, seed)[task.test]
        for name in missing:
            measured = measure(task, name, json.loads(settings[name]), ctr, seed)
            row = {**where, "method": name, "seed": seed, "setting": settings[name]}
            results.append({**row, **measured, **about})
            print(seed, name, settings[name], f"{measured['clicked_auc']:.4f}", flush=True)


def half_of_hillstrom(seed: int, fast: bool) -> FunnelTask:
    """Return a random half to train and the other to test."""
    from recsys_ssl import Category, Dense, FeatureEncoder
    from sparse_data.datasets import fetch_hillstrom

    shown = fetch_hillstrom()
    kinds = {name: Dense if name == "history" else Category for name in shown.columns}
    encoder = FeatureEncoder([kind(name) for name, kind in kinds.items()]).fit(shown.columns)
    order = np.random.default_rng(seed).permutation(len(shown))
    half = len(shown) // 2
    return FunnelTask(
        encoder.transform(shown.columns),
        shown.clicks.astype(np.float32),
        shown.conversions.astype(np.float32),
        encoder.specification(),
        order[half // 5 : half],
        order[: half // 5],
        order[half:],
        batch_size=BATCH,
        epochs=2 if fast else EPOCHS,
    )


def measure(
    task: FunnelTask, name: str, setting: dict[str, Any], ctr: NDArray[np.float64], seed: int
) -> dict[str, Any]:
    """Train a method and measure it on test."""
    from recsys_ssl.measures.conversion_metrics import evaluate_funnel

    run = train(task, METHODS[name], setting, seed=seed)
    clicks, conversions = task.clicks[task.test], task.conversions[task.test]
    table = evaluate_funnel(clicks, conversions, predict(run["model"], task, task.test), shared_ctr=ctr)
    scores = {"validation_auc": run["score"], "epochs": run["epochs"], "seconds": run["seconds"]}
    return {**scores, **values_of(table), "test_conversions": int(conversions.sum())}


def run_open_bandit(options: dict[str, Any]) -> None:
    """Train the click network of BASE on the first half of each log in time."""
    from sklearn.metrics import roc_auc_score

    fast = options["fast"]
    results = _files(fast)[2]
    for policy in ("random", "bts"):
        for campaign in ("all", "men", "women"):
            for seed in SEEDS[: 1 if fast else 5]:
                row = {"policy": policy, "campaign": campaign, "seed": seed}
                if results.holds(row):
                    continue
                task = halves_of_open_bandit(policy, campaign, fast)
                clicks = task.clicks[task.test]
                auc = float(roc_auc_score(clicks, _ctr_after_epochs(task, seed)))
                results.append({**row, "ctr_auc": auc, "test_clicks": int(clicks.sum()), **options["about"]})
                print(policy, campaign, seed, f"{auc:.4f}", flush=True)


def halves_of_open_bandit(policy: Any, campaign: Any, fast: bool) -> FunnelTask:
    """Return the earlier half of a log to train, the later one to test."""
    from recsys_ssl import Category, Dense, FeatureEncoder
    from sparse_data.datasets import fetch_open_bandit

    shown = fetch_open_bandit(policy, campaign)
    left_out = ("timestamp", "propensity_score")
    dense = ("affinity", "item_feature_0")
    kinds = {name: Dense if name in dense else Category for name in shown.columns if name not in left_out}
    order = np.argsort(shown.columns["timestamp"], kind="stable")
    half = len(shown) // 2
    encoder = FeatureEncoder([kind(name) for name, kind in kinds.items()])
    encoder.fit({name: shown.columns[name][order[:half]] for name in kinds})
    return FunnelTask(
        encoder.transform(shown.columns),
        shown.clicks.astype(np.float32),
        shown.conversions.astype(np.float32),
        encoder.specification(),
        order[:half],
        slice(0),
        order[half:],
        batch_size=BATCH,
        epochs=2 if fast else 3,
    )


def _ctr_after_epochs(task: FunnelTask, seed: int) -> NDArray[np.float64]:
    """Return pCTR on test of a network trained for the given epochs, without a choice among them."""
    import keras
    from funnel_task import CLICK_SETTING, build

    keras.utils.set_random_seed(seed)
    model = build(task, METHODS["BASE"], CLICK_SETTING, seed)
    model.fit(*task.part(task.train), batch_size=task.batch_size, epochs=task.epochs, verbose=0)
    return predict(model, task, task.test)["ctr"]


def run_data(options: dict[str, Any]) -> dict[str, Any]:
    """Run all of one data set."""
    (run_hillstrom if options["data"] == "hillstrom" else run_open_bandit)(options)
    return {}


def _files(fast: bool) -> tuple[ResultsFile, ResultsFile, ResultsFile]:
    ending = "_fast" if fast else ""
    return (
        ResultsFile(f"hillstrom{ending}", KEY),
        ResultsFile(f"hillstrom_tuning{ending}", TUNING_KEY),
        ResultsFile(f"open_bandit{ending}", BANDIT_KEY),
    )


def summary(fast: bool) -> None:
    """Print mean ± deviation, in %, and what the paper has of the same protocol on other data."""
    import pandas as pd

    results, _, bandit = _files(fast)
    if results.path.exists():
        frame = pd.read_csv(results.path)
        columns = ["clicked_auc", "shared_ctcvr_auc", "ctcvr_auc", "ctr_auc"]
        mean, sd = (frame.groupby("method", sort=False)[columns].agg(how) * 100 for how in ("mean", "std"))
        table = mean.map("{:.2f}".format) + " ± " + sd.map("{:.2f}".format)
        for place, task in enumerate(("paper_cvr", "paper_ctcvr")):
            table[task] = [PAPER[name][place] if name in PAPER else "" for name in table.index]
        print(table.to_string())
        print(
            f"halves: {frame.seed.nunique()}; purchases of a test half: {frame.test_conversions.mean():.0f}"
        )
    if bandit.path.exists():
        frame = pd.read_csv(bandit.path)
        grouped = frame.groupby(["policy", "campaign"])
        print(
            grouped.agg(ctr_auc=("ctr_auc", "mean"), sd=("ctr_auc", "std"), clicks=("test_clicks", "first"))
        )


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_data):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    for data in () if arguments.summary else arguments.data:
        about = circumstances(*PACKAGES)
        options = {"data": data, "methods": arguments.method, "fast": arguments.fast, "about": about}
        own_process.measure(options, ENVIRONMENT)
    summary(arguments.fast)


if __name__ == "__main__":
    main()
