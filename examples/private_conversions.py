"""Visits of a shop that are published as noisy totals of groups: what a model can still learn of them.

Takes the e-mail campaign of Hillstrom (64,000 customers; downloaded if it is not at hand), otherwise
customers that are drawn here.  Totals of groups of 64 get the noise of differential privacy, of budget ε;
they become a chance of each customer, and a conversion model learns the chances as if they were labels.

    python examples/private_conversions.py
    python examples/private_conversions.py --fast    # seconds, drawn customers
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from noisy_labels import BagRidge, DiscreteLaplaceCount, ExactCount, SuppressedCount, make_bags
from noisy_labels.proportions.count_potentials import CountPotential
from noisy_labels.proportions.soft_labels import fit_soft_labels
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


def judge(model: LogisticRegression, X: NDArray[np.float64], y: NDArray[np.int64]) -> dict[str, float]:
    """Return how well a conversion model ranks customers it has not seen, and how likely it finds them."""
    chances = model.predict_proba(X)
    return {"test AUC": roc_auc_score(y, chances[:, 1]), "test log-loss": log_loss(y, chances)}


def main() -> None:
    """Print, for each budget and reading, what the chances are worth and what a model learns from them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="drawn customers")
    options = parser.parse_args()
    name, X, y = load(options.fast)
    X_train, X_test, y_train, y_test = train_test_split(StandardScaler().fit_transform(X), y, random_state=0)
    head, rows = LogisticRegression(C=0.1), []
    for epsilon in (0.25, 1.0, 4.0):
        made = make_bags(y_train, size=GROUP, epsilon=epsilon, random_state=0)
        chances = {"nothing: the group's share": np.clip(made.proportions, 0, 1)[made.bags]}
        for reading, counts in readings(made.counts, epsilon, made.sizes).items():
            ridge = BagRidge().fit(X_train, bags=made.bags, counts=counts)
            chances[reading] = ridge.transduce_proba_[:, 1]
        for reading, own in chances.items():
            shown = {
                "ε": epsilon,
                "what is done with totals": reading,
                "AUC in groups": roc_auc_score(y_train, own),
                "mean chance": own.mean(),
            }
            rows.append(shown | judge(fit_soft_labels(head, X_train, own), X_test, y_test))
    ceiling = {"ε": np.inf, "what is done with totals": "not needed: own labels"}
    rows.append(ceiling | judge(head.fit(X_train, y_train), X_test, y_test))
    print(f"{name}: {len(y_train)} customers in groups of {GROUP}, {y_train.mean():.3f} of them visited")
    print(pd.DataFrame(rows).round(3).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
