"""What the confident joint says of the noise: transition frequencies, their inverse and the class prior."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import read_joint
from sparse_data import checks
from sparse_data.type_checks import check_flag

Prior = Literal["cnt", "eqn", "marginal", "marginal_ps"]
_PRIORS = ("cnt", "eqn", "marginal", "marginal_ps")
_LEAST_PRIOR, _MOST_NOISE = 1e-6, 0.9999
_OUTER, _INNER = 3, 5  # alternations of `converge`


class LatentNoise(NamedTuple):
    """Estimates of the noise process.

    Attributes
    ----------
    prior : float64 array of shape (n_classes,)
        P(y = j).
    transition : float64 array of shape (n_classes, n_classes)
        T[i, j] = P(given j | true i); rows sum to 1. cleanlab's ``noise_matrix`` is its transpose.
    inverse : float64 array of shape (n_classes, n_classes)
        P(true j | given i); rows sum to 1. cleanlab's ``inverse_noise_matrix`` is its transpose.
    """

    prior: NDArray[np.float64]
    transition: NDArray[np.float64]
    inverse: NDArray[np.float64]


def estimate_latent_noise(
    joint: ArrayLike, label_counts: ArrayLike, *, prior: Prior = "cnt", converge: bool = False
) -> LatentNoise:
    r"""Estimate class prior, transition matrix and its inverse from a confident joint.

    .. math:: P(\tilde y = j \mid y = i) = \frac{C_{ji}}{\sum_k C_{ki}}, \qquad
              P(y = j \mid \tilde y = i) = \frac{C_{ij}}{\sum_k C_{ik}}

    With :math:`P(\tilde y)` from the label counts, the prior of class k is

    ===============  ========================================================================
    prior            formula
    ===============  ========================================================================
    ``cnt``          :math:`P(y{=}k \mid \tilde y{=}k) P(\tilde y{=}k) / P(\tilde y{=}k \mid y{=}k)`
    ``eqn``          the solution of :math:`T^\top P(y) = P(\tilde y)`
    ``marginal``     :math:`\sum_i C_{ik} / \sum C`
    ``marginal_ps``  :math:`\sum_i P(y{=}k \mid \tilde y{=}i) P(\tilde y{=}i)`
    ===============  ========================================================================

    raised to 1e-6 at least and divided by its sum.

    Parameters
    ----------
    joint : array of shape (n_classes, n_classes)
        Confident joint, calibrated or not; row: given class.
    label_counts : int array of shape (n_classes,)
        Examples of each given label.
    prior : {"cnt", "eqn", "marginal", "marginal_ps"}, default="cnt"
    converge : bool, default=False
        Alternate between the three until they agree better: Bayes' rule each from the two others.

    Returns
    -------
    LatentNoise

    Raises
    ------
    ValueError
        If the shapes disagree, there are no labels, or a class has no confident example.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, section 3.

    Examples
    --------
    >>> estimate_latent_noise([[30, 10], [10, 50]], [40, 60]).transition.round(3)
    array([[0.75 , 0.25 ],
           [0.167, 0.833]])
    """
    checks.check_one_of("prior", prior, _PRIORS)
    check_flag("converge", converge)
    counts, totals = read_joint(joint, label_counts)
    if not (counts.sum(axis=0) > 0).all() or not (counts.sum(axis=1) > 0).all():
        raise ValueError(
            "`joint` must have a count in each row and column; got an empty one. "
            "Calibrate it, or drop the class without examples."
        )
    checks.check_in_range("sum of label_counts", int(totals.sum()), low=1)
    given_share = totals / totals.sum()
    transition = _without_excess(counts.T / counts.sum(axis=0)[:, None])
    inverse = _without_excess(counts / counts.sum(axis=1)[:, None])
    share = _prior(prior, counts, given_share, transition, inverse)
    if converge:
        for _ in range(_OUTER):
            for _ in range(_INNER):
                inverse = _bayes(transition, share)
                share = _prior("cnt", counts, given_share, transition, inverse)
            transition = _bayes(inverse, given_share)
    return LatentNoise(share, transition, inverse)


def _prior(
    method: str,
    counts: NDArray[np.float64],
    given_share: NDArray[np.float64],
    transition: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    if method == "cnt":
        share = inverse.diagonal() / transition.diagonal().clip(_LEAST_PRIOR) * given_share
    elif method == "eqn":
        share = np.linalg.solve(transition.T, given_share)
    elif method == "marginal":
        share = counts.sum(axis=0) / counts.sum()
    else:
        share = given_share @ inverse
    share = share.clip(_LEAST_PRIOR)
    return np.asarray(share / share.sum(), dtype=np.float64)


def _bayes(conditional: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(row | column), transposed, from P(column | row) and P(row)."""
    reverse = (conditional * share[:, None]).T
    return _without_excess(reverse / reverse.sum(axis=1, keepdims=True).clip(_LEAST_PRIOR))


def _without_excess(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix with noise below 1, divided by the sums of its rows."""
    diagonal = matrix.diagonal().clip(_LEAST_PRIOR, 1)
    clipped = matrix.clip(0, _MOST_NOISE)
    np.fill_diagonal(clipped, diagonal)
    return np.asarray(clipped / clipped.sum(axis=1, keepdims=True), dtype=np.float64)
