"""Overlapping bags: trees against enumeration, tables, bags within bags, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, vstack
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from noisy_labels.proportions.bag_membership import read_membership
from noisy_labels.proportions.count_messages import count_posterior
from noisy_labels.proportions.count_potentials import CustomCount, ExactCount, QuadraticCount
from noisy_labels.proportions.noisy_counts import DiscreteLaplaceCount
from noisy_labels.proportions.overlapping_counts import overlapping_count_posterior
from sparse_data import Bags


def enumerated(logits, rows, log_phi):
    """P(y = 1) from all labellings; `log_phi(bag, count)`."""
    labellings = np.array(list(product([0, 1], repeat=len(logits))))
    weights = labellings @ np.asarray(logits, dtype=float)
    for bag, members in enumerate(rows):
        weights = weights + [log_phi(bag, labels[members].sum()) for labels in labellings]
    weights = np.exp(weights - weights.max())
    return weights @ labellings / weights.sum()


@settings(deadline=None, max_examples=20)
@given(
    logits=st.lists(st.floats(-4, 4), min_size=9, max_size=9),
    counts=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_trees_against_enumeration(logits, counts):
    # Bags that share one row at most, without a cycle; row 8 is in no bag.
    rows = [[0, 1, 2], [2, 3, 4], [4, 5], [1, 6, 7]]
    potential = QuadraticCount(counts, 0.6)
    expected = enumerated(logits, rows, lambda b, c: -0.6 * (c - counts[b]) ** 2)
    found = overlapping_count_posterior(logits, Bags.from_lists(rows), potential, tol=1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_bags_without_overlap_are_exact():
    rng = np.random.default_rng(0)
    logits, bags = rng.normal(size=60), np.arange(60) // 6
    counts = rng.integers(0, 7, 10)
    membership = csr_array((np.ones(60), (bags, np.arange(60))))
    found = overlapping_count_posterior(logits, membership, ExactCount(counts))
    np.testing.assert_allclose(found, count_posterior(logits, bags, ExactCount(counts)), atol=1e-9)


def test_two_tables_know_more_than_one():
    rng = np.random.default_rng(1)
    n, logits = 4000, rng.normal(-1, 1, 4000)
    y = rng.random(n) < expit(logits)
    cells = [rng.integers(0, 400, n), rng.integers(0, 400, n)]
    members = [csr_array((np.ones(n), (cell, np.arange(n))), shape=(400, n)) for cell in cells]
    counts = [m @ y.astype(float) for m in members]
    both = overlapping_count_posterior(
        logits, vstack(members, format="csr"), ExactCount(np.concatenate(counts))
    )

    def loss(p):
        p = np.clip(p, 1e-9, 1 - 1e-9)
        return -np.mean(np.where(y, np.log(p), np.log1p(-p)))

    tables = list(zip(members, counts, strict=True))
    alone = [overlapping_count_posterior(logits, m, ExactCount(c)) for m, c in tables]
    assert loss(both) < min(loss(p) for p in alone) - 0.01 < loss(expit(logits))
    for m, c in tables:
        np.testing.assert_allclose(m @ both, c, atol=1e-4)


def test_a_noisy_total_above_exact_parts_changes_nothing():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=40)
    parts = [list(range(4 * b, 4 * b + 4)) for b in range(10)]
    total = Bags.from_lists([*parts, list(range(40))])
    counts = rng.integers(0, 5, 10)

    def potential(count, size, bag):
        exact = np.where(count == np.append(counts, 0)[bag], 0.0, -np.inf)
        return np.where(bag < 10, exact, -0.5 * np.abs(count - 17))

    found = overlapping_count_posterior(logits, total, CustomCount(potential))
    expected = overlapping_count_posterior(logits, Bags.from_lists(parts), ExactCount(counts))
    np.testing.assert_allclose(found, expected, atol=0.08)  # not a tree: near, not equal
    np.testing.assert_allclose(np.add.reduceat(found, np.arange(0, 40, 4)), counts, atol=1e-4)


def test_rows_in_no_bag_keep_their_logits_and_nothing_is_altered():
    logits = np.array([0.3, -0.2, 1.0])
    membership = csr_array([[1.0, 1.0, 0.0]])
    before = membership.copy(), logits.copy()
    found = overlapping_count_posterior(logits, membership, DiscreteLaplaceCount([1.0], 0.5))
    assert found[2] == expit(1.0)
    np.testing.assert_array_equal(membership.toarray(), before[0].toarray())
    np.testing.assert_array_equal(logits, before[1])


def test_no_nan_at_extreme_logits():
    rows = Bags.from_lists([[0, 1], [1, 2]])
    for counts in ([0, 2], [1, 1], [2, 2]):
        found = overlapping_count_posterior([1e3, -1e3, 1e3], rows, ExactCount(counts))
        assert np.isfinite(found).all()


def test_contradictions_are_told():
    rows = csr_array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])  # three pairs of which just one holds: impossible
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 passes"):
        overlapping_count_posterior(np.zeros(3), rows, ExactCount([1, 1, 0]), max_iter=1)


@pytest.mark.parametrize(
    ("membership", "message"),
    [
        (np.eye(3), r"must be a sparse matrix of shape \(n_bags, 3\); got ndarray"),
        (csr_array(np.eye(4)), r"must be a sparse matrix of shape \(n_bags, 3\); got \(4, 4\)"),
        (csr_array([[1, 1, 1], [0, 0, 0]]), "must give each bag rows; got none in bag 1"),
        (Bags.from_lists([[0, 0]]), "must hold a row once in a bag"),
        (Bags.from_lists([[0, 3]]), "must hold row numbers below 3; got 3"),
    ],
)
def test_bad_membership(membership, message):
    with pytest.raises(ValueError, match=message):
        read_membership(membership, 3)


def test_bad_input():
    rows = csr_array([[1, 1]])
    with pytest.raises(ValueError, match="`logits` must be finite"):
        overlapping_count_posterior([0.0, np.inf], rows, ExactCount([1]))
    with pytest.raises(ValueError, match="`counts` must be one a bag, 1; got 2"):
        overlapping_count_posterior([0.0, 0.0], rows, ExactCount([1, 1]))
    with pytest.raises(ValueError, match="`damping` must be in"):
        overlapping_count_posterior([0.0, 0.0], rows, ExactCount([1]), damping=1.0)
