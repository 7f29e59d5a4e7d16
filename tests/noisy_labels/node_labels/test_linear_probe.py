"""The probe against the logistic regression of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from noisy_labels.node_labels.linear_probe import LinearProbe, fit_linear_probe


def draw(n_rows, n_features, n_classes, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n_rows)
    rows = generator.normal(size=(n_rows, n_features)) + 2 * np.eye(n_classes, n_features)[labels]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels


# More and fewer rows than features, two classes and more.
@pytest.mark.parametrize(("n_rows", "n_features", "n_classes"), [(80, 6, 4), (30, 60, 3), (20, 20, 2)])
@pytest.mark.parametrize("C", [1.0, 0.1])
def test_equals_scikit_learn(n_rows, n_features, n_classes, C):
    rows, labels = draw(n_rows, n_features, n_classes, seed=n_rows)
    probe = fit_linear_probe(rows, labels, n_classes=n_classes, C=C, tol=1e-9)
    # Two classes have a softmax of two sets of weights here, each half of the difference there.
    peer = LogisticRegression(C=2 * C if n_classes == 2 else C, tol=1e-9, max_iter=5000).fit(rows, labels)
    fresh, _ = draw(50, n_features, n_classes, seed=1)
    wanted = peer.predict_proba(fresh)
    np.testing.assert_allclose(probe.predict_proba(fresh), wanted, atol=1e-5)


def test_start_changes_no_solution():
    rows, labels = draw(30, 40, 3, seed=0)
    cold = fit_linear_probe(rows, labels, n_classes=3, tol=1e-9)
    other, other_labels = draw(30, 40, 3, seed=5)
    start = fit_linear_probe(other, other_labels, n_classes=3)
    warm = fit_linear_probe(rows, labels, n_classes=3, start=start, tol=1e-9)
    np.testing.assert_allclose(warm.predict_proba(other), cold.predict_proba(other), atol=1e-5)


def test_missing_classes_have_no_probability():
    rows, labels = draw(20, 5, 2, seed=0)
    probe = fit_linear_probe(rows, labels * 2, n_classes=4)
    found = probe.predict_proba(rows)
    assert found.shape == (20, 4)
    assert (found[:, [1, 3]] == 0).all()
    two = fit_linear_probe(rows, labels, n_classes=2)
    np.testing.assert_allclose(found[:, [0, 2]], two.predict_proba(rows), atol=1e-3)
    # A class that comes back begins at 0, one that stays where it was.
    again = fit_linear_probe(rows, labels, n_classes=4, start=probe)
    assert np.isfinite(again.intercept).tolist() == [True, True, False, False]


def test_one_class_is_certain():
    rows, labels = draw(6, 3, 2, seed=0)
    probe = fit_linear_probe(rows, np.ones_like(labels), n_classes=2)
    assert isinstance(probe, LinearProbe)
    assert probe.predict_proba(rows).tolist() == [[0, 1]] * 6
