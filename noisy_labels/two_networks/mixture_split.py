"""Who is labelled rightly, by a mixture of two Gaussians over the losses."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from sparse_data.checks import check_finite, check_ndim, check_nonempty


def clean_probability(losses: ArrayLike, *, random_state: int = 0) -> NDArray[np.float64]:
    r"""Return the probability that each label is right, by the losses of one network.

    .. math:: w_i = P(g = \arg\min_h \mu_h \mid \bar\ell_i), \qquad
              \bar\ell_i = \frac{\ell_i - \min \ell}{\max \ell - \min \ell}

    A mixture of two Gaussians is fitted by at most 10 steps of EM with a tolerance of 0.01, and 5e-4 is added
    to the variances.

    Parameters
    ----------
    losses : array of shape (n,)
        Cross-entropies of all training rows.
    random_state : int, default=0

    Returns
    -------
    float64 array of shape (n,)
        All 1 where there is nothing to tell rows apart by: equal losses.

    Raises
    ------
    TypeError, ValueError
        If there are no losses or one is not finite.

    References
    ----------
    Li, Socher and Hoi, "DivideMix: learning with noisy labels as semi-supervised learning", 2020,
    arXiv:2002.07394.

    Examples
    --------
    >>> clean_probability([0.1, 0.1, 0.2, 0.1, 3.0, 3.1]).round(2).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    values = check_finite("losses", check_nonempty("losses", check_ndim("losses", losses, 1)))
    values = values.astype(np.float64)
    spread = np.ptp(values)
    if not spread > 0:
        return np.ones(values.size)
    scaled = ((values - values.min()) / spread)[:, None]
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=random_state)
    with warnings.catch_warnings():
        # Ten steps are the method's, whether they converge or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        chances = mixture.fit(scaled).predict_proba(scaled)
    return np.asarray(chances[:, int(np.argmin(mixture.means_[:, 0]))])
