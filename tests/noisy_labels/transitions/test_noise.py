"""Corrupted labels: their frequencies against the transition matrix that they come from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from noisy_labels.transitions.noise import corrupt_labels, flip_labels

N = 40_000


def frequencies(true, observed, n_classes):
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (true, observed), 1)
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def true():
    return np.random.default_rng(0).integers(4, size=N)


def test_flipped_labels_follow_the_rows(true):
    matrix = np.array([[0.7, 0.1, 0.2, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0.5, 0.5]])
    found = frequencies(true, flip_labels(true, matrix, random_state=1), 4)
    np.testing.assert_allclose(found, matrix, atol=0.02)
    assert (found[matrix == 0] == 0).all()


@pytest.mark.parametrize(("kind", "target"), [("symmetric", 0.1), ("pair", 0.3)])
def test_class_noise(true, kind, target):
    found = frequencies(true, corrupt_labels(true, 0.3, kind, random_state=1), 4)
    np.testing.assert_allclose(found.diagonal(), 0.7, atol=0.02)
    np.testing.assert_allclose(found[np.arange(4), (np.arange(4) + 1) % 4], target, atol=0.02)


def test_asymmetric_noise_has_the_rate_and_half_of_the_targets(true):
    found = frequencies(true, corrupt_labels(true, 0.3, "asymmetric", random_state=1), 4)
    assert found.diagonal().mean() == pytest.approx(0.7, abs=0.02)
    assert np.ptp(found.diagonal()) > 0.05
    assert (found == 0).sum() == 6


def test_instance_noise_depends_on_the_features(true):
    X = np.random.default_rng(1).normal(size=(N, 5))
    X = np.column_stack([X, np.ones(N)])  # a constant column is no reason to fail
    observed = corrupt_labels(true, 0.4, "instance", 2, X=X)
    assert (observed != true).mean() == pytest.approx(0.4, abs=0.01)
    wrong = (true == 0) & (observed != 0)
    # Linear in X: among the wrong labels of one class, some feature tells targets apart.
    means = np.array([X[wrong & (observed == k)].mean(axis=0) for k in (1, 2, 3)])
    assert np.ptp(means, axis=0).max() > 0.3


def test_any_dtype_nothing_altered_and_the_seed():
    y = pd.Series(["b", "a", "c", "a"] * 50)
    before = y.copy()
    first, again = (corrupt_labels(y, 0.5, random_state=7) for _ in range(2))
    assert set(first) <= {"a", "b", "c"}
    assert (first == again).all()
    assert (y == before).all()
    assert (corrupt_labels(y, 0.0) == y).all()
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    assert corrupt_labels(dates, 1.0).tolist() == dates[::-1].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corrupt_labels([0, 1], 1.5), "`rate` must be in"),
        (lambda: corrupt_labels([0, 1], 0.1, "other"), "`kind` must be one of"),
        (lambda: corrupt_labels([1, 1], 0.1), "at least two classes"),
        (lambda: corrupt_labels([], 0.1), "`y` must be non-empty"),
        (lambda: corrupt_labels([[0], [1]], 0.1), "`y` must be 1-dimensional"),
        (lambda: corrupt_labels([0.0, np.nan], 0.1), "without missing"),
        (lambda: corrupt_labels([0, 1], 0.1, "instance"), "`X` must be given"),
        (lambda: corrupt_labels([0, 1], 0.1, "instance", X=[[1.0]]), "same length"),
        (lambda: corrupt_labels([0, 1], 0.1, "instance", X=[[1.0], [np.inf]]), "`X` must be finite"),
        (lambda: flip_labels([0, 1, 2], np.eye(2)), "a row for each of the 3 classes"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
