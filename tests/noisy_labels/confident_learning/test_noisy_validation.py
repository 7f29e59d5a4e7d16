"""The comparison with doing nothing: by hand, and what it lets through."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.noisy_validation import (
    NoisyValidation,
    compare_on_noisy_labels,
    looks_in_sample,
)


def test_balanced_accuracies_and_the_error_of_their_difference():
    rng = np.random.default_rng(0)
    codes = rng.choice(3, p=[0.7, 0.2, 0.1], size=200)
    before, after = (np.where(rng.random(200) < 0.8, codes, rng.integers(3, size=200)) for _ in range(2))
    found = compare_on_noisy_labels(codes, before, after)
    accuracies = [
        np.mean([np.mean(predicted[codes == k] == k) for k in range(3)]) for predicted in (before, after)
    ]
    assert found[:2] == pytest.approx(accuracies)
    assert found.n_rows == 200
    spread = 0.0
    for i in range(200):
        d = float(after[i] == codes[i]) - float(before[i] == codes[i]) - (accuracies[1] - accuracies[0])
        spread += (d / (3 * np.sum(codes == codes[i]))) ** 2
    assert found.standard_error == pytest.approx(np.sqrt(spread))


def test_a_class_that_no_held_out_row_has_does_not_count():
    found = compare_on_noisy_labels(np.array([0, 2, 2]), np.array([0, 2, 1]), np.array([1, 2, 2]))
    assert found[:2] == pytest.approx((0.75, 0.5))


def test_one_standard_error_is_allowed():
    assert NoisyValidation(0.8, 0.79, 0.01 + 1e-9, 10).favours_cleaning
    assert not NoisyValidation(0.8, 0.77, 0.02, 10).favours_cleaning
    assert NoisyValidation().favours_cleaning  # nothing was compared


def test_in_sample_predictions_are_told_from_better_ones():
    rng = np.random.default_rng(0)
    true = rng.integers(4, size=300)
    noisy = np.where(rng.random(300) < 0.7, true, rng.integers(4, size=300))
    fair = np.where(rng.random(300) < 0.9, true, rng.integers(4, size=300))
    assert looks_in_sample(noisy, noisy, fair)
    assert not looks_in_sample(noisy, true, fair)  # a perfect model still contradicts the noise
