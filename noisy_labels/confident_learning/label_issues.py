"""Find the examples whose given label is likely wrong, from out-of-sample predicted probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning import pruning_rules
from noisy_labels.confident_learning.confident_counts import (
    calibrate_confident_joint,
    exact_sums,
    thresholds_of_sums,
)
from noisy_labels.confident_learning.issue_cut_off import IssueCutOff, extend_pruning
from noisy_labels.confident_learning.joint_counting import COLLISIONS, SLACK, Collisions, count_joint
from noisy_labels.confident_learning.predicted_probabilities import (
    RowSummary,
    contest_rows,
    read_labels_and_probabilities,
    summarize_rows,
)
from noisy_labels.confident_learning.quality_scores import Score, quality_of_contest
from sparse_data import checks

Rule = Literal[
    "confusion",
    "confident_joint",
    "prune_by_class",
    "prune_by_noise_rate",
    "both",
    "low_self_confidence",
    "low_normalized_margin",
]
Method = Literal["auto", "cleanlab"] | Rule
_METHODS = (
    "auto",
    "cleanlab",
    "confusion",
    "confident_joint",
    "prune_by_class",
    "prune_by_noise_rate",
    "both",
    "low_self_confidence",
    "low_normalized_margin",
)


def find_label_issues(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    method: Method = "auto",
    conventions: Collisions = "paper",
    min_examples_per_class: int = 1,
    classes: Sequence[Any] | None = None,
) -> NDArray[np.bool_]:
    r"""Say which labels are likely wrong.

    ========================  ==============================================================================
    method                    rows flagged
    ========================  ==============================================================================
    ``auto``                  those of ``cleanlab`` and the errors it misses; see `choose_method`
    ``cleanlab``              cleanlab's default: ``prune_by_noise_rate`` under its conventions
    ``confusion``             :math:`\arg\max_k \hat p_k \ne \tilde y`
    ``confident_joint``       counted off the diagonal of the confident joint C
    ``prune_by_class``        in each class i, the :math:`\sum_{j \ne i} \tilde C_{ij}` with the lowest
                              :math:`\hat p_i`
    ``prune_by_noise_rate``   for each :math:`i \ne j`, the :math:`\tilde C_{ij}` of class i with the largest
                              :math:`\hat p_j - \hat p_i`
    ``both``                  flagged by ``prune_by_class`` and ``prune_by_noise_rate``
    ``low_self_confidence``   as many as ``confident_joint``, those with the lowest :math:`\hat p_{\tilde y}`
    ``low_normalized_margin`` as many as ``confident_joint``, those with the lowest margin
    ========================  ==============================================================================

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities; a memory map or any memory layout will do, nothing is copied.
    method : str, default="auto"
    conventions : {"paper", "cleanlab"}, default="paper"
        Under those of cleanlab, a row with several classes above threshold counts for its most probable
        class of all, and a row whose most probable class is the given one is never flagged.
    min_examples_per_class : int, default=1
        Examples to leave in each class, where the rule prunes by counts.
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    bool array of shape (n,)

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068, section 3.2.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> find_label_issues([0, 0, 1, 1, 1], pred_probs, method="confident_joint")
    array([False, False, False, False,  True])
    """
    checks.check_one_of("method", method, _METHODS)
    checks.check_one_of("conventions", conventions, COLLISIONS)
    checks.check_count("min_examples_per_class", min_examples_per_class)
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, rows = summarize_rows(given, probabilities)
    if method == "auto":
        pruned = _flag(given, probabilities, rows, "prune_by_noise_rate", "cleanlab", min_examples_per_class)
        return extend_pruning(given, rows, pruned, probabilities.shape[1])[0]
    rule = method
    if method == "cleanlab":
        rule, conventions = "prune_by_noise_rate", "cleanlab"
    return _flag(given, probabilities, rows, rule, conventions, min_examples_per_class)


class ChosenMethod(NamedTuple):
    """The rows that ``method="auto"`` flags, and the statistics behind them."""

    flagged: NDArray[np.bool_]
    cut_off: IssueCutOff


def choose_method(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    min_examples_per_class: int = 1,
    classes: Sequence[Any] | None = None,
) -> ChosenMethod:
    """Return what ``find_label_issues(method="auto")`` flags, and why.

    Parameters and errors are those of `find_label_issues`; `issue_cut_off.extend_pruning` has the formulas.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> chosen = choose_method([0, 0, 1, 1, 1], pred_probs)
    >>> chosen.flagged
    array([False, False, False, False,  True])
    >>> chosen.cut_off.noise
    'class-conditional'
    """
    checks.check_count("min_examples_per_class", min_examples_per_class)
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, rows = summarize_rows(given, probabilities)
    pruned = _flag(given, probabilities, rows, "prune_by_noise_rate", "cleanlab", min_examples_per_class)
    return ChosenMethod(*extend_pruning(given, rows, pruned, probabilities.shape[1]))


def _flag(
    labels: NDArray[Any],
    pred_probs: NDArray[Any],
    rows: RowSummary,
    rule: str,
    conventions: Collisions,
    min_examples: int,
) -> NDArray[np.bool_]:
    if rule == "confusion":
        flagged: NDArray[np.bool_] = rows.argmax != labels
    else:
        thresholds = thresholds_of_sums(exact_sums(labels, rows.own, pred_probs.shape[1]))
        joint, flagged = count_joint(labels, pred_probs, rows, thresholds, conventions)
        if rule in ("prune_by_class", "prune_by_noise_rate", "both"):
            _prune(labels, pred_probs, rows, joint, rule, min_examples, flagged)
    if conventions == "cleanlab":
        found = np.flatnonzero(flagged)
        flagged[found[pruning_rules.agrees(labels, rows, found, SLACK)]] = False
    if rule.startswith("low_"):
        score: Score = "self_confidence" if rule == "low_self_confidence" else "normalized_margin"
        contest = contest_rows(labels, pred_probs)[1]
        worst = pruning_rules.lowest(
            quality_of_contest(contest, score, pred_probs.shape[1]), int(flagged.sum())
        )
        flagged = np.zeros(len(labels), dtype=np.bool_)
        flagged[worst] = True
    return flagged


def _prune(
    labels: NDArray[Any],
    pred_probs: NDArray[Any],
    rows: RowSummary,
    joint: NDArray[np.int64],
    rule: str,
    min_examples: int,
    flagged: NDArray[np.bool_],
) -> None:
    """Fill `flagged` with what the rule flags."""
    totals = np.bincount(labels, minlength=len(joint))
    counts = pruning_rules.keep_examples(calibrate_confident_joint(joint, totals), min_examples)
    flagged[:] = True
    if rule != "prune_by_noise_rate":
        flagged &= pruning_rules.prune_by_class(labels, rows, counts, min_examples=min_examples)
    if rule != "prune_by_class":
        flagged &= pruning_rules.prune_by_noise_rate(
            labels, pred_probs, rows, counts, min_examples=min_examples
        )
