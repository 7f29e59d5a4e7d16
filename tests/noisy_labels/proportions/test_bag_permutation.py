"""Bags whose counts are permuted: what a fit finds where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_permutation import permuted_bag_test
from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.count_potentials import AtLeastOne

RNG = np.random.default_rng(0)
X = RNG.normal(size=(960, 3))
Y = (RNG.random(960) < expit(X @ [2.0, -1.0, 0.0] - 0.5)).astype(int)
MADE = make_bags(Y, size=8, random_state=0)
GIVEN = {"bags": MADE.bags, "counts": MADE.counts}


def test_permuted_bags():
    few = {"n_permutations": 9, "cv": 2, "random_state": 0}
    told = permuted_bag_test(BagRidge(), X, **GIVEN, **few)
    assert told.p_value == pytest.approx(0.1)
    assert told.null_scores.shape == (9,)
    assert (told.null_scores < told.score).all()
    noise = np.random.default_rng(5).normal(size=X.shape)
    nothing = permuted_bag_test(BagRidge(), noise, **GIVEN, **few)
    assert nothing.p_value > 0.1
    assert nothing.p_value == (1 + (nothing.null_scores >= nothing.score).sum()) / 10
    labelled = permuted_bag_test(
        BagRidge(),
        X[:800],
        bags=np.arange(800) // 8,
        counts=np.bincount(np.arange(800) // 8, Y[:800]),
        X_test=X[800:],
        y_test=Y[800:],
        **few,
    )
    assert labelled.score > 0.85
    assert labelled.score == roc_auc_score(
        Y[800:],
        BagRidge()
        .fit(X[:800], bags=np.arange(800) // 8, counts=np.bincount(np.arange(800) // 8, Y[:800]))
        .decision_function(X[800:]),
    )


def test_bad_input_of_permuted_bags():
    with pytest.raises(TypeError, match="`counts` must be numbers; got a CountPotential"):
        permuted_bag_test(BagRidge(), X, bags=MADE.bags, counts=AtLeastOne())
    with pytest.raises(ValueError, match="must be given together"):
        permuted_bag_test(BagRidge(), X, **GIVEN, X_test=X)
    with pytest.raises(ValueError, match="`cv` must be at most 120"):
        permuted_bag_test(BagRidge(), X, **GIVEN, cv=121)
