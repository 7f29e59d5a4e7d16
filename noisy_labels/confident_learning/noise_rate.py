"""How many labels are wrong, by confident learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from noisy_labels.confident_learning.confident_counts import calibrate_confident_joint, confident_joint
from sparse_data.checks import check_array


def confident_noise_rate(labels: ArrayLike, pred_probs: ArrayLike) -> float:
    r"""Return the estimated share of wrong labels.

    .. math:: \hat\tau = 1 - \frac{\sum_i \tilde C_{ii}}{\sum_{ij} \tilde C_{ij}}

    Here C is the confident joint, calibrated to the counts of the given labels.

    Parameters
    ----------
    labels : int array of shape (n,)
        Given labels, columns of `pred_probs`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities.

    Returns
    -------
    float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021,
    arXiv:1911.00068.

    Examples
    --------
    >>> confident_noise_rate([0, 0, 1, 1], [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.95, 0.05]])
    0.25
    """
    codes = check_array("labels", labels)
    joint = confident_joint(codes, pred_probs)
    counts = calibrate_confident_joint(joint, np.bincount(codes, minlength=len(joint)))
    return float(1 - np.trace(counts) / counts.sum())
