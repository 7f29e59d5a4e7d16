"""Confident thresholds and the confident joint of given and true labels, with its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning import confident_joint_kernels as kernels
from noisy_labels.confident_learning.joint_counting import COLLISIONS, Collisions, count_joint
from noisy_labels.confident_learning.predicted_probabilities import (
    read_labels_and_probabilities,
    summarize_rows,
)
from sparse_data import checks

LEAST_THRESHOLD = 2e-6  # of a class without trust in itself
NEVER_REACHED = 2.0  # threshold of a class without examples
_UNIT = 1 << 30
_MOST_LABELS = 2**53  # beyond which doubles leave numbers out


def confident_thresholds(
    labels: ArrayLike, pred_probs: ArrayLike, *, classes: Sequence[Any] | None = None
) -> NDArray[np.float64]:
    r"""Return the mean self-confidence of each class.

    .. math:: t_j = \frac{1}{|X_{\tilde y = j}|} \sum_{x \in X_{\tilde y = j}} \hat p(\tilde y = j; x)

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities.
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    float64 array of shape (n_classes,)
        A class without examples has the threshold 2, which no probability reaches.

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, equation 2.

    Examples
    --------
    >>> confident_thresholds([0, 0, 1], [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    array([0.7, 0.8])
    """
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, rows = summarize_rows(given, probabilities)
    return thresholds_of_sums(exact_sums(given, rows.own, probabilities.shape[1]))


def confident_joint(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    collisions: Collisions = "paper",
    thresholds: ArrayLike | None = None,
    classes: Sequence[Any] | None = None,
) -> NDArray[np.int64]:
    r"""Count the rows given as class i and confidently of class j.

    .. math:: C[i, j] = \Bigl|\Bigl\{x \in X_{\tilde y = i} : j =
        \operatorname*{arg\,max}_{l : \hat p(\tilde y = l; x) \ge t_l} \hat p(\tilde y = l; x)\Bigr\}\Bigr|

    Rows without a class above its threshold are not counted.

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities.
    collisions : {"paper", "cleanlab"}, default="paper"
        The class of a row with several above their thresholds: the most probable among those, or among all
        classes, as cleanlab has it.
    thresholds : array of shape (n_classes,), optional
        Defaults to `confident_thresholds`.
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    int64 array of shape (n_classes, n_classes)
        Row: given class, column: true class.

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, equation 1.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.95, 0.05]]
    >>> confident_joint([0, 0, 1, 1], pred_probs)
    array([[1, 1],
           [1, 1]])
    """
    checks.check_one_of("collisions", collisions, COLLISIONS)
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, rows = summarize_rows(given, probabilities)
    n_classes = probabilities.shape[1]
    if thresholds is None:
        cut = thresholds_of_sums(exact_sums(given, rows.own, n_classes))
    else:
        cut = read_thresholds(thresholds, n_classes)
    return count_joint(given, probabilities, rows, cut, collisions)[0]


def calibrate_confident_joint(joint: ArrayLike, label_counts: ArrayLike) -> NDArray[np.int64]:
    r"""Scale the confident joint to the counts of the given labels, in whole numbers.

    .. math:: \tilde C[i, j] = \frac{C[i, j]}{\sum_k C[i, k]} \, |X_{\tilde y = i}|

    The diagonal is at least 1 before scaling; rounding goes by largest remainder within a row.

    Parameters
    ----------
    joint : int array of shape (n_classes, n_classes)
    label_counts : int array of shape (n_classes,)
        Examples of each given label.

    Returns
    -------
    int64 array of shape (n_classes, n_classes)
        Its rows sum to `label_counts`.

    Raises
    ------
    ValueError
        If the shapes disagree or a count is negative.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, equation 3.

    Examples
    --------
    >>> calibrate_confident_joint([[6, 2], [1, 2]], [12, 3])
    array([[9, 3],
           [1, 2]])
    """
    counts, label_totals = read_joint(joint, label_counts)
    counts = np.array(counts, dtype=np.float64)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    counts /= counts.sum(axis=1, keepdims=True)
    counts *= label_totals[:, None]
    counts /= max(counts.sum(), 1)
    counts *= label_totals.sum()
    rounded: NDArray[np.int64] = np.rint(counts).astype(np.int64)
    missing = label_totals - rounded.sum(axis=1)
    counts -= rounded
    unsettled = np.empty(len(counts), dtype=np.int64)
    for row in unsettled[: kernels.round_to_totals(counts, missing, rounded, unsettled)]:
        # Shared places go as in a full sort.
        sign = int(np.sign(missing[row]))
        rounded[row, np.argsort(counts[row])[::-sign][: abs(missing[row])]] += sign
    return rounded


def read_joint(joint: ArrayLike, label_counts: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a square joint and the label counts that belong to it, or raise."""
    counts = checks.check_moderate("joint", checks.check_ndim("joint", joint, 2))
    checks.check_non_negative("joint", counts)
    totals = checks.check_ndim("label_counts", checks.check_integers("label_counts", label_counts), 1)
    checks.check_non_negative("label_counts", totals)
    if totals.sum(dtype=np.float64) > _MOST_LABELS:
        raise ValueError(
            f"`label_counts` must add up to at most {_MOST_LABELS}; got {totals.max()}. Count the rows."
        )
    if counts.shape != (len(totals), len(totals)):
        raise ValueError(
            f"`joint` must be of shape {(len(totals), len(totals))}; got {counts.shape}. Pass one count a "
            "class."
        )
    return counts, totals.astype(np.int64)


def read_thresholds(thresholds: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Return thresholds, one a class, or raise."""
    cut = checks.check_finite("thresholds", checks.check_ndim("thresholds", thresholds, 1))
    if len(cut) != n_classes:
        raise ValueError(f"`thresholds` must be {n_classes} numbers; got {len(cut)}. Pass one a class.")
    return cut.astype(np.float64)


def exact_sums(labels: NDArray[Any], own: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
    """Return count and exact sum of self-confidence of each class, in parts that add up in any order."""
    sums = np.zeros((n_classes, 3), dtype=np.int64)
    for start in range(0, len(labels), 1 << 18):
        part = slice(start, start + (1 << 18))
        kernels.add_exactly(labels[part].astype(np.int64, copy=False), own[part], sums)
    return sums


def thresholds_of_sums(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean self-confidence of each class from `exact_sums`."""
    means = [
        max((int(high) * _UNIT + int(low)) / (_UNIT * _UNIT * int(count)), LEAST_THRESHOLD)
        if count
        else NEVER_REACHED
        for count, high, low in sums
    ]
    return np.array(means, dtype=np.float64)
