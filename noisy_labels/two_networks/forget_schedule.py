"""Which share of a batch co-teaching leaves out, epoch by epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_count, check_in_range


def forget_schedule(
    n_epochs: int, rate: float, *, n_gradual: int = 10, exponent: float = 1.0
) -> NDArray[np.float64]:
    r"""Return the share of large losses to leave out in each epoch.

    .. math:: 1 - R(T) = \min\Bigl(\frac{T}{T_k} \tau^c, \tau\Bigr), \qquad T = 0, 1, \dots

    Networks learn what is regular first and single wrong labels later, so that little has to be forgotten at
    the start.  With :math:`T_k = 0` the share is constant, as for networks that are trained already.

    Parameters
    ----------
    n_epochs : int
    rate : float
        τ, the share of wrong labels, in [0, 1).
    n_gradual : int, default=10
        :math:`T_k`, at least 0.
    exponent : float, default=1.0
        c, above 0.

    Returns
    -------
    float64 array of shape (n_epochs,)

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range.

    References
    ----------
    Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels", 2018,
    arXiv:1804.06872.

    Examples
    --------
    >>> forget_schedule(5, 0.5, n_gradual=2).tolist()
    [0.0, 0.25, 0.5, 0.5, 0.5]
    """
    check_count("n_epochs", n_epochs, 0)
    check_count("n_gradual", n_gradual, 0)
    check_in_range("rate", rate, 0, 1, closed="left")
    check_in_range("exponent", exponent, 0, closed="neither")
    if n_gradual == 0:
        return np.full(n_epochs, float(rate))
    return np.asarray(np.minimum(np.arange(n_epochs) / n_gradual * rate**exponent, rate))
