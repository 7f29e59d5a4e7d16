"""The audit against plain loops, on labels whose errors are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from noisy_labels.audits.label_audit import audit_labels
from noisy_labels.confident_learning.issue_count import num_label_issues
from noisy_labels.confident_learning.label_issues import choose_method, find_label_issues
from noisy_labels.confident_learning.quality_scores import label_quality

NAMES = np.array(["bee", "ant", "cow"])


def noisy_rows(seed=0, n=300):
    """Return labels of which a tenth goes to the next class, and probabilities that know the true one."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, n)
    probs = rng.dirichlet(np.ones(3), n) * 0.5
    probs[np.arange(n), true] += 0.5
    return np.where(rng.random(n) < 0.1, (true + 1) % 3, true), probs


@pytest.fixture(scope="module")
def case():
    labels, probs = noisy_rows()
    ids = np.array([f"row {number}" for number in range(len(labels))])
    return labels, probs, audit_labels(NAMES[labels], probs, classes=NAMES, ids=ids)


def test_issues_are_ranked_and_named(case):
    labels, probs, audit = case
    np.testing.assert_array_equal(audit.flagged, find_label_issues(labels, probs))
    assert audit.reason == choose_method(labels, probs).cut_off.reason
    quality = label_quality(labels, probs)
    expected = sorted(np.flatnonzero(audit.flagged), key=lambda row: quality[row])
    issues = audit.issues()
    assert issues["row"].tolist() == expected
    assert issues["id"].tolist() == [f"row {row}" for row in expected]
    assert issues["given_label"].tolist() == [NAMES[labels[row]] for row in expected]
    others = [max((k for k in range(3) if k != labels[row]), key=lambda k: probs[row, k]) for row in expected]
    assert issues["suggested_label"].tolist() == NAMES[others].tolist()
    np.testing.assert_array_equal(issues["normalized_margin"], quality[expected])
    pd.testing.assert_frame_equal(audit.to_frame(), pd.DataFrame(issues))


def test_expected_number_and_joint(case):
    labels, probs, audit = case
    assert audit.count == num_label_issues(labels, probs, random_state=0)
    assert audit.joint.sum(axis=1).tolist() == np.bincount(labels).tolist()
    assert audit.joint.sum() - audit.joint.trace() == audit.count.estimate
    columns = audit.joint / audit.joint.sum(axis=0)
    np.testing.assert_allclose(audit.transition, columns.T)


def test_tables_of_classes_and_pairs(case):
    labels, _, audit = case
    by_class = audit.by_class()
    assert (np.diff(by_class["share_flagged"]) <= 0).all()
    for place, name in enumerate(by_class["class"]):
        k = NAMES.tolist().index(name)
        assert by_class["n_given"][place] == (labels == k).sum()
        assert by_class["n_flagged"][place] == audit.flagged[labels == k].sum()
        assert by_class["n_wrong_expected"][place] == sum(audit.joint[k, j] for j in range(3) if j != k)
        assert by_class["n_missing_expected"][place] == sum(audit.joint[j, k] for j in range(3) if j != k)
    pairs, issues = audit.by_pair(), audit.issues()
    assert (np.diff(pairs["n_flagged"]) <= 0).all()
    assert pairs["n_flagged"].sum() == audit.flagged.sum()
    for given, suggested, n in zip(
        pairs["given_label"], pairs["suggested_label"], pairs["n_flagged"], strict=True
    ):
        assert n == ((issues["given_label"] == given) & (issues["suggested_label"] == suggested)).sum()
    # Noise that goes to the next class: the given label is the successor of the true one.
    assert [pairs["given_label"][0], pairs["suggested_label"][0]] in [
        ["ant", "bee"],
        ["cow", "ant"],
        ["bee", "cow"],
    ]


def test_overlap_of_scores(case):
    labels, probs, audit = case
    overlap = audit.score_overlap()
    np.testing.assert_array_equal(overlap.diagonal(), 1)
    n = audit.flagged.sum()
    worst = [
        set(np.argsort(label_quality(labels, probs, score=name))[:n].tolist())
        for name in ("normalized_margin", "confidence_weighted_entropy")
    ]
    assert overlap[0, 2] == overlap[2, 0] == len(worst[0] & worst[1]) / n


def test_flags_from_elsewhere():
    labels, probs = noisy_rows(1)
    mask = np.zeros(len(labels), dtype=bool)
    mask[[3, 7]] = True
    audit = audit_labels(labels, probs, flagged=mask)
    assert sorted(audit.rows.tolist()) == [3, 7]
    assert audit.reason == "the flags were given"
    assert audit.ids[audit.rows].tolist() == audit.rows.tolist()
    with pytest.raises(TypeError, match="`flagged` must be a bool array; got dtype int64"):
        audit_labels(labels, probs, flagged=np.array([3, 7]))
    with pytest.raises(ValueError, match="`labels` and `flagged` must be of the same length"):
        audit_labels(labels, probs, flagged=mask[:5])


def test_rule_by_name():
    labels, probs = noisy_rows(2)
    audit = audit_labels(labels, probs, method="confusion")
    np.testing.assert_array_equal(audit.flagged, probs.argmax(axis=1) != labels)
    assert "confusion" in audit.reason


def test_nothing_wrong_and_a_single_class():
    audit = audit_labels([0, 1], np.eye(2))
    assert audit.rows.size == 0
    assert audit.count.estimate == 0
    assert all(len(column) == 0 for column in audit.issues().values())
    assert np.isnan(audit.score_overlap()).all()
    assert audit_labels([0, 0], np.ones((2, 1))).joint.tolist() == [[2]]


def test_class_without_examples_keeps_its_label():
    probs = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    audit = audit_labels([0, 0, 1], probs)
    assert audit.transition[2].tolist() == [0, 0, 1]


def test_bad_ids():
    with pytest.raises(ValueError, match="`labels` and `ids` must be of the same length"):
        audit_labels([0, 1], np.eye(2), ids=["a"])
    with pytest.raises(ValueError, match="`ids` must be without missing values"):
        audit_labels([0, 1], np.eye(2), ids=["a", ""])
