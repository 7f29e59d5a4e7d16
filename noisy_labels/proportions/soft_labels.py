"""Probabilities of labels, and any classifier fitted to them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils.validation import has_fit_parameter

from noisy_labels.proportions.bag_factor import Factor
from noisy_labels.proportions.bag_membership import BagMembership

Floats = NDArray[np.float64]
Decoding = Literal["soft", "threshold", "count"]


def fit_soft_labels(
    estimator: BaseEstimator,
    X: Floats,
    positive: Floats,
    *,
    thinned_by: np.random.RandomState | None = None,
) -> Any:
    r"""Return a clone of a classifier fitted to every row as each class, weighted by its probability.

    Where one class alone has any weight, the answer is constant.

    .. math:: \min_f \sum_i \sum_k q_{ik}\, \ell(f(x_i), k)

    Parameters
    ----------
    estimator : classifier
        With `sample_weight` in `fit`, and `predict_proba`.
    X : float array of shape (n_rows, n_features)
    positive : float array of shape (n_rows,) or (n_rows, n_classes)
        q: P(y = 1), or P(class).
    thinned_by : RandomState, optional
        Draws which of the q below a half are kept, each with probability 2q, at weight a half: the same sum
        on average, of fewer terms.

    Returns
    -------
    estimator
        Fitted to classes 0, 1, ...

    Raises
    ------
    TypeError
        If `fit` takes no `sample_weight`, or the estimator gives no probabilities.
    """
    if not has_fit_parameter(estimator, "sample_weight") or not hasattr(estimator, "predict_proba"):
        raise TypeError(
            "`estimator` must be a classifier with sample_weight in fit and with predict_proba; got "
            f"{type(estimator).__name__}. Take LogisticRegression or HistGradientBoostingClassifier, say."
        )
    of_classes = [1 - positive, positive] if positive.ndim == 1 else list(positive.T)
    weights = np.concatenate(of_classes)
    if thinned_by is not None:
        drawn = np.where(2 * weights > thinned_by.uniform(size=weights.size), 0.5, 0.0)
        weights = np.where(weights < 0.5, drawn, weights)
    kept = np.flatnonzero(weights)
    labels, row = np.divmod(kept, X.shape[0])
    if labels[0] == labels[-1]:
        return DummyClassifier().fit(X[row], labels)  # many classifiers refuse a single class
    given = weights[kept]
    if kept.size != X.shape[0] or not (given == 1).all():
        return clone(estimator).fit(X[row], labels, sample_weight=given)
    # One label a row.  Without weights, quantiles of many rows take histogram trees a tenth of the time.
    of_row = np.empty_like(labels)
    of_row[row] = labels
    return clone(estimator).fit(X, of_row)


def drawn_labels(probabilities: Floats, rng: np.random.RandomState) -> Floats:
    """Return one label a row at random, in the form of its probabilities: 0 or 1, or a 1 in a row of 0."""
    if probabilities.ndim == 1:
        return np.asarray(rng.uniform(size=probabilities.size) < probabilities, dtype=np.float64)
    below = probabilities.cumsum(axis=1)[:, :-1] < rng.uniform(size=(probabilities.shape[0], 1))
    return np.asarray(np.eye(probabilities.shape[1])[below.sum(axis=1)])


def positive_logits(model: Any, X: Floats) -> Floats:
    """Return the log odds of class 1 of a model of `fit_soft_labels`, finite."""
    column = np.flatnonzero(model.classes_ == 1)
    if not column.size:
        return np.full(X.shape[0], -30.0)
    return np.asarray(np.clip(logit(model.predict_proba(X)[:, column[0]]), -30.0, 30.0))


def soft_label_logits(model: Any, X: Floats, n_classes: int) -> Floats:
    """Return log odds of class 1, shape (n_rows,), or of more than two classes logits of all."""
    if n_classes == 2:
        return positive_logits(model, X)
    logits = np.full((X.shape[0], n_classes), -30.0)
    logits[:, model.classes_] = np.log(np.maximum(model.predict_proba(X), np.exp(-30.0)))
    return logits


def decode_labels(positive: Floats, factor: Factor, decoding: Decoding) -> Floats:
    """Return labels to learn from: probabilities as they are, thresholded, or as many as the counts say.

    Parameters
    ----------
    positive : float array of shape (n_rows,) or (n_rows, n_classes)
        P(y = 1), or P(class).
    factor : CountFactor or ClassCountFactor
    decoding : {"soft", "threshold", "count"}
        "threshold" is 1 from a half on, or for the likeliest class; "count" is 1 for the likeliest rows of
        each bag, as many as its expected count rounded: of two classes, in bags that do not overlap.

    Returns
    -------
    float array of the shape of `positive`

    Raises
    ------
    ValueError
        For "count" with several classes or bags that overlap.
    """
    if decoding == "soft":
        return positive
    if decoding == "threshold" and positive.ndim == 2:
        return np.asarray(np.eye(positive.shape[1])[positive.argmax(axis=1)])
    if decoding == "threshold":
        return np.asarray(positive >= 0.5, dtype=np.float64)
    if positive.ndim == 2 or isinstance(factor.index, BagMembership):
        raise ValueError(
            'Labels by "count" must be of two classes, in bags that do not overlap; got others. Use "soft" '
            'or "threshold".'
        )
    codes = factor.index.codes
    order = np.lexsort((-positive, codes))
    offsets = factor.index.rows.offsets
    rank = np.empty(positive.size, dtype=np.int64)
    rank[order] = np.arange(positive.size) - offsets[codes[order]]
    return np.asarray(rank < np.round(factor.expected_counts())[codes], dtype=np.float64)
