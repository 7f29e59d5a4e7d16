"""Dual T: the transition matrix through an intermediate class (Yao et al., 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.transitions.anchor_points import transition_anchor_points
from sparse_data.checks import check_ids_in_range, check_ndim, check_same_length


def transition_dual_t(
    labels: ArrayLike, pred_probs: ArrayLike, *, quantile: float = 1.0
) -> NDArray[np.float64]:
    r"""Estimate the transition matrix as a product of two that are easier to estimate.

    .. math:: \hat T = T^\clubsuit T^\spadesuit, \qquad
              T^\clubsuit_{il} = \hat p(y' = l \mid \bar x^i), \qquad
              T^\spadesuit_{lj} = \frac{|\{n : y'_n = l, \tilde y_n = j\}|}{|\{n : y'_n = l\}|}

    where :math:`y'_n` is the class that the model predicts and :math:`\bar x^i` the anchor point of class i.
    A class that is never predicted keeps its label.

    Parameters
    ----------
    labels : int array of shape (n,)
        Noisy classes 0, ..., n_classes - 1: the column of `pred_probs`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities of a model that was trained on the noisy labels.
    quantile : float, default=1.0
        As in `transition_anchor_points`.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError
        For labels that are no columns of `pred_probs`, or as `transition_anchor_points`.

    References
    ----------
    Yao et al., "Dual T: reducing estimation error for transition matrix in label-noise learning", 2020,
    arXiv:2006.07805.

    Examples
    --------
    >>> transition_dual_t([0, 1, 1, 1], [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.8]]).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    anchors = transition_anchor_points(pred_probs, quantile=quantile)
    n_classes = len(anchors)
    codes = check_ids_in_range("labels", check_ndim("labels", labels, 1), n_classes)
    check_same_length(labels=codes, pred_probs=pred_probs)
    predicted = np.asarray(pred_probs).argmax(axis=1)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (predicted, codes), 1.0)
    totals = counts.sum(axis=1, keepdims=True)
    observed = np.where(totals > 0, counts / np.maximum(totals, 1.0), np.eye(n_classes))
    return np.asarray(anchors @ observed)
