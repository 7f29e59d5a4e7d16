import itertools
import math

import numpy as np
import pytest

from recsys_ssl.funnels.entire_space_training import Predicted, score_that_chooses, validation_scores

N = 60
GENERATOR = np.random.default_rng(0)
CLICKS = GENERATOR.random(N) < 0.6
CONVERSIONS = CLICKS & (GENERATOR.random(N) < 0.5)
WEIGHTS = GENERATOR.integers(0, 4, size=N).astype(float)
CTR, CVR = GENERATOR.random((2, N)).round(1) * 0.8 + 0.1
PREDICTED = Predicted(CLICKS, CONVERSIONS, WEIGHTS, {"ctr": CTR, "cvr": CVR, "ctcvr": CTR * CVR})


def weighted_area(labels, scores, weights):
    won = total = 0.0
    for one, other in itertools.product(np.flatnonzero(labels), np.flatnonzero(~labels)):
        pair = weights[one] * weights[other]
        won += pair * (1.0 if scores[one] > scores[other] else 0.5 * (scores[one] == scores[other]))
        total += pair
    return won / total


def mean_log_likelihood(labels, scores, weights):
    total = sum(w * math.log(p if y else 1 - p) for y, p, w in zip(labels, scores, weights, strict=True))
    return total / weights.sum()


def test_scores_by_a_loop():
    found = validation_scores(PREDICTED)
    clicked = CLICKS
    assert found["val_ctr_auc"] == pytest.approx(weighted_area(CLICKS, CTR, WEIGHTS))
    assert found["val_cvr_auc"] == pytest.approx(
        weighted_area(CONVERSIONS[clicked], CVR[clicked], WEIGHTS[clicked])
    )
    assert found["val_log_likelihood"] == pytest.approx(
        mean_log_likelihood(CLICKS, CTR, WEIGHTS)
        + mean_log_likelihood(CONVERSIONS[clicked], CVR[clicked], WEIGHTS[clicked])
    )


def outcomes(converted, clicked_alone, weights=None):
    conversions = np.repeat([True, False, False], [converted, clicked_alone, 50])
    clicks = np.repeat([True, True, False], [converted, clicked_alone, 50])
    weights = np.ones(len(clicks)) if weights is None else weights(conversions)
    return Predicted(clicks, conversions, weights, {})


def test_an_area_needs_a_hundred_of_both():
    assert score_that_chooses("auto", outcomes(100, 100)) == "val_cvr_auc"
    assert score_that_chooses("auto", outcomes(99, 100)) == "val_log_likelihood"
    assert score_that_chooses("auto", outcomes(100, 99)) == "val_log_likelihood"
    assert score_that_chooses("auto", outcomes(100, 100, lambda rows: ~rows + 0.0)) == "val_log_likelihood"
    assert score_that_chooses("cvr_auc", outcomes(2, 2)) == "val_cvr_auc"
