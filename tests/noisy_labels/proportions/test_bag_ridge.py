"""Ridge regression of bags: its loss, what it leaves out, its choice of penalty; the scales of features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm, rankdata

from noisy_labels.proportions import input_scales
from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_ridge import BagRidge, fit_bag_ridge
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import ExactCount
from noisy_labels.proportions.input_scales import two_deviation_scales, with_normal_scores

RNG = np.random.default_rng(0)
X = RNG.normal(size=(960, 3))
X[:, 1] = X[:, 1] > 0.8
Y = (RNG.random(960) < expit(X @ [2.0, -1.0, 0.0] - 0.5)).astype(int)
BAGS = np.repeat(np.arange(160), RNG.permutation(np.repeat([2, 4, 8, 10], 40)))
COUNTS = np.bincount(BAGS, Y)
SIZES = np.bincount(BAGS)
UNITS = np.array([2 * X[:, 0].std(), 1.0, 2 * X[:, 2].std()])


def minimum(bags, alpha):
    """Weights and intercept of least penalised squared error over some bags."""
    means = np.array([X[b == BAGS].mean(axis=0) for b in bags])
    shares, sizes = (COUNTS / SIZES)[bags], SIZES[bags]

    def loss(weights):
        penalty = alpha * 160 * ((weights[:3] * UNITS) ** 2).sum()
        return (sizes * (means @ weights[:3] + weights[3] - shares) ** 2).sum() + penalty

    return minimize(loss, np.zeros(4), tol=1e-12).x


def factor():
    return count_factor(BAGS, ExactCount(COUNTS), 960)


def test_weights_are_the_minimum_of_the_loss():
    found = fit_bag_ridge(X, factor(), alphas=[0.3])
    assert found.alpha == pytest.approx(0.3)
    np.testing.assert_allclose([*found.weights, found.intercept], minimum(np.arange(160), 0.3), atol=1e-5)
    assert (X @ found.weights + found.intercept).mean() == pytest.approx(Y.mean(), abs=1e-9)


def test_rows_are_scored_by_all_bags_but_their_own():
    found = fit_bag_ridge(X, factor(), alphas=[0.05])
    for bag in (0, 7, 80, 159):
        weights = minimum(np.delete(np.arange(160), bag), 0.05)
        expected = (X[bag == BAGS] - X.mean(axis=0)) @ weights[:3] + Y.mean()
        np.testing.assert_allclose(found.held_out_scores[bag == BAGS], expected, atol=1e-4)


def test_the_penalty_is_the_one_that_predicts_left_out_bags():
    alphas = [1e-3, 1e-1, 1e3]
    errors = np.zeros(3)
    for place, alpha in enumerate(alphas):
        for bag in range(0, 160, 4):
            weights = minimum(np.delete(np.arange(160), bag), alpha)
            predicted = X[bag == BAGS].mean(axis=0) @ weights[:3] + weights[3]
            errors[place] += SIZES[bag] * (predicted - COUNTS[bag] / SIZES[bag]) ** 2
    assert fit_bag_ridge(X, factor(), alphas=alphas).alpha == alphas[int(np.argmin(errors))]
    noise = np.random.default_rng(0).normal(size=(960, 60))
    assert fit_bag_ridge(noise, factor(), alphas=[1e-6, 1e3]).alpha == 1e3


def test_more_features_than_bags_do_not_tell_the_left_out_bag():
    # Centred bags sum to nothing: without its intercept, a fit that goes through all others goes through it.
    rng = np.random.default_rng(3)
    rows, labels = rng.normal(size=(600, 80)), rng.random(600) < 0.3
    bags = np.arange(600) // 20
    given = count_factor(bags, ExactCount(np.bincount(bags, labels)), 600)
    assert fit_bag_ridge(rows, given, alphas=[1e-6, 1e3]).alpha == 1e3


def test_many_rows_are_scored_in_blocks():
    rows = np.random.default_rng(1).normal(size=(40_000, 2))
    bags = np.arange(40_000) % 500
    given = ExactCount(np.bincount(bags, rows[:, 0] > 1))
    order = np.argsort(bags, kind="stable")
    found = fit_bag_ridge(rows, count_factor(bags, given, 40_000), alphas=[0.1])
    in_order = fit_bag_ridge(rows[order], count_factor(bags[order], given, 40_000), alphas=[0.1])
    np.testing.assert_allclose(found.held_out_scores[order], in_order.held_out_scores, atol=1e-10)


def test_scales():
    rows = np.array([[0.0, 5.0, 1.0, 7.0], [2.0, 5.0, 2.0, 7.0], [2.0, 5.0, 3.0, 7.0 + 1e-15]])
    np.testing.assert_allclose(two_deviation_scales(rows), [2.0, 1.0, 2 * np.std([1, 2, 3]), 1.0])


def test_normal_scores_beside_columns_of_more_than_two_values():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(size=50), np.arange(50) % 2, rng.integers(0, 5, 50)], axis=1)
    before = rows.copy()
    wide = with_normal_scores(rows)
    np.testing.assert_array_equal(wide[:, :3], rows)
    for place, column in ((3, 0), (4, 2)):
        expected = norm.ppf((rankdata(rows[:, column]) - 0.5) / 50)
        np.testing.assert_allclose(wide[:, place], expected, atol=1e-12)
    assert wide.shape == (50, 5)
    np.testing.assert_array_equal(rows, before)


def test_normal_scores_of_many_rows_are_those_of_a_sample(monkeypatch):
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.normal(size=900) ** 3, rng.integers(0, 4, 900), rng.random(900) > 0.5])
    shares = np.stack([(rankdata(rows[:, column]) - 0.5) / 900 for column in (0, 1)], axis=1)
    monkeypatch.setattr(input_scales, "_RANKED", 899)
    monkeypatch.setattr(input_scales, "_BLOCK", 250)
    found = with_normal_scores(rows)
    np.testing.assert_array_equal(found[:, :3], rows)
    # One row that is left out moves ranks by one at most, and knots are some two apart.
    np.testing.assert_allclose(norm.cdf(found[:, 3:]), shares, atol=3.6 / 900)
    monkeypatch.setattr(input_scales, "_RANKED", 450)
    monkeypatch.setattr(input_scales, "_KNOTS", 64)
    found = with_normal_scores(rows)
    assert (np.diff(found[np.argsort(rows[:, 0]), 3]) >= 0).all()
    np.testing.assert_allclose(norm.cdf(found[:, 3:]), shares, atol=0.05)
    assert np.unique(found[:, 4]).size == 4


def test_probabilities_are_calibrated_without_the_own_bag():
    noise = np.random.default_rng(2).normal(size=(960, 100))
    made = make_bags(Y, size=8, random_state=0)
    chances = BagRidge([1e-4]).fit(noise, bags=made.bags, counts=made.counts).predict_proba(noise)[:, 1]
    # A fit of 100 weights to 120 bags of noise must not believe in itself.
    assert chances.std() < 0.15
