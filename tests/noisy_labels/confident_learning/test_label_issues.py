"""Masks of label issues: equal to cleanlab's under its conventions; the automatic cut-off on known errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from noisy_labels.confident_learning.issue_cut_off import fit_logistic_trend, trend_statistic
from noisy_labels.confident_learning.label_issues import choose_method, find_label_issues

DATA = Path(os.environ.get("SPARSELABELS_DATA", ""))
needs_data = pytest.mark.skipif(
    not (DATA / "cifar10n-cv-pred-probs").exists(), reason="needs SPARSELABELS_DATA"
)
FILTERS = {
    "prune_by_noise_rate": "prune_by_noise_rate",
    "prune_by_class": "prune_by_class",
    "both": "both",
    "confident_learning": "confident_joint",
    "predicted_neq_given": "confusion",
    "low_self_confidence": "low_self_confidence",
    "low_normalized_margin": "low_normalized_margin",
}


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


@pytest.fixture(scope="module")
def digits():
    """Return true labels, pair-noisy labels and their cross-validated probabilities."""
    features, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(len(true)) < 0.2, (true + 1) % 10, true)
    model = LogisticRegression(max_iter=300)
    return true, labels, cross_val_predict(model, features / 16, labels, cv=3, method="predict_proba")


def f1(flagged, wrong):
    return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("votes", [None, 5])
@pytest.mark.parametrize("noise", [0.1, 0.6])
@pytest.mark.filterwarnings("ignore:May not flag all label issues")
def test_masks_equal_cleanlabs(filter_by, noise, votes):
    cleanlab = pytest.importorskip("cleanlab.filter")
    for seed, (n, n_classes, sharpness, least) in enumerate(
        [(15, 3, 0, 1), (60, 5, 0, 5), (300, 2, 1, 1), (1000, 8, 3, 1), (700, 40, 1, 10)]
    ):
        labels, probs = predictions(seed, n, n_classes, noise, sharpness, votes)
        probs = probs.astype(np.float32) if seed % 2 else np.asfortranarray(probs)
        expected = cleanlab.find_label_issues(
            labels, probs, filter_by=filter_by, n_jobs=1, min_examples_per_class=least
        )
        options = {"method": FILTERS[filter_by], "min_examples_per_class": least}
        found = find_label_issues(labels, probs, conventions="cleanlab", **options)
        np.testing.assert_array_equal(found, expected, err_msg=f"case {seed}")


@pytest.mark.parametrize("filter_by", FILTERS)
def test_masks_equal_cleanlabs_on_digits(digits, filter_by):
    cleanlab = pytest.importorskip("cleanlab.filter")
    _, labels, probs = digits
    expected = cleanlab.find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    found = find_label_issues(labels, probs, method=FILTERS[filter_by], conventions="cleanlab")
    np.testing.assert_array_equal(found, expected)
    if filter_by == "prune_by_noise_rate":
        np.testing.assert_array_equal(find_label_issues(labels, probs, method="cleanlab"), expected)


def published(name):
    """Return given labels and published probabilities of a real set, rows summing to 1."""
    if name in ("worst", "aggregate"):
        folder = DATA / "cifar10n-cv-pred-probs" / name
        labels = np.load(folder / "labels.npz")["noisy_labels"]
        probs = np.load(folder / "resnet18.pred_probs.npy")
    else:
        folder = DATA / "label-errors-cleanlab"
        labels = np.load(folder / "labels" / f"{name}_test_set_original_labels.npy")
        probs = np.load(folder / "pred_probs" / f"{name}_test_set_pyx.npy")
    return labels.astype(np.int64), probs / probs.sum(axis=1, keepdims=True)


@needs_data
@pytest.mark.parametrize("name", ["mnist", "imdb", "worst", "aggregate"])
@pytest.mark.filterwarnings("ignore:May not flag all label issues")
def test_masks_equal_cleanlabs_on_published_probabilities(name):
    cleanlab = pytest.importorskip("cleanlab.filter")
    labels, probs = published(name)
    for filter_by, method in FILTERS.items():
        expected = cleanlab.find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
        found = find_label_issues(labels, probs, method=method, conventions="cleanlab")
        np.testing.assert_array_equal(found, expected, err_msg=method)
        assert found.any()


@needs_data
def test_sums_off_by_rounding_are_repaired():
    folder = DATA / "label-errors-cleanlab"
    raw = np.load(folder / "pred_probs" / "imdb_test_set_pyx.npy")
    labels, probs = published("imdb")
    with pytest.warns(UserWarning, match="`pred_probs` has rows whose sum differs from 1"):
        found = find_label_issues(labels, raw, method="cleanlab")
    np.testing.assert_array_equal(found, find_label_issues(labels, probs, method="cleanlab"))


def test_conventions_differ_in_agreeing_rows_and_collisions_only():
    labels, probs = predictions(1, 2000, 6, noise=0.3, sharpness=2)
    probs = probs * np.array([1, 1, 1, 1, 1, 0.2])  # a class that never reaches what others have to reach
    probs /= probs.sum(axis=1, keepdims=True)
    agrees = probs.argmax(axis=1) == labels
    own = np.array([probs[labels == label, label].mean() for label in range(6)])
    above = probs >= own - 1e-6
    argmax_below = ~above[np.arange(2000), probs.argmax(axis=1)]
    collides = (above.sum(axis=1) > 1) & argmax_below
    for method in ("confident_joint", "confusion"):
        paper = find_label_issues(labels, probs, method=method)
        compatible = find_label_issues(labels, probs, method=method, conventions="cleanlab")
        differs = paper != compatible
        assert not (differs & ~agrees & ~collides).any()
        assert (differs & agrees).any() == (method == "confident_joint")


def test_rows_flagged_by_joint_from_its_definition():
    labels, probs = predictions(2, 500, 4)
    own = np.array([probs[labels == label, label].mean() for label in range(4)])
    confident = np.where(probs >= own - 1e-6, probs, -1)
    expected = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels)
    np.testing.assert_array_equal(find_label_issues(labels, probs, method="confident_joint"), expected)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16), method=st.sampled_from(["auto", "cleanlab", *FILTERS.values()]))
def test_permuting_rows_and_classes_permutes_the_mask(seed, method):
    labels, probs = predictions(seed, 80, 5)
    rng = np.random.default_rng(seed)
    rows, order = rng.permutation(80), np.arange(5)
    # Counts that are rounded give the last row of a tie to the class that comes first.
    if method in ("confusion", "confident_joint", "low_self_confidence", "low_normalized_margin"):
        order = rng.permutation(5)
    found = find_label_issues(np.argsort(order)[labels[rows]], probs[rows][:, order], method=method)
    np.testing.assert_array_equal(found, find_label_issues(labels, probs, method=method)[rows])


@pytest.mark.parametrize("method", ["auto", "cleanlab", *FILTERS.values()])
def test_smallest_inputs(method):
    assert find_label_issues([0, 0, 0], np.ones((3, 1)), method=method).tolist() == [False] * 3
    assert find_label_issues([1], [[0.25, 0.75]], method=method).tolist() == [False]
    never_given = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    assert not find_label_issues([0, 0, 1], never_given, method=method).any()


def test_labels_of_any_type_by_classes():
    labels, probs = predictions(0, 100, 3)
    names = np.array(["wolf", "dog", "cat"])
    np.testing.assert_array_equal(
        find_label_issues(names[labels], probs, classes=names), find_label_issues(labels, probs)
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match="`method` must be one of 'auto', 'cleanlab'"):
        find_label_issues([0, 1], np.eye(2), method="pbnr")
    with pytest.raises(ValueError, match="`conventions` must be one of"):
        find_label_issues([0, 1], np.eye(2), conventions="both")
    with pytest.raises(ValueError, match="`min_examples_per_class` must be at least 1"):
        find_label_issues([0, 1], np.eye(2), min_examples_per_class=0)


@needs_data
@pytest.mark.parametrize("name", ["worst", "aggregate"])
def test_automatic_cut_off_on_human_noise(name):
    folder = DATA / "cifar10n-cv-pred-probs" / name
    files = np.load(folder / "labels.npz")
    labels, probs = files["noisy_labels"].astype(np.int64), np.load(folder / "resnet18.pred_probs.npy")
    wrong = files["true_labels"] != labels
    chosen = choose_method(labels, probs)
    assert chosen.cut_off.noise == "instance-dependent"
    assert abs(chosen.cut_off.n_expected / wrong.sum() - 1) < 0.1
    best = max(
        f1(find_label_issues(labels, probs, method=method), wrong) for method in ("cleanlab", "confusion")
    )
    assert f1(chosen.flagged, wrong) > best - 0.02


@needs_data
def test_golden_counts_of_mnist():
    folder = DATA / "label-errors-cleanlab"
    labels = np.load(folder / "labels" / "mnist_test_set_original_labels.npy").astype(np.int64)
    probs = np.load(folder / "pred_probs" / "mnist_test_set_pyx.npy")
    verdicts = json.loads((folder / "mturk" / "mnist_mturk.json").read_text())
    wrong = np.zeros(len(labels), dtype=bool)
    wrong[[verdict["id"] for verdict in verdicts if verdict["mturk"]["given"] < 3]] = True
    counts = {
        method: int(find_label_issues(labels, probs, method=method, conventions="cleanlab").sum())
        for method in ("confident_joint", "cleanlab", "confusion")
    }
    assert counts == {"confident_joint": 15, "cleanlab": 15, "confusion": 87}
    default = f1(find_label_issues(labels, probs, method="cleanlab"), wrong)
    assert f1(find_label_issues(labels, probs), wrong) >= default > 0.46


def test_automatic_cut_off_on_pair_noise(digits):
    true, labels, probs = digits
    chosen = choose_method(labels, probs)
    np.testing.assert_array_equal(find_label_issues(labels, probs), chosen.flagged)
    assert chosen.cut_off.noise == "class-conditional"
    assert "no trend" in chosen.cut_off.reason
    scores = {}
    for method in ("cleanlab", "confusion"):
        scores[method] = f1(find_label_issues(labels, probs, method=method), true != labels)
    assert f1(chosen.flagged, true != labels) >= max(scores.values()) - 0.005


def planted(seed, rate):
    """Return noise on a true class that the model knows, at a rate that depends on its confidence."""
    rng = np.random.default_rng(seed)
    n = 20_000
    true, confidence = rng.integers(0, 3, n), rng.uniform(0.4, 1, n)
    wrong = rng.random(n) < rate(confidence)
    labels = np.where(wrong, (true + rng.integers(1, 3, n)) % 3, true)
    probs = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    probs[np.arange(n), true] = confidence
    return labels, probs, wrong


def test_expected_errors_are_the_planted_ones():
    labels, probs, wrong = planted(0, lambda confidence: np.full_like(confidence, 0.2))
    flat = choose_method(labels, probs).cut_off
    assert flat.noise == "class-conditional"
    assert flat.n_expected == pytest.approx(wrong.sum(), rel=0.03)
    assert flat.surest_disagreement == pytest.approx(0.2, abs=0.01)
    labels, probs, wrong = planted(1, lambda confidence: 1 / (1 + np.exp(6 * (confidence - 0.4))))
    rising = choose_method(labels, probs).cut_off
    assert rising.noise == "instance-dependent"
    assert rising.n_expected == pytest.approx(wrong.sum(), rel=0.1)
    assert rising.n_pruned + rising.n_added <= rising.n_disagreeing


def test_trend_statistic_and_fit():
    from scipy.stats import pearsonr

    rng = np.random.default_rng(0)
    rank = rng.uniform(0, 0.5, 5000)
    disagrees = rng.random(5000) < 1 / (1 + np.exp(2 - 3 * rank))
    # The square of the statistic is n times that of the correlation.
    assert trend_statistic(rank, disagrees) == pytest.approx(
        np.sqrt(5000) * pearsonr(rank, disagrees)[0], rel=1e-9
    )
    model = LogisticRegression(C=1e8, tol=1e-10).fit(rank[:, None], disagrees)
    expected = (model.intercept_[0], model.coef_[0, 0])
    np.testing.assert_allclose(fit_logistic_trend(rank, disagrees), expected, rtol=1e-3)
    assert trend_statistic(rank, np.zeros(5000, dtype=bool)) == 0
    assert np.isfinite(fit_logistic_trend(rank, rank > 0.25)).all()


def test_added_rows_have_the_largest_posterior_odds():
    """Compare with a loop over the disputed rows, of noise that goes to the next class only."""
    rng = np.random.default_rng(4)
    true, confidence = rng.integers(0, 4, 3000), rng.uniform(0.3, 1, 3000)
    predicted = np.where(rng.random(3000) < confidence, true, rng.integers(0, 4, 3000))
    labels = np.where(rng.random(3000) < 0.3, (true + 1) % 4, true)
    probs = rng.dirichlet(np.ones(4), 3000) * (1 - confidence)[:, None]
    probs[np.arange(3000), predicted] += confidence
    found, cut_off = choose_method(labels, probs)
    pruned = find_label_issues(labels, probs, method="cleanlab")
    argmax, largest = probs.argmax(axis=1), probs.max(axis=1)
    surest = np.zeros(3000, dtype=bool)
    for label in range(4):
        rows = np.flatnonzero(argmax == label)
        order = rows[np.argsort(-largest[rows])]
        surest[order[(np.arange(len(rows)) + 0.5) / len(rows) <= 0.25]] = True
    rate = (argmax != labels)[surest].mean()
    assert cut_off.surest_disagreement == pytest.approx(rate)
    odds = {}
    for row in np.flatnonzero((argmax != labels) & ~pruned):
        peers = surest & (argmax == argmax[row])
        transition = ((labels[peers] == labels[row]).sum() + rate) / (peers.sum() + 3)
        own = probs[row, labels[row]]
        odds[row] = (largest[row] + 1 / 3000) * transition / (own + 1 / 3000)
    assert 0 < cut_off.n_added < len(odds)
    expected = sorted(odds, key=lambda row: -odds[row])[: cut_off.n_added]
    assert set(np.flatnonzero(found & ~pruned)) == set(expected)
