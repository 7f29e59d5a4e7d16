"""Digits with corrupted labels: test accuracy of ConfidentLearningClassifier beside cleanlab's CleanLearning.

1,797 digits, pixels in [0, 1], a stratified quarter for testing, noise on the training labels only; 5 seeds
draw split, noise and folds anew.  Both sides see the same split, noisy labels and estimator, with their
default settings but for the action.  "oracle" leaves out exactly the wrong labels.  The wines (178 rows, 3
classes) and the breast cancers (569 rows, 2 classes), features scaled to unit variance, are sets that nothing
was chosen on.

    python benchmarks/bench_digits_noise.py
    python benchmarks/bench_digits_noise.py --data wine cancer --engine "as given" cleanlab mend prune
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from results_file import ResultsFile, circumstances
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from noisy_labels.confident_learning.confident_learning_classifier import ConfidentLearningClassifier
from noisy_labels.transitions.noise import corrupt_labels

CELLS = {
    "logistic": [(kind, rate) for kind in ("symmetric", "pair") for rate in (0.2, 0.3, 0.4)],
    "forest": [("symmetric", 0.2), ("symmetric", 0.4), ("pair", 0.2), ("pair", 0.3), ("pair", 0.4)],
    "neighbours": [("symmetric", 0.4), ("pair", 0.3), ("pair", 0.4)],
}
OTHER_CELLS = [("symmetric", 0.2), ("symmetric", 0.3), ("pair", 0.2), ("pair", 0.3)]
ENGINES = ("as given", "oracle", "cleanlab", "mend", "prune", "relabel", "reweight", "soften")


def load(data: str) -> tuple[Any, Any]:
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        return X / 16, y
    X, y = (load_wine if data == "wine" else load_breast_cancer)(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def make_estimator(name: str, seed: int) -> Any:
    if name == "logistic":
        return LogisticRegression(max_iter=1000)
    if name == "forest":
        return RandomForestClassifier(200, random_state=seed)
    return KNeighborsClassifier(10)


def detection_f1(found: Any, wrong: Any) -> float:
    return float(2 * np.sum(found & wrong) / max(np.sum(found) + np.sum(wrong), 1))


def train(engine: str, estimator: Any, X: Any, noisy: Any, clean: Any, seed: int) -> tuple[Any, Any, bool]:
    """Return the fitted model, the rows that it takes for wrong, and whether it cleaned."""
    wrong = noisy != clean
    if engine == "as given":
        return clone(estimator).fit(X, noisy), np.zeros_like(wrong), False
    if engine == "oracle":
        return clone(estimator).fit(X[~wrong], noisy[~wrong]), wrong, True
    if engine == "cleanlab":
        from cleanlab.classification import CleanLearning

        model = CleanLearning(clone(estimator), seed=seed).fit(X, noisy)
        return model, model.get_label_issues()["is_label_issue"].to_numpy(), True
    model = ConfidentLearningClassifier(estimator, action=engine, random_state=seed).fit(X, noisy)
    return model, model.label_issues_, model.cleaned_


def run_cells(data: str, options: argparse.Namespace) -> None:
    results = ResultsFile(f"{data}_noise", key=("estimator", "noise", "rate", "engine", "seed"))
    X, y = load(data)
    for name in options.estimator:
        for noise, rate in CELLS[name] if data == "digits" else OTHER_CELLS:
            for seed in range(options.seeds):
                X_train, X_test, clean, y_test = train_test_split(
                    X, y, test_size=0.25, random_state=seed, stratify=y
                )
                noisy = corrupt_labels(clean, rate, noise, random_state=seed)
                for engine in options.engine:
                    run = {"estimator": name, "noise": noise, "rate": rate, "engine": engine, "seed": seed}
                    if (name == "neighbours" and engine in ("reweight", "soften")) or results.holds(run):
                        continue
                    start = time.perf_counter()
                    model, found, cleaned = train(
                        engine, make_estimator(name, seed), X_train, noisy, clean, seed
                    )
                    measured = {
                        "accuracy": float(model.score(X_test, y_test)),
                        "detection_f1": detection_f1(found, noisy != clean),
                        "cleaned": cleaned,
                        "seconds": time.perf_counter() - start,
                    }
                    row = {**run, **measured, **circumstances("numpy", "scikit-learn", "cleanlab")}
                    results.append(row)
                    print({**run, **measured}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["digits"], choices=("digits", "wine", "cancer"))
    parser.add_argument("--estimator", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="cleanlab")
    for data in options.data:
        run_cells(data, options)


if __name__ == "__main__":
    main()
