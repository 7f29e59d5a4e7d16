"""Several classes an example: beside cleanlab, and by the equations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisy_labels.confident_learning.multilabel_issues import find_multilabel_issues, multilabel_quality

FILTERS = {
    "prune_by_noise_rate": "prune_by_noise_rate",
    "prune_by_class": "prune_by_class",
    "both": "both",
    "confident_learning": "confident_joint",
    "predicted_neq_given": "confusion",
}


def marked(seed, n=400, n_classes=4):
    """Return marks, a tenth of them wrong, and probabilities that know the right ones."""
    rng = np.random.default_rng(seed)
    true = rng.random((n, n_classes)) < [0.5, 0.3, 0.2, 0.1][:n_classes]
    probs = np.clip(np.where(true, 0.75, 0.25) + rng.normal(0, 0.2, true.shape), 0, 1)
    wrong = rng.random(true.shape) < 0.1
    labels = (true ^ wrong).astype(int)
    labels[0] = 1  # cleanlab wants every class in use
    return labels, probs


def lists(labels):
    return [np.flatnonzero(row).tolist() for row in labels]


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.filterwarnings("ignore:May not flag all label issues")
def test_flags_equal_cleanlabs(filter_by, seed):
    theirs = pytest.importorskip("cleanlab.multilabel_classification.filter")
    labels, probs = marked(seed)
    expected = theirs.find_multilabel_issues_per_class(lists(labels), probs, filter_by=filter_by, n_jobs=1)
    found = find_multilabel_issues(labels, probs, method=FILTERS[filter_by], conventions="cleanlab")
    np.testing.assert_array_equal(found, expected)
    assert found.any()
    of_examples = theirs.find_label_issues(lists(labels), probs, filter_by=filter_by, n_jobs=1)
    np.testing.assert_array_equal(found.any(axis=1), of_examples)


@pytest.mark.parametrize("score", ["self_confidence", "normalized_margin", "confidence_weighted_entropy"])
def test_scores_equal_cleanlabs(score):
    rank = pytest.importorskip("cleanlab.multilabel_classification.rank")
    labels, probs = marked(2)
    expected = rank.get_label_quality_scores(lists(labels), probs, method=score)
    np.testing.assert_allclose(multilabel_quality(labels, probs, score=score), expected, atol=1e-9)


def test_wrong_marks_score_lower():
    labels, probs = marked(3)
    certain = (probs > 0.5) != labels
    scores = multilabel_quality(labels, probs)
    assert scores[certain.any(axis=1)].mean() < scores[~certain.any(axis=1)].mean() - 0.2


@given(st.integers(0, 1000), st.floats(0, 1))
def test_moving_average_from_its_recursion(seed, alpha):
    rng = np.random.default_rng(seed)
    labels, probs = rng.integers(0, 2, (3, 5)), rng.random((3, 5))
    for row, quality in enumerate(multilabel_quality(labels, probs, alpha=alpha)):
        own = sorted((p if y else 1 - p for y, p in zip(labels[row], probs[row], strict=True)), reverse=True)
        expected = own[0]
        for value in own[1:]:
            expected = alpha * value + (1 - alpha) * expected
        assert quality == pytest.approx(expected, abs=1e-12)


def test_bad_input():
    good = np.array([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="`labels` must be 0 and 1"):
        find_multilabel_issues([[0, 2]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="`labels` must be 0 and 1, a column a class; got dtype float64"):
        find_multilabel_issues([[0.0, 1.0]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="`labels` must be 2-dimensional"):
        find_multilabel_issues([0, 1], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="`pred_probs` must be of the shape of `labels`"):
        find_multilabel_issues(good, [[0.5, 0.5]])
    with pytest.raises(ValueError, match=r"`pred_probs` must be in \[0, 1\]; got"):
        find_multilabel_issues(good, [[0.5, 1.5], [0.0, 0.0]])
    with pytest.raises(ValueError, match="`pred_probs` must be finite"):
        multilabel_quality(good, [[0.5, np.nan], [0.0, 0.0]])
    with pytest.raises(ValueError, match="`alpha` must be in"):
        multilabel_quality(good, good.astype(float), alpha=2)
    with pytest.raises(ValueError, match="`labels` must be non-empty"):
        multilabel_quality(np.zeros((0, 2), dtype=int), np.zeros((0, 2)))
