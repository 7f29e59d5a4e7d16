"""Ranking metrics at k, one value a user, from the matrix of hits of ranked lists.

Each function takes `hits`, bool of shape (n_users, n_ranked), where hits[u, r] says that the item at rank
r + 1 of user u is relevant, and most take `n_relevant`, shape (n_users,), the number of relevant items of
each user, ranked or not.  Write h_r for the hit at rank r = 1..k and n for `n_relevant`.  A user without
relevant items has no defined value and gets NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data import checks

Hits = NDArray[np.bool_]
Values = NDArray[np.float64]


def _checked(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> tuple[Hits, Values]:
    """Return the first `k` columns of `hits`, and `n_relevant` as floats with NaN in place of 0."""
    matrix = checks.check_ndim("hits", hits, 2)
    relevant = checks.check_ndim("n_relevant", n_relevant, 1)
    checks.check_same_length(hits=matrix, n_relevant=relevant)
    checks.check_in_range("k", checks.check_count("k", k), 1, matrix.shape[1], hint="Rank more items.")
    counts = relevant.astype(np.float64)
    return matrix[:, :k].astype(np.bool_, copy=False), np.where(counts > 0, counts, np.nan)


def _positions(hits: Hits) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each hit its user, its rank from 1, and how many hits its user has up to there.

    Hits are few, so that sums over them are much cheaper than sums over the whole matrix.
    """
    users, ranks = np.nonzero(hits)
    first = np.searchsorted(users, np.arange(hits.shape[0]))
    return users, ranks + 1, np.arange(users.size) - first[users] + 1


def _sum_by_user(users: NDArray[np.int64], values: Values, n_users: int) -> Values:
    return np.asarray(np.bincount(users, weights=values, minlength=n_users), dtype=np.float64)


def _count(hits: Hits) -> Values:
    return np.asarray(np.count_nonzero(hits, axis=1), dtype=np.float64)


def recall(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return :math:`\frac1n \sum_{r \le k} h_r`, the part of the relevant items found in the first k.

    Examples
    --------
    >>> recall([[True, False, True]], [4], k=3)
    array([0.5])
    """
    hits, relevant = _checked(hits, n_relevant, k)
    return _count(hits) / relevant


def precision(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return :math:`\frac1k \sum_{r \le k} h_r`, the part of the first k that is relevant."""
    hits, relevant = _checked(hits, n_relevant, k)
    return np.asarray(np.where(np.isnan(relevant), np.nan, _count(hits) / k))


def hit_rate(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return 1 where at least one of the first k is relevant, else 0."""
    hits, relevant = _checked(hits, n_relevant, k)
    return np.where(np.isnan(relevant), np.nan, hits.any(axis=1))


def reciprocal_rank(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return :math:`1 / \min\{r \le k : h_r = 1\}`, 0 without a hit; its mean is the MRR.

    Examples
    --------
    >>> reciprocal_rank([[False, True, True], [False, False, False]], [2, 1], k=3)
    array([0.5, 0. ])
    """
    hits, relevant = _checked(hits, n_relevant, k)
    values = np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1.0), 0.0)
    return np.where(np.isnan(relevant), np.nan, values)


def ndcg(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return the discounted gain over the best possible one.

    .. math:: \sum_{r \le k} \frac{h_r}{\log_2(r + 1)} \Big/ \sum_{r \le \min(k, n)} \frac{1}{\log_2(r + 1)}

    References
    ----------
    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    Examples
    --------
    >>> ndcg([[True, False]], [1], k=2)
    array([1.])
    """
    hits, relevant = _checked(hits, n_relevant, k)
    users, ranks, _ = _positions(hits)
    gain = _sum_by_user(users, 1.0 / np.log2(ranks + 1.0), hits.shape[0])
    ideal = np.concatenate([[np.nan], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])
    best: Values = ideal[np.minimum(np.nan_to_num(relevant), k).astype(np.int64)]
    return gain / best


def average_precision(hits: ArrayLike, n_relevant: ArrayLike, k: int) -> Values:
    r"""Return the mean of the precision at the hits; its mean over users is MAP.

    .. math:: \frac{1}{\min(k, n)} \sum_{r \le k} h_r \cdot \frac1r \sum_{s \le r} h_s

    Some libraries divide by n instead, which keeps a list of k items below 1 where n > k.

    Examples
    --------
    >>> average_precision([[True, False, True]], [2], k=3)
    array([0.83333333])
    """
    hits, relevant = _checked(hits, n_relevant, k)
    users, ranks, found = _positions(hits)
    return _sum_by_user(users, found / ranks, hits.shape[0]) / np.minimum(relevant, k)


USER_METRICS: dict[str, Callable[[Any, Any, int], Values]] = {
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit": hit_rate,
    "precision": precision,
}


def coverage(counts: ArrayLike) -> float:
    """Return the part of the catalogue that is in somebody's list.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How many lists each item is in.

    Examples
    --------
    >>> coverage([3, 0, 1, 0])
    0.5
    """
    counts = checks.check_nonempty("counts", checks.check_non_negative("counts", counts))
    return float(np.count_nonzero(counts) / counts.size)


def gini(counts: ArrayLike) -> float:
    r"""Return how unevenly recommendations fall on the m items: 0 all alike, (m - 1) / m all on one.

    .. math:: \frac{\sum_{i=1}^m (2 i - m - 1) \, c_{(i)}}{m \sum_i c_i}

    with the counts c in ascending order.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How many lists each item is in.

    Returns
    -------
    float
        NaN where all counts are 0.

    Examples
    --------
    >>> gini([0, 0, 0, 8])
    0.75
    """
    values = np.sort(checks.check_nonempty("counts", checks.check_non_negative("counts", counts)))
    total = float(values.sum())
    if total == 0:
        return float("nan")
    size = values.size
    return float((2 * np.arange(1, size + 1) - size - 1) @ values / (size * total))
