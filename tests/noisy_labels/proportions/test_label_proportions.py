"""The estimators: answers that were planted, scikit-learn's own checks, metadata routing, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import poisson_binom
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.count_calibration import calibrate_scores
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import AtLeastOne, ExactCount, QuadraticCount
from noisy_labels.proportions.hidden_layer import last_hidden_layer
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap
from noisy_labels.proportions.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.proportions.mean_map import MeanMap
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.noisy_counts import DiscreteLaplaceCount
from noisy_labels.proportions.smoothed_proportions import SmoothedProportions
from noisy_labels.proportions.soft_labels import fit_soft_labels, positive_logits
from sparse_data import Bags

RNG = np.random.default_rng(0)
X = RNG.normal(size=(960, 3))
PLANTED = X @ [2.0, -1.0, 0.0] - 0.5
Y = (RNG.random(960) < expit(PLANTED)).astype(int)
MADE = make_bags(Y, size=8, random_state=0)
GIVEN = {"bags": MADE.bags, "counts": MADE.counts}
FAST = LogisticRegression()
MODELS = [
    BagRidge(),
    LabelProportionsClassifier(FAST, random_state=0),
    LLPBeliefPropagationClassifier(FAST, n_rounds=1),
    MeanMap(1.0),
    LaplacianMeanMap(1.0),
    AlternatingMeanMap(1.0),
    SmoothedProportions(60),
]
IDS = [type(model).__name__ for model in MODELS]


@parametrize_with_checks(MODELS)
def test_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        # Blobs of single labels with hard counts: belief propagation may be cut short.
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_finds_the_planted_direction(model):
    fitted = clone(model).fit(X, **GIVEN)
    best = roc_auc_score(Y, PLANTED)
    assert roc_auc_score(Y, fitted.decision_function(X)) > best - 0.03
    if not isinstance(model, SmoothedProportions):  # whose scores are too flat beside the count
        # Knowing the count of one's bag helps.
        assert roc_auc_score(Y, fitted.transduce_proba_[:, 1]) > roc_auc_score(Y, fitted.decision_function(X))
    assert fitted.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict_proba(X).argmax(axis=1))


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_bags_may_be_given_in_any_form(model):
    expected = clone(model).fit(X, **GIVEN).decision_function(X)
    names = np.array([f"bag {b}" for b in MADE.bags])
    keyed = {f"bag {b}": share for b, share in enumerate(MADE.proportions)}
    forms = [
        {"bags": names, "proportions": keyed},
        {"bags": MADE.bags, "counts": ExactCount(MADE.counts)},
        {"bags": MADE.bags, "proportions": MADE.proportions[MADE.bags]},
        {
            "bags": Bags.from_lists([np.flatnonzero(MADE.bags == b) for b in range(120)]),
            "counts": MADE.counts,
        },
    ]
    if isinstance(model, LLPBeliefPropagationClassifier):
        forms[1]["counts"] = QuadraticCount(MADE.counts, 10.0)  # which is what it makes of counts
    for form in forms:
        before = X.copy()
        np.testing.assert_allclose(clone(model).fit(X, **form).decision_function(X), expected, atol=1e-9)
        np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_bags_of_one_are_labels(model):
    by_label = clone(model).fit(X[:200], np.where(Y[:200], "yes", "no"))
    by_bag = clone(model).fit(X[:200], bags=np.arange(200), counts=Y[:200])
    assert by_label.classes_.tolist() == ["no", "yes"]
    assert by_label.score(X[200:], np.where(Y[200:], "yes", "no")) > 0.75
    np.testing.assert_allclose(by_label.transduce_proba_[:, 1], Y[:200], atol=0.02)
    if isinstance(model, BagRidge):
        np.testing.assert_allclose(by_bag.decision_function(X), by_label.decision_function(X), atol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize("count", [0, 8])
def test_bags_of_one_class(model, count):
    fitted = clone(model).fit(X, bags=MADE.bags, counts=np.full(120, count))
    assert np.isfinite(fitted.decision_function(X)).all()
    assert (fitted.predict(X) == (count == 8)).all()


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_one_bag_and_unequal_bags(model):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* bags say little", category=UserWarning)
        fitted = clone(model).fit(X, bags=np.zeros(960), counts=[Y.sum()])
    assert fitted.predict_proba(X)[:, 1].mean() == pytest.approx(Y.mean(), abs=0.02)
    sizes = RNG.integers(1, 30, 400)
    bags = np.repeat(np.arange(400), sizes)[:960]
    fitted = clone(model).fit(X, bags=bags, counts=np.bincount(bags, Y))
    assert roc_auc_score(Y, fitted.decision_function(X)) > 0.8


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.where(X > 3, np.nan, X)}, "contains NaN"),
        ({"bags": MADE.bags[:-1]}, "`bags` must be one id a row, 960; got 959"),
        ({"counts": MADE.counts[:-1]}, "one value a bag, 120, or one a row, 960; got 119"),
        ({"counts": MADE.counts + 0.5}, "`counts` must be whole numbers"),
        ({"counts": MADE.counts + 9}, "`counts` must be whole numbers from 0 to the size"),
        ({"counts": None}, "One of `proportions` and `counts`"),
        ({"bags": None}, "`bags` must be given"),
    ],
)
def test_bad_input(model, change, message):
    arguments = {"X": X, **GIVEN, **change}
    with pytest.raises(ValueError, match=message):
        clone(model).fit(arguments.pop("X"), **arguments)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (BagRidge([0.0, 1.0]), "`alphas` must be above 0"),
        (BagRidge([]), "`alphas` must be non-empty"),
        (LabelProportionsClassifier(FAST, coupling=-1), "`coupling` must be in"),
        (LabelProportionsClassifier(FAST, cv=1), "`cv` must be at least 2"),
        (LabelProportionsClassifier(FAST, n_rounds=0), "`n_rounds` must be at least 1"),
        (LabelProportionsClassifier(FAST, max_round_rows=0), "`max_round_rows` must be at least 1"),
        (
            LLPBeliefPropagationClassifier(FAST),
            "`embed` must be given for several rounds with LogisticRegression",
        ),
        (LLPBeliefPropagationClassifier(bag_factor="pool"), "`bag_factor` must be one of"),
        (LLPBeliefPropagationClassifier(targets="hard"), "`targets` must be one of"),
        (LLPBeliefPropagationClassifier(bag_strength=0), "`bag_strength` must be in"),
        (
            LLPBeliefPropagationClassifier(bag_strength=None, bag_factor="pairwise"),
            "`bag_strength` must be a number",
        ),
        (LLPBeliefPropagationClassifier(coupling=-1.0), "`coupling` must be in"),
        (MeanMap(0.0), "`penalty` must be in"),
        (LaplacianMeanMap(smoothness=0.0), "`smoothness` must be in"),
        (LaplacianMeanMap(n_neighbors=0), "`n_neighbors` must be at least 1"),
        (AlternatingMeanMap(start="zero"), "`start` must be one of"),
        (AlternatingMeanMap(max_iter=0), "`max_iter` must be at least 1"),
        (AlternatingMeanMap(tol=-1.0), "`tol` must be in"),
        (SmoothedProportions(0), "`n_neighbors` must be at least 1"),
    ],
)
def test_bad_parameters(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, **GIVEN)


def test_estimators_that_cannot_learn_soft_labels():
    with pytest.raises(TypeError, match="with sample_weight in fit and with predict_proba; got Perceptron"):
        fit_soft_labels(Perceptron(), X, Y.astype(float))


def test_fewer_bags_than_features_are_told():
    with pytest.warns(UserWarning, match="2 bags say little about 3 features"):
        BagRidge().fit(X, bags=np.arange(960) % 2, counts=[200, 210])


def test_calibration_is_the_maximum_of_the_likelihood_of_counts():
    factor = count_factor(MADE.bags, ExactCount(MADE.counts), 960)
    found = calibrate_scores(PLANTED, factor)
    share = Y.mean()

    def loss(parameters):
        slope, intercept = parameters
        chances = expit(slope * PLANTED + intercept)
        likelihood = sum(
            poisson_binom(chances[MADE.bags == b]).logpmf(MADE.counts[b]) for b in range(len(MADE.counts))
        )
        middle = intercept + slope * PLANTED.mean() - np.log(share / (1 - share))
        return -likelihood + 2 * (slope - 1) ** 2 + middle**2 / 50

    for step in ([0.05, 0.0], [-0.05, 0.0], [0.0, 0.05], [0.0, -0.05]):
        assert loss(np.array(found)) < loss(np.array(found) + step)
    assert found[0] == pytest.approx(1.0, abs=0.5)
    # The scale of the scores is made up for.
    scaled = calibrate_scores(PLANTED / 7 + 3, factor, expected_slope=7.0)
    np.testing.assert_allclose(scaled[0] / 7, found[0], rtol=1e-3)


def test_score_is_the_likelihood_of_counts_held_out():
    model = BagRidge().fit(X, **GIVEN)
    chances = model.predict_proba(X)[:, 1]
    expected = np.mean(
        [poisson_binom(chances[MADE.bags == b]).logpmf(MADE.counts[b]) for b in range(len(MADE.counts))]
    )
    assert model.score(X, **GIVEN) == pytest.approx(expected, rel=1e-9)
    assert model.score(X, Y) == pytest.approx((model.predict(X) == Y).mean())


def test_grid_search_over_bags_without_labels():
    with config_context(enable_metadata_routing=True):
        model = BagRidge().set_fit_request(bags=True, counts=True).set_score_request(bags=True, counts=True)
        search = GridSearchCV(model, {"alphas": [[1e-3], [1e4]]}, cv=GroupKFold(4))
        search.fit(X, bags=MADE.bags, counts=MADE.counts[MADE.bags], groups=MADE.bags)
    assert search.best_params_ == {"alphas": [1e-3]}
    assert search.cv_results_["mean_test_score"].max() < 0


def test_rounds_folds_and_graphs_of_the_pipeline():
    graph = neighbour_graph((X - X.mean(axis=0)) / X.std(axis=0), n_neighbors=10)
    default = LabelProportionsClassifier(FAST, random_state=0).fit(X, **GIVEN)
    before = graph.data.copy()
    given = LabelProportionsClassifier(FAST, random_state=0).fit(X, graph=graph, **GIVEN)
    np.testing.assert_array_equal(graph.data, before)
    np.testing.assert_allclose(given.transduce_proba_, default.transduce_proba_, atol=1e-12)
    alone = LabelProportionsClassifier(FAST, coupling=0, random_state=0).fit(X, **GIVEN)
    # Without a graph, soft labels meet the counts exactly.
    sums = np.bincount(MADE.bags, alone.transduce_proba_[:, 1])
    np.testing.assert_allclose(sums, MADE.counts, atol=1e-9)
    once = LabelProportionsClassifier(FAST, n_rounds=1, random_state=0).fit(X, **GIVEN)
    assert default.n_rounds_ == 1  # the labels come of a linear model: ridge has said all there is to say
    np.testing.assert_array_equal(once.transduce_proba_, default.transduce_proba_)


def test_rounds_end_where_held_out_counts_are_no_likelier():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(4000, 2))
    labels = rows[:, 0] * rows[:, 1] + 0.7 * rows[:, 0] > 0  # beyond a linear model
    bags = np.arange(4000) // 4
    given = {"bags": bags, "counts": np.bincount(bags, labels)}
    learner = HistGradientBoostingClassifier(max_iter=20, early_stopping=False)
    found = {}
    for rounds in (1, 2, 9):
        model = LabelProportionsClassifier(learner, n_rounds=rounds, coupling=0, cv=2, random_state=0)
        found[rounds] = model.fit(rows, **given)
    assert [found[k].n_rounds_ for k in (1, 2)] == [1, 2]
    assert 2 <= found[9].n_rounds_ < 9
    one, two = (roc_auc_score(labels, found[k].transduce_proba_[:, 1]) for k in (1, 2))
    assert two > one + 0.01


def test_labels_of_a_fold_do_not_depend_on_its_own_counts():
    seen = []

    class Spy(LogisticRegression):
        def fit(self, rows, labels, sample_weight=None):
            seen.append(len(rows))
            return super().fit(rows, labels, sample_weight)

    LabelProportionsClassifier(Spy(), n_rounds=2, cv=4, random_state=0).fit(X, **GIVEN)
    # Four folds of 720 rows as both classes, then all rows; weights of zero are left out.
    assert len(seen) == 5
    assert all(n <= 2 * 720 for n in seen[:4])
    assert seen[4] > 2 * 720


def test_default_estimator_is_reproducible():
    few = {"bags": MADE.bags[:240] % 30, "counts": np.bincount(MADE.bags[:240] % 30, Y[:240])}
    few["counts"] = [np.sum(Y[:240][few["bags"] == b]) for b in dict.fromkeys(few["bags"].tolist())]
    one, two = (LabelProportionsClassifier(random_state=3).fit(X[:240], **few) for _ in range(2))
    np.testing.assert_array_equal(one.decision_function(X), two.decision_function(X))
    assert type(one.estimator_).__name__ == "HistGradientBoostingClassifier"


def test_noisy_counts_and_positive_bags():
    noisy = make_bags(Y, size=8, epsilon=1.0, random_state=0)
    counts = DiscreteLaplaceCount(noisy.counts, 1.0)
    for model in MODELS[:2]:
        fitted = clone(model).fit(X, bags=noisy.bags, counts=counts)
        assert roc_auc_score(Y, fitted.decision_function(X)) > 0.85
    small = make_bags(Y, size=2, random_state=0)
    fitted = BagRidge().fit(X, bags=small.bags, counts=AtLeastOne(small.counts > 0))
    assert roc_auc_score(Y, fitted.decision_function(X)) > 0.85


def test_the_papers_settings():
    exact = LLPBeliefPropagationClassifier(FAST, n_rounds=1, bag_strength=None, coupling=0).fit(X, **GIVEN)
    np.testing.assert_allclose(exact.transduce_proba_[:, 1], (MADE.counts / 8)[MADE.bags], atol=1e-9)
    hard = LLPBeliefPropagationClassifier(FAST, n_rounds=1, targets="threshold", weights="raw").fit(
        X, **GIVEN
    )
    assert roc_auc_score(Y, hard.decision_function(X)) > 0.8
    assert len(hard.beliefs_) == 1
    weak = {"n_rounds": 1, "bag_strength": 0.05, "coupling": 0.3, "tol": 1e-6, "max_iter": 1000}
    pairs = LLPBeliefPropagationClassifier(FAST, bag_factor="pairwise", **weak).fit(X, **GIVEN)
    factor = LLPBeliefPropagationClassifier(FAST, **weak).fit(X, **GIVEN)
    # The same energy; with couplings this weak both approximations are good.
    np.testing.assert_allclose(pairs.transduce_proba_, factor.transduce_proba_, atol=0.02)


def test_as_many_targets_as_the_count_says():
    seen = []

    class Spy(LogisticRegression):
        def fit(self, rows, labels, sample_weight=None):
            seen.append((rows, labels))
            return super().fit(rows, labels, sample_weight)

    model = LLPBeliefPropagationClassifier(Spy(), n_rounds=1, targets="count").fit(X, **GIVEN)
    rows, labels = seen[0]
    assert len(rows) == 960
    positive = {tuple(row) for row in np.round(rows[labels == 1], 9)}
    chosen = np.array([tuple(row) in positive for row in np.round(model._scaler.transform(X), 9)])
    np.testing.assert_array_equal(np.bincount(MADE.bags, chosen), MADE.counts)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_last_hidden_layer_leads_to_the_output(activation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((5, 4), activation=activation, max_iter=2, random_state=0).fit(X, Y)
    hidden = last_hidden_layer(network, X)
    output = expit(hidden @ network.coefs_[-1] + network.intercepts_[-1])[:, 0]
    np.testing.assert_allclose(output, network.predict_proba(X)[:, 1], atol=1e-12)


def test_two_rounds_with_learned_neighbours():
    network = MLPClassifier((8,), max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LLPBeliefPropagationClassifier(network).fit(X, **GIVEN)
    assert len(model.beliefs_) == 2
    assert roc_auc_score(Y, model.decision_function(X)) > 0.85
    own = LLPBeliefPropagationClassifier(
        FAST, embed=lambda fitted, rows: rows @ fitted.coef_.T, metric="euclidean"
    )
    assert roc_auc_score(Y, own.fit(X, **GIVEN).decision_function(X)) > 0.85


def test_default_network():
    bags = np.arange(320) // 4
    model = LLPBeliefPropagationClassifier(random_state=0, n_neighbors=4).fit(
        X[:320], bags=bags, counts=np.bincount(bags, Y[:320])
    )
    assert isinstance(model.estimator_, MLPClassifier)
    assert roc_auc_score(Y[320:], model.decision_function(X[320:])) > 0.8


def test_soft_labels_of_one_class():
    model = fit_soft_labels(LogisticRegression(), X, np.full(960, 0.25))
    np.testing.assert_allclose(expit(positive_logits(model, X)), 0.25, atol=1e-3)
    never = fit_soft_labels(LogisticRegression(), X, np.zeros(960))
    assert (positive_logits(never, X) == -30).all()
