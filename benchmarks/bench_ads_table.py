"""Sales of a real table of ads, known only by group: models that predict the sales of groups held out.

Each cell of the table (ad, age, gender, interest) has clicks and sales.  A click is a row with the features
of its cell; clicks of one ad set are a bag, whose sales are known.  Each fifth of the bags is predicted by
the others.  Sales beyond the clicks of a cell (who saw an ad may buy without a click) are cut and counted.
`cells` is the likelihood of the sales of the cells in held-out bags: finer than anything that was fitted.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_ads_table.py
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.bag_classifier import BagClassifier
from noisy_labels.proportions.bag_permutation import permuted_bag_test
from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import ExactCount
from noisy_labels.proportions.count_scorer import count_log_likelihood
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.mean_map import MeanMap

SEEDS = (0, 1, 2)


def models(seed: int) -> dict[str, BagClassifier]:
    return {
        "BagRidge": BagRidge(),
        "LabelProportionsClassifier": LabelProportionsClassifier(random_state=seed),
        "LabelProportionsClassifier(LogisticRegression)": LabelProportionsClassifier(
            LogisticRegression(), coupling=0, random_state=seed
        ),
        "MeanMap": MeanMap(),
        "AlternatingMeanMap": AlternatingMeanMap(),
    }


def read() -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Return features of the clicks and, for each, its cell, its bag and the sales of the cell."""
    root = Path(os.environ["SPARSELABELS_DATA"])
    table = pd.read_csv(root / "facebook-ads-conversion/KAG_conversion_data.csv")
    table["Sales"] = np.minimum(table["Approved_Conversion"], table["Clicks"])
    lost = table["Approved_Conversion"].sum() - table["Sales"].sum()
    table = table[table["Clicks"] > 0].reset_index(names="cell")
    print(f"{len(table)} cells with clicks, {table['fb_campaign_id'].nunique()} bags; {lost} sales cut")
    table["log_rate"] = np.log(table["Clicks"] / table["Impressions"])
    table["log_cost"] = np.log(table["Spent"] / table["Clicks"])
    table["log_shown"] = np.log(table["Impressions"])
    wide = pd.get_dummies(table[["xyz_campaign_id", "age", "gender", "interest"]].astype(str))
    features = pd.concat([wide, table[["log_rate", "log_cost", "log_shown"]]], axis=1).to_numpy(dtype=float)
    click = np.repeat(np.arange(len(table)), table["Clicks"])
    return features[click], table.iloc[click].reset_index(drop=True)


def totals(clicks: pd.DataFrame, by: str) -> NDArray[np.float64]:
    """Return the sales of each bag (or cell), in order of first appearance."""
    cells = clicks.drop_duplicates("cell")
    return cells.groupby(by, sort=False)["Sales"].sum().to_numpy(dtype=float)


def likelihoods(logits: NDArray[np.float64], clicks: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name, by in (("bags", "fb_campaign_id"), ("cells", "cell")):
        factor = count_factor(clicks[by], ExactCount(totals(clicks, by)), len(clicks))
        found[name] = count_log_likelihood(logits, factor)
    return found


def main() -> None:
    X, clicks = read()
    bags = clicks["fb_campaign_id"].to_numpy()
    results = ResultsFile("ads_table", key=("model", "seed"))
    for seed in SEEDS:
        folds = list(GroupKFold(5, shuffle=True, random_state=seed).split(X, groups=bags))
        for name in ["constant", *models(seed)]:
            run: dict[str, Any] = {"model": name, "seed": seed}
            if results.holds(run):
                continue
            scores = []
            for train, test in folds:
                known = totals(clicks.iloc[train], "fb_campaign_id")
                share = known.sum() / train.size
                logits = np.full(test.size, np.log(share / (1 - share)))
                if name != "constant":
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        model = models(seed)[name].fit(X[train], bags=bags[train], counts=known)
                    logits = model.decision_function(X[test])
                scores.append(likelihoods(logits, clicks.iloc[test]))
            measured = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
            results.append({**run, **measured, **circumstances("numpy", "scikit-learn")})
            print({**run, **measured}, flush=True)
    null = permuted_bag_test(
        BagRidge(), X, bags=bags, counts=totals(clicks, "fb_campaign_id"), n_permutations=19, random_state=0
    )
    print(
        f"BagRidge: {null.score:.3f}; counts permuted, at best {null.null_scores.max():.3f}; p {null.p_value}"
    )


if __name__ == "__main__":
    main()
