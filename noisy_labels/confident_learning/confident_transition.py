"""The transition matrix that confident learning estimates (Northcutt et al., 2021)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import calibrate_confident_joint, confident_joint
from noisy_labels.confident_learning.joint_counting import Collisions
from sparse_data.checks import check_ids_in_range, check_ndim


def transition_confident_learning(
    labels: ArrayLike, pred_probs: ArrayLike, *, collisions: Collisions = "paper"
) -> NDArray[np.float64]:
    r"""Normalise the calibrated confident joint over the observed classes.

    .. math:: \hat T_{ij} = \frac{\tilde C[j, i]}{\sum_k \tilde C[k, i]}

    with the joint of given (row) and true (column) classes.  A class that no row is confidently of keeps
    its label.

    Parameters
    ----------
    labels : int array of shape (n,)
        Noisy classes 0, ..., n_classes - 1.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities of a model that was trained on the noisy labels.
    collisions : {"paper", "cleanlab"}, default="paper"
        As in `confident_joint`.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError
        As `confident_joint`.

    References
    ----------
    Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021,
    arXiv:1911.00068.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]]
    >>> transition_confident_learning([0, 0, 1, 1, 1], pred_probs).round(2).tolist()
    [[0.67, 0.33], [0.0, 1.0]]
    """
    joint = confident_joint(labels, pred_probs, collisions=collisions)
    n_classes = len(joint)
    codes = check_ids_in_range("labels", check_ndim("labels", labels, 1), n_classes)
    by_true = calibrate_confident_joint(joint, np.bincount(codes, minlength=n_classes)).T.astype(np.float64)
    totals = by_true.sum(axis=1, keepdims=True)
    return np.where(totals > 0, by_true / np.maximum(totals, 1.0), np.eye(n_classes))
