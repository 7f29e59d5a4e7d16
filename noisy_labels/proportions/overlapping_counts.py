"""Counts of bags that overlap: two tables of the same rows, or bags within bags."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray

from noisy_labels.proportions.bag_membership import BagMembership, read_membership
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import CountPotential
from noisy_labels.proportions.loopy_propagation import belief_propagation
from sparse_data import Bags
from sparse_data.checks import check_finite, check_ndim
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]


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
    >>> from scipy.sparse import csr_array
    >>> from noisy_labels.proportions.count_potentials import ExactCount
    >>> rows_and_columns = csr_array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    >>> given = ExactCount([1, 1, 2, 0])
    >>> overlapping_count_posterior(np.zeros(4), rows_and_columns, given).round(3)
    array([1., 0., 1., 0.])
    """
    r = check_ndim("logits", check_finite("logits", logits), 1).astype(np.float64)
    check_type("potential", potential, CountPotential, "Pass ExactCount or the like.")
    index = BagMembership(read_membership(membership, r.size), r.size)
    factor = count_factor(index, potential, r.size)
    return belief_propagation(r, factor=factor, max_iter=max_iter, tol=tol, damping=damping).probabilities
