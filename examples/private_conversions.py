"""Visits of a shop that are published as noisy totals of groups: what a model can still learn of them.

Takes the e-mail campaign of Hillstrom (64,000 customers; downloaded if it is not at hand), otherwise
customers that are drawn here.  Totals of groups of 64 get the noise of differential privacy, of budget ε.

    python examples/private_conversions.py
    python examples/private_conversions.py --fast    # seconds, drawn customers
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from noisy_labels import BagRidge, DiscreteLaplaceCount, ExactCount, SuppressedCount, make_bags
from noisy_labels.count_potentials import CountPotential
from sparse_data.datasets import fetch_hillstrom
from sparse_data.datasets.download import DownloadError

GROUP = 64


def load(fast: bool) -> tuple[str, NDArray[np.float64], NDArray[np.int64]]:
    """Return a name, features and who visited."""
    if not fast:
        try:
            sent = fetch_hillstrom()
        except DownloadError as error:
            print(f"Hillstrom's campaign is not at hand: {error}")
        else:
            wide = pd.get_dummies(pd.DataFrame(sent.columns))
            return "Hillstrom", wide.to_numpy(dtype=np.float64), np.asarray(sent.clicks, dtype=np.int64)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(16_000, 5))
    return "drawn", X, (X @ [0.9, -0.6, 0.3, 0, 0] + rng.logistic(size=16_000) > 2).astype(np.int64)


def readings(
    totals: NDArray[np.float64], epsilon: float, sizes: NDArray[np.int64]
) -> dict[str, CountPotential]:
    """Return three ways to read noisy totals; in the third, those below 5 were withheld."""
    return {
        "taken for exact": ExactCount(np.clip(totals, 0, sizes)),
        "with their noise": DiscreteLaplaceCount(totals, epsilon),
        "withheld below 5": SuppressedCount(np.where(totals < 5, np.nan, totals), 5, epsilon),
    }


def main() -> None:
    """Print, for each budget and reading, how well rows are ranked and the mean chance is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="drawn customers")
    options = parser.parse_args()
    name, X, y = load(options.fast)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    rows = []
    for epsilon in (0.25, 1.0, 4.0):
        made = make_bags(y_train, size=GROUP, epsilon=epsilon, random_state=0)
        for reading, counts in readings(made.counts, epsilon, made.sizes).items():
            model = BagRidge().fit(X_train, bags=made.bags, counts=counts)
            own = model.transduce_proba_[:, 1]
            rows.append(
                {
                    "ε": epsilon,
                    "totals": reading,
                    "test AUC": roc_auc_score(y_test, model.decision_function(X_test)),
                    "AUC of customers in groups": roc_auc_score(y_train, own),
                    "log-loss there": -np.log(np.where(y_train == 1, own, 1 - own).clip(1e-9)).mean(),
                    "mean chance": own.mean(),
                }
            )
    print(f"{name}: {len(y_train)} customers in groups of {GROUP}, {y_train.mean():.3f} of them visited")
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
