"""Probabilities of labels, and any classifier fitted to them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils.validation import has_fit_parameter

from noisy_labels.proportions.count_messages import CountFactor

Floats = NDArray[np.float64]
Decoding = Literal["soft", "threshold", "count"]


def fit_soft_labels(estimator: BaseEstimator, X: Floats, positive: Floats) -> Any:
    r"""Return a clone of a classifier fitted to every row as both classes, weighted by their probabilities.

    Where one class alone has any weight, the answer is constant.

    .. math:: \min_f \sum_i q_i\, \ell(f(x_i), 1) + (1 - q_i)\, \ell(f(x_i), 0)

    Parameters
    ----------
    estimator : classifier
        With `sample_weight` in `fit`, and `predict_proba`.
    X : float array of shape (n_rows, n_features)
    positive : float array of shape (n_rows,)
        q, P(y = 1).

    Returns
    -------
    estimator
        Fitted to classes 0 and 1.

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
    weights = np.concatenate([1 - positive, positive])
    kept = weights > 0
    rows = np.concatenate([X, X])[kept]
    labels = np.repeat([0, 1], positive.size)[kept]
    if labels[0] == labels[-1]:
        return DummyClassifier().fit(rows, labels)  # many classifiers refuse a single class
    return clone(estimator).fit(rows, labels, sample_weight=weights[kept])


def positive_logits(model: Any, X: Floats) -> Floats:
    """Return the log odds of class 1 of a model of `fit_soft_labels`, finite."""
    column = np.flatnonzero(model.classes_ == 1)
    if not column.size:
        return np.full(X.shape[0], -30.0)
    return np.asarray(np.clip(logit(model.predict_proba(X)[:, column[0]]), -30.0, 30.0))


def decode_labels(positive: Floats, factor: CountFactor, decoding: Decoding) -> Floats:
    """Return labels to learn from: probabilities as they are, thresholded, or as many as the counts say.

    Parameters
    ----------
    positive : float array of shape (n_rows,)
        P(y = 1).
    factor : CountFactor
    decoding : {"soft", "threshold", "count"}
        "threshold" is 1 from a half on; "count" is 1 for the likeliest rows of each bag, as many as its
        expected count rounded.

    Returns
    -------
    float array of shape (n_rows,)
    """
    if decoding == "soft":
        return positive
    if decoding == "threshold":
        return np.asarray(positive >= 0.5, dtype=np.float64)
    codes = factor.index.codes
    order = np.lexsort((-positive, codes))
    offsets = factor.index.rows.offsets
    rank = np.empty(positive.size, dtype=np.int64)
    rank[order] = np.arange(positive.size) - offsets[codes[order]]
    return np.asarray(rank < np.round(factor.expected_counts())[codes], dtype=np.float64)
