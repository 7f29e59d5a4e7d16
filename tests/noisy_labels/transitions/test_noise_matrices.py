"""Matrices of known noise: their defining sums, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.transitions.noise_matrices import (
    check_transition_matrix,
    pair_noise_matrix,
    sparse_noise_matrix,
    symmetric_noise_matrix,
)


def test_symmetric_noise_falls_on_all_other_classes():
    matrix = symmetric_noise_matrix(5, 0.4)
    for i in range(5):
        for j in range(5):
            assert matrix[i, j] == pytest.approx(0.6 if i == j else 0.1)


def test_pair_noise_falls_on_the_next_class():
    matrix = pair_noise_matrix(3, 0.3)
    np.testing.assert_allclose(matrix, [[0.7, 0.3, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]])


@settings(max_examples=60, deadline=None)
@given(
    n_classes=st.integers(2, 12),
    share=st.floats(0, 1),
    sparsity=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_sparse_noise_has_the_trace_and_the_zeros(n_classes, share, sparsity, seed):
    trace = share * n_classes
    matrix = sparse_noise_matrix(n_classes, trace, sparsity=sparsity, random_state=seed)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert matrix.min() >= 0
    assert matrix.trace() == pytest.approx(trace, abs=1e-9)
    if 0.05 < share < 0.95:
        off = matrix[~np.eye(n_classes, dtype=bool)].reshape(n_classes, -1)
        zeros = (off == 0).sum(axis=1)
        assert zeros.sum() == min(round(sparsity * n_classes * (n_classes - 1)), n_classes * (n_classes - 2))
        assert zeros.max() - zeros.min() <= 1


def test_sparse_noise_differs_between_classes_and_follows_the_seed():
    first, again = (sparse_noise_matrix(6, 4.0, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.ptp(first.diagonal()) > 0.01
    assert (first != sparse_noise_matrix(6, 4.0, random_state=4)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: symmetric_noise_matrix(1, 0.1), "`n_classes` must be at least 2"),
        (lambda: pair_noise_matrix(3, 1.1), "`rate` must be in"),
        (lambda: sparse_noise_matrix(3, 3.5), "`trace` must be in"),
        (lambda: sparse_noise_matrix(3, 2.0, sparsity=-0.1), "`sparsity` must be in"),
        (lambda: check_transition_matrix("T", [[0.5, 0.6], [0.5, 0.4]]), "`T` must be of rows that sum to 1"),
        (lambda: check_transition_matrix("T", [[1.0, 0.0]]), "`T` must be square"),
        (lambda: check_transition_matrix("T", [[1.5, -0.5], [0, 1]]), "`T` must be non-negative"),
        (lambda: check_transition_matrix("T", [[np.nan, 1], [0, 1]]), "`T` must be finite"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
