"""Counts of several classes and bags that overlap: enumeration, the binary case, planted answers, errors."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, vstack
from scipy.special import expit, logsumexp, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.bag_factor import read_factor
from noisy_labels.proportions.bag_labels import read_bags, read_index
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.bag_ridge import BagRidge, fit_bag_ridge
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.class_counts import member_posteriors
from noisy_labels.proportions.count_calibration import calibrate_class_scores, calibrate_scores
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import ExactCount, QuadraticCount
from noisy_labels.proportions.count_scorer import CountScorer, count_error
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap
from noisy_labels.proportions.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.proportions.loopy_propagation import belief_propagation
from noisy_labels.proportions.mean_map import MeanMap
from noisy_labels.proportions.smoothed_proportions import SmoothedProportions
from noisy_labels.proportions.soft_labels import decode_labels
from sparse_data import Bags

RNG = np.random.default_rng(0)
X = RNG.normal(size=(480, 3))
LOGITS = X @ np.array([[2.0, 0.0, -1.0], [0.0, 1.5, 1.0], [0.0, 0.0, 0.0]])
Y = (LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
BAGS = np.arange(480) // 6
COUNTS = np.array([np.bincount(Y[b == BAGS], minlength=3) for b in range(80)])
FAST = LogisticRegression()
MODELS = [
    BagRidge(),
    LabelProportionsClassifier(FAST, random_state=0),
    LLPBeliefPropagationClassifier(FAST, n_rounds=1),
]
IDS = [type(model).__name__ for model in MODELS]


def graph_of(edges, n):
    matrix = np.zeros((n, n))
    for i, j, weight in edges:
        matrix[i, j] = matrix[j, i] = weight
    return csr_array(matrix)


def enumerated(logits, edges, rows, counts):
    """Marginals and log Z of labels in all combinations, with exact counts of the classes in `rows`."""
    n, n_classes = logits.shape
    labellings = np.array(list(product(range(n_classes), repeat=n)))
    weights = logits[np.arange(n), labellings].sum(axis=1)
    for i, j, coupling in edges:
        weights = weights - coupling * (labellings[:, i] != labellings[:, j])
    for members, wanted in zip(rows, counts, strict=True):
        for k in range(n_classes):
            weights[(labellings[:, members] == k).sum(axis=1) != wanted[k]] = -np.inf
    log_z = logsumexp(weights)
    chance = np.exp(weights - log_z)
    return np.stack([chance @ (labellings == k) for k in range(n_classes)], axis=1), log_z


# The likelihood of counts.


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), n_classes=st.integers(2, 4), scale=st.sampled_from([0.5, 5.0, 300.0]))
def test_likelihood_of_counts_against_enumeration(seed, n_classes, scale):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, scale, (5, n_classes)), rng.integers(0, n_classes, 5)
    counts = np.bincount(labels, minlength=n_classes)
    expected, log_z = enumerated(logits, [], [list(range(5))], [counts])
    rows = Bags.from_lists([range(5)])
    found, log_likelihood = member_posteriors(logits, rows, counts[None])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    expected = log_z - logsumexp(logits, axis=1).sum()
    assert log_likelihood[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_likelihood_of_large_bags_is_near_the_exact_one():
    logits, labels = RNG.normal(0, 1.5, (60, 3)), RNG.integers(0, 3, 60)
    given = (logits, Bags.from_lists([range(60)]), np.bincount(labels, minlength=3)[None])
    exact = member_posteriors(*given, method="exact")[1]
    assert member_posteriors(*given, method="second_order")[1] == pytest.approx(exact, abs=0.05)
    certain = (1e3 * np.eye(3)[labels], *given[1:])
    assert member_posteriors(*certain, method="second_order")[1] == pytest.approx(0.0, abs=1e-9)


def test_gradient_of_the_likelihood():
    factor = ClassCountFactor(read_bags(BAGS, 480), COUNTS)
    log_z, slope = factor.likelihood(LOGITS)
    for row, k in ((0, 0), (7, 2), (479, 1)):
        step = np.zeros_like(LOGITS)
        step[row, k] = 1e-5
        rise = factor.likelihood(LOGITS + step)[0].sum() - factor.likelihood(LOGITS - step)[0].sum()
        assert slope[row, k] == pytest.approx(rise / 2e-5, abs=1e-6)
    np.testing.assert_allclose(factor.run(LOGITS)[1], log_z, atol=1e-12)


# Two classes are the binary case.


def test_two_classes_are_the_binary_case():
    counts = COUNTS[:, 2]
    binary = count_factor(BAGS, ExactCount(counts), 480)
    both = ClassCountFactor(binary.index, np.stack([6 - counts, counts], axis=1))
    logits = np.stack([np.zeros(480), LOGITS[:, 2]], axis=1)
    np.testing.assert_allclose(both.likelihood(logits)[0], binary.likelihood(LOGITS[:, 2])[0], atol=1e-12)
    np.testing.assert_allclose(
        both.likelihood(logits)[1][:, 1], binary.likelihood(LOGITS[:, 2])[1], atol=1e-12
    )
    slope, intercept = calibrate_scores(LOGITS[:, 2], binary)
    found, intercepts = calibrate_class_scores(logits, both)
    assert found == pytest.approx(slope, rel=1e-4)
    assert intercepts[1] - intercepts[0] == pytest.approx(intercept, rel=1e-3)
    one, two = fit_bag_ridge(X, binary), fit_bag_ridge(X, both)
    assert one.alpha == two.alpha
    np.testing.assert_allclose(two.held_out_scores[:, 1], one.held_out_scores, atol=1e-12)
    np.testing.assert_allclose(two.held_out_scores.sum(axis=1), 1, atol=1e-12)
    edges = graph_of([(i, i + 5, RNG.normal()) for i in range(0, 470, 3)], 480)
    settings = {"graph": edges, "tol": 1e-8, "max_iter": 300}
    expected = belief_propagation(LOGITS[:, 2], factor=binary, **settings)
    beliefs = belief_propagation(logits, factor=both, **settings)
    np.testing.assert_allclose(beliefs.probabilities[:, 1], expected.probabilities, atol=1e-6)
    log_z = expected.log_partition
    assert beliefs.log_partition == pytest.approx(log_z, abs=1e-4)
    assert count_error(logits, both) == pytest.approx(count_error(LOGITS[:, 2], binary))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_trees_of_edges_against_enumeration(seed, n):
    rng = np.random.default_rng(seed)
    edges = [(int(rng.integers(i)), i, rng.normal(0, 2)) for i in range(1, n) if rng.random() < 0.9]
    logits = rng.normal(0, 2, (n, 3))
    beliefs = belief_propagation(logits, graph=graph_of(edges, n), tol=1e-12, max_iter=1000, damping=0.0)
    expected, log_z = enumerated(logits, edges, [], [])
    np.testing.assert_allclose(beliefs.probabilities, expected, atol=1e-9)
    assert beliefs.log_partition == pytest.approx(log_z, abs=1e-8)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**6), overlap=st.booleans())
def test_bags_joined_in_a_tree_against_enumeration(seed, overlap):
    rng = np.random.default_rng(seed)
    rows = [[0, 1, 2], [2, 3, 4]] if overlap else [[0, 1, 2], [3, 4, 5]]
    edges = [] if overlap else [(2, 4, 0.8)]
    labels, logits = rng.integers(0, 3, 6), rng.normal(size=(6, 3))
    counts = np.array([np.bincount(labels[members], minlength=3) for members in rows])
    factor = ClassCountFactor(BagMembership(Bags.from_lists(rows), 6), counts)
    graph = graph_of(edges, 6)
    beliefs = belief_propagation(logits, graph=graph, factor=factor, tol=1e-10, max_iter=2000)
    expected, log_z = enumerated(logits, edges, rows, counts)
    # Messages of certainty end at log odds of 30.
    np.testing.assert_allclose(beliefs.probabilities, expected, atol=1e-7)
    assert beliefs.log_partition == pytest.approx(log_z, abs=1e-6)


# Estimators of several classes.


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_finds_the_planted_classes_from_counts_in_any_form(model):
    fitted = clone(model).fit(X, bags=BAGS, counts=COUNTS)
    best = np.mean(LOGITS.argmax(axis=1) == Y)
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert np.mean(fitted.predict(X) == Y) > best - 0.06
    if not isinstance(model, LLPBeliefPropagationClassifier):  # which knows neighbours and counts alone
        assert np.mean(fitted.transduce_proba_.argmax(axis=1) == Y) > best
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities, softmax(fitted.decision_function(X), axis=1))
    names = [f"bag {b}" for b in BAGS]
    frame = pd.DataFrame(COUNTS, index=[f"bag {b}" for b in range(80)], columns=["no", "so", "yes"])[::-1]
    forms = [
        {"bags": names, "counts": frame},
        {"bags": names, "proportions": {f"bag {b}": COUNTS[b] / 6 for b in range(80)}},
        {"bags": BAGS, "counts": COUNTS[BAGS]},
    ]
    for form in forms if isinstance(model, BagRidge) else []:
        again = clone(model).fit(X, **form)
        np.testing.assert_allclose(again.predict_proba(X), probabilities, atol=1e-9)
    named = clone(model).fit(X, **forms[0])
    assert named.classes_.tolist() == ["no", "so", "yes"]
    score = named.score(X, bags=names, counts=frame[["yes", "no", "so"]])
    assert score == pytest.approx(fitted.score(X, bags=BAGS, counts=COUNTS))
    assert CountScorer().score(named, X, bags=names, counts=frame) == pytest.approx(score)
    sums = [fitted.transduce_proba_[b == BAGS].sum(axis=0) for b in range(80)]
    if isinstance(model, BagRidge):
        np.testing.assert_allclose(sums, COUNTS, atol=1e-9)


@pytest.mark.parametrize("model", MODELS[:2], ids=IDS[:2])
def test_classes_without_labels_and_one_class_alone(model):
    for counts in (np.insert(COUNTS, 1, 0, axis=1), np.tile([0, 6, 0], (80, 1))):
        fitted = clone(model).fit(X, bags=BAGS, counts=counts)
        assert np.isfinite(fitted.decision_function(X)).all()
        absent = counts.sum(axis=0) == 0
        assert fitted.predict_proba(X)[:, absent].max() < 0.02
        assert not np.isin(fitted.predict(X), np.flatnonzero(absent)).any()


def test_proportions_that_are_no_counts_keep_their_sum():
    with pytest.warns(UserWarning, match="`proportions` should be whole numbers of labels"):
        factor, _ = read_factor(read_bags([0] * 10, 10), proportions=[[0.36, 0.36, 0.28]])
    assert factor.counts.tolist() == [[4, 3, 3]]  # .6 left of the first, .6 of the second, .8 of the third


# Bags that overlap.


def two_tables(labels):
    """Cells of two tables of the same rows, and their counts of positives; the last twenty rows in none."""
    n = len(labels)
    columns = [np.arange(n) // 6, np.random.default_rng(5).permutation(n) // 6]
    kept = np.arange(n) < n - 20
    members = [csr_array((kept * 1.0, (cell, np.arange(n))), shape=(n // 6, n)) for cell in columns]
    table = vstack(members, format="csr")
    table.eliminate_zeros()
    table = table[np.diff(table.indptr) > 0]
    return table, table @ labels


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_two_tables_tell_more_than_one(model):
    labels = Y == 0
    table, counts = two_tables(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # twenty cycles a row
        fitted = clone(model).fit(X, bags=table, counts=counts)
    first = clone(model).fit(X, bags=BAGS, counts=np.bincount(BAGS, labels))
    one, two = (
        -np.log(np.clip(m.transduce_proba_[np.arange(480), labels * 1], 1e-9, 1)).mean()
        for m in (first, fitted)
    )
    assert two < one
    assert np.mean(fitted.predict(X) == labels) > np.mean((LOGITS.argmax(axis=1) == 0) == labels) - 0.03
    assert np.isfinite(fitted.score(X, bags=table, counts=counts))
    if isinstance(model, LabelProportionsClassifier):
        assert fitted.n_rounds_ == 1


@pytest.mark.parametrize("model", MODELS[:2], ids=IDS[:2])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_membership_without_overlap_is_an_id_a_row(model, n_classes):
    counts = COUNTS if n_classes == 3 else COUNTS[:, 1]
    membership = csr_array((np.ones(480), (BAGS, np.arange(480))))
    by_id = clone(model).fit(X, bags=BAGS, counts=counts)
    by_row = clone(model).fit(X, bags=membership, counts=counts)
    np.testing.assert_allclose(by_row.transduce_proba_, by_id.transduce_proba_, atol=2e-3)
    np.testing.assert_allclose(by_row.predict_proba(X), by_id.predict_proba(X), atol=2e-3)


def test_several_classes_in_tables():
    table, _ = two_tables(Y == 0)
    counts = table @ np.eye(3)[Y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cycles between cells of six
        fitted = BagRidge().fit(X, bags=table, counts=counts)
    single = BagRidge().fit(X, bags=BAGS, counts=COUNTS)
    right = [np.mean(m.transduce_proba_.argmax(axis=1)[:-20] == Y[:-20]) for m in (single, fitted)]
    assert right[1] > right[0] + 0.02


def test_bags_within_bags_are_held_out_together():
    rows = [[0, 1], [2, 3], [0, 1, 2, 3], [4, 5], [6]]
    index = BagMembership(Bags.from_lists(rows), 8)
    group, n_groups = index.groups()
    assert n_groups == 4  # row 7 is in no bag
    assert len(set(group[:4])) == 1
    assert len(set(group[[0, 4, 6, 7]])) == 4
    np.testing.assert_array_equal(index.means(np.arange(8.0)), [0.5, 2.5, 1.5, 4.5, 6])
    np.testing.assert_array_equal(index.of_rows(np.arange(11.0)), [4, 6, 8, 10, 8, 9, 10, 0])


def test_likelihood_of_overlapping_bags_is_that_of_each():
    table, counts = two_tables(Y == 0)
    factor = count_factor(table, ExactCount(counts), 480)
    rows, logits = factor.index.rows, LOGITS[:, 0]
    alone = count_factor(np.zeros(rows.lengths[3]), ExactCount(counts[3:4]), rows.lengths[3])
    log_z, slope = factor.likelihood(logits)
    assert log_z[3] == pytest.approx(alone.run(logits[rows[3]])[1][0])
    step = 1e-5 * (np.arange(480) == 4)
    rise = factor.likelihood(logits + step)[0].sum() - factor.likelihood(logits - step)[0].sum()
    assert slope[4] == pytest.approx(rise / 2e-5, abs=1e-6)
    assert slope[-1] == 0
    assert factor.run(np.zeros(480))[0][-1] == 0
    soft = count_factor(table, QuadraticCount(counts, 1.0), 480)
    assert soft.share() == pytest.approx(counts.sum() / rows.lengths.sum(), abs=0.02)
    assert expit(0.0) == soft.index.of_rows(np.full(rows.values.size, 0.25))[0]


# What is not offered, and bad input.


@pytest.mark.parametrize(
    "model", [MeanMap(), LaplacianMeanMap(), AlternatingMeanMap(), SmoothedProportions()]
)
def test_combinations_that_are_not_offered(model):
    name = type(model).__name__
    with pytest.raises(ValueError, match=f"`counts` must be of two classes for {name}; got 3. Use BagRidge"):
        model.fit(X, bags=BAGS, counts=COUNTS)
    membership = csr_array((np.ones(480), (BAGS, np.arange(480))))
    with pytest.raises(ValueError, match=f"`bags` must be an id a row for {name}; got a sparse membership"):
        model.fit(X, bags=membership, counts=COUNTS[:, 0])


@pytest.mark.parametrize("change", [{"bag_factor": "pairwise"}, {"targets": "count"}])
def test_forms_for_two_classes(change):
    model = LLPBeliefPropagationClassifier(FAST, n_rounds=1, **change)
    with pytest.raises(ValueError, match="must be for two classes in bags that do not overlap"):
        model.fit(X, bags=BAGS, counts=COUNTS)
    with pytest.raises(ValueError, match='Labels by "count" must be of two classes'):
        decode_labels(LOGITS, count_factor(BAGS, ExactCount(COUNTS[:, 0]), 480), "count")
    hard = decode_labels(LOGITS, ClassCountFactor(read_bags(BAGS, 480), COUNTS), "threshold")
    np.testing.assert_array_equal(hard.argmax(axis=1), LOGITS.argmax(axis=1))


FRAME = pd.DataFrame(COUNTS)
MEMBERSHIP = csr_array((np.ones(480), (BAGS, np.arange(480))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": COUNTS + 1}, "`counts` must be at least 0 and sum to the size of the bag"),
        ({"counts": COUNTS[:-1]}, "`counts` must have one row a bag, 80; got 79"),
        ({"counts": COUNTS + 0.5}, "`counts` must be whole numbers; got"),
        ({"counts": COUNTS[:, :1]}, "`counts` must have a column for each of two classes or more"),
        ({"counts": np.where(COUNTS > 3, np.nan, COUNTS)}, "`counts` must be finite"),
        ({"counts": RNG.permuted(COUNTS[BAGS], axis=0)}, "`counts` must be the same in all rows of a bag"),
        ({"counts": FRAME[:-1]}, "`counts` must have one value for each bag with rows; got none for bag 79"),
        ({"counts": pd.concat([FRAME, FRAME])}, "one row a bag id and one column a class; got one twice"),
        ({"counts": None, "proportions": COUNTS / 5}, "`proportions` must be at least 0 and sum to 1"),
        ({"proportions": COUNTS / 6}, "One of `proportions` and `counts` must be given"),
        ({"bags": MEMBERSHIP[:, :-1]}, r"must be a sparse matrix of shape \(n_bags, 480\)"),
        ({"bags": MEMBERSHIP, "counts": COUNTS[BAGS, 0]}, "`counts` must be one value a bag, 80; got 480"),
        ({"bags": MEMBERSHIP[:0], "counts": []}, "`membership` must have a row a bag; got none"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        BagRidge().fit(X, **{"bags": BAGS, "counts": COUNTS, **change})


def test_counts_that_do_not_fit_the_model():
    model = BagRidge().fit(X, bags=BAGS, counts=FRAME)
    with pytest.raises(ValueError, match="`counts` must be of the 3 classes of the model; got 2"):
        model.score(X, bags=BAGS, counts=COUNTS[:, 0])
    with pytest.raises(ValueError, match="must have the classes of the model as columns"):
        model.score(X, bags=BAGS, counts=FRAME.rename(columns={0: 9}))
    factor = ClassCountFactor(read_index(BAGS, 480), COUNTS)
    with pytest.raises(ValueError, match="`logits` must have a column for each of 3 classes"):
        belief_propagation(LOGITS[:, :2], factor=factor)
    with pytest.raises(ValueError, match="`factor` must be over 5 rows; got 480"):
        belief_propagation(LOGITS[:5], factor=factor)
