"""A classifier like any other of scikit-learn, that is better on noisy labels and says when it is not."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from noisy_labels.confident_learning.confident_learning_classifier import ConfidentLearningClassifier
from noisy_labels.transitions.noise import corrupt_labels


@pytest.mark.filterwarnings("ignore:divide by zero")  # GaussianNB with a class of weight 0
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([ConfidentLearningClassifier(GaussianNB(), n_rounds=2)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def noisy_blobs():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=300)
    X = np.array([[0, 3.5], [3, -2], [-3, -2]])[true] + rng.normal(size=(300, 2))
    return X, true, corrupt_labels(true, 0.3, "pair", random_state=1)


@pytest.mark.parametrize("action", ["mend", "prune", "relabel", "reweight", "soften"])
def test_every_action_undoes_pair_noise(noisy_blobs, action):
    X, true, noisy = noisy_blobs
    model = ConfidentLearningClassifier(GaussianNB(), action=action, random_state=0).fit(X, noisy)
    assert model.cleaned_
    assert model.score(X, true) > GaussianNB().fit(X, noisy).score(X, true)
    wrong = noisy != true
    assert (model.label_issues_ & wrong).sum() > 0.85 * wrong.sum()
    assert model.label_quality_[wrong].mean() < 0.2 < 0.8 < model.label_quality_[~wrong].mean()
    np.testing.assert_allclose(model.transition_.diagonal(), 0.7, atol=0.12)


def test_labels_of_any_dtype_and_the_same_answer(noisy_blobs):
    X, _, noisy = noisy_blobs
    model = ConfidentLearningClassifier(GaussianNB(), random_state=0)
    plain = clone(model).fit(X, noisy)
    for names in (np.array(["b", "c", "d"]), np.array([-5, 7, 100]), np.array(["x", "y", "z"], dtype=object)):
        named = clone(model).fit(X, names[noisy])
        assert named.classes_.tolist() == names.tolist()
        assert (named.predict(X) == names[plain.predict(X)]).all()
        assert (named.label_issues_ == plain.label_issues_).all()
        assert set(named.suggested_labels_) <= set(names)
    frame = pd.DataFrame(X, columns=["u", "v"])
    framed = clone(model).fit(frame, pd.Series(noisy, index=np.arange(300) + 7))
    assert framed.feature_names_in_.tolist() == ["u", "v"]
    assert (framed.predict(frame) == plain.predict(X)).all()
    sparse = ConfidentLearningClassifier(LogisticRegression(), random_state=0)
    dense = clone(sparse).fit(X, noisy).predict_proba(X)
    np.testing.assert_allclose(sparse.fit(csr_array(X), noisy).predict_proba(csr_array(X)), dense, atol=1e-4)


def test_texts_go_through_a_pipeline():
    texts = ["good fine nice", "bad awful poor"] * 20
    y = np.array(["up", "down"] * 20)
    y[[2, 5]] = ["down", "up"]
    model = ConfidentLearningClassifier(make_pipeline(CountVectorizer(), MultinomialNB()), random_state=0)
    assert np.flatnonzero(model.fit(texts, y).label_issues_).tolist() == [2, 5]
    assert model.predict(["nice", "poor"]).tolist() == ["up", "down"]


def test_last_step_of_a_pipeline_and_in_a_grid(noisy_blobs):
    """CleanLearning in a Pipeline cannot predict, and a grid search over it scores NaN."""
    X, true, noisy = noisy_blobs
    model = make_pipeline(
        StandardScaler(), ConfidentLearningClassifier(KNeighborsClassifier(), random_state=0)
    )
    assert model.fit(X, noisy).score(X, true) > 0.9
    grid = {
        "confidentlearningclassifier__estimator__n_neighbors": [1, 15],
        "confidentlearningclassifier__n_rounds": [1],
    }
    search = GridSearchCV(model, grid, cv=3).fit(X, noisy)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["confidentlearningclassifier__estimator__n_neighbors"] == 15


def test_inside_other_ensembles(noisy_blobs):
    """CleanLearning is no classifier to Bagging, Stacking and Voting."""
    X, true, noisy = noisy_blobs
    model = ConfidentLearningClassifier(GaussianNB(), n_rounds=2, random_state=0)
    assert is_classifier(model)
    for ensemble in (
        BaggingClassifier(model, n_estimators=2, random_state=0),
        StackingClassifier([("a", model)], LogisticRegression(), cv=2),
        VotingClassifier([("a", model)], voting="soft"),
    ):
        assert ensemble.fit(X, noisy).score(X, true) > 0.9


def test_no_state_leaks_between_fits(noisy_blobs):
    """CleanLearning keeps the confident joint of its first labels in a constructor parameter."""
    X, true, noisy = noisy_blobs
    other = corrupt_labels(true, 0.4, random_state=5)
    model = ConfidentLearningClassifier(GaussianNB(), random_state=0)
    before = repr(model.get_params())
    inner = model.estimator
    used = model.fit(X, other).fit(X, noisy)
    fresh = ConfidentLearningClassifier(GaussianNB(), random_state=0).fit(X, noisy)
    np.testing.assert_array_equal(used.label_issues_, fresh.label_issues_)
    np.testing.assert_array_equal(clone(used).fit(X, noisy).label_issues_, fresh.label_issues_)
    assert repr(model.get_params()) == before
    assert not hasattr(inner, "classes_")


def test_the_global_generator_is_left_alone_and_seeds_repeat(noisy_blobs):
    """CleanLearning seeds NumPy's global generator in its constructor."""
    X, _, noisy = noisy_blobs
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    first, again = (
        ConfidentLearningClassifier(GaussianNB(), random_state=1).fit(X, noisy).pred_probs_ for _ in range(2)
    )
    assert np.random.random() == expected  # noqa: NPY002
    np.testing.assert_array_equal(first, again)


def test_pickles(noisy_blobs):
    X, _, noisy = noisy_blobs
    model = ConfidentLearningClassifier(GaussianNB(), random_state=0).fit(X, noisy)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


class WeightRecorder(GaussianNB):
    """Keeps the weights of every fit."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        WeightRecorder.seen.append(None if sample_weight is None else np.array(sample_weight))
        return super().fit(X, y, sample_weight)


def test_sample_weights_reach_the_folds(noisy_blobs):
    X, _, noisy = noisy_blobs
    WeightRecorder.seen.clear()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, size=300)
    model = ConfidentLearningClassifier(WeightRecorder(), action="prune", random_state=0)
    model.fit(X, noisy, sample_weight=weights)
    assert len(WeightRecorder.seen) > 5
    assert all(seen is not None and np.isin(seen, weights).all() for seen in WeightRecorder.seen)
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    model = ConfidentLearningClassifier(pipeline, action="reweight", random_state=0)
    model.fit(pd.DataFrame(X), noisy, gaussiannb__sample_weight=weights.tolist())


def test_metadata_routing(noisy_blobs):
    X, _, noisy = noisy_blobs
    weights = np.linspace(0.5, 2.0, 300)
    with sklearn.config_context(enable_metadata_routing=True):
        WeightRecorder.seen.clear()
        model = ConfidentLearningClassifier(
            WeightRecorder().set_fit_request(sample_weight=True), random_state=0
        )
        model.fit(X, noisy, sample_weight=weights)
        assert all(seen is not None for seen in WeightRecorder.seen)
        unrequested = ConfidentLearningClassifier(WeightRecorder(), random_state=0)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            unrequested.fit(X, noisy, sample_weight=weights)


def test_groups_stay_together(noisy_blobs):
    """Each row stands twice, as two rows of one group: a nearest neighbour must not see its twin."""
    X, true, noisy = noisy_blobs
    X, true, noisy, groups = np.r_[X, X], np.r_[true, true], np.r_[noisy, noisy], np.tile(np.arange(300), 2)
    model = ConfidentLearningClassifier(KNeighborsClassifier(5), n_rounds=1, random_state=0)
    kept = {}
    for name, cv, given in (("int", 5, groups), ("splitter", GroupKFold(5), groups), ("none", 5, None)):
        clone(model).set_params(cv=cv).fit(X, noisy, groups=given)
        kept[name] = clone(model).set_params(cv=cv).fit(X, noisy, groups=given).label_issues_
    wrong = noisy != true
    assert (kept["int"] & wrong).sum() > (kept["none"] & wrong).sum()
    assert (kept["splitter"] & wrong).sum() > (kept["none"] & wrong).sum()


def test_rare_classes_are_no_error():
    rng = np.random.default_rng(0)
    y = np.array(["a"] * 30 + ["b"] * 30 + ["c"] * 2 + ["d"])
    X = rng.normal(size=(63, 2)) + np.array([[0, 0]] * 30 + [[6, 0]] * 30 + [[0, 9]] * 2 + [[9, 9]])
    for action in ("prune", "relabel", "soften"):
        model = ConfidentLearningClassifier(LogisticRegression(), action=action, random_state=0).fit(X, y)
        assert model.classes_.tolist() == ["a", "b", "c", "d"]
        assert model.estimator_.classes_.tolist() == ["a", "b", "c", "d"]
        assert not model.label_issues_[60:].any()


def test_given_probabilities_are_used_and_in_sample_ones_are_told(noisy_blobs):
    X, _, noisy = noisy_blobs
    fair = cross_val_predict(GaussianNB(), X, noisy, method="predict_proba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ConfidentLearningClassifier(GaussianNB(), random_state=0).fit(X, noisy, pred_probs=fair)
    np.testing.assert_array_equal(model.pred_probs_, fair)
    in_sample = KNeighborsClassifier(1).fit(X, noisy).predict_proba(X)
    for folds in (0, 1):
        doubtful = ConfidentLearningClassifier(
            KNeighborsClassifier(15), validation_folds=folds, random_state=0
        )
        with pytest.warns(UserWarning, match="`pred_probs` must be out-of-sample"):
            doubtful.fit(X, noisy, pred_probs=in_sample)


class Contrary(ClassifierMixin, BaseEstimator):
    """Is certain of the wrong class for a third of the rows it has not seen, and learns that when cleaned."""

    def fit(self, X, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.model_ = LogisticRegression().fit(X, y)
        self.misled_ = np.bincount(codes).min() < 0.42 * len(y)
        return self

    def predict_proba(self, X):
        p = self.model_.predict_proba(X)
        odd = (np.abs(X[:, 1]) * 1000).astype(int) % 3 == 0
        return np.where(odd[:, None] & (X[:, :1] > 0), [0.999, 0.001], p)

    def predict(self, X):
        right = self.model_.predict(X)
        return self.classes_[::-1][np.searchsorted(self.classes_, right)] if self.misled_ else right


def test_cleaning_that_harms_is_not_used():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) + np.repeat([[-3, 0], [3, 0]], 200, axis=0)
    y = np.repeat([0, 1], 200)
    careful = ConfidentLearningClassifier(Contrary(), action="prune", random_state=0).fit(X, y)
    assert careful.label_issues_.sum() > 40
    assert not careful.cleaned_
    assert careful.validation_.cleaned < careful.validation_.as_given
    assert careful.score(X, y) > 0.95
    heedless = ConfidentLearningClassifier(Contrary(), action="prune", validation_folds=0, random_state=0)
    heedless.fit(X, y)
    assert heedless.cleaned_
    assert np.isnan(heedless.validation_.cleaned)
    assert heedless.score(X, y) < 0.1


def test_clean_labels_stay():
    X, y = load_iris(return_X_y=True)
    model = ConfidentLearningClassifier(LogisticRegression(max_iter=1000), random_state=0).fit(X, y)
    assert model.label_issues_.sum() <= 5
    assert model.score(X, y) > 0.95


def test_decision_functions_alone_will_do(noisy_blobs):
    X, true, noisy = noisy_blobs
    model = ConfidentLearningClassifier(RidgeClassifier(), random_state=0)
    assert not hasattr(model, "predict_proba")
    assert model.fit(X, noisy).score(X, true) > 0.9
    assert model.decision_function(X).shape == (300, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "drop"}, "`action` must be one of"),
        ({"method": "nonsense"}, "`method` must be one of"),
        ({"n_rounds": 0}, "`n_rounds` must be at least 1"),
        ({"validation_folds": -1}, "`validation_folds` must be at least 0"),
        ({"cv": 1}, "`cv` must be at least 2"),
        ({"calibrate": None}, "`calibrate` must be one of"),
    ],
)
def test_bad_parameters_are_refused(noisy_blobs, options, message):
    X, _, noisy = noisy_blobs
    with pytest.raises(ValueError, match=message):
        ConfidentLearningClassifier(GaussianNB(), **options).fit(X, noisy)


def test_bad_probabilities_are_refused(noisy_blobs):
    X, _, noisy = noisy_blobs
    model = ConfidentLearningClassifier(GaussianNB())
    with pytest.raises(ValueError, match="same length"):
        model.fit(X, noisy, pred_probs=np.full((5, 3), 1 / 3))
    with pytest.raises(ValueError, match="`pred_probs` must have 3 columns"):
        model.fit(X, noisy, pred_probs=np.full((300, 4), 0.25))
    with pytest.raises(ValueError, match=r"action='prune'"):
        ConfidentLearningClassifier(KNeighborsClassifier(), action="soften").fit(X, noisy)
