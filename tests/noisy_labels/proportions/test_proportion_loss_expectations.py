"""What losses of bags are in expectation: rows are drawn from four states, batches count by their chance."""

from __future__ import annotations

import itertools
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from noisy_labels.proportions.count_likelihood_loss import CountLikelihoodLoss
from noisy_labels.proportions.debiased_square_loss import DebiasedSquareLoss
from noisy_labels.proportions.dllp import DLLPLoss
from noisy_labels.proportions.easy_llp import EasyLLPLoss
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
    ):
        np.testing.assert_allclose(expectation(partial(slopes, loss), [2]), 0, atol=1e-9)
