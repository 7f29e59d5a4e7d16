"""The path over numbers of features equals masking each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.compression import compression_path as module
from noisy_labels.compression.compression_path import (
    accuracy_of_every_size,
    choose_size,
    compression_path,
    logits_of_every_size,
)
from noisy_labels.compression.effective_rank import effective_rank


def masked_logits(z, kernel, size):
    mask = np.zeros(z.shape[1])
    mask[:size] = 1
    return (z * mask) @ kernel


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(2, 4), st.integers(0, 10**6))
def test_cumulative_sum_equals_masks(n, width, n_classes, seed):
    rng = np.random.default_rng(seed)
    z, kernel = rng.normal(size=(n, width)), rng.normal(size=(width, n_classes))
    found = logits_of_every_size(z, kernel)
    expected = np.stack([masked_logits(z, kernel, k) for k in range(1, width + 1)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("n_networks", [1, 2])
def test_accuracy_equals_masks_in_blocks(monkeypatch, n_networks):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=50)
    zs = [rng.normal(size=(50, 8)) for _ in range(n_networks)]
    kernels = [rng.normal(size=(8, 3)) for _ in range(n_networks)]
    expected = []
    for size in range(1, 9):
        logits = sum(masked_logits(z, kernel, size) for z, kernel in zip(zs, kernels, strict=True))
        expected.append(np.mean(logits.argmax(axis=1) == labels))
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 7 * 24)  # blocks of 7 rows, the last one of 1
    np.testing.assert_allclose(accuracy_of_every_size(zs, kernels, labels), expected)


def test_choice_weighs_accuracy_against_size():
    assert choose_size([0.5, 0.6, 0.6]) == 2
    # 1e-5 a feature: 0.00001 more accuracy is not worth two features, 0.00003 is.
    assert choose_size([0.6, 0.5, 0.60001]) == 1
    assert choose_size([0.6, 0.5, 0.60003]) == 3
    assert choose_size([0.6, 0.5, 0.60003], penalty=1e-3) == 1
    assert choose_size([0.9, 0.1]) == 1  # one feature is no special case


def test_effective_rank():
    # Singular values 3 and 1: shares .75 and .25.
    z = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(z) == pytest.approx(expected)
    assert effective_rank(z.T) == pytest.approx(expected)
    assert effective_rank(np.ones((5, 3))) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.zeros((5, 3))) == 0


def test_report_says_which_labels():
    path = compression_path([np.eye(3)], [np.eye(3)], [0, 1, 0], kind="clean")
    assert path.size == 2
    assert (path.effective_rank, path.effective_rank_kept) == (pytest.approx(3), pytest.approx(2))
    assert "2 of 3 features, accuracy 1.0000 on clean labels (all features: 0.6667)" in str(path)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: logits_of_every_size(np.eye(2), np.eye(3)), ValueError, "`kernel` must have a row for each"),
        (lambda: logits_of_every_size([[np.nan]], [[1.0]]), ValueError, "`features` must be finite"),
        (lambda: accuracy_of_every_size([np.eye(2)], [np.eye(2)], [0]), ValueError, "same length"),
        (lambda: accuracy_of_every_size([np.eye(2)], [np.eye(2)], [0, 2]), ValueError, "`labels` must be in"),
        (lambda: accuracy_of_every_size([np.eye(2)], [np.eye(2)], [0.0, 1.0]), TypeError, "`labels`"),
        (lambda: accuracy_of_every_size([np.zeros((0, 2))], [np.eye(2)], []), ValueError, "`labels`"),
        (lambda: accuracy_of_every_size([np.eye(2)] * 2, [np.eye(2)], [0, 1]), ValueError, "`kernels`"),
        (
            lambda: accuracy_of_every_size(
                [np.eye(2), np.ones((2, 3))], [np.eye(2), np.ones((3, 2))], [0, 1]
            ),
            ValueError,
            "same shapes",
        ),
        (lambda: choose_size([]), ValueError, "`accuracy`"),
        (lambda: choose_size([np.nan]), ValueError, "`accuracy` must be finite"),
        (lambda: compression_path([np.eye(2)], [np.eye(2)], [0, 1], kind="?"), ValueError, "`kind`"),
    ],
)
def test_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
