"""Counts of bags that overlap: two tables of the same rows, or bags within bags."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse, sparray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from noisy_labels.proportions.count_messages import member_messages
from noisy_labels.proportions.count_potentials import CountPotential
from sparse_data import Bags
from sparse_data.checks import check_count, check_finite, check_in_range, check_ndim
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]

_CERTAIN = 30.0  # log odds that a message of certainty has left against everything else


def read_membership(membership: sparray | Bags, n_rows: int) -> Bags:
    """Return the row numbers of each bag; a row may be in several bags or in none.

    Parameters
    ----------
    membership : sparse matrix of shape (n_bags, n_rows) or Bags
        Anything but zero joins a row to a bag; or the row numbers of each bag.
    n_rows : int

    Returns
    -------
    Bags

    Raises
    ------
    ValueError
        If the shape differs, a bag is empty or holds a row twice, or numbers are out of range.

    Examples
    --------
    >>> read_membership(csr_array([[1, 1, 0], [0, 1, 1]]), 3)
    Bags(n_bags=2, n_values=4, dtype=<i8): [0 1], [1 2]
    """
    if isinstance(membership, Bags):
        number = membership.segment_ids
        outside = (membership.values < 0) | (membership.values >= n_rows)
        if outside.any():
            raise ValueError(
                f"`membership` must hold row numbers below {n_rows}; got {membership.values[outside][0]}."
            )
        matrix = csr_array(
            (np.ones(number.size), (number, membership.values)), shape=(len(membership), n_rows)
        )
        if matrix.nnz < number.size:
            raise ValueError("`membership` must hold a row once in a bag; got one twice. Drop repeats.")
    elif issparse(membership) and membership.shape[1] == n_rows:
        matrix = csr_array(membership, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    else:
        got = membership.shape if issparse(membership) else type(membership).__name__
        raise ValueError(f"`membership` must be a sparse matrix of shape (n_bags, {n_rows}); got {got}.")
    empty = np.diff(matrix.indptr) == 0
    if empty.any():
        raise ValueError(f"`membership` must give each bag rows; got none in bag {empty.argmax()}. Drop it.")
    return Bags(matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))


def overlapping_count_posterior(
    logits: ArrayLike,
    membership: sparray | Bags,
    potential: CountPotential,
    *,
    max_iter: int = 200,
    tol: float = 1e-6,
    damping: float = 0.3,
) -> Floats:
    r"""Return P(y = 1) of each row given the logits and the counts of all bags it is in.

    .. math:: P(y) \propto \prod_i e^{r_i y_i} \prod_b \phi_b\Big(\sum_{i \in b} y_i\Big), \qquad
              b_i = r_i + \sum_{b \ni i} \mu_{b \to i}

    by belief propagation: a bag sends the exact message of its count, given what all other bags tell its
    members.  Exact where bags and rows make a tree (two bags share at most one row, without cycles), near it
    where bags are large.

    Parameters
    ----------
    logits : array_like of shape (n_rows,)
        r, finite.
    membership : sparse matrix of shape (n_bags, n_rows) or Bags
        Rows of each bag.  Two tables of the same rows are stacked; rows in no bag keep their logits.
    potential : CountPotential
        For the bags in order.
    max_iter : int, default=200
    tol : float, default=1e-6
        Stop when no message changes by more, in log odds.
    damping : float, default=0.3
        Weight of the old message, in [0, 1).

    Returns
    -------
    float array of shape (n_rows,)

    Raises
    ------
    ValueError
        For logits that are not finite, or bags and potential that do not fit.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` passes do not reach `tol`: counts that contradict each other, as a rule.

    Examples
    --------
    >>> from noisy_labels.proportions.count_potentials import ExactCount
    >>> rows_and_columns = csr_array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    >>> given = ExactCount([1, 1, 2, 0])
    >>> overlapping_count_posterior(np.zeros(4), rows_and_columns, given).round(3)
    array([1., 0., 1., 0.])
    """
    r = check_ndim("logits", check_finite("logits", logits), 1).astype(np.float64)
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    check_in_range("damping", damping, 0, 1, closed="left")
    rows = read_membership(membership, r.size)
    check_type("potential", potential, CountPotential, "Pass ExactCount or the like.")
    table = potential.log_values(rows.lengths)
    largest = _CERTAIN + np.abs(r).max(initial=0)
    messages, total = np.zeros(rows.values.size), r
    change = np.inf
    for iteration in range(max_iter):
        told = member_messages(total[rows.values] - messages, rows.offsets, table)[0]
        told = np.clip(told, -largest, largest)
        if iteration:
            told = damping * messages + (1 - damping) * told
        change, messages = float(np.abs(told - messages).max(initial=0)), told
        total = r + np.bincount(rows.values, messages, r.size)
        if change <= tol:
            break
    else:
        warnings.warn(
            f"Counts of overlapping bags did not settle in {max_iter} passes: messages still change by "
            f"{change:.2g}. Look for counts that contradict each other, or soften them.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return np.asarray(expit(total))
