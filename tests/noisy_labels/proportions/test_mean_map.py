"""Mean maps against their definitions, by loops and dense matrices, and against logistic regression."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap, laplacian_mean_operator
from noisy_labels.proportions.mean_map import MeanMap, fit_to_operator, mean_operator
from noisy_labels.proportions.nearest_neighbours import neighbour_graph

RNG = np.random.default_rng(0)
SIZES = RNG.integers(3, 12, 30)
SHARES = RNG.integers(0, SIZES + 1) / SIZES
MEANS = RNG.normal(size=(30, 4))


def test_mean_operator_by_normal_equations():
    mixture, weights = np.stack([SHARES, 1 - SHARES], axis=1), np.diag(SIZES)
    of_class = np.linalg.inv(mixture.T @ weights @ mixture) @ mixture.T @ weights @ MEANS
    share = (SHARES * SIZES).sum() / SIZES.sum()
    expected = share * of_class[0] - (1 - share) * of_class[1]
    np.testing.assert_allclose(mean_operator(MEANS, SHARES, SIZES), expected, atol=1e-12)


def test_mean_operator_of_pure_bags_is_the_labels():
    rows, labels = RNG.normal(size=(12, 2)), np.arange(12) % 2
    found = mean_operator(rows, labels.astype(float), np.ones(12, dtype=int))
    np.testing.assert_allclose(found, (2 * labels - 1) @ rows / 12, atol=1e-12)


def test_laplacian_mean_operator_is_the_minimum():
    similarity = neighbour_graph(MEANS, n_neighbors=4, metric="euclidean")
    dense = similarity.toarray()
    weights = SIZES / SIZES.mean()

    def loss(flat):
        positive, negative = flat.reshape(2, 30)
        fit = (weights * (MEANS[:, 0] - SHARES * positive - (1 - SHARES) * negative) ** 2).sum()
        rough = sum(
            dense[j, k] * ((positive[j] - positive[k]) ** 2 + (negative[j] - negative[k]) ** 2)
            for j in range(30)
            for k in range(30)
            if dense[j, k]
        )
        return fit + 0.7 / 2 * rough

    positive, negative = minimize(loss, np.zeros(60), tol=1e-10).x.reshape(2, 30)
    expected = (SIZES * (SHARES * positive - (1 - SHARES) * negative)).sum() / SIZES.sum()
    found = laplacian_mean_operator(MEANS, SHARES, SIZES, similarity, smoothness=0.7)
    assert found[0] == pytest.approx(expected, abs=1e-4)


def test_very_smooth_classes_are_those_of_the_mean_map():
    similarity = neighbour_graph(MEANS, n_neighbors=29, metric="euclidean")
    found = laplacian_mean_operator(MEANS, SHARES, SIZES, similarity, smoothness=1e5)
    np.testing.assert_allclose(found, mean_operator(MEANS, SHARES, SIZES), atol=1e-3)


def test_the_operator_of_the_labels_gives_logistic_regression():
    rows = RNG.normal(size=(300, 3))
    labels = (rows[:, 0] + RNG.normal(size=300) > 0.4).astype(float)
    operator = (2 * labels - 1) @ rows / 300
    weights, loss = fit_to_operator(rows, operator, labels.mean(), penalty=2.0)
    # Log odds are twice f: a penalty of 2 on w is one of 2 / 4 on the coefficients.
    peer = LogisticRegression(C=2.0, tol=1e-10).fit(rows, labels)
    np.testing.assert_allclose(2 * weights[:-1], peer.coef_[0], atol=1e-3)
    assert 2 * weights[-1] == pytest.approx(peer.intercept_[0], abs=1e-3)
    logits = rows @ (2 * weights[:-1]) + 2 * weights[-1]
    entropy = np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean()
    assert loss == pytest.approx(entropy + (weights[:-1] ** 2).sum() / 300, abs=1e-6)


def test_labels_of_the_alternating_map_fit_counts_and_loss_falls():
    rows = RNG.normal(size=(600, 3))
    labels = rows @ [1.5, -1.0, 0.0] > 0.5
    bags = np.arange(600) // 12
    given = {"bags": bags, "counts": np.bincount(bags, labels)}
    losses = [AlternatingMeanMap(1.0, max_iter=k, tol=0.0).fit(rows, **given).loss_ for k in (1, 2, 4, 8)]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(losses))
    model = AlternatingMeanMap(1.0, start="mean").fit(rows, **given)
    assert 1 <= model.n_iter_ <= 30
    assert roc_auc_score(labels, model.decision_function(rows)) > 0.98
    assert model.loss_ < MeanMap(1.0).fit(rows, **given).loss_


def test_equal_shares_say_nothing_and_break_nothing():
    rows = RNG.normal(size=(40, 2))
    for model in (MeanMap(), LaplacianMeanMap(), AlternatingMeanMap()):
        fitted = model.fit(rows, bags=np.arange(40) // 4, counts=np.full(10, 2))
        assert np.isfinite(fitted.decision_function(rows)).all()
