"""Judging and cleaning labels: the actions by hand, rounds that help, classes that survive."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from noisy_labels.confident_learning.fold_training import LabelledData, out_of_sample_probabilities
from noisy_labels.confident_learning.label_cleaning import (
    KEPT_PER_CLASS,
    Verdict,
    clean_labels,
    cleaned_training_set,
    judge_labels,
)
from noisy_labels.confident_learning.label_folds import label_folds
from noisy_labels.confident_learning.label_issues import find_label_issues
from noisy_labels.transitions.noise import corrupt_labels


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=450)
    X = np.array([[0, 3.5], [3, -2], [-3, -2]])[true] + rng.normal(size=(450, 2))
    return X, true, corrupt_labels(true, 0.3, "pair", random_state=1)


def verdict_of(posterior, issues):
    return Verdict(posterior, np.eye(2), 1.0, posterior, np.array(issues))


def test_actions_by_hand():
    n_safe = KEPT_PER_CLASS
    sure = np.repeat([[1.0, 0.0], [0.0, 1.0]], n_safe, axis=0)
    codes = np.r_[np.repeat([0, 1], n_safe), 0, 0]
    posterior = np.vstack([sure, [[0.25, 0.75], [0.99, 0.01]]])
    issues = [False] * (2 * n_safe) + [True, False]
    verdict = verdict_of(posterior, issues)
    wrong, right = 2 * n_safe, 2 * n_safe + 1
    pruned = cleaned_training_set(codes, verdict, "prune")
    assert wrong not in pruned.rows
    assert len(pruned.rows) == len(codes) - 1
    relabelled = cleaned_training_set(codes, verdict, "relabel")
    assert relabelled.codes[wrong] == 1
    assert (np.delete(relabelled.codes, wrong) == np.delete(codes, wrong)).all()
    weighted = cleaned_training_set(codes, verdict, "reweight")
    np.testing.assert_allclose(weighted.weights, [1.0] * (2 * n_safe) + [0.25, 0.99])
    soft = cleaned_training_set(codes, verdict, "soften")
    copies = list(zip(soft.rows.tolist(), soft.codes.tolist(), soft.weights.tolist(), strict=True))
    assert copies[2 * n_safe :] == [(wrong, 0, 0.25), (wrong, 1, 0.75), (right, 0, 0.99)]


def test_mending_relabels_what_is_sure_and_leaves_out_the_rest():
    n_safe = KEPT_PER_CLASS
    sure = np.repeat([[1.0, 0.0], [0.0, 1.0]], n_safe, axis=0)
    codes = np.r_[np.repeat([0, 1], n_safe), 0, 0, 0, 0]
    # Sure of the other class, in doubt, as given, and flagged though sure of the given class.
    posterior = np.vstack([sure, [[0.25, 0.75], [0.35, 0.65], [0.9, 0.1], [0.9, 0.1]]])
    issues = np.r_[np.zeros(2 * n_safe, bool), True, True, False, True]
    mended = cleaned_training_set(codes, verdict_of(posterior, issues), "mend")
    assert mended.rows.tolist() == [*range(2 * n_safe), 2 * n_safe, 2 * n_safe + 2]
    assert mended.codes.tolist() == [*codes[: 2 * n_safe], 1, 0]
    assert mended.weights is None


def test_no_class_dies_out():
    codes = np.r_[np.zeros(40, dtype=int), np.ones(7, dtype=int)]
    probs = np.tile([0.95, 0.05], (47, 1))
    probs[:40] += np.random.default_rng(0).uniform(-0.04, 0.04, size=(40, 1)) * [1, -1]
    for method in ("auto", "confusion"):
        issues = judge_labels(codes, probs, method=method, calibrate=True).issues
        assert (~issues[codes == 1]).sum() >= KEPT_PER_CLASS


def test_other_methods_are_those_of_find_label_issues(blobs):
    X, _, noisy = blobs
    data = LabelledData(X, noisy, np.arange(3))
    probs = out_of_sample_probabilities(
        LogisticRegression(), data, data.as_given(), label_folds(5, X, noisy, random_state=0)
    )
    for method in ("confusion", "prune_by_class"):
        found = judge_labels(noisy, probs, method=method, calibrate=True).issues
        np.testing.assert_array_equal(found, find_label_issues(noisy, probs, method=method))


def test_rounds_find_more_of_the_wrong_labels(blobs):
    X, true, noisy = blobs
    wrong = noisy != true
    data = LabelledData(X, noisy, np.arange(3))
    folds = label_folds(5, X, noisy, random_state=0)
    first = out_of_sample_probabilities(LogisticRegression(), data, data.as_given(), folds)
    found = {}
    for n_rounds in (1, 5):
        verdict, training = clean_labels(
            LogisticRegression(),
            data,
            folds,
            method="auto",
            action="prune",
            n_rounds=n_rounds,
            calibrate=True,
            pred_probs=first,
        )
        assert (np.sort(training.rows) == np.flatnonzero(~verdict.issues)).all()
        found[n_rounds] = np.sum(verdict.issues & wrong) * 2 / (verdict.issues.sum() + wrong.sum())
    assert found[5] >= found[1]
    assert found[5] > 0.93
    np.testing.assert_allclose(verdict.transition.diagonal(), 0.7, atol=0.1)


def test_clean_labels_of_clean_data_are_left_alone(blobs):
    X, true, _ = blobs
    data = LabelledData(X, true, np.arange(3))
    folds = label_folds(5, X, true, random_state=0)
    probs = out_of_sample_probabilities(LogisticRegression(), data, data.as_given(), folds)
    assert judge_labels(true, probs, method="auto", calibrate=True).issues.mean() < 0.01
