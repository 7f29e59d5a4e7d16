"""Features on scales that one penalty or one distance can be laid on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


def two_deviation_scales(X: Floats) -> Floats:
    r"""Return the units of columns: two standard deviations, or the step of a column of two values.

    A category and a number then weigh alike under one penalty.  Divided by their standard deviations, as
    numbers are, rare categories would be let vary most.

    Parameters
    ----------
    X : float array of shape (n_rows, n_features)

    Returns
    -------
    float array of shape (n_features,)
        Above 0; 1 for columns that do not vary.

    References
    ----------
    Gelman, "Scaling Regression Inputs by Dividing by Two Standard Deviations", 2008.

    Examples
    --------
    >>> two_deviation_scales(np.array([[0.0, 3.0], [1.0, 3.0], [0.0, 5.0], [0.0, 1.0]])).round(3)
    array([1.   , 2.828])
    """
    low, high = X.min(axis=0), X.max(axis=0)
    scales = np.where(_has_two_values(X), high - low, 2 * X.std(axis=0))
    varies = high - low > 1e-12 * (1 + np.maximum(np.abs(low), np.abs(high)))
    return np.where(varies, scales, 1.0)


def with_normal_scores(X: Floats) -> Floats:
    r"""Return `X` and beside it each column of more than two values as normal scores.

    .. math:: z_i = \Phi^{-1}\Big(\frac{\operatorname{rank}_i - 1/2}{n}\Big)

    with the mean rank of equal values.  A linear model is bent by these where numbers have long tails.

    Parameters
    ----------
    X : float array of shape (n_rows, n_features)

    Returns
    -------
    float array of shape (n_rows, n_features + number of columns of more than two values)

    Examples
    --------
    >>> with_normal_scores(np.array([[1.0], [2.0], [90.0]])).round(3)
    array([[ 1.   , -0.967],
           [ 2.   ,  0.   ],
           [90.   ,  0.967]])
    """
    columns = np.flatnonzero(~_has_two_values(X))
    both = np.empty((X.shape[0], X.shape[1] + columns.size))
    both[:, : X.shape[1]] = X
    for place, column in enumerate(columns, start=X.shape[1]):
        _, inverse, often = np.unique(X[:, column], return_inverse=True, return_counts=True)
        middle = np.cumsum(often) - 0.5 * often
        both[:, place] = ndtri(middle / X.shape[0])[inverse]
    return both


def _has_two_values(X: Floats) -> NDArray[np.bool_]:
    low, high = X.min(axis=0), X.max(axis=0)
    return np.asarray(((low == X) | (high == X)).all(axis=0))
