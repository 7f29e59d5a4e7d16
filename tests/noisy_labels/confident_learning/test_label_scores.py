"""The joint and all scores of one reading, against cleanlab, the equations and the functions for each."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.confident_counts import confident_joint, confident_thresholds
from noisy_labels.confident_learning.label_scores import score_labels
from noisy_labels.confident_learning.quality_scores import label_quality

SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def random_case(seed, n=400, n_classes=6, sharpness=0.5):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    probs = rng.dirichlet(np.full(n_classes, sharpness), n)
    probs[:40] = np.round(probs[:40] * 8) / 8 + 1e-3  # ties
    return labels, probs / probs.sum(axis=1, keepdims=True)


def slow_joint(labels, probs, thresholds, paper):
    n_classes = probs.shape[1]
    joint = np.zeros((n_classes, n_classes), dtype=int)
    for label, row in zip(labels, probs, strict=True):
        above = np.flatnonzero(row >= thresholds - 1e-6)
        if len(above):
            among = above if paper or len(above) == 1 else np.arange(n_classes)
            joint[label, among[row[among].argmax()]] += 1
    return joint


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0])
def test_equals_cleanlab(dtype, sharpness):
    count = pytest.importorskip("cleanlab.count")
    rank = pytest.importorskip("cleanlab.rank")
    labels, probs = random_case(0, sharpness=sharpness)
    probs = probs.astype(dtype)
    scored = score_labels(labels, probs, collisions="cleanlab")
    theirs = count.compute_confident_joint(labels, probs, calibrate=False)
    np.testing.assert_array_equal(np.maximum(scored.joint, np.eye(6, dtype=int)), theirs)
    for score in SCORES:
        found = getattr(scored, score)
        assert found.dtype == dtype
        expected = rank.get_label_quality_scores(labels, probs, method=score)
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("collisions", ["paper", "cleanlab"])
@pytest.mark.parametrize("n_classes", [1, 2, 6, 300])
def test_joint_from_its_equation(collisions, n_classes):
    labels, probs = random_case(1, n_classes=n_classes)
    scored = score_labels(labels, probs, collisions=collisions)
    means = [max(probs[labels == label, label].mean(), 2e-6) for label in range(n_classes)]
    np.testing.assert_allclose(scored.thresholds, means)
    np.testing.assert_array_equal(
        scored.joint, slow_joint(labels, probs, np.array(means), collisions == "paper")
    )


@pytest.mark.parametrize("layout", ["C", "F", "half", "strided"])
def test_same_as_one_by_one(layout):
    labels, probs = random_case(2, sharpness=3.0)
    if layout == "F":
        probs = np.asfortranarray(probs)
    elif layout == "half":
        probs = (np.round(probs * 512) / 512).astype(np.float16)
        probs[:, 0] += 1 - probs.astype(float).sum(axis=1).astype(np.float16)
        probs = np.abs(probs)
        probs = probs[probs.astype(float).sum(axis=1) == 1]
        labels = labels[: len(probs)]
    elif layout == "strided":
        probs, labels = probs[::-2], labels[::-2]
    names = np.array(list("abcdef"))
    scored = score_labels(names[labels], probs, classes=names)
    np.testing.assert_array_equal(scored.thresholds, confident_thresholds(labels, probs))
    np.testing.assert_array_equal(scored.joint, confident_joint(labels, probs))
    for score in SCORES:
        np.testing.assert_array_equal(getattr(scored, score), label_quality(labels, probs, score=score))


def test_many_rows_in_threads():
    labels, probs = random_case(3, n=60_000)
    scored = score_labels(labels, probs.astype(np.float32))
    np.testing.assert_array_equal(scored.joint, confident_joint(labels, probs.astype(np.float32)))
    own = probs[np.arange(len(labels)), labels]
    np.testing.assert_allclose(scored.self_confidence, own, rtol=1e-6)


def test_scores_stay_between_0_and_1():
    rounded = np.array([[1.000005, 0.0], [-0.0, 1.0], [1.0, -0.0]])
    for dtype in (np.float32, np.float64):
        scored = score_labels([0, 1, 0], rounded.astype(dtype))
        for score in SCORES:
            values = getattr(scored, score)
            assert (values >= 0).all(), score
            assert (values <= 1 + 1e-5).all(), score


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -0.5])
def test_invalid_rows_are_named(bad):
    labels, probs = random_case(4)
    probs[17, 3] = bad
    for matrix in (probs, probs.astype(np.float32)):
        with pytest.raises(
            ValueError, match=r"`pred_probs` must be finite and non-negative; got .* in row 17"
        ):
            score_labels(labels, matrix)
    labels, probs = random_case(4)
    probs[5] *= 2
    with pytest.raises(ValueError, match=r"got a sum of 2 in row 5\. Pass probabilities"):
        score_labels(labels, probs)
    with pytest.raises(ValueError, match="`collisions` must be one of"):
        score_labels([0], [[1.0]], collisions="first")


def test_rows_that_nearly_sum_to_one_are_repaired_with_a_warning():
    labels, probs = random_case(5)
    with pytest.warns(UserWarning, match="rows whose sum differs from 1"):
        scored = score_labels(labels, probs * 1.0002)
    np.testing.assert_allclose(scored.self_confidence, probs[np.arange(400), labels])
    np.testing.assert_array_equal(scored.joint, score_labels(labels, probs).joint)
