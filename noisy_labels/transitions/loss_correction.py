"""Forward and backward correction of a loss for known label noise (Patrini et al., 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.transitions.noise_matrices import check_transition_matrix
from sparse_data.checks import check_finite, check_in_range, check_ndim

# Beyond this condition number the inverse turns rounding into losses of any sign and size.
LARGEST_CONDITION = 1e8


def forward_probabilities(pred_probs: ArrayLike, transition: ArrayLike) -> NDArray[np.float64]:
    r"""Return the probabilities of the noisy labels that follow from those of the true classes.

    .. math:: p(\tilde y = j \mid x) = \sum_i p(y = i \mid x) \, T_{ij}

    A model whose forward probabilities are fitted to noisy labels has the clean classifier as its optimum.

    Parameters
    ----------
    pred_probs : array of shape (n, n_classes)
        Of the true classes.
    transition : array of shape (n_classes, n_classes)

    Returns
    -------
    float array of shape (n, n_classes)

    Raises
    ------
    TypeError, ValueError
        If the rows of `transition` are no distributions or the numbers of classes differ.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, "Making deep neural networks robust to label noise: a loss correction
    approach", 2017, arXiv:1609.03683.

    Examples
    --------
    >>> forward_probabilities([[1.0, 0.0], [0.5, 0.5]], [[0.75, 0.25], [0.0, 1.0]]).tolist()
    [[0.75, 0.25], [0.375, 0.625]]
    """
    matrix = check_transition_matrix("transition", transition)
    probabilities = check_finite("pred_probs", check_ndim("pred_probs", pred_probs, 2))
    if probabilities.shape[1] != len(matrix):
        raise ValueError(
            f"`pred_probs` must have {len(matrix)} columns, as `transition` has; got "
            f"{probabilities.shape[1]}. Pass one column a class."
        )
    return np.asarray(probabilities @ matrix)


def backward_matrix(transition: ArrayLike, *, identity_weight: float = 0.0) -> NDArray[np.float64]:
    r"""Return the matrix that makes the expected loss on noisy labels that on clean ones.

    .. math:: \ell^\leftarrow(x) = T^{-1} \ell(x), \qquad
              \mathbb E_{\tilde y \mid y = i} \, \ell^\leftarrow_{\tilde y} = \ell_i

    With the losses of all classes in rows, shape (n, n_classes), the corrected ones are
    ``losses @ backward_matrix(transition).T``.  They may be negative.

    Parameters
    ----------
    transition : array of shape (n_classes, n_classes)
    identity_weight : float, default=0.0
        w in [0, 1): inverts (1 - w) T + w I, which trades bias for smaller corrections.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    ValueError
        If the matrix cannot be inverted: two true classes then look alike.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, "Making deep neural networks robust to label noise: a loss correction
    approach", 2017, arXiv:1609.03683.

    Examples
    --------
    >>> backward_matrix([[0.75, 0.25], [0.25, 0.75]]).round(2).tolist()
    [[1.5, -0.5], [-0.5, 1.5]]
    """
    matrix = check_transition_matrix("transition", transition)
    check_in_range("identity_weight", identity_weight, 0, 1, closed="left")
    mixed = (1 - identity_weight) * matrix + identity_weight * np.eye(len(matrix))
    condition = float(np.linalg.cond(mixed))
    if not condition < LARGEST_CONDITION:
        raise ValueError(
            f"`transition` must have an inverse; got condition number {condition:.3g}. Use "
            "`forward_probabilities`, which needs none, or raise `identity_weight`."
        )
    return np.asarray(np.linalg.inv(mixed))
