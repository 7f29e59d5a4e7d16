"""Estimators of the transition matrix: slow loops of their equations, and planted matrices."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.confident_transition import transition_confident_learning
from noisy_labels.transitions.anchor_points import transition_anchor_points
from noisy_labels.transitions.dual_t import transition_dual_t
from noisy_labels.transitions.gold_transition import transition_gold
from noisy_labels.transitions.hoc import transition_hoc
from noisy_labels.transitions.noise import flip_labels

T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])


@pytest.fixture(scope="module")
def planted():
    """Return noisy labels and the exact probabilities of a model of them."""
    rng = np.random.default_rng(0)
    clean = rng.dirichlet([0.2] * 3, size=20_000)
    true = (rng.random(len(clean))[:, None] > clean.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return true, flip_labels(true, T, random_state=1), clean @ T


def test_anchor_points_read_exact_rows(planted):
    _, _, noisy_probs = planted
    np.testing.assert_allclose(transition_anchor_points(noisy_probs), T, atol=0.01)


def test_anchor_points_quantile_by_hand():
    p = np.array([[0.1 * i, 1 - 0.1 * i] for i in range(1, 11)])
    # The 8th of 10 in order: .8 for class 0, and for class 1 the row with 1 - .3.
    np.testing.assert_allclose(transition_anchor_points(p, quantile=0.8), [[0.8, 0.2], [0.3, 0.7]])


def test_dual_t_is_the_product_of_its_factors(planted):
    _, noisy, p = planted
    noisy, p = noisy[:300], p[:300]
    anchors, counts = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(3):
        anchors[i] = p[max(range(300), key=lambda row: p[row, i])]
    for row in range(300):
        counts[max(range(3), key=lambda k: p[row, k]), noisy[row]] += 1
    expected = anchors @ (counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(transition_dual_t(noisy, p), expected)


def test_dual_t_of_a_class_that_is_never_predicted():
    matrix = transition_dual_t([0, 2], [[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_gold_is_the_mean_prediction_of_each_class(planted):
    true, _, p = planted
    expected = [np.mean([p[i] for i in np.flatnonzero(true[:200] == k)], axis=0) for k in range(3)]
    np.testing.assert_allclose(transition_gold(true[:200], p[:200]), expected)
    with pytest.raises(ValueError, match="none of class 2"):
        transition_gold([0, 1], [[0.5, 0.3, 0.2]] * 2)


def test_confident_learning_counts_by_hand():
    # Thresholds: class 0 mean(.9, .7) = .8, class 1 mean(.6, .6, .1) = .43.
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.4, 0.6], [0.9, 0.1]])
    # Confident: row 0 (0 -> 0), row 2 and 3 (1 -> 1), row 4 (1 -> 0).  Calibrated: [[2, 0], [1, 2]].
    matrix = transition_confident_learning([0, 0, 1, 1, 1], p)
    np.testing.assert_allclose(matrix, [[2 / 3, 1 / 3], [0, 1]])


def test_confident_learning_finds_clear_classes():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=20_000)
    noisy = flip_labels(true, T, random_state=1)
    p = 0.97 * T[true] + 0.03 * rng.dirichlet([1.0] * 3, size=len(true))
    np.testing.assert_allclose(transition_confident_learning(noisy, p), T, atol=0.03)


def test_hoc_finds_the_matrix_without_a_model():
    rng = np.random.default_rng(0)
    true = rng.choice(3, p=[0.5, 0.3, 0.2], size=12_000)
    noisy = flip_labels(true, T, random_state=1)
    features = np.eye(3)[true] + 0.05 * rng.normal(size=(len(true), 3))
    matrix, priors = transition_hoc(noisy, features)
    np.testing.assert_allclose(matrix, T, atol=0.05)
    np.testing.assert_allclose(priors, [0.5, 0.3, 0.2], atol=0.02)


def test_hoc_gradient():
    from scipy.optimize import check_grad

    from noisy_labels.transitions.hoc import _mismatch

    rng = np.random.default_rng(0)
    third = rng.random((3, 3, 3))
    third = sum(
        third.transpose(o) for o in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    )
    third /= third.sum()
    second, first = third.sum(axis=2), third.sum(axis=(1, 2))

    def value(flat):
        p, m = flat[:3], flat[3:].reshape(3, 3)
        errors = (
            np.einsum("i,ij->j", p, m) - first,
            np.einsum("i,ij,ik->jk", p, m, m) - second,
            np.einsum("i,ij,ik,il->jkl", p, m, m, m) - third,
        )
        return sum(float((e**2).sum()) for e in errors)

    def gradient(flat):
        found, by_priors, by_matrix = _mismatch(flat[:3], flat[3:].reshape(3, 3), first, second, third)
        assert found == pytest.approx(value(flat))
        return np.concatenate([by_priors, by_matrix.ravel()])

    assert check_grad(value, gradient, rng.random(12)) < 1e-5


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: transition_anchor_points([[0.5, np.nan]]), ValueError),
        (lambda: transition_anchor_points([[0.5, 0.5]], quantile=0.0), ValueError),
        (lambda: transition_anchor_points(np.empty((0, 2))), ValueError),
        (lambda: transition_dual_t([0, 2], [[0.5, 0.5]] * 2), ValueError),
        (lambda: transition_dual_t([0.0, 1.0], [[0.5, 0.5]] * 2), TypeError),
        (lambda: transition_dual_t([0], [[0.5, 0.5]] * 2), ValueError),
        (lambda: transition_hoc([0, 1], [[0.0], [1.0]]), ValueError),
        (lambda: transition_hoc([0, 1, 5], [[0.0], [1.0], [2.0]], n_classes=2), ValueError),
        (lambda: transition_hoc([0, 1, 1], [[0.0], [1.0], [np.inf]]), ValueError),
        (lambda: transition_confident_learning([0, 3], [[0.5, 0.5]] * 2), ValueError),
    ],
)
def test_bad_values_are_refused(call, error):
    with pytest.raises(error):
        call()
