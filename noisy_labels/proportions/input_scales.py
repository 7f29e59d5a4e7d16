"""Features on scales that one penalty or one distance can be laid on."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from noisy_labels.proportions.threads import in_threads

Floats = NDArray[np.float64]

_RANKED = 65_536  # rows that ranks are among: more add little but time
_KNOTS = 1024
_BLOCK = 4096  # rows whose columns stay in the second cache


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
    scales = np.where(_has_two_values(X, low, high), high - low, 2 * _deviations(X))
    varies = high - low > 1e-12 * (1 + np.maximum(np.abs(low), np.abs(high)))
    return np.where(varies, scales, 1.0)


def with_normal_scores(X: Floats) -> Floats:
    r"""Return `X` and beside it each column of more than two values as normal scores.

    .. math:: z_i = \Phi^{-1}\Big(\frac{\operatorname{rank}_i - 1/2}{n}\Big)

    with the mean rank of equal values.  A linear model is bent by these where numbers have long tails.  Of
    more than 65,536 rows, ranks are among as many at random, and scores between them lie on lines.

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
    n_rows, n_features = X.shape
    columns = np.flatnonzero(~_has_two_values(X, X.min(axis=0), X.max(axis=0)))
    both = np.empty((n_rows, n_features + columns.size))
    if n_rows <= _RANKED:
        both[:, :n_features] = X
        for place, column in enumerate(columns, start=n_features):
            _, score, inverse = _scores_of_values(X[:, column])
            both[:, place] = score[inverse]
        return both
    drawn = X[np.random.default_rng(0).choice(n_rows, _RANKED, replace=False)]
    tables = in_threads(lambda column: _knots(drawn[:, column]), columns)

    def fill(start: int) -> None:
        part = slice(start, start + _BLOCK)
        both[part, :n_features] = X[part]
        for place, (column, table) in enumerate(zip(columns, tables, strict=True), start=n_features):
            _interpolate(X[part, column], *table, both[part, place])

    in_threads(fill, range(0, n_rows, _BLOCK))
    return both


def _scores_of_values(x: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return the distinct values in order, their normal scores, and the position of each value."""
    values, inverse, often = np.unique(x, return_inverse=True, return_counts=True)
    return values, ndtri((np.cumsum(often) - 0.5 * often) / x.size), inverse


def _knots(x: Floats) -> tuple[Floats, Floats]:
    """Return values and their scores, at most so many, evenly by score."""
    values, scores, _ = _scores_of_values(x)
    kept = np.unique(np.searchsorted(scores, np.linspace(scores[0], scores[-1], _KNOTS)))
    return values[kept], scores[kept]


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _interpolate(x, values, scores, found):  # type: ignore[no-untyped-def]
    """Write the scores of x; beyond the first and the last value those of these."""
    for i in range(x.size):
        low, width = 0, values.size
        while width > 1:  # without a branch that guesses wrong: a fifth of the time of np.interp
            half = width >> 1
            low += half * (values[low + half] <= x[i])
            width -= half
        if low == values.size - 1 or x[i] <= values[0]:
            found[i] = scores[low]
        else:
            share = (x[i] - values[low]) / (values[low + 1] - values[low])
            found[i] = scores[low] + share * (scores[low + 1] - scores[low])


def _has_two_values(X: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    """Return which columns have at most two values; most others are known after one block of rows."""
    found = np.ones(X.shape[1], dtype=bool)
    for start in range(0, X.shape[0], _BLOCK):
        open_ones = np.flatnonzero(found)
        if not open_ones.size:
            break
        part = X[start : start + _BLOCK, open_ones]
        found[open_ones] = ((part == low[open_ones]) | (part == high[open_ones])).all(axis=0)
    return found


def _deviations(X: Floats) -> Floats:
    """Return standard deviations of columns, without a second array of the size of X."""
    centre = X.mean(axis=0)
    parts = (X[start : start + _BLOCK] - centre for start in range(0, X.shape[0], _BLOCK))
    return np.asarray(np.sqrt(sum(np.einsum("ij,ij->j", part, part) for part in parts) / X.shape[0]))
