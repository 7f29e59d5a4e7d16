"""F1 of flagged labels and ROC-AUC of quality scores against known errors, every method and score.

"cleanlab" and "argmax" are the peers: the default of cleanlab itself, and labels that are not the likeliest.

Real sets with their own probabilities: CIFAR-10N (every label verified) and the test sets of MNIST and IMDB,
of which only cleanlab's candidates were checked by people.  For these, `all rows` takes what was not checked
for correct, `checked rows` leaves it out.  The probabilities of IMDB are in an order of rows that its
verdicts do not name: the 1,310 checked reviews are taken to be cleanlab's 1,309 candidates, of which 725
were wrong, and neither the other methods' F1 nor AUC can be known.

Synthetic noise: the digits, 5-fold probabilities of three models, five seeds.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_label_issue_detection.py
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues as cleanlab_issues
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisy_labels.confident_learning.label_issues import choose_method, find_label_issues
from noisy_labels.confident_learning.quality_scores import label_quality
from noisy_labels.transitions.noise import corrupt_labels

MODELS = ("logistic", "forest", "neighbours")
KINDS = ("symmetric", "pair", "asymmetric", "instance")
PEERS = ("auto", "cleanlab", "argmax")
RATES = (0.05, 0.1, 0.2, 0.3, 0.4)
BAR_BEST, BAR_DEFAULT = 0.02, 0.005
# Beside "auto", by their columns.
RULES = (
    "confident_joint",
    "prune_by_class",
    "prune_by_noise_rate",
    "both",
    "low_self_confidence",
    "low_normalized_margin",
)
SCORES = {
    "self_confidence": {"score": "self_confidence"},
    "margin": {"score": "normalized_margin"},
    "entropy": {"score": "confidence_weighted_entropy"},
    "adjusted_margin": {"score": "normalized_margin", "adjust": True},
}


def f1(n_hits: float, n_flagged: float, n_wrong: float) -> float:
    return float(2 * n_hits / max(n_flagged + n_wrong, 1))


def scores(
    labels: NDArray[Any], probs: NDArray[Any], wrong: NDArray[np.bool_], checked: NDArray[np.bool_]
) -> dict[str, Any]:
    chosen = choose_method(labels, probs)
    # The peer refuses sums that are off by rounding.
    exact = probs / probs.sum(axis=1, keepdims=True)
    masks = {
        "auto": chosen.flagged,
        "cleanlab": cleanlab_issues(labels, exact, n_jobs=1),
        "argmax": exact.argmax(axis=1) != labels,
        **{rule: find_label_issues(labels, probs, method=rule) for rule in RULES},
    }
    measured: dict[str, Any] = {
        name: f1((mask & wrong).sum(), (mask & checked).sum(), wrong.sum()) for name, mask in masks.items()
    }
    some = wrong.any()
    for name, arguments in SCORES.items():
        quality = label_quality(labels, probs, **arguments)
        auc = roc_auc_score(wrong[checked], -quality[checked]) if some else float("nan")
        measured[f"auc_{name}"] = float(auc)
    flagged = {f"n_{name}": int(masks[name].sum()) for name in PEERS}
    noise = {"noise": chosen.cut_off.noise, "trend": chosen.cut_off.trend}
    return {**measured, **flagged, "n_wrong": int(wrong.sum()), **noise}


def human_noise(data: Path, name: str) -> dict[str, Any]:
    folder = data / "cifar10n-cv-pred-probs" / name
    files = np.load(folder / "labels.npz")
    labels = files["noisy_labels"].astype(np.int64)
    wrong = files["true_labels"] != labels
    return scores(
        labels, np.load(folder / "resnet18.pred_probs.npy"), wrong, np.ones(len(labels), dtype=bool)
    )


def mnist(data: Path, reading: str) -> dict[str, Any]:
    folder = data / "label-errors-cleanlab"
    labels = np.load(folder / "labels" / "mnist_test_set_original_labels.npy").astype(np.int64)
    probs = np.load(folder / "pred_probs" / "mnist_test_set_pyx.npy")
    verdicts = json.loads((folder / "mturk" / "mnist_mturk.json").read_text())
    rows = np.array([verdict["id"] for verdict in verdicts])
    wrong, checked = np.zeros((2, len(labels)), dtype=bool)
    wrong[rows] = [verdict["mturk"]["given"] < 3 for verdict in verdicts]
    checked[rows] = True
    return scores(labels, probs, wrong, checked | (reading == "all rows"))


def imdb(data: Path, reading: str) -> dict[str, Any]:
    folder = data / "label-errors-cleanlab"
    labels = np.load(folder / "labels" / "imdb_test_set_original_labels.npy").astype(np.int64)
    probs = np.load(folder / "pred_probs" / "imdb_test_set_pyx.npy")
    verdicts = json.loads((folder / "mturk" / "imdb_mturk.json").read_text())
    n_wrong = sum(verdict["mturk"]["given"] < 3 for verdict in verdicts)
    nothing = np.zeros(len(labels), dtype=bool)
    measured = scores(labels, probs, nothing, ~nothing)
    measured.update(dict.fromkeys(RULES, float("nan")))
    # All three flag all candidates; beyond them, nothing was checked.
    for name in PEERS:
        n_flagged = measured[f"n_{name}"] if reading == "all rows" else measured["n_cleanlab"]
        measured[name] = f1(n_wrong, n_flagged, n_wrong)
    return {**measured, "n_wrong": n_wrong}


def make_model(name: str) -> Any:
    if name == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return RandomForestClassifier(200, random_state=0) if name == "forest" else KNeighborsClassifier(10)


def digits(model: str, kind: str, rate: float, seed: int) -> dict[str, Any]:
    features, true = load_digits(return_X_y=True)
    labels = corrupt_labels(true, rate, kind, random_state=seed, X=features if kind == "instance" else None)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    probs = cross_val_predict(make_model(model), features, labels, cv=folds, method="predict_proba")
    return scores(labels, probs, labels != true, np.ones(len(true), dtype=bool))


def report(results: ResultsFile) -> None:
    """Print the mean over seeds of each cell, and whether it meets the bar."""
    cells: dict[tuple[str, str, str], list[list[float]]] = {}
    for row in results.rows():
        key = (row["set"], row["model"], row["rate"])
        cells.setdefault(key, []).append([float(row[name]) for name in PEERS])
    for key, values in cells.items():
        auto, cleanlab, argmax = np.mean(values, axis=0)
        met = auto >= max(cleanlab, argmax) - BAR_BEST and auto >= cleanlab - BAR_DEFAULT
        print(f"{' '.join(key):40s} auto {auto:.3f}  cleanlab {cleanlab:.3f}  argmax {argmax:.3f}", met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="May not flag all label issues")
    warnings.filterwarnings("ignore", message="`pred_probs` has rows whose sum")
    results = ResultsFile("label_issue_detection", key=("set", "model", "rate", "seed"))
    data = Path(os.environ["SPARSELABELS_DATA"])
    runs: list[tuple[dict[str, Any], Any]] = []
    for name in ("worst", "aggregate"):
        runs.append(
            ({"set": f"CIFAR-10N {name}", "model": "ResNet-18"}, lambda name=name: human_noise(data, name))
        )
    for name, function in (("MNIST", mnist), ("IMDB", imdb)):
        for reading in ("all rows", "checked rows"):
            run = {"set": f"{name}, {reading}", "model": "published"}
            runs.append((run, lambda function=function, reading=reading: function(data, reading)))
    runs = [({**run, "rate": "", "seed": ""}, work) for run, work in runs]
    for kind in KINDS:
        for rate in options.rates:
            for model in MODELS:
                for seed in options.seeds:
                    run = {"set": f"digits {kind}", "model": model, "rate": rate, "seed": seed}
                    runs.append((run, lambda m=model, k=kind, r=rate, s=seed: digits(m, k, r, s)))
    for run, work in runs:
        if not results.holds(run):
            results.append({**run, **work(), **circumstances("numpy", "scikit-learn", "cleanlab")})
    report(results)


if __name__ == "__main__":
    main()
