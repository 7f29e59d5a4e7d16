"""Whether an epoch is as good as the best one, as far as few held-out rows can tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sparse_data.checks import check_ndim, check_nonempty, check_same_length


def level_with_best(right: ArrayLike, right_of_best: ArrayLike) -> bool:
    r"""Return whether the best epoch leads by at most one standard error.

    .. math:: n_{10} - n_{01} \le \sqrt{n_{10} + n_{01}}

    :math:`n_{10}` rows only the best epoch classes right, :math:`n_{01}` only the other one.  Rows on which
    both are right, or both wrong, say nothing about which is better.  The best of many epochs on few rows is
    in part the luckiest one.

    Parameters
    ----------
    right, right_of_best : bool arrays of shape (n,)
        Which held-out rows each epoch classes right.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If there are no rows, or not the same number.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984, for the rule of one
    standard error.  McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", 1947, for the error.

    Examples
    --------
    >>> level_with_best([True, False, False], [True, True, False])
    True
    >>> level_with_best([False, False, False], [True, True, False])
    False
    """
    one = check_nonempty("right", check_ndim("right", right, 1)).astype(bool)
    best = check_ndim("right_of_best", right_of_best, 1).astype(bool)
    check_same_length(right=one, right_of_best=best)
    lead = int(best.sum()) - int(one.sum())
    return bool(lead <= np.sqrt(np.count_nonzero(one != best)))
