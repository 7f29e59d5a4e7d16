"""Forward and backward correction: the identities that define them."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.transitions.loss_correction import backward_matrix, forward_probabilities

T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])


def test_forward_is_the_law_of_total_probability():
    p = np.random.default_rng(0).dirichlet([1.0] * 3, size=4)
    expected = [[sum(row[i] * T[i, j] for i in range(3)) for j in range(3)] for row in p]
    np.testing.assert_allclose(forward_probabilities(p, T), expected)


def test_backward_loss_is_unbiased_under_the_noise():
    losses = np.random.default_rng(0).random((5, 3))
    corrected = losses @ backward_matrix(T).T
    for true in range(3):
        expected = sum(T[true, j] * corrected[:, j] for j in range(3))
        np.testing.assert_allclose(expected, losses[:, true])


def test_identity_weight_shrinks_the_correction():
    mixed = 0.5 * T + 0.5 * np.eye(3)
    np.testing.assert_allclose(backward_matrix(T, identity_weight=0.5) @ mixed, np.eye(3), atol=1e-12)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="must have an inverse"):
        backward_matrix([[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="`pred_probs` must have 3 columns"):
        forward_probabilities([[0.5, 0.5]], T)
    with pytest.raises(ValueError, match="sum to 1"):
        backward_matrix(T.T)
