"""The confident joint against a loop written from the equation, cleanlab, and published data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.confident_learning.confident_counts import (
    calibrate_confident_joint,
    confident_joint,
    confident_thresholds,
)

DATA = Path(os.environ.get("SPARSELABELS_DATA", "")) / "cifar10n-cv-pred-probs"


def predictions(seed, n, n_classes, noise=0.3, sharpness=1.0, votes=None):
    """Return labels, some of them wrong, and probabilities that know the true ones; `votes` make ties."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) * 1.5
    logits[np.arange(n), true] += sharpness
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if votes:
        probs = np.round(probs * votes)
        probs[np.arange(n), true] += 1
        probs /= probs.sum(axis=1, keepdims=True)
    labels = np.where(rng.random(n) < noise, rng.integers(0, n_classes, n), true)
    labels[:n_classes] = np.arange(n_classes)
    return labels, probs


def slow_thresholds(labels, probs):
    own = [
        [row[j] for row, label in zip(probs, labels, strict=True) if label == j] for j in range(len(probs[0]))
    ]
    return [max(sum(values) / len(values), 2e-6) if values else 2.0 for values in own]


def slow_joint(labels, probs, thresholds, collisions):
    n_classes = len(thresholds)
    joint = np.zeros((n_classes, n_classes), dtype=int)
    for label, row in zip(labels, probs, strict=True):
        above = [j for j in range(n_classes) if row[j] >= thresholds[j] - 1e-6]
        pool = above if collisions == "paper" or len(above) == 1 else range(n_classes)
        if above:
            joint[label, max(pool, key=lambda j: (row[j], -j))] += 1
    return joint


@pytest.mark.parametrize("collisions", ["paper", "cleanlab"])
@pytest.mark.parametrize("votes", [None, 5])
@pytest.mark.parametrize(
    ("n", "n_classes", "noise"), [(1, 1, 0), (30, 2, 0.3), (400, 7, 0.7), (300, 40, 0.3)]
)
def test_joint_against_loop(n, n_classes, noise, votes, collisions):
    labels, probs = predictions(n, n, n_classes, noise, votes=votes)
    thresholds = slow_thresholds(labels, probs.tolist())
    np.testing.assert_allclose(confident_thresholds(labels, probs), thresholds, rtol=1e-14)
    expected = slow_joint(labels, probs.tolist(), thresholds, collisions)
    np.testing.assert_array_equal(confident_joint(labels, probs, collisions=collisions), expected)
    half = confident_joint(labels, probs, collisions=collisions, thresholds=np.full(n_classes, 0.5))
    np.testing.assert_array_equal(half, slow_joint(labels, probs.tolist(), [0.5] * n_classes, collisions))


def test_conventions_differ_where_classes_above_threshold_exclude_the_most_probable():
    # Class 0 is the most probable and below its threshold; 1 and 2 are above theirs.
    probs = np.array([[0.4, 0.25, 0.35]])
    thresholds = [0.9, 0.2, 0.3]
    assert confident_joint([0], probs, thresholds=thresholds)[0, 2] == 1
    assert confident_joint([0], probs, thresholds=thresholds, collisions="cleanlab")[0, 0] == 1


def test_every_layout_and_type_gives_the_same(tmp_path):
    labels, probs = predictions(3, 3000, 50)
    expected = confident_joint(labels, probs.astype(np.float32).astype(np.float64))
    single = probs.astype(np.float32)
    path = tmp_path / "probs.npy"
    np.save(path, single)
    mapped = np.load(path, mmap_mode="r")
    for layout in (single, np.asfortranarray(single), np.repeat(single, 2, axis=0)[::2], mapped):
        np.testing.assert_array_equal(confident_joint(labels, layout), expected)
    np.testing.assert_array_equal(confident_joint(labels.astype(np.uint8), single), expected)
    names = np.array([f"{number:02d}" for number in range(50)])[::-1]
    np.testing.assert_array_equal(confident_joint(names[labels], single, classes=names), expected)


@pytest.mark.parametrize("seed", range(20))
def test_calibrated_joint_equals_cleanlabs(seed):
    count = pytest.importorskip("cleanlab.count")
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, rng.integers(5, 80))])
    joint = rng.integers(0, 8, (4, 4))
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    calibrated = calibrate_confident_joint(joint, np.bincount(labels))
    np.testing.assert_array_equal(calibrated, count.calibrate_confident_joint(joint, labels))
    np.testing.assert_array_equal(calibrated.sum(axis=1), np.bincount(labels))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**16), n_classes=st.integers(1, 6), collisions=st.sampled_from(["paper", "cleanlab"])
)
def test_permuting_classes_or_rows_permutes_the_joint(seed, n_classes, collisions):
    labels, probs = predictions(seed, 60, n_classes)
    rng = np.random.default_rng(seed)
    order, rows = rng.permutation(n_classes), rng.permutation(60)
    renamed = confident_joint(np.argsort(order)[labels[rows]], probs[rows][:, order], collisions=collisions)
    joint = confident_joint(labels, probs, collisions=collisions)
    np.testing.assert_array_equal(renamed, joint[np.ix_(order, order)])


def test_class_without_examples_and_class_never_predicted():
    probs = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1]]
    np.testing.assert_array_equal(confident_thresholds([0, 0, 1], probs), [0.75, 0.7, 2])
    np.testing.assert_array_equal(confident_joint([0, 0, 1], probs), [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    calibrated = calibrate_confident_joint([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [2, 1, 0])
    np.testing.assert_array_equal(calibrated, np.diag([2, 1, 0]))


GOOD = np.array([[0.8, 0.2], [0.3, 0.7]])


@pytest.mark.parametrize(
    ("labels", "probs", "error", "message"),
    [
        ([0, 1], [[0.8, np.nan], [0.3, 0.7]], ValueError, "finite and non-negative; got nan in row 0"),
        ([0, 1], [[0.8, 0.2], [0.3, np.inf]], ValueError, "finite and non-negative; got .* in row 1"),
        ([0, 1], [[0.8, 0.2], [1.1, -0.1]], ValueError, r"finite and non-negative; got -0.1 in row 1"),
        ([0, 1], [[0.8, 0.2], [0.3, 0.72]], ValueError, r"sum to 1; got a sum of 1.02 in row 1"),
        ([0, 1], [[3.0, -1.0], [1.0, 2.0]], ValueError, "got -1.0 in row 0"),
        ([0, 2], GOOD, ValueError, r"`labels` must be in \[0, 2\); got ids from 0 to 2"),
        ([0, -1], GOOD, ValueError, r"`labels` must be in \[0, 2\)"),
        ([0.0, 1.0], GOOD, TypeError, "`labels` must be of an integer dtype"),
        (["a", "b"], GOOD, TypeError, "Encode the labels as columns of `pred_probs`, or pass `classes`"),
        ([0], GOOD, ValueError, "`labels` and `pred_probs` must be of the same length; got 1 and 2"),
        ([0, 1], GOOD[0], ValueError, "`pred_probs` must be 2-dimensional"),
        ([[0], [1]], GOOD, ValueError, "`labels` must be 1-dimensional"),
        ([], np.empty((0, 2)), ValueError, "`pred_probs` must be non-empty"),
        ([0, 1], np.empty((2, 0)), ValueError, "`pred_probs` must be non-empty"),
        ([0, 1], np.array([["a", "b"], ["c", "d"]]), TypeError, "`pred_probs` must be numeric"),
    ],
)
def test_bad_input(labels, probs, error, message):
    with pytest.raises(error, match=message):
        confident_joint(labels, probs)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`collisions` must be one of"):
        confident_joint([0, 1], GOOD, collisions="both")
    with pytest.raises(ValueError, match="`thresholds` must be 2 numbers; got 3"):
        confident_joint([0, 1], GOOD, thresholds=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="`thresholds` must be finite"):
        confident_joint([0, 1], GOOD, thresholds=[0.1, np.nan])
    with pytest.raises(ValueError, match="`classes` must be 2 different labels"):
        confident_joint(["a", "b"], GOOD, classes=["a", "a"])
    with pytest.raises(ValueError, match=r"among `classes`; got np.str_\('x'\) at position 1"):
        confident_joint(["a", "x"], GOOD, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"`joint` must be of shape \(3, 3\); got \(2, 2\)"):
        calibrate_confident_joint(np.eye(2), [1, 2, 3])


def test_sums_off_by_rounding_are_repaired_with_a_warning():
    labels, probs = predictions(0, 5000, 30)
    off = probs * np.linspace(0.9995, 1.0005, 5000)[:, None]
    before = off.copy()
    with pytest.warns(UserWarning, match="divided by their sums"):
        joint = confident_joint(labels, off)
    np.testing.assert_array_equal(joint, confident_joint(labels, probs))
    np.testing.assert_array_equal(off, before)
    with pytest.warns(UserWarning, match="divided by their sums"):
        confident_joint(labels, probs.astype(np.float16))


def test_invalid_row_is_named_wherever_it_lies():
    labels, probs = predictions(0, 40_000, 30)
    probs[33_333, 7] = np.nan
    with pytest.raises(ValueError, match="in row 33333"):
        confident_joint(labels, probs)


def test_map_of_a_file_cut_short(tmp_path):
    labels, probs = predictions(0, 1000, 4)
    path = tmp_path / "probs.npy"
    np.save(path, probs)
    mapped = np.load(path, mmap_mode="r")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(
        ValueError, match=r"`pred_probs` must be a whole file; got .* of at least 32128 bytes"
    ):
        confident_joint(labels, mapped)


@pytest.mark.skipif(not DATA.exists(), reason="needs SPARSELABELS_DATA")
@pytest.mark.parametrize(
    ("name", "precision", "recall"), [("worst", 0.922, 0.667), ("aggregate", 0.918, 0.415)]
)
def test_off_diagonal_of_cifar10n(name, precision, recall):
    files = np.load(DATA / name / "labels.npz")
    probs = np.load(DATA / name / "resnet18.pred_probs.npy")
    labels = files["noisy_labels"].astype(np.int64)
    joint = confident_joint(labels, probs)
    # On these data the two conventions agree in all rows.
    np.testing.assert_array_equal(joint, confident_joint(labels, probs, collisions="cleanlab"))
    wrong = files["true_labels"] != labels
    only_wrong = confident_joint(labels[wrong], probs[wrong], thresholds=confident_thresholds(labels, probs))
    hits = only_wrong.sum() - only_wrong.trace()
    assert hits / (joint.sum() - joint.trace()) == pytest.approx(precision, abs=5e-4)
    assert hits / wrong.sum() == pytest.approx(recall, abs=5e-4)


def test_float32_is_compared_with_thresholds_in_full_precision():
    probs = np.array([[0.3, 0.7]], dtype=np.float32)
    for just, counted in ((1e-10, 0), (-1e-10, 1)):
        thresholds = [float(probs[0, 0]) + 1e-6 + just, 2.0]
        assert confident_joint([0], probs, thresholds=thresholds)[0, 0] == counted
