"""Wrong labels where an example may have several classes or none: each class against all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.joint_counting import Collisions
from noisy_labels.confident_learning.label_issues import Method, find_label_issues
from noisy_labels.confident_learning.quality_scores import Score, label_quality
from sparse_data import checks


def find_multilabel_issues(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    method: Method = "auto",
    conventions: Collisions = "paper",
    min_examples_per_class: int = 1,
) -> NDArray[np.bool_]:
    r"""Say for each example and class whether its mark is likely wrong.

    Class k alone is a problem of two classes with the probabilities :math:`(1 - \hat p_k, \hat p_k)`, to
    which `find_label_issues` is applied.  An example is an issue if one of its marks is:
    ``find_multilabel_issues(...).any(axis=1)``.

    Parameters
    ----------
    labels : array of shape (n, n_classes)
        1 where the example has the class, else 0.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities that the example has the class; their rows need not sum to 1.
    method, conventions, min_examples_per_class
        See `find_label_issues`.

    Returns
    -------
    bool array of shape (n, n_classes)

    Raises
    ------
    TypeError, ValueError
        If labels are not 0 and 1, probabilities lie outside [0, 1], or shapes differ.

    References
    ----------
    Thyagarajan, Snorrason, Northcutt, Mueller (2023), "Identifying incorrect annotations in multi-label
    classification data", arXiv:2211.13895.

    Examples
    --------
    >>> labels = [[1, 0], [1, 1], [0, 1], [1, 0], [0, 0]]
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.9], [0.1, 0.9], [0.1, 0.2], [0.2, 0.1]]
    >>> find_multilabel_issues(labels, pred_probs, method="confusion").tolist()[3]
    [True, False]
    """
    marks, probabilities = _read(labels, pred_probs)
    found = np.empty(marks.shape, dtype=np.bool_)
    for column in range(marks.shape[1]):
        found[:, column] = find_label_issues(
            marks[:, column],
            _against_rest(probabilities[:, column]),
            method=method,
            conventions=conventions,
            min_examples_per_class=min_examples_per_class,
        )
    return found


def multilabel_quality(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    score: Score = "self_confidence",
    alpha: float = 0.8,
) -> NDArray[np.float64]:
    r"""Score each example between 0 (some mark of it is likely wrong) and 1.

    The scores of its classes, each against the rest and sorted :math:`s_1 \ge \dots \ge s_K`, are averaged
    so that the worst weigh the most:

    .. math:: e_1 = s_1, \qquad e_t = \alpha s_t + (1 - \alpha) e_{t-1}, \qquad q = e_K

    Parameters
    ----------
    labels : array of shape (n, n_classes)
        1 where the example has the class, else 0.
    pred_probs : array of shape (n, n_classes)
    score : str, default="self_confidence"
        See `label_quality`.
    alpha : float, default=0.8
        In [0, 1]; 1 takes the worst class alone.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    TypeError, ValueError
        As `find_multilabel_issues`, or for an `alpha` out of range.

    References
    ----------
    Thyagarajan, Snorrason, Northcutt, Mueller (2023), arXiv:2211.13895, section 3.

    Examples
    --------
    >>> multilabel_quality([[1, 0]], [[0.75, 0.5]], alpha=0.5).tolist()
    [0.625]
    """
    checks.check_in_range("alpha", alpha, 0, 1)
    marks, probabilities = _read(labels, pred_probs)
    scores = np.column_stack(
        [
            label_quality(marks[:, column], _against_rest(probabilities[:, column]), score=score)
            for column in range(marks.shape[1])
        ]
    ).astype(np.float64)
    scores = -np.sort(-scores, axis=1)
    average = scores[:, 0]
    for column in range(1, scores.shape[1]):
        average = alpha * scores[:, column] + (1 - alpha) * average
    return average


def _read(labels: ArrayLike, pred_probs: ArrayLike) -> tuple[NDArray[np.int64], NDArray[Any]]:
    marks = checks.check_nonempty(
        "labels", checks.check_ndim("labels", labels, 2, "Pass one column a class.")
    )
    if marks.dtype.kind not in "biu" or marks.min() < 0 or marks.max() > 1:
        reach = f" from {marks.min()} to {marks.max()}" if marks.dtype.kind in "biu" else ""
        raise ValueError(
            f"`labels` must be 0 and 1, a column a class; got dtype {marks.dtype}{reach}. "
            "Use sklearn.preprocessing.MultiLabelBinarizer."
        )
    probabilities = checks.check_finite("pred_probs", checks.check_ndim("pred_probs", pred_probs, 2))
    if probabilities.shape != marks.shape:
        raise ValueError(
            f"`pred_probs` must be of the shape of `labels`, {marks.shape}; got {probabilities.shape}. Pass "
            "one probability a class."
        )
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(
            f"`pred_probs` must be in [0, 1]; got {probabilities.min():.6g} to {probabilities.max():.6g}. "
            "Apply a sigmoid to logits."
        )
    return marks.astype(np.int64), probabilities


def _against_rest(own: NDArray[Any]) -> NDArray[Any]:
    """Return the probabilities of not having the class and of having it."""
    return np.column_stack([1 - own, own])
