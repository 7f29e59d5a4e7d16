"""Counts of several classes against enumeration, golden values and the binary case."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from noisy_labels.proportions.class_counts import class_count_posterior, log_domain_class_posterior
from noisy_labels.proportions.count_messages import count_posterior
from noisy_labels.proportions.count_potentials import ExactCount
from sparse_data import Bags

GOLDEN = [[0.5, -0.2, 0.0], [1.0, 0.0, -1.0], [0.0, 0.3, 0.6], [-0.4, 0.8, 0.1]]


def enumerated(logits, counts):
    logits = np.asarray(logits, dtype=float)
    m, n_classes = logits.shape
    posterior = np.zeros((m, n_classes))
    for labels in product(range(n_classes), repeat=m):
        if np.array_equal(np.bincount(labels, minlength=n_classes), counts):
            posterior[np.arange(m), labels] += np.exp(logits[np.arange(m), labels].sum() - logits.max() * m)
    return posterior / posterior.sum(axis=1, keepdims=True)


def test_golden_values():
    expected = [
        [0.292806, 0.405607, 0.301587],
        [0.547596, 0.378587, 0.073817],
        [0.101468, 0.452396, 0.446136],
        [0.05813, 0.763411, 0.17846],
    ]
    np.testing.assert_allclose(class_count_posterior(GOLDEN, [0] * 4, [[1, 2, 1]]), expected, atol=6e-7)


@settings(deadline=None, max_examples=25)
@given(
    n_classes=st.integers(2, 4),
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.1, 2.0, 8.0]),
)
def test_exact_posteriors_against_enumeration(n_classes, labels, seed, scale):
    logits = np.random.default_rng(seed).normal(0, scale, (len(labels), n_classes))
    counts = np.bincount(np.array(labels) % n_classes, minlength=n_classes)
    expected = enumerated(logits, counts)
    found = class_count_posterior(logits, ["b"] * len(labels), [counts])
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(log_domain_class_posterior(logits, counts)[0], expected, atol=1e-10)


@pytest.mark.parametrize("method", ["auto", "exact", "second_order", "first_order"])
def test_bags_of_any_form_and_sums(method):
    rng = np.random.default_rng(0)
    logits, labels, bags = rng.normal(size=(200, 3)), rng.integers(0, 3, 200), rng.integers(0, 14, 200)
    names = list(dict.fromkeys(bags.tolist()))
    counts = np.array([np.bincount(labels[bags == b], minlength=3) for b in names])
    before = logits.copy()
    found = class_count_posterior(logits, bags, counts, method=method)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    rows = Bags.from_lists([np.flatnonzero(bags == b) for b in names])
    np.testing.assert_allclose(class_count_posterior(logits, rows, counts, method=method), found, atol=1e-12)
    sums = np.array([found[bags == b].sum(axis=0) for b in names])
    np.testing.assert_allclose(sums, counts, atol=0.7 if method == "second_order" else 1e-6)
    np.testing.assert_array_equal(logits, before)
    shifted = class_count_posterior(logits + rng.normal(size=(200, 1)), bags, counts, method=method)
    np.testing.assert_allclose(shifted, found, atol=1e-8)


def test_two_classes_are_the_binary_posterior():
    rng = np.random.default_rng(1)
    r, bags, counts = rng.normal(0, 2, 90), np.arange(90) // 30, np.array([4, 29, 15])
    logits, both = np.stack([np.zeros(90), r], axis=1), np.stack([30 - counts, counts], axis=1)
    found = class_count_posterior(logits, bags, both)[:, 1]
    np.testing.assert_allclose(found, count_posterior(r, bags, ExactCount(counts)), atol=1e-10)
    # Of second order it is the saddlepoint.
    near = class_count_posterior(logits, bags, both, method="second_order")[:, 1]
    saddle = count_posterior(r, bags, ExactCount(counts), method="saddlepoint")
    np.testing.assert_allclose(near, saddle, atol=1e-7)


def test_errors_of_the_approximations():
    for n_classes, m, first, second in ((3, 12, 0.0192, 0.009), (3, 30, 0.0063, 0.0026)):
        errors = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            logits, labels = rng.normal(size=(m, n_classes)), rng.integers(0, n_classes, m)
            given = (logits, np.zeros(m), [np.bincount(labels, minlength=n_classes)])
            exact = class_count_posterior(*given, method="exact")
            errors.append(
                [
                    np.abs(class_count_posterior(*given, method=k) - exact).mean()
                    for k in ("first_order", "second_order")
                ]
            )
        assert np.mean(errors, axis=0)[0] < 1.5 * first
        assert np.mean(errors, axis=0)[1] < 1.5 * second


def test_auto_is_exact_where_the_lattice_is_small():
    rng = np.random.default_rng(2)
    small, large = 12, 400
    bags = np.r_[np.zeros(small), np.ones(large)]
    logits, labels = rng.normal(size=(small + large, 5)), rng.integers(0, 5, small + large)
    counts = [np.bincount(labels[bags == b], minlength=5) for b in (0, 1)]
    auto = class_count_posterior(logits, bags, counts)
    exact = class_count_posterior(logits[:small], np.zeros(small), counts[:1], method="exact")
    rough = class_count_posterior(logits[small:], np.zeros(large), counts[1:], method="second_order")
    np.testing.assert_allclose(auto[:small], exact, atol=1e-12)
    np.testing.assert_allclose(auto[small:], rough, atol=1e-9)


@pytest.mark.parametrize("method", ["auto", "second_order", "first_order"])
def test_no_nan_at_extreme_logits_and_absent_classes(method):
    rng = np.random.default_rng(3)
    for scale in (1e3, 1.0):
        for counts in ([8, 0, 0], [2, 3, 3], [0, 7, 1]):
            found = class_count_posterior(rng.normal(size=(8, 3)) * scale, [0] * 8, [counts], method=method)
            assert np.isfinite(found).all()
            assert (found[:, np.array(counts) == 0] < 1e-6).all()
            if method == "auto":
                np.testing.assert_allclose(found.sum(axis=0), counts, atol=1e-8)


def test_softmax_without_a_tilt_where_counts_are_expected():
    logits = np.log([[0.25, 0.75], [0.75, 0.25]])
    first = class_count_posterior(logits, [0, 0], [[1, 1]], method="first_order")
    np.testing.assert_allclose(first, softmax(logits, axis=1), atol=1e-8)


@pytest.mark.parametrize(
    ("logits", "counts", "message"),
    [
        ([[0.0, np.nan]], [[1, 0]], "`logits` must be finite"),
        ([0.0, 1.0], [[1, 1]], "`logits` must be 2-dimensional"),
        ([[0.0, 0.0]], [[1, 0, 0]], r"`counts` must be of shape \(n_bags, n_classes\), \(1, 2\)"),
        ([[0.0, 0.0]], [[1, 1]], "sum to the size of the bag; got .1, 1. for bag 0 of 1"),
        ([[0.0, 0.0]], [[2, -1]], "`counts` must be at least 0"),
    ],
)
def test_bad_input(logits, counts, message):
    with pytest.raises(ValueError, match=message):
        class_count_posterior(logits, [0] * len(logits), counts)


def test_method_must_be_known():
    with pytest.raises(ValueError, match="`method` must be one of"):
        class_count_posterior([[0.0, 0.0]], [0], [[1, 0]], method="third_order")
