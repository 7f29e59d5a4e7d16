"""Rounds of the default pipeline: all bags or a sample of them, against loops."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, logit
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from noisy_labels.proportions.bag_factor import read_factor
from noisy_labels.proportions.bag_labels import read_index
from noisy_labels.proportions.bag_ridge import fit_bag_ridge
from noisy_labels.proportions.count_calibration import calibrate_scores, probability_slope
from noisy_labels.proportions.held_out_folds import lay_folds
from noisy_labels.proportions.input_scales import with_normal_scores
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.loopy_propagation import belief_propagation
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.soft_labels import fit_soft_labels

RNG = np.random.default_rng(1)
X = RNG.normal(size=(2400, 2))
LABELS = X[:, 0] * X[:, 1] + 0.7 * X[:, 0] > 0  # beyond a linear model
BAGS = RNG.permutation(np.arange(2400) // 4)
ORDER = list(dict.fromkeys(BAGS.tolist()))
COUNTS = np.bincount(BAGS, LABELS)[ORDER]
LEARNER = HistGradientBoostingClassifier(max_iter=12, max_bins=32, early_stopping=False)


class Spy(LogisticRegression):
    seen: ClassVar[list] = []

    def fit(self, rows, labels, sample_weight=None):
        self.seen.append((rows, labels, sample_weight))
        return super().fit(rows, labels, sample_weight)


class Bent(LogisticRegression):
    """Logistic regression with the product of two features: smooth, so that rounding decides nothing."""

    def fit(self, rows, labels, sample_weight=None):
        return super().fit(np.c_[rows, rows[:, 0] * rows[:, 1]], labels, sample_weight)

    def decision_function(self, rows):
        return super().decision_function(np.c_[rows, rows[:, 0] * rows[:, 1]])


@pytest.fixture
def seen():
    Spy.seen = []
    return Spy.seen


def factor_of(bags, counts, n_rows):
    return read_factor(read_index(bags, n_rows), counts=counts)[0]


def logits_by_loop(graph, rounds):
    """Ridge, then rounds with every bag held out, all rows in each: what small data always get."""
    factor = factor_of(BAGS, COUNTS, 2400)
    codes = np.array([ORDER.index(b) for b in BAGS])
    scores = fit_bag_ridge(with_normal_scores(X), factor).held_out_scores
    slope = probability_slope(factor)
    for done in range(rounds):
        a, b = calibrate_scores(scores, factor, expected_slope=1.0 if done else slope)
        logits = belief_propagation(a * scores + b, graph=graph, factor=factor).logits
        if not done:
            rng = np.random.RandomState(5)
            folds = (rng.permutation(len(ORDER)) % 3)[codes]
        soft, scores = expit(logits), np.empty(2400)
        for fold in range(3):
            own, rest = folds == fold, folds != fold
            weights = np.r_[1 - soft[rest], soft[rest]]
            copies = np.r_[X[rest], X[rest]], np.repeat([0, 1], rest.sum())
            model = Bent().fit(*copies, sample_weight=weights)
            chance = model.predict_proba(X[own])[:, 1]
            scores[own] = logit(chance)
    model = Bent().fit(np.r_[X, X], np.repeat([0, 1], 2400), sample_weight=np.r_[1 - soft, soft])
    return logits, model.predict_proba(X)[:, 1]


def test_up_to_so_many_rows_nothing_is_left_out():
    graph = neighbour_graph(X)
    logits, chances = logits_by_loop(graph * 0.2, 2)
    for max_rows in (2400, 65_536):
        model = LabelProportionsClassifier(Bent(), n_rounds=2, max_round_rows=max_rows, random_state=5)
        model.fit(X, bags=BAGS, counts=COUNTS, graph=graph)
        assert model.n_rounds_ == 2
        np.testing.assert_allclose(model.transduce_proba_[:, 1], expit(logits), atol=1e-6)
        np.testing.assert_allclose(model.predict_proba(X)[:, 1], chances, atol=1e-6)


def test_a_sample_is_whole_bags_with_their_counts():
    for counts in (COUNTS, np.stack([4 - COUNTS, COUNTS // 2, COUNTS - COUNTS // 2], axis=1)):
        factor = factor_of(BAGS, counts, 2400)
        folds = lay_folds(factor, 3, max_rows=602, rng=np.random.RandomState(0))
        assert (folds.rows.size, folds.bags.size) == (600, 150)
        assert set(BAGS[folds.rows]) == {ORDER[b] for b in folds.bags}
        logits = RNG.normal(size=(2400, 3) if counts.ndim == 2 else 2400)
        expected = factor.run(logits)[1][folds.bags]
        np.testing.assert_allclose(folds.factor.run(logits[folds.rows])[1], expected, atol=1e-12)
        # A fold holds whole bags too, whether or not they are in the sample.
        assert all(np.unique(folds.of_row[b == BAGS]).size == 1 for b in ORDER[:50])
        np.testing.assert_array_equal(np.bincount(folds.of_row), [800, 800, 800])
    few = lay_folds(factor, 3, max_rows=1, rng=np.random.RandomState(0))
    assert (few.bags.size, np.unique(few.of_row[few.rows]).size) == (3, 3)


def test_bags_that_overlap_are_taken_together():
    # Bags of four in pairs that share two rows; the last 300 rows are in no bag.
    begin = np.add.outer(np.arange(350) * 6, [0, 2]).ravel()
    rows = begin[:, None] + np.arange(4)
    member = csr_array((np.ones(2800), (np.repeat(np.arange(700), 4), rows.ravel())), shape=(700, 2400))
    counts = LABELS[rows].sum(axis=1)
    factor = factor_of(member, counts, 2400)
    folds = lay_folds(factor, 3, max_rows=600, rng=np.random.RandomState(0))
    assert 0 < folds.rows.size <= 600
    np.testing.assert_array_equal(folds.bags.reshape(-1, 2) % 2, np.tile([0, 1], (folds.bags.size // 2, 1)))
    np.testing.assert_array_equal(folds.rows, np.unique(rows[folds.bags]))
    logits = RNG.normal(size=2400)
    expected = factor.run(logits)
    found = folds.factor.run(logits[folds.rows])
    np.testing.assert_allclose(found[0], expected[0][folds.rows], atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1][folds.bags], atol=1e-12)


def test_fits_to_a_sample_see_one_label_a_row_and_no_bag_that_they_foretell(seen):
    factor = factor_of(BAGS, COUNTS, 2400)
    folds = lay_folds(factor, 3, max_rows=1200, rng=np.random.RandomState(0))
    models = list(folds.fit(Spy(), X, np.where(LABELS, 40.0, -40.0)))  # certain, so that draws are known
    found = folds.logits(models, X, np.arange(2400), 2)
    for fold, (rows, labels, weights) in enumerate(seen):
        kept = folds.rows[folds.of_row[folds.rows] != fold]
        np.testing.assert_array_equal(rows, X[kept])
        np.testing.assert_array_equal(labels, LABELS[kept])
        assert weights is None
        own = folds.of_row == fold
        np.testing.assert_allclose(found[own], models[fold].decision_function(X[own]), atol=1e-9)


def test_drawn_labels_follow_their_probabilities(seen):
    factor = factor_of(BAGS, np.stack([4 - COUNTS, COUNTS, 0 * COUNTS], axis=1), 2400)
    folds = lay_folds(factor, 2, max_rows=2000, rng=np.random.RandomState(0))
    assert len(list(folds.fit(Spy(), X, np.tile(np.log([0.2, 0.5, 0.3]), (2400, 1))))) == 2
    for _, labels, _ in seen:
        np.testing.assert_allclose(np.bincount(labels) / labels.size, [0.2, 0.5, 0.3], atol=0.04)


def test_thinned_labels_weigh_as_much_on_average(seen):
    soft = np.linspace(0, 1, 2400)
    rows = np.arange(2400.0)[:, None] / 2400
    total = np.zeros((2, 2400))
    rng = np.random.RandomState(0)
    for _ in range(60):
        fit_soft_labels(Spy(), rows, soft, thinned_by=rng)
        kept, labels, weights = seen[-1]
        place = np.round(kept[:, 0] * 2400).astype(int)
        assert weights.min() >= 0.5
        assert len(labels) < 1.6 * 2400
        total[labels, place] += weights / 60
    large = np.stack([1 - soft, soft]) >= 0.5
    np.testing.assert_allclose(total[large], np.stack([1 - soft, soft])[large], atol=1e-9)
    np.testing.assert_allclose(total[1], soft, atol=0.15)
    np.testing.assert_allclose(total.mean(axis=1), 0.5, atol=0.01)


def test_of_many_rows_rounds_take_a_sample_and_still_learn(seen):
    rows = np.tile(X, (2, 1)) + 0.01 * RNG.normal(size=(4800, 2))
    labels = np.tile(LABELS, 2)
    bags = np.arange(4800) // 4
    given = {"bags": bags, "counts": np.bincount(bags, labels)}
    settings = {"coupling": 0, "max_round_rows": 2000, "random_state": 0}
    model = LabelProportionsClassifier(LEARNER, **settings).fit(rows, **given)
    one = LabelProportionsClassifier(LEARNER, n_rounds=1, **settings).fit(rows, **given)
    assert model.n_rounds_ > one.n_rounds_ == 1
    assert roc_auc_score(labels, model.decision_function(rows)) > 0.01 + roc_auc_score(
        labels, one.decision_function(rows)
    )
    again = LabelProportionsClassifier(LEARNER, **settings).fit(rows, **given)
    np.testing.assert_array_equal(again.decision_function(rows), model.decision_function(rows))
    LabelProportionsClassifier(Spy(), **settings).fit(rows, **given)
    assert len(seen) > 1
    assert all(len(fitted) < 1400 and weights is None for fitted, _, weights in seen[:-1])
    assert 4800 < len(seen[-1][0]) < 2 * 4800
    for max_rows, drawn in ((601, False), (600, True)):
        settings = {"coupling": 0, "n_rounds": 1, "max_round_rows": max_rows}
        model = LabelProportionsClassifier(Spy(), random_state=0, **settings).fit(rows, **given)
        _, drawn_labels, weights = seen[-1]
        assert (len(drawn_labels) == 4800 and weights is None) == drawn
    np.testing.assert_allclose(drawn_labels.sum(), model.transduce_proba_[:, 1].sum(), atol=120)


@pytest.mark.parametrize("max_rows", [1200, 2400])
def test_of_a_sample_the_first_fold_may_reject_a_round(max_rows):
    fits = []

    class Blind(DummyClassifier):
        def fit(self, rows, labels, sample_weight=None):
            fits.append(len(rows))
            return super().fit(rows, labels, sample_weight)

    model = LabelProportionsClassifier(Blind(strategy="prior"), coupling=0, max_round_rows=max_rows)
    model.fit(X, bags=BAGS, counts=np.bincount(BAGS, X[:, 0] > 0)[ORDER])
    assert model.n_rounds_ == 1
    assert len(fits) == (2 if max_rows < 2400 else 4)


def test_of_a_sample_a_first_fold_without_gain_ends_the_rounds():
    fits = []

    class Blurred(LogisticRegression):
        """Too vague to gain anything over its own first round, and not clearly worse."""

        def fit(self, rows, labels, sample_weight=None):
            fits.append(len(rows))
            return super().fit(rows, labels, sample_weight)

        def predict_proba(self, rows):
            positive = expit(self.decision_function(rows) + 0.5 * np.sin(1e4 * rows[:, 1]))
            return np.stack([1 - positive, positive], axis=1)

    model = LabelProportionsClassifier(Blurred(), coupling=0, max_round_rows=1200, random_state=0)
    model.fit(X, bags=BAGS, counts=np.bincount(BAGS, X[:, 0] > 0)[ORDER])
    assert model.n_rounds_ == 2
    assert len(fits) == 3 + 1 + 1  # a round that is kept, one fold of the next, and the last fit


def test_the_first_fold_has_its_bags_alone():
    factor = factor_of(BAGS, COUNTS, 2400)
    folds = lay_folds(factor, 3, max_rows=1200, rng=np.random.RandomState(0))
    first = folds.first()
    np.testing.assert_array_equal(np.sort(first.rows), np.sort(folds.rows[folds.of_row[folds.rows] == 0]))
    logits = RNG.normal(size=2400)
    expected = factor.run(logits)[1][first.bags]
    np.testing.assert_allclose(first.factor.run(logits[first.rows])[1], expected, atol=1e-12)
