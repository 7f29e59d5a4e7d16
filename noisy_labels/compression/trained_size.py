"""How many features nested dropout has trained, where no held-out rows say how many are best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sparse_data.checks import check_finite, check_in_range, check_ndim, check_non_negative, check_nonempty


def trained_size(probabilities: ArrayLike, *, share: float = 0.95) -> int:
    r"""Return the smallest number of features that is not exceeded in a share of the draws.

    .. math:: k_{.95} = \min \Bigl\{ k : \sum_{i \le k} P(i) \ge .95 \Bigr\}

    Features behind it were masked in all but a few batches and are close to their random start: all D of them
    are not what was trained.  For a half Gaussian this is about :math:`1.4 \, \sigma`.

    Parameters
    ----------
    probabilities : array of shape (D,)
        P of 1, 2, ..., D features, see
        :func:`~noisy_labels.compression.nested_dropout.prefix_probabilities`.
    share : float, default=0.95
        Above 0 and at most 1.

    Returns
    -------
    int
        In 1..D.

    Raises
    ------
    TypeError, ValueError
        If there are no probabilities, they do not sum to 1, or the share is out of its range.

    Examples
    --------
    >>> from noisy_labels.compression.nested_dropout import prefix_probabilities
    >>> trained_size(prefix_probabilities(512, 10.0))
    14
    """
    chances = check_nonempty("probabilities", check_ndim("probabilities", probabilities, 1))
    check_non_negative("probabilities", check_finite("probabilities", chances))
    check_in_range("share", share, 0, 1, closed="right")
    if not np.isclose(chances.sum(), 1):
        raise ValueError(
            f"`probabilities` must sum to 1; got {float(chances.sum()):g}. Divide the weights by their sum."
        )
    # Sums of many small numbers may end a little below 1.
    levels = np.cumsum(chances)
    return int(np.searchsorted(levels, share * levels[-1] * (1 - 1e-12))) + 1
