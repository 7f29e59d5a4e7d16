"""How many labels are wrong, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import (
    calibrate_confident_joint,
    exact_sums,
    thresholds_of_sums,
)
from noisy_labels.confident_learning.joint_counting import COLLISIONS, SLACK, Collisions, count_joint
from noisy_labels.confident_learning.predicted_probabilities import (
    read_labels_and_probabilities,
    summarize_rows,
)
from noisy_labels.confident_learning.pruning_rules import agrees
from sparse_data import checks
from sparse_data.type_checks import check_seed

Estimator = Literal["off_diagonal", "off_diagonal_calibrated"]
_ESTIMATORS = ("off_diagonal", "off_diagonal_calibrated")


class IssueCount(NamedTuple):
    """Estimated number of wrong labels; `low` to `high` covers its sampling error."""

    estimate: int
    low: int
    high: int


def num_label_issues(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    estimator: Estimator = "off_diagonal_calibrated",
    conventions: Collisions = "paper",
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int | np.random.Generator | None = None,
    classes: Sequence[Any] | None = None,
) -> IssueCount:
    r"""Estimate the number of wrong labels from the confident joint.

    ``off_diagonal`` counts :math:`\sum_{i \ne j} C_{ij}`, which leaves out all rows of which nothing is
    confident; ``off_diagonal_calibrated`` scales that to all rows, :math:`\sum_{i \ne j} \tilde C_{ij}`. The
    interval is the percentile interval over resampled rows, with the thresholds held fixed: it knows the
    sampling error alone, not the errors of the model.

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities.
    estimator : {"off_diagonal_calibrated", "off_diagonal"}, default="off_diagonal_calibrated"
    conventions : {"paper", "cleanlab"}, default="paper"
        Under those of cleanlab, ``off_diagonal`` leaves out rows whose most probable class is the given one.
    confidence : float, default=0.95
    n_bootstrap : int, default=1000
    random_state : int or Generator, optional
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    IssueCount

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, section 3.1.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> num_label_issues([0, 0, 1, 1, 1], pred_probs, random_state=0).estimate
    1
    """
    checks.check_one_of("estimator", estimator, _ESTIMATORS)
    checks.check_one_of("conventions", conventions, COLLISIONS)
    checks.check_in_range("confidence", confidence, 0, 1, closed="neither")
    checks.check_count("n_bootstrap", n_bootstrap)
    generator = np.random.default_rng(check_seed("random_state", random_state))
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, rows = summarize_rows(given, probabilities)
    n_classes = probabilities.shape[1]
    thresholds = thresholds_of_sums(exact_sums(given, rows.own, n_classes))
    joint, off_diagonal = count_joint(given, probabilities, rows, thresholds, conventions)
    totals = np.bincount(given, minlength=n_classes)
    if estimator == "off_diagonal":
        if conventions == "cleanlab":
            found = np.flatnonzero(off_diagonal)
            off_diagonal[found[agrees(given, rows, found, SLACK)]] = False
        count = int(off_diagonal.sum())
        draws = generator.binomial(len(given), count / len(given), size=n_bootstrap).astype(np.float64)
    else:
        calibrated = calibrate_confident_joint(joint, totals)
        count = int(calibrated.sum() - calibrated.trace())
        draws = _calibrated_draws(joint, totals, n_bootstrap, generator)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return IssueCount(count, int(np.floor(low)), int(np.ceil(high)))


def _calibrated_draws(
    joint: NDArray[np.int64], totals: NDArray[np.int64], n_bootstrap: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the calibrated count in resampled rows, of which only three kinds a class matter.

    A row of a class is counted on the diagonal, off it, or not at all: resampling rows is a multinomial draw
    of the class sizes, and within a class of these three.
    """
    diagonal = joint.diagonal()
    kinds = np.column_stack([diagonal, joint.sum(axis=1) - diagonal, totals - joint.sum(axis=1)])
    draws = generator.multinomial(totals.sum(), kinds.ravel() / totals.sum(), size=n_bootstrap)
    on, off, uncounted = np.moveaxis(draws.reshape(n_bootstrap, -1, 3), -1, 0)
    share = off / (np.maximum(on, 1) + off)
    return np.asarray((share * (on + off + uncounted)).sum(axis=1), dtype=np.float64)
