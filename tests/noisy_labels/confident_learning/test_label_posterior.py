"""Bayes' rule by hand, and a planted temperature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from noisy_labels.confident_learning.label_posterior import temper, true_class_posterior
from noisy_labels.transitions.noise import flip_labels
from noisy_labels.transitions.noise_matrices import symmetric_noise_matrix

T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])


def test_posterior_is_bayes_rule():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1.0] * 3, size=20), rng.integers(3, size=20)
    for row, label, found in zip(p, labels, true_class_posterior(labels, p, T), strict=True):
        weights = [row[k] * T[k, label] for k in range(3)]
        np.testing.assert_allclose(found, np.array(weights) / sum(weights))


def test_an_impossible_row_keeps_its_label():
    np.testing.assert_array_equal(true_class_posterior([2], [[1.0, 0.0, 0.0]], T), [[0, 0, 1]])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_found_behind_the_noise(temperature):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(20_000, 4))
    clean = softmax(logits, axis=1)
    true = (rng.random(len(clean))[:, None] > clean.cumsum(axis=1)).sum(axis=1).clip(max=3)
    noise = symmetric_noise_matrix(4, 0.3)
    noisy = flip_labels(true, noise, random_state=1)
    tempered, found = temper(noisy, softmax(logits * temperature, axis=1), noise)
    assert found == pytest.approx(temperature, rel=0.07)
    np.testing.assert_allclose(tempered, clean, atol=0.03)


@pytest.mark.parametrize("function", [temper, true_class_posterior])
@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0], [[0.5, 0.5]], "`pred_probs` must have 3 columns"),
        ([3], [[0.5, 0.5, 0.0]], "`labels` must be in"),
        ([0, 1], [[0.5, 0.5, 0.0]], "same length"),
        ([0], [[0.5, np.nan, 0.0]], "`pred_probs` must be finite"),
    ],
)
def test_bad_values_are_refused(function, labels, probs, message):
    with pytest.raises(ValueError, match=message):
        function(labels, probs, T)
