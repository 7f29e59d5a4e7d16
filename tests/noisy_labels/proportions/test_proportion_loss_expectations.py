"""What losses of bags are in expectation: rows are drawn from four states, batches count by their chance."""

from __future__ import annotations

import itertools
import runpy
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import expit

from noisy_labels.proportions.count_likelihood_loss import CountLikelihoodLoss
from noisy_labels.proportions.debiased_square_loss import DebiasedSquareLoss
from noisy_labels.proportions.dllp import DLLPLoss
from noisy_labels.proportions.easy_llp import EasyLLPLoss
from noisy_labels.proportions.llp_fc import LLPFCLoss
from noisy_labels.proportions.llp_vat import LLPVATModel
from noisy_labels.proportions.upm_loss import UPMLoss

SHARED = runpy.run_path(str(Path(__file__).parent / "proportion_losses_script.py"))
SCORES = np.array([0.7, -0.4])
CHANCE = np.array([[0.2, 0.3], [0.4, 0.1]])  # P(score, label)
PRIOR = CHANCE[:, 1].sum()


def expectation(function, sizes):
    """Mean of a function of (labels, logits) over all batches of random bags of these sizes."""
    bag, total = np.repeat(np.arange(len(sizes)), sizes), 0.0
    states = list(itertools.product(range(2), range(2)))
    for drawn in itertools.product(states, repeat=len(bag)):
        score, label = np.array(drawn).T
        share = np.bincount(bag, label) / np.array(sizes)
        batch = np.column_stack([bag, share[bag]])
        total += np.prod(CHANCE[score, label]) * np.asarray(function(batch, SCORES[score][:, None]))
    return total


def of_labels(loss):
    """Mean of a function of (probability, label) over rows."""
    return sum(CHANCE[s, y] * loss(expit(SCORES[s]), y) for s in range(2) for y in range(2))


def log_loss(p, y):
    return -np.log(p if y else 1 - p)


def square(p, y):
    return (y - p) ** 2


def test_easy_llp_is_unbiased_on_ragged_bags():
    loss = EasyLLPLoss(PRIOR, from_logits=True, dtype="float64")
    assert expectation(loss, [1, 2]) == pytest.approx(of_labels(log_loss), rel=1e-9)
    bounded = EasyLLPLoss(PRIOR, bounded=True, from_logits=True, dtype="float64")
    assert expectation(bounded, [1, 2]) > of_labels(log_loss) + 0.01


def test_upm_shrinks_what_the_bags_tell():
    loss = UPMLoss(PRIOR, from_logits=True, dtype="float64")
    of_prior = of_labels(lambda p, y: PRIOR * log_loss(p, 1) + (1 - PRIOR) * log_loss(p, 0))
    expected = of_prior + (1 - 1 / 2) * (of_labels(log_loss) - of_prior)
    assert expectation(loss, [2, 2]) == pytest.approx(expected, rel=1e-9)


def test_debiased_squares_are_too_low_by_the_variance_of_predictions():
    loss = DebiasedSquareLoss(PRIOR, from_logits=True, dtype="float64")
    mean = of_labels(lambda p, y: p)
    variance = of_labels(lambda p, y: (p - mean) ** 2)
    expected = of_labels(lambda p, y: (y - p) ** 2) - (2 - 1) / 4 * variance
    assert expectation(loss, [2, 2]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "of_label"),
    [
        (DLLPLoss, log_loss),
        (partial(DLLPLoss, "squares"), square),
        (partial(CountLikelihoodLoss, 2), log_loss),
    ],
)
def test_losses_of_bags_are_not_those_of_labels(loss, of_label):
    assert abs(expectation(loss(from_logits=True), [2]) - of_labels(of_label)) > 0.01


def test_truth_is_where_the_count_likelihood_is_stationary():
    """The gradient at the true posteriors is 0 in expectation; that of EasyLLP too."""
    true = np.log(CHANCE[:, 1] / CHANCE[:, 0])

    def slopes(loss, labels, logits):
        score = (logits[:, 0] != SCORES[0]).astype(int)
        slope = SHARED["gradient"](lambda z: loss(labels, z), true[score][:, None])[:, 0]
        return np.array([slope[score == s].sum() for s in range(2)])

    for loss in (
        CountLikelihoodLoss(2, from_logits=True, dtype="float64"),
        EasyLLPLoss(PRIOR, from_logits=True, dtype="float64"),
        LLPFCLoss(PRIOR, from_logits=True, dtype="float64"),  # of a single bag it knows nothing
    ):
        np.testing.assert_allclose(expectation(partial(slopes, loss), [2]), 0, atol=1e-9)


def test_forward_correction_is_consistent_also_where_bags_differ_by_intent():
    """The row of the first bag is positive four times in five, those of the second once."""
    chance = CHANCE / CHANCE.sum(axis=0)  # P(score | label)
    shares, bag = np.array([0.8, 0.2]), np.array([0, 1, 1])
    true = np.log(CHANCE[:, 1] / CHANCE[:, 0])

    def slopes(loss, at):
        total = np.zeros(2)
        for states in itertools.product(range(2), repeat=6):
            label, score = np.array(states).reshape(2, 3)
            proportions = np.bincount(bag, label) / [1, 2]
            batch = np.column_stack([bag, proportions[bag]])
            slope = SHARED["gradient"](lambda z, batch=batch: loss(batch, z), at[score][:, None])[:, 0]
            weight = np.prod(np.where(label, shares[bag], 1 - shares[bag]) * chance[score, label])
            total += weight * np.array([slope[score == k].sum() for k in range(2)])
        return total

    corrected = LLPFCLoss(PRIOR, from_logits=True, dtype="float64")
    np.testing.assert_allclose(slopes(corrected, true), 0, atol=1e-9)
    assert np.abs(slopes(corrected, true + np.array([0.5, -0.5]))).max() > 1e-3
    random_bags = EasyLLPLoss(PRIOR, from_logits=True, dtype="float64")
    assert np.abs(slopes(random_bags, true)).max() > 0.01


def test_consistency_of_predictions_pulls_slopes_from_the_truth():
    """What LLP-VAT adds falls with the slope of a logistic model, whichever slope is the true one."""
    rows = np.array([[-1.0, 0.5], [0.3, 2.0], [1.2, -0.4]], "float32")
    dense = keras.layers.Dense(1)
    network = keras.Sequential([keras.Input((2,)), dense])
    found = []
    for scale in (0.0, 0.2, 0.3):
        kernel = scale * np.array([[1.5], [-2.0]])
        dense.set_weights([kernel, np.array([0.1])])
        padded = np.vstack([rows, np.zeros((2, 2), "float32")])
        found.append(float(LLPVATModel(network, radius=0.5).inconsistency(padded)))
        p, z = (expit(rows @ kernel[:, 0] + 0.1), rows @ kernel[:, 0] + 0.1)
        ways = [
            log_ratio(p, expit(z + way * scale)) for way in (-1.25, 1.25)
        ]  # the length of the weights is 2.5
        assert np.min(ways, axis=0).mean() - 1e-6 <= found[-1] <= np.max(ways, axis=0).mean() + 1e-6
    assert found[0] == 0 < found[1] < found[2]


def log_ratio(p, q):
    """KL(p || q) of Bernoulli distributions."""
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
