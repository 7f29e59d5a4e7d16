"""Dawid-Skene, one coin and GLAD: slow loops of their equations, planted workers, and published crowds."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from noisy_labels.crowds.dawid_skene_consensus import dawid_skene
from noisy_labels.crowds.glad_consensus import glad
from noisy_labels.crowds.majority_consensus import majority_vote
from noisy_labels.crowds.one_coin_consensus import one_coin

METHODS = [dawid_skene, one_coin, glad]


def sample(n_items=12, n_workers=5, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    pairs = [(i, w) for i in range(n_items) for w in range(n_workers) if rng.random() < 0.7 or w == 0]
    items, workers = np.array(pairs).T
    true = rng.integers(n_classes, size=n_items)
    right = rng.random(len(items)) < 0.7
    return items, workers, np.where(right, true[items], rng.integers(n_classes, size=len(items)))


def shares(items, labels, n_classes=3):
    p = np.zeros((items.max() + 1, n_classes))
    for i, label in zip(items, labels, strict=True):
        p[i, label] += 1
    return p / p.sum(axis=1, keepdims=True)


def test_dawid_skene_is_its_equations():
    items, workers, labels = sample()
    p, a = shares(items, labels), 0.3
    for _ in range(4):
        theta = np.full((5, 3, 3), a)
        for i, w, label in zip(items, workers, labels, strict=True):
            theta[w, :, label] += p[i]
        theta /= theta.sum(axis=2, keepdims=True)
        prior = p.mean(axis=0)
        p = np.tile(prior, (len(p), 1))
        for i, w, label in zip(items, workers, labels, strict=True):
            p[i] *= theta[w, :, label]
        likelihood = np.log(p.sum(axis=1)).sum()
        p /= p.sum(axis=1, keepdims=True)
    found = dawid_skene(items, workers, labels, smoothing=a, max_iter=4, tol=0)
    np.testing.assert_allclose(found.probabilities, p)
    assert found.log_likelihood[-1] == pytest.approx(likelihood)
    theta = np.full((5, 3, 3), a)
    for i, w, label in zip(items, workers, labels, strict=True):
        theta[w, :, label] += p[i]
    theta /= theta.sum(axis=2, keepdims=True)
    for w in range(5):
        np.testing.assert_allclose(found.confusion(w), theta[w])
    np.testing.assert_allclose(found.worker_quality, np.einsum("wkk,k->w", theta, prior))


def test_one_coin_is_its_equations():
    items, workers, labels = sample()
    p, a = shares(items, labels), 0.3
    for _ in range(4):
        right, count = np.full(5, a), np.full(5, 2 * a)
        for i, w, label in zip(items, workers, labels, strict=True):
            right[w] += p[i, label]
            count[w] += 1
        q, prior = right / count, p.mean(axis=0)
        p = np.tile(prior, (len(p), 1))
        for i, w, label in zip(items, workers, labels, strict=True):
            for k in range(3):
                p[i, k] *= q[w] if k == label else (1 - q[w]) / 2
        p /= p.sum(axis=1, keepdims=True)
    found = one_coin(items, workers, labels, smoothing=a, max_iter=4, tol=0)
    np.testing.assert_allclose(found.probabilities, p)
    np.testing.assert_allclose(found.worker_quality, q)


def test_glad_ends_where_its_gradient_vanishes():
    items, workers, labels = sample(seed=3)
    found = glad(items, workers, labels, tol=0, max_iter=400)
    alpha, log_beta = found.ability, np.log(found.easiness)
    by_alpha, by_beta = 1 - alpha, -log_beta
    for i, w, label in zip(items, workers, labels, strict=True):
        logit = alpha[w] * found.easiness[i]
        residual = found.probabilities[i, label] - 1 / (1 + np.exp(-logit))
        by_alpha[w] += residual * found.easiness[i]
        by_beta[i] += residual * logit
    np.testing.assert_allclose(by_alpha, 0, atol=1e-5)
    np.testing.assert_allclose(by_beta, 0, atol=1e-5)
    p = np.tile(found.class_priors, (len(found.items), 1))
    for i, w, label in zip(items, workers, labels, strict=True):
        chance = 1 / (1 + np.exp(-alpha[w] * found.easiness[i]))
        for k in range(3):
            p[i, k] *= chance if k == label else (1 - chance) / 2
    np.testing.assert_allclose(found.probabilities, p / p.sum(axis=1, keepdims=True), atol=1e-5)


def test_planted_workers_are_found():
    rng = np.random.default_rng(0)
    n_items, n_workers = 2000, 12
    true = rng.integers(3, size=n_items)
    accuracy = np.linspace(0.4, 0.95, n_workers)
    items, workers = (grid.ravel() for grid in np.indices((n_items, n_workers)))
    keep = rng.random(items.size) < 0.5
    items, workers = items[keep], workers[keep]
    wrong = (true[items] + rng.integers(1, 3, size=items.size)) % 3
    labels = np.where(rng.random(items.size) < accuracy[workers], true[items], wrong)
    vote = np.mean(majority_vote(items, workers, labels).labels == true)
    for method in METHODS:
        found = method(items, workers, labels)
        assert np.mean(found.labels == true) > vote
        np.testing.assert_allclose(found.worker_quality, accuracy, atol=0.06)
    flipped = dawid_skene(items, workers, np.where(workers == 0, (labels + 1) % 3, labels))
    assert flipped.confusion(0)[0].argmax() == 1


@pytest.mark.parametrize("method", METHODS)
def test_order_of_the_labels_names_and_degenerate_crowds(method):
    items, workers, labels = sample()
    order = np.random.default_rng(0).permutation(len(items))
    found = method(items, workers, labels)
    shuffled = method(
        np.array([f"i{x:02d}" for x in items])[order],
        workers[order],
        np.array(["a", "b", "c"])[labels[order]],
    )
    np.testing.assert_allclose(shuffled.probabilities, found.probabilities, atol=1e-8)
    np.testing.assert_allclose(shuffled.label_quality, found.label_quality[order], atol=1e-8)
    assert shuffled.labels.tolist() == np.array(["a", "b", "c"])[found.labels].tolist()
    one = method(["x"], ["w"], [7])
    assert one.labels.tolist() == [7]
    assert np.isfinite(one.worker_quality).all()
    with pytest.raises(ValueError, match="`max_iter` must be at least 1"):
        method(items, workers, labels, max_iter=0)


def test_unknown_worker_and_bad_smoothing():
    consensus = dawid_skene([0, 0], ["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="`worker` must be one of the 2 workers"):
        consensus.confusion("c")
    for method in (dawid_skene, one_coin):
        with pytest.raises(ValueError, match="`smoothing` must be in"):
            method([0], [0], [0], smoothing=0)


# Measured by an independent NumPy implementation (dense, smoothing .01, at most 100 passes).
CROWDS = {
    "bluebirds": (0.759, 0.898, 0.583),
    "face-sentiment": (0.637, 0.640, 0.611),
    "adult-content-2": (0.760, 0.739, 0.709),
}


@pytest.mark.parametrize("name", CROWDS)
def test_accuracy_on_real_crowds(name):
    if "SPARSELABELS_DATA" not in os.environ:
        pytest.skip("SPARSELABELS_DATA is not set")
    folder = Path(os.environ["SPARSELABELS_DATA"]) / "crowd-labels" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    with (folder / "answer.csv").open(newline="") as file:
        answers = [(row["question"], row["worker"], row["answer"]) for row in csv.DictReader(file)]
    with (folder / "truth.csv").open(newline="") as file:
        truth = {row["question"]: row["truth"] for row in csv.DictReader(file)}
    columns = [np.array(column) for column in zip(*answers, strict=True)]
    for method, expected in zip((majority_vote, dawid_skene, one_coin), CROWDS[name], strict=True):
        assert expected_accuracy(method(*columns), truth) == pytest.approx(expected, abs=0.005)


def expected_accuracy(consensus, truth):
    """Return the accuracy where ties are broken at random, as an expectation."""
    hits = []
    for item, p in zip(consensus.items.tolist(), consensus.probabilities, strict=True):
        if item in truth:
            best = consensus.classes[p >= p.max() - 1e-12]
            hits.append(np.mean(best == truth[item]))
    return np.mean(hits)
