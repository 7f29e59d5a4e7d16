"""Transition matrix from anchor points (Patrini et al., 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_finite, check_in_range, check_ndim, check_non_negative, check_nonempty


def transition_anchor_points(pred_probs: ArrayLike, *, quantile: float = 1.0) -> NDArray[np.float64]:
    r"""Read each row of the transition matrix off the most certain example of its class.

    .. math:: \bar x^i = \arg\max_x \hat p(\tilde y = i \mid x), \qquad
              \hat T_{ij} = \hat p(\tilde y = j \mid \bar x^i)

    Parameters
    ----------
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities of a model that was trained on the noisy labels.
    quantile : float, default=1.0
        In (0, 1]; 1 takes the largest probability, .97 the example at that quantile, which guards against
        outliers where there are many examples a class.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError
        For probabilities that are empty, negative, NaN or not in two dimensions.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, "Making deep neural networks robust to label noise: a loss correction
    approach", 2017, arXiv:1609.03683.

    Examples
    --------
    >>> transition_anchor_points([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]).tolist()
    [[0.9, 0.1], [0.2, 0.8]]
    """
    check_in_range("quantile", quantile, 0, 1, closed="right")
    checked = check_finite(
        "pred_probs", check_nonempty("pred_probs", check_ndim("pred_probs", pred_probs, 2))
    )
    probabilities = check_non_negative("pred_probs", checked).astype(np.float64)
    rank = int(np.ceil(quantile * len(probabilities))) - 1
    anchors = np.argsort(probabilities, axis=0, kind="stable")[rank]
    rows = probabilities[anchors]
    if not rows.any(axis=1).all():
        raise ValueError("`pred_probs` must be above 0 in each column; got zeros. Leave the class out.")
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))
