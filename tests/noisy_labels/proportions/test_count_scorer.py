"""Scores by the counts of bags held out, alone and through scikit-learn's search."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import poisson_binom
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate

from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import ExactCount, IntervalCount
from noisy_labels.proportions.count_scorer import CountScorer, count_error, count_log_likelihood

RNG = np.random.default_rng(0)
X = RNG.normal(size=(480, 3))
Y = (RNG.random(480) < expit(X @ [2.0, -1.0, 0.0])).astype(int)
BAGS = np.repeat([f"bag {b}" for b in range(60)], 8)
COUNTS = np.add.reduceat(Y, np.arange(0, 480, 8))


def test_measures_by_hand():
    logits = X[:, 0]
    factor = count_factor(BAGS, ExactCount(COUNTS), 480)
    chances = expit(logits).reshape(60, 8)
    likelihood = np.mean([poisson_binom(p).logpmf(c) for p, c in zip(chances, COUNTS, strict=True)])
    assert count_log_likelihood(logits, factor) == pytest.approx(likelihood, rel=1e-9)
    error = np.mean(np.abs(chances.sum(axis=1) - COUNTS) / 8)
    assert count_error(logits, factor) == pytest.approx(error, rel=1e-12)
    between = count_factor(BAGS, IntervalCount(COUNTS - 1, COUNTS + 1), 480)
    assert count_log_likelihood(logits, between) > likelihood


def test_scorer_of_models_with_and_without_decision_function():
    model = BagRidge().fit(X, bags=BAGS, counts=COUNTS)
    expected = model.score(X, bags=BAGS, counts=COUNTS)
    assert CountScorer()(model, X, bags=BAGS, counts=COUNTS) == pytest.approx(expected)
    labels = LogisticRegression().fit(X, Y)

    class Chances:
        predict_proba = staticmethod(labels.predict_proba)

    with_logits, with_chances = (
        CountScorer("error").score(m, X, bags=BAGS, proportions=COUNTS / 8) for m in (labels, Chances())
    )
    assert with_logits == pytest.approx(with_chances)
    assert -0.2 < with_logits < 0


@pytest.mark.parametrize("measure", ["log_likelihood", "error"])
def test_search_and_cross_validation_by_bags(measure):
    of_row = COUNTS.repeat(8)
    given = {"bags": BAGS, "counts": of_row}
    with config_context(enable_metadata_routing=True):
        model = BagRidge().set_fit_request(bags=True, counts=True)
        search = GridSearchCV(
            model, {"alphas": [[1e-2], [1e4]]}, scoring=CountScorer(measure), cv=GroupKFold(4)
        )
        search.fit(X, **given, groups=BAGS)
        folds = cross_validate(
            model, X, scoring=CountScorer(measure), cv=GroupKFold(4), params={**given, "groups": BAGS}
        )
    assert search.best_params_ == {"alphas": [1e-2]}
    assert folds["test_score"].shape == (4,)
    assert (folds["test_score"] < 0).all()


def test_bad_input():
    model = BagRidge().fit(X, bags=BAGS, counts=COUNTS)
    with pytest.raises(ValueError, match="`bags` must be given to CountScorer"):
        CountScorer()(model, X)
    with pytest.raises(ValueError, match="One of `proportions` and `counts`"):
        CountScorer()(model, X, bags=BAGS)
    with pytest.raises(ValueError, match="`measure` must be one of"):
        CountScorer("auc")(model, X, bags=BAGS, counts=COUNTS)
    with pytest.raises(ValueError, match="`logits` must be finite"):
        count_error(np.full(480, np.nan), count_factor(BAGS, ExactCount(COUNTS), 480))
