"""Conversions known as totals of groups: pseudo-labels from the totals, then a conversion head.

Who of a bank's clients took a deposit (UCI bank-full) is known as the total of random groups, with the noise
of a privacy budget ε.  Labels of rows are made in one of these ways; a head, trees or logistic, learns them:

    share       every row its group's proportion, cut to [0, 1]: nothing is done
    exact       posterior of each row given the total of its group, as if the noisy total were exact
    posterior   the same by the distribution of the noise
    neighbours  the same with belief propagation over nearest neighbours
    labels      the rows' own labels, which nobody has: the ceiling

The head "ridge" is `BagRidge` itself, which the posteriors start from.  60 % of the rows make groups, the
last 20 % are the test; no label of a row is used in any choice.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_pipeline_totals.py
    python benchmarks/bench_pipeline_totals.py --table
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from bench_label_proportions import graph, read, split
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.stats import t as student
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from noisy_labels import BagRidge, DiscreteLaplaceCount, ExactCount, LabelProportionsClassifier, make_bags
from noisy_labels.proportions.bag_construction import MadeBags
from noisy_labels.proportions.count_potentials import CountPotential
from noisy_labels.proportions.soft_labels import fit_soft_labels

Floats = NDArray[np.float64]

BAGS = (8, 32, 128)
BUDGETS = (np.inf, 4.0, 1.0, 0.25)
WAYS = (
    ("share", "trees"),
    ("share", "logistic"),
    ("exact", "trees"),
    ("posterior", "trees"),
    ("posterior", "logistic"),
    ("posterior", "ridge"),
    ("neighbours", "trees"),
)
KEY = ("data", "bag", "epsilon", "labels", "head", "seed")


@cache
def rows(data: str, seed: int) -> tuple[Floats, NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Return standardised features and labels, of training and of test."""
    X, y = read(data)
    train, test = split(data, seed)
    scaler = StandardScaler().fit(X[train])
    return scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test]


def potential(made: MadeBags, epsilon: float, labels: str) -> CountPotential:
    if labels == "exact" or np.isinf(epsilon):
        return ExactCount(np.clip(made.counts, 0, made.sizes))
    return DiscreteLaplaceCount(made.counts, epsilon)


def new_head(name: str, seed: int) -> Any:
    if name == "trees":
        return HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
    return LogisticRegression(C=0.1, max_iter=300)


def fit(case: Mapping[str, Any]) -> Any:
    """Return the model that the totals of the case lead to."""
    X, y, _, _ = rows(case["data"], case["seed"])
    labels, epsilon, head = case["labels"], case["epsilon"], new_head(case["head"], case["seed"])
    if labels == "labels":
        return head.fit(X, y)
    budget = None if np.isinf(epsilon) else epsilon
    made = make_bags(y, size=case["bag"], epsilon=budget, random_state=case["seed"])
    if labels == "share":
        return fit_soft_labels(head, X, np.clip(made.proportions, 0, 1)[made.bags])
    counts = potential(made, epsilon, labels)
    if labels == "neighbours":
        model = LabelProportionsClassifier(head, n_rounds=1, random_state=case["seed"])
        return model.fit(X, bags=made.bags, counts=counts, graph=graph(case["data"], case["seed"]))
    ridge = BagRidge().fit(X, bags=made.bags, counts=counts)
    return ridge if case["head"] == "ridge" else fit_soft_labels(head, X, ridge.transduce_proba_[:, 1])


def run(case: Mapping[str, Any]) -> dict[str, float]:
    _, _, X, y = rows(case["data"], case["seed"])
    began = time.process_time()
    model = fit(case)
    seconds = time.process_time() - began
    chances = model.predict_proba(X)[:, 1]
    return {
        "test_auc": float(roc_auc_score(y, chances)),
        "test_log_loss": float(log_loss(y, chances.clip(1e-6, 1 - 1e-6))),
        "predicted_share": float(chances.mean()),
        "true_share": float(y.mean()),
        "cpu_seconds": seconds,
    }


def cases(seeds: list[int], data: list[str]) -> Iterator[dict[str, Any]]:
    """Yield all runs with the first seed, then with the second, and so on."""
    for seed, name in itertools.product(seeds, data):
        for head in ("trees", "logistic"):
            yield dict(zip(KEY, (name, 1, np.inf, "labels", head, seed), strict=True))
        for (labels, head), bag, epsilon in itertools.product(WAYS, BAGS, BUDGETS):
            same_as_posterior = labels == "exact" and np.isinf(epsilon)
            if same_as_posterior or (labels == "neighbours" and epsilon not in (np.inf, 1.0)):
                continue
            yield dict(zip(KEY, (name, bag, epsilon, labels, head, seed), strict=True))


def print_tables(results: ResultsFile, data: str, column: str) -> None:
    """Print means ± deviations, and in brackets the paired difference from "share" with a 95 % t interval."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for row in results.rows():
        if row["data"] == data:
            place = (row["labels"], row["head"], row["bag"], row["epsilon"])
            found.setdefault(place, {})[row["seed"]] = float(row[column])
    print(f"\n{data}, {column}\n\n| labels, head | bag | " + " | ".join(f"ε {b:g}" for b in BUDGETS) + " |")
    print("|---" * (2 + len(BUDGETS)) + "|")
    for labels, head, bag in [(*way, b) for b in BAGS for way in WAYS]:
        shown = []
        for epsilon in BUDGETS:
            control_head = "trees" if head == "trees" else "logistic"
            own, control = (
                found.get((*way, str(bag), f"{epsilon:.6g}"), {})
                for way in ((labels, head), ("share", control_head))
            )
            shown.append(_cell(own, control if labels != "share" else {}))
        print(f"| {labels}, {head} | {bag} | " + " | ".join(shown) + " |")
    for head in ("trees", "logistic"):
        print(f"| labels, {head} | 1 | {_cell(found.get(('labels', head, '1', 'inf'), {}), {})} |||")


def _cell(own: Mapping[str, float], control: Mapping[str, float]) -> str:
    if not own:
        return ""
    values = np.array(list(own.values()))
    text = f"{values.mean():.3f} ± {values.std(ddof=1) if values.size > 1 else 0:.3f}"
    gains = np.array([value - control[seed] for seed, value in own.items() if seed in control])
    if gains.size > 1:
        half = student.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / np.sqrt(gains.size)
        text += f" ({gains.mean():+.3f} ± {half:.3f})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["bank"], choices=["bank", "adult"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    given = parser.parse_args()
    results = ResultsFile("pipeline_totals", key=KEY)
    if given.table:
        for data, column in itertools.product(given.data, ("test_auc", "test_log_loss")):
            print_tables(results, data, column)
        return
    for case in cases(given.seeds, given.data):
        if not results.holds(case):
            measured = run(case)
            results.append({**case, **measured, **circumstances("numpy", "scikit-learn", "numba")})
            print(case, {name: round(value, 4) for name, value in measured.items()}, flush=True)


if __name__ == "__main__":
    main()
