"""How many directions features use."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sparse_data.checks import check_finite, check_ndim, check_nonempty


def effective_rank(features: ArrayLike) -> float:
    r"""Return how many directions the features use.

    .. math:: \exp\Bigl(-\sum_i p_i \log p_i\Bigr), \qquad p_i = s_i / \textstyle\sum_j s_j

    Here s are the singular values of the matrix of features.

    Parameters
    ----------
    features : array of shape (n, D)

    Returns
    -------
    float
        Between 1 and min(n, D); 0 where all features are 0.

    Raises
    ------
    TypeError, ValueError
        If the matrix is empty or not finite.

    References
    ----------
    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007.

    Examples
    --------
    >>> effective_rank(np.eye(4))
    4.0
    """
    matrix = check_finite("features", check_nonempty("features", check_ndim("features", features, 2)))
    # Eigenvalues of the small Gram matrix cost less than singular values of many rows.
    small = matrix.astype(np.float64)
    gram = small.T @ small if small.shape[0] >= small.shape[1] else small @ small.T
    values = np.sqrt(np.linalg.eigvalsh(gram).clip(0))
    total = values.sum()
    if not total > 0:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
