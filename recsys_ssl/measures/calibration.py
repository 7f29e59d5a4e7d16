"""Whether probabilities mean what they say: calibration over bins of equal mass."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from recsys_ssl.measures.binary_labels import check_binary, check_probabilities, check_weights
from sparse_data import checks

Floats = NDArray[np.float64]


def equal_mass_bins(
    probabilities: ArrayLike, n_bins: int, *, sample_weight: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return the bin of every value, 0 the lowest, so that bins hold about the same weight.

    Equal values share a bin, whatever their order: a bin may hold more than its part, another none.

    Parameters
    ----------
    probabilities : array_like of shape (n,)
    n_bins : int
    sample_weight : array_like of shape (n,), optional

    Returns
    -------
    int64 ndarray of shape (n,)

    Examples
    --------
    >>> equal_mass_bins([0.1, 0.9, 0.3, 0.2], 2).tolist()
    [0, 1, 1, 0]
    >>> equal_mass_bins([0.1, 0.1, 0.1, 0.9], 4).tolist()
    [1, 1, 1, 3]
    """
    checks.check_count("n_bins", n_bins)
    values = check_probabilities("probabilities", probabilities)
    weights = check_weights(sample_weight, values.size)
    _, codes = np.unique(values, return_inverse=True)
    mass = np.bincount(codes, weights=weights)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    places = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1)
    return np.asarray(places[codes], dtype=np.int64)


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, n_bins: int = 10, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Mean distance between what is predicted and what happens, over bins of equal mass.

    .. math:: \mathrm{ECE} = \sum_b \frac{W_b}{W} \left| \bar p_b - \bar y_b \right|

    Parameters
    ----------
    labels : array_like of shape (n,)
        0 or 1.
    probabilities : array_like of shape (n,)
    n_bins : int, default=10
        Made by :func:`equal_mass_bins`; bins of equal width would all but one be empty for rare events.
    sample_weight : array_like of shape (n,), optional

    Returns
    -------
    float
        0 is best. It is above 0 by chance too, the more the fewer rows a bin holds.

    Raises
    ------
    ValueError
        If lengths differ or a value is out of range.

    Examples
    --------
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2), 6)
    0.25
    """
    positive, values = _checked(labels, probabilities)
    weights = check_weights(sample_weight, values.size)
    places = equal_mass_bins(values, n_bins, sample_weight=weights)
    gaps = np.bincount(places, weights=weights * (values - positive))
    return float(np.abs(gaps).sum() / weights.sum())


def wilson_interval(positives: Floats, totals: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    r"""Wilson's interval for a probability of which *k* of *n* trials are positive.

    .. math:: \frac{k + z^2 / 2}{n + z^2} \pm \frac{z}{n + z^2} \sqrt{\frac{k (n - k)}{n} + \frac{z^2}{4}}

    Parameters
    ----------
    positives, totals : arrays of one shape
        *k* and *n*, the latter above 0.
    confidence : float, default=0.95

    Returns
    -------
    tuple of two arrays
        Lower and upper ends, inside [0, 1] also for rare events.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0.0]), np.array([10.0]))
    >>> low.tolist(), high.round(4).tolist()
    ([0.0], [0.2775])
    """
    checks.check_in_range("confidence", confidence, 0, 1, closed="neither")
    z = float(ndtri((1 + confidence) / 2))
    centre = (positives + z**2 / 2) / (totals + z**2)
    half = z / (totals + z**2) * np.sqrt(positives * (totals - positives) / totals + z**2 / 4)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def reliability_table(
    labels: ArrayLike, probabilities: ArrayLike, n_bins: int = 10, *, confidence: float = 0.95
) -> Any:
    """Return predicted and observed rates in bins of equal mass, the numbers of a reliability plot.

    Parameters
    ----------
    labels : array_like of shape (n,)
        0 or 1.
    probabilities : array_like of shape (n,)
    n_bins : int, default=10
        Made by :func:`equal_mass_bins`; empty ones are left out.
    confidence : float, default=0.95
        Of the interval of the observed rate (:func:`wilson_interval`).

    Returns
    -------
    pandas.DataFrame
        A row a bin, lowest first: `low` and `high` (the smallest and largest probability), `predicted` (their
        mean), `observed` with `observed_low` and `observed_high`, `n_rows`, `n_positive`.

    Raises
    ------
    ValueError
        If lengths differ or a value is out of range.

    Examples
    --------
    >>> table = reliability_table([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    >>> table[["predicted", "observed", "n_rows"]].values.tolist()
    [[0.25, 0.5, 2.0], [0.75, 1.0, 2.0]]
    """
    positive, values = _checked(labels, probabilities)
    _, places = np.unique(equal_mass_bins(values, n_bins), return_inverse=True)  # numbered without gaps
    totals = np.bincount(places)
    positives: Floats = np.asarray(np.bincount(places, weights=positive), dtype=np.float64)
    low, high = np.full(totals.size, math.inf), np.full(totals.size, -math.inf)
    np.minimum.at(low, places, values)
    np.maximum.at(high, places, values)
    observed_low, observed_high = wilson_interval(positives, totals.astype(np.float64), confidence)
    return importlib.import_module("pandas").DataFrame(
        {
            "low": low,
            "high": high,
            "predicted": np.bincount(places, weights=values) / totals,
            "observed": positives / totals,
            "observed_low": observed_low,
            "observed_high": observed_high,
            "n_rows": totals,
            "n_positive": positives.astype(np.int64),
        }
    )


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    positive, values = check_binary("labels", labels), check_probabilities("probabilities", probabilities)
    checks.check_same_length(labels=positive, probabilities=values)
    return positive, values
