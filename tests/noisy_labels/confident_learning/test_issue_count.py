"""The number of wrong labels: cleanlab's estimates, and an interval with the coverage that it claims."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.confident_counts import confident_joint, confident_thresholds
from noisy_labels.confident_learning.issue_count import num_label_issues


def predictions(seed, n=400, n_classes=4, noise=0.3):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) * 1.5
    logits[np.arange(n), true] += 2
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(rng.random(n) < noise, rng.integers(0, n_classes, n), true)
    labels[:n_classes] = np.arange(n_classes)
    return labels, probs


@pytest.mark.parametrize("estimator", ["off_diagonal", "off_diagonal_calibrated"])
def test_counts_equal_cleanlabs(estimator):
    count = pytest.importorskip("cleanlab.count")
    for seed in range(5):
        labels, probs = predictions(seed)
        expected = count.num_label_issues(labels, probs, estimation_method=estimator)
        found = num_label_issues(labels, probs, estimator=estimator, conventions="cleanlab", random_state=0)
        assert found.estimate == expected
        assert found.low <= found.estimate <= found.high


def test_intervals_are_those_of_resampled_rows():
    labels, probs = predictions(0)
    thresholds = confident_thresholds(labels, probs)
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(1000):
        rows = rng.integers(0, 400, 400)
        joint = confident_joint(labels[rows], probs[rows], thresholds=thresholds)
        diagonal = np.maximum(joint.diagonal(), 1)
        off = joint.sum(axis=1) - joint.diagonal()
        draws.append((off / (off + diagonal) * np.bincount(labels[rows], minlength=4)).sum())
    found = num_label_issues(labels, probs, random_state=0)
    np.testing.assert_allclose([found.low, found.high], np.quantile(draws, [0.025, 0.975]), atol=5)
    wider = num_label_issues(labels, probs, random_state=0, confidence=0.99)
    assert wider.low < found.low < found.high < wider.high


def test_same_seed_same_interval_and_bad_arguments():
    labels, probs = predictions(0)
    assert num_label_issues(labels, probs, random_state=3) == num_label_issues(labels, probs, random_state=3)
    with pytest.raises(ValueError, match="`estimator` must be one of"):
        num_label_issues(labels, probs, estimator="custom")
    with pytest.raises(ValueError, match="`confidence` must be in"):
        num_label_issues(labels, probs, confidence=1)
    with pytest.raises(ValueError, match="`n_bootstrap` must be at least 1"):
        num_label_issues(labels, probs, n_bootstrap=0)


def test_class_of_which_nothing_is_confident_keeps_one_on_the_diagonal():
    # All three of class 0 are confidently of class 1: 3 / (1 + 3) of them count, and none of class 1.
    labels, probs = [0, 0, 0, 1, 1], [[0.1, 0.9]] * 3 + [[0.2, 0.8]] * 2
    draws = num_label_issues(labels, probs, random_state=0)
    assert draws.estimate == 2
    assert (
        draws.high == 5
    )  # all five rows of class 0 have probability .6^5 > .025: 5 * 5 / (1 + 5), rounded up
