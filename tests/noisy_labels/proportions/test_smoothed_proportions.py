"""Proportions smoothed over neighbours, against a loop."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from noisy_labels.proportions.smoothed_proportions import SmoothedProportions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) * [1.0, 20.0, 0.1] + 3
Y = X[:, 0] > 3
BAGS = np.arange(60) // 3
GIVEN = {"bags": BAGS, "counts": np.bincount(BAGS, Y)}


def test_two_means_over_neighbours():
    k = 7
    units = (X - X.mean(axis=0)) / X.std(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    nearest = [[j for j in np.argsort(-units @ units[i]) if j != i][:k] for i in range(60)]
    share = (np.bincount(BAGS, Y) / 3)[BAGS]
    once = np.array([share[nearest[i]].mean() for i in range(60)])
    new = RNG.normal(size=(5, 3)) + 3
    new_units = (new - X.mean(axis=0)) / X.std(axis=0)
    new_units /= np.linalg.norm(new_units, axis=1, keepdims=True)
    expected = [once[np.argsort(-units @ row)[:k]].mean() for row in new_units]
    model = SmoothedProportions(k).fit(X, **GIVEN)
    logits = model.decision_function(new)
    slope, intercept = np.polyfit(expected, logits, 1)
    np.testing.assert_allclose(logits, slope * np.array(expected) + intercept, atol=1e-9)
    assert slope > 0


def test_more_neighbours_than_rows():
    model = SmoothedProportions(500).fit(X, **GIVEN)
    assert np.isfinite(model.decision_function(X)).all()
    assert roc_auc_score(Y, SmoothedProportions(6).fit(X, **GIVEN).transduce_proba_[:, 1]) > 0.8
