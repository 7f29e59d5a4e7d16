"""Thresholds, the confident joint and every quality score of labels, in one reading of the probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import exact_sums, thresholds_of_sums
from noisy_labels.confident_learning.joint_counting import COLLISIONS, Collisions, count_contest
from noisy_labels.confident_learning.predicted_probabilities import (
    contest_rows,
    read_labels_and_probabilities,
)
from noisy_labels.confident_learning.quality_scores import quality_of_contest
from sparse_data import checks


class LabelScores(NamedTuple):
    """What `score_labels` returns.

    Attributes
    ----------
    thresholds : float64 array of shape (n_classes,)
        See `confident_thresholds`.
    joint : int64 array of shape (n_classes, n_classes)
        See `confident_joint`.
    self_confidence, normalized_margin, confidence_weighted_entropy : float arrays of shape (n,)
        See `label_quality`.
    """

    thresholds: NDArray[np.float64]
    joint: NDArray[np.int64]
    self_confidence: NDArray[Any]
    normalized_margin: NDArray[Any]
    confidence_weighted_entropy: NDArray[Any]


def score_labels(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    collisions: Collisions = "paper",
    classes: Sequence[Any] | None = None,
) -> LabelScores:
    r"""Return the confident joint and all three quality scores.

    The numbers are those of `confident_thresholds`, `confident_joint` and `label_quality`, for the price of
    one: probabilities are read once, and rows that are not confidently what they are given as, a second time.
    In float32 12 bytes a row are kept, which are the scores.

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities; a memory map will do.
    collisions : {"paper", "cleanlab"}, default="paper"
        See `confident_joint`.
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    LabelScores

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068; Kuan, Mueller (2022), "Model-agnostic label quality
    scoring to detect real-world label errors".

    Examples
    --------
    >>> scored = score_labels([0, 0, 1, 1], [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0.875, 0.125]])
    >>> scored.joint
    array([[1, 1],
           [1, 1]])
    >>> scored.normalized_margin
    array([0.75 , 0.5  , 0.75 , 0.125])
    """
    checks.check_one_of("collisions", collisions, COLLISIONS)
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    return read_scores(given, probabilities, collisions)[1]


def read_scores(
    labels: NDArray[Any], pred_probs: NDArray[Any], collisions: Collisions
) -> tuple[NDArray[Any], LabelScores]:
    """Return the matrix, renormalised if it had to be, and the scores of labels that are columns of it."""
    pred_probs, contest = contest_rows(labels, pred_probs, entropy=True)
    n_classes = pred_probs.shape[1]
    thresholds = thresholds_of_sums(exact_sums(labels, contest.own, n_classes))
    joint = count_contest(labels, pred_probs, contest, thresholds, collisions)
    # After counting: scores are written over the rivals and the entropy.
    return pred_probs, LabelScores(
        thresholds,
        joint,
        quality_of_contest(contest, "self_confidence", n_classes),
        quality_of_contest(contest, "normalized_margin", n_classes),
        quality_of_contest(contest, "confidence_weighted_entropy", n_classes),
    )
