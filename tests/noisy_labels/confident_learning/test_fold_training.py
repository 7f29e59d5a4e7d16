"""Training on parts: weights and other fit parameters go along, predictions are out of sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from noisy_labels.confident_learning.fold_training import (
    LabelledData,
    TrainingSet,
    class_probabilities,
    out_of_sample_probabilities,
    weight_parameter,
)
from noisy_labels.confident_learning.label_folds import label_folds


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted with."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, other=None):
        self.classes_ = np.unique(y)
        Recorder.seen.append((X[:, 0].tolist(), list(y), sample_weight, other))
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.fixture
def recorded():
    Recorder.seen.clear()
    return Recorder.seen


def test_weights_and_parameters_of_the_rows(recorded):
    X = np.arange(4.0)[:, None]
    params = {"sample_weight": [1.0, 2.0, 3.0, 4.0], "other": "text"}
    data = LabelledData(X, np.array([0, 1, 0, 1]), np.array(["a", "b"]), None, params)
    data.train(Recorder(), TrainingSet(np.array([3, 1, 1]), np.array([1, 0, 1]), np.array([0.5, 1.0, 2.0])))
    rows, labels, weights, other = recorded[0]
    assert (rows, labels, other) == ([3.0, 1.0, 1.0], ["b", "a", "b"], "text")
    np.testing.assert_allclose(weights, [2.0, 2.0, 4.0])
    taken = data.take(np.array([2, 0]))
    assert taken.fit_params == {"sample_weight": [3.0, 1.0], "other": "text"}


def test_predictions_are_of_rows_that_were_not_trained_on():
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(40, 2)), rng.integers(2, size=40)
    data = LabelledData(X, codes, np.array([0, 1]))
    folds = label_folds(4, X, codes, random_state=0)
    found = out_of_sample_probabilities(KNeighborsClassifier(1), data, data.as_given(), folds)
    for train, test in folds:
        expected = KNeighborsClassifier(1).fit(X[train], codes[train]).predict_proba(X[test])
        np.testing.assert_allclose(found[test], expected)
    # In sample, one neighbour would repeat every label.
    assert (found.argmax(axis=1) != codes).any()


def test_a_class_that_a_fold_lacks_has_probability_0():
    X, codes = np.arange(9.0)[:, None], np.array([0] * 4 + [1] * 4 + [2])
    data = LabelledData(X, codes, np.array([0, 1, 2]))
    folds = label_folds(3, X, codes, random_state=0)
    found = out_of_sample_probabilities(GaussianNB(), data, data.as_given(), folds)
    assert found[8, 2] == 0
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_decision_functions_serve_as_logits():
    X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), np.array([0, 0, 1, 1])
    fitted = RidgeClassifier().fit(X, y)
    np.testing.assert_allclose(
        class_probabilities(fitted, X, fitted.classes_)[:, 1], expit(fitted.decision_function(X))
    )
    with pytest.raises(TypeError, match="must have predict_proba or decision_function"):
        class_probabilities(LinearRegression().fit(X, y), X, y)


def test_names_of_the_weight_parameter():
    assert weight_parameter(LogisticRegression()) == "sample_weight"
    assert weight_parameter(GridSearchCV(LogisticRegression(), {})) == "sample_weight"
    assert (
        weight_parameter(make_pipeline(make_pipeline(GaussianNB()))) == "pipeline__gaussiannb__sample_weight"
    )
    assert weight_parameter(make_pipeline(KNeighborsClassifier())) is None


def test_sparse_rows_and_a_missing_weight_parameter():
    X = csr_array(np.eye(4))
    data = LabelledData(X, np.array([0, 1, 0, 1]), np.array([0, 1]))
    assert data.take(np.array([1, 2])).X.toarray().tolist() == np.eye(4)[[1, 2]].tolist()
    weighted = TrainingSet(np.arange(4), data.codes, np.ones(4))
    with pytest.raises(ValueError, match="`estimator` must accept sample_weight"):
        data.train(KNeighborsClassifier(1), weighted)
