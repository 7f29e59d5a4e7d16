"""Mutual information of two fields of items, which may hold several values an item."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.encoding.features import MISSING
from sparse_data import Bags, checks
from sparse_data.type_checks import check_seed, naming

Field = ArrayLike | Bags
Draws = Any  # scipy sparse array (n_items, n_values): the probabilities of drawing each value of an item

# Products of the values of an item in two fields that are made at once, some 100 MB of them.
BLOCK_PRODUCTS = 1 << 22


def mutual_information(a: Field, b: Field) -> float:
    r"""Return the mutual information of two fields over items, in nats.

    An item is drawn uniformly, then one value of each field, uniformly and independently given the item:

    .. math::

        P(v, w) = \frac1n \sum_x \frac{[v \in a_x]}{|a_x|} \frac{[w \in b_x]}{|b_x|}, \qquad
        MI = \sum_{v, w} P(v, w) \log \frac{P(v, w)}{P(v) P(w)}.

    The *n* items are those with a value in both fields, others are left out; popularity plays no part.

    Parameters
    ----------
    a, b : array_like of shape (n_items,), integer array of shape (n_items, length), or Bags
        A category an item, of any dtype, every one of which counts; values padded with 0; bags. Weights of
        bags are not used.

    Returns
    -------
    float
        At least 0 and at most either entropy; 0 if no item has both.

    Raises
    ------
    ValueError
        If the numbers of items differ, or a category is missing.

    References
    ----------
    Yao et al. (2021), Self-supervised learning for large-scale item recommendations, arXiv:2007.12865.

    Examples
    --------
    >>> round(mutual_information([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]), 6)
    0.462098
    """
    one, other = draws_of(as_bags("a", a), name="a"), draws_of(as_bags("b", b), name="b")
    checks.check_same_length(a=range(one.shape[0]), b=range(other.shape[0]))
    return pair_information(one, other)[0]


def entropy(a: Field) -> float:
    r"""Return the entropy of a field over the items that have a value, :math:`-\sum_v P(v) \log P(v)`.

    Parameters
    ----------
    a : array_like or Bags
        As in :func:`mutual_information`.

    Returns
    -------
    float
        In nats.

    Examples
    --------
    >>> round(entropy(["red", "red", "blue", "blue"]), 6)
    0.693147
    """
    draws = draws_of(as_bags("a", a), name="a")
    return entropy_of(marginal(draws, max(1, int((np.diff(draws.indptr) > 0).sum()))))


def as_bags(name: str, values: Field) -> Bags:
    """Return a field as bags; of a padded array the zeros are left out, of a plain one nothing."""
    if isinstance(values, Bags):
        return values
    array = checks.check_array(name, values)
    if array.ndim == 2:
        known = checks.check_integers(name, array) != MISSING
        offsets = np.concatenate([[0], np.cumsum(known.sum(axis=1), dtype=np.int64)])
        return Bags(array[known], offsets)
    array = checks.check_no_missing(name, checks.check_ndim(name, array, 1))
    return Bags(array, np.arange(len(array) + 1))


def draws_of(bags: Bags, *, name: str = "values") -> Draws:
    """Return the probability of drawing each value from each item, (n_items, n_values)."""
    with naming(name, "values of one type, in an order"):
        different, codes = np.unique(bags.values, return_inverse=True)
    items = bags.segment_ids
    shares = 1.0 / bags.lengths[items]
    # A value that an item has twice is added up.
    return scipy.sparse.csr_array((shares, (items, codes.ravel())), shape=(len(bags), len(different)))


def marginal(draws: Draws, n: int) -> NDArray[np.float64]:
    """Return the probability of drawing each value, of which ``n`` items have one."""
    return np.asarray(draws.sum(axis=0)).ravel() / n


def entropy_of(probabilities: NDArray[np.float64]) -> float:
    """Return the sum of -p log p."""
    positive = probabilities[probabilities > 0]
    return max(0.0, float(-np.sum(positive * np.log(positive))))


def pair_information(a: Draws, b: Draws) -> tuple[float, float, float]:
    """Return mutual information and both entropies over the items that have both fields."""
    both = (np.diff(a.indptr) > 0) & (np.diff(b.indptr) > 0)
    n = int(both.sum())
    if n == 0:
        return 0.0, 0.0, 0.0
    if n < len(both):
        a, b = a[both], b[both]
    p, q = marginal(a, n), marginal(b, n)
    across = a.T.tocsr()
    shared = 0.0
    for start, stop in _blocks(across, b):
        joint = (across[start:stop] @ b).tocoo()
        mass = joint.data / n
        shared += float(np.sum(mass * np.log(mass / (p[start + joint.row] * q[joint.col]))))
    one, other = entropy_of(p), entropy_of(q)
    # Rounding may leave it a little outside of what it can be.
    return min(max(shared, 0.0), one, other), one, other


def chance_information(a: Draws, b: Draws, random_state: int) -> float:
    """Return the mutual information that is left when the items of one field are shuffled.

    Between fields that know nothing of each other it is far from 0 where there are few items a pair of
    values.
    """
    both = (np.diff(a.indptr) > 0) & (np.diff(b.indptr) > 0)
    kept = np.flatnonzero(both)
    generator = np.random.default_rng(check_seed("random_state", random_state))
    return pair_information(a[kept], b[generator.permutation(kept)])[0]


def _blocks(across: Draws, b: Draws) -> list[tuple[int, int]]:
    """Cut the values of the first field so that no block makes many more products than allowed."""
    lengths = np.diff(b.indptr)
    work = np.concatenate([[0], np.cumsum(lengths[across.indices], dtype=np.int64)])[across.indptr]
    # `work[v]`: products of all values before v.
    cuts = np.searchsorted(work, np.arange(0, work[-1], BLOCK_PRODUCTS), side="left")
    edges = np.unique(np.concatenate([cuts, [across.shape[0]]]))
    return [(int(start), int(stop)) for start, stop in pairwise(edges)]
