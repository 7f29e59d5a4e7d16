"""Quality scores against their equations and cleanlab."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.quality_scores import ensemble_label_quality, label_quality

SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def random_case(seed, n=200, n_classes=5):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    return labels, rng.dirichlet(np.ones(n_classes), n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("adjust", [False, True])
def test_scores_equal_cleanlabs(score, adjust, dtype):
    rank = pytest.importorskip("cleanlab.rank")
    if adjust and score == "confidence_weighted_entropy":
        pytest.skip("not defined")
    labels, probs = random_case(0)
    probs = probs.astype(dtype)
    expected = rank.get_label_quality_scores(labels, probs, method=score, adjust_pred_probs=adjust)
    found = label_quality(labels, probs, score=score, adjust=adjust)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_scores_from_their_equations():
    labels, probs = random_case(1, n=50, n_classes=4)
    own = [row[label] for row, label in zip(probs, labels, strict=True)]
    other = [max(np.delete(row, label)) for row, label in zip(probs, labels, strict=True)]
    ratio = [-(row * np.log(row)).sum() / np.log(4) / p for row, p in zip(probs, own, strict=True)]
    np.testing.assert_allclose(label_quality(labels, probs, score="self_confidence"), own)
    margin = (np.array(own) - other + 1) / 2
    np.testing.assert_allclose(label_quality(labels, probs), margin)
    np.testing.assert_allclose(
        label_quality(labels, probs, score="confidence_weighted_entropy"), np.log1p(ratio) / ratio
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropy_of_probabilities_of_every_size(dtype):
    # 2^-149 to 1, next to powers of two and times the square root of 1/2, where the series changes.
    powers = 2.0 ** -np.arange(0, 149)
    tops = np.r_[powers, powers * np.sqrt(0.5), np.nextafter(powers, 0), np.nextafter(powers, 2), 0.9999999]
    tops = np.minimum(tops, 1).astype(dtype)
    probs = np.column_stack([tops, 1 - tops, np.zeros_like(tops)])
    wide = probs.astype(np.float64)
    entropy = -np.sum(wide * np.log(np.where(wide > 0, wide, 1)), axis=1)
    ratio = entropy / np.log(3) / np.maximum(wide[:, 1], 1e-6)
    expected = np.where(ratio > 1e-6, np.log1p(ratio) / np.maximum(ratio, 1e-6), np.log1p(ratio) * 1e6)
    found = label_quality(np.ones(len(probs), dtype=int), probs, score="confidence_weighted_entropy")
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-11, atol=1e-9)


def test_single_class_and_certain_rows():
    for score in SCORES[:2]:
        assert label_quality([0, 0], np.ones((2, 1)), score=score).tolist() == [1, 1]
    np.testing.assert_array_equal(label_quality([0, 0], np.eye(2)), [1, 0])
    np.testing.assert_array_equal(
        label_quality([0, 0], np.eye(2), score="confidence_weighted_entropy"), [0, 0]
    )


@pytest.mark.parametrize(
    ("weights", "theirs"), [("accuracy", "accuracy"), ("uniform", "uniform"), ("log_loss", "log_loss_search")]
)
def test_ensembles_equal_cleanlabs(weights, theirs):
    rank = pytest.importorskip("cleanlab.rank")
    for seed in range(4):
        labels, good = random_case(seed)
        good[np.arange(200), labels] += 0.5
        models = [good / 1.5, random_case(seed + 10)[1], random_case(seed + 20)[1] * 0.5 + 0.1]
        expected = rank.get_label_quality_ensemble_scores(
            labels, models, method="normalized_margin", weight_ensemble_members_by=theirs, verbose=False
        )
        np.testing.assert_allclose(
            ensemble_label_quality(labels, models, weights=weights), expected, atol=1e-6
        )


def test_ensemble_with_weights_of_ones_own():
    labels, probs = random_case(0)
    other = random_case(1)[1]
    expected = (2 * label_quality(labels, probs) + 6 * label_quality(labels, other)) / 8
    np.testing.assert_allclose(ensemble_label_quality(labels, [probs, other], weights=[2, 6]), expected)


def test_bad_arguments():
    labels, probs = random_case(0)
    with pytest.raises(ValueError, match="`score` must be one of"):
        label_quality(labels, probs, score="margin")
    with pytest.raises(ValueError, match="`adjust` must be False for the score"):
        label_quality(labels, probs, score="confidence_weighted_entropy", adjust=True)
    with pytest.raises(ValueError, match="at least one matrix; got none"):
        ensemble_label_quality(labels, [])
    for weights in ([1], [1, -1], [0, 0], [1, np.inf]):
        with pytest.raises(ValueError, match="`weights` must be"):
            ensemble_label_quality(labels, [probs, probs], weights=weights)
    with pytest.raises(ValueError, match="`weights` must be one of"):
        ensemble_label_quality(labels, [probs, probs], weights="best")
