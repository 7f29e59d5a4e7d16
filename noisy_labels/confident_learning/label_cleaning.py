"""Rounds of cross-validation and cleaning: models of a round learn from labels that the last one cleaned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noisy_labels.confident_learning.confident_transition import transition_confident_learning
from noisy_labels.confident_learning.fold_training import (
    LabelledData,
    TrainingSet,
    out_of_sample_probabilities,
)
from noisy_labels.confident_learning.label_folds import Fold
from noisy_labels.confident_learning.label_issues import Method, find_label_issues
from noisy_labels.confident_learning.label_posterior import temper, true_class_posterior

Action = Literal["mend", "prune", "relabel", "reweight", "soften"]
ACTIONS = ("mend", "prune", "relabel", "reweight", "soften")
# Posterior from which an issue is given its most probable class instead of being left out.
SURE = 0.7
# Rows of each class that no pruning or relabelling touches, so that no class dies out.
KEPT_PER_CLASS = 5
# Copies of a row with a smaller weight than this are left out.
SMALLEST_WEIGHT = 0.02


@dataclass(frozen=True, eq=False)
class Verdict:
    """What out-of-sample probabilities say of the given labels.

    Attributes
    ----------
    pred_probs : float array of shape (n, n_classes)
        Out-of-sample, as the estimators gave them.
    transition : float array of shape (n_classes, n_classes)
    temperature : float
    posterior : float array of shape (n, n_classes)
        Of the true class given features and label.
    issues : bool array of shape (n,)
    """

    pred_probs: NDArray[np.float64]
    transition: NDArray[np.float64]
    temperature: float
    posterior: NDArray[np.float64]
    issues: NDArray[np.bool_]


def judge_labels(
    codes: NDArray[np.int64], pred_probs: NDArray[np.float64], *, method: Method, calibrate: bool
) -> Verdict:
    """Estimate the noise, the posterior of the true classes, and which labels are wrong.

    Parameters
    ----------
    codes : int array of shape (n,)
    pred_probs : float array of shape (n, n_classes)
    method : str
        ``"auto"``: another class is more probable than the given one, see `true_class_posterior`; any other
        name is a method of `find_label_issues`.
    calibrate : bool
        Whether the probabilities are tempered first.

    Returns
    -------
    Verdict
    """
    transition = transition_confident_learning(codes, pred_probs)
    tempered, temperature = temper(codes, pred_probs, transition) if calibrate else (pred_probs, 1.0)
    posterior = true_class_posterior(codes, tempered, transition)
    if method == "auto":
        issues = posterior.argmax(axis=1) != codes
    else:
        issues = find_label_issues(codes, pred_probs, method=method)
    issues = issues & ~_best_of_each_class(codes, posterior)
    return Verdict(pred_probs, transition, temperature, posterior, issues)


def cleaned_training_set(codes: NDArray[np.int64], verdict: Verdict, action: Action) -> TrainingSet:
    """Return what to train on after the action.

    Parameters
    ----------
    codes : int array of shape (n,)
    verdict : Verdict
    action : {"mend", "prune", "relabel", "reweight", "soften"}
        Give the issues whose most probable class is sure that class and leave the others out; leave all
        issues out; give all of them their most probable class; weigh each row by the probability that its
        label is right; or let each row stand for every class with the weight of its probability.

    Returns
    -------
    TrainingSet
    """
    rows = np.arange(len(codes))
    posterior, issues = verdict.posterior, verdict.issues
    suggested = np.where(issues, posterior.argmax(axis=1), codes)
    if action == "mend":
        kept = ~issues | ((suggested != codes) & (posterior.max(axis=1) >= SURE))
        return TrainingSet(rows[kept], suggested[kept])
    if action == "prune":
        return TrainingSet(rows[~issues], codes[~issues])
    if action == "relabel":
        return TrainingSet(rows, suggested)
    safe = _best_of_each_class(codes, posterior)
    soft = np.where(safe[:, None], np.eye(posterior.shape[1])[codes], posterior)
    if action == "reweight":
        return TrainingSet(rows, codes, soft[rows, codes])
    used, classes = np.nonzero(soft >= SMALLEST_WEIGHT)
    return TrainingSet(used, classes, soft[used, classes])


def clean_labels(
    estimator: Any,
    data: LabelledData,
    folds: Sequence[Fold],
    *,
    method: Method,
    action: Action,
    n_rounds: int,
    calibrate: bool,
    pred_probs: NDArray[np.float64],
) -> tuple[Verdict, TrainingSet]:
    """Judge and clean the labels, then again with models that learn from the cleaned ones.

    Parameters
    ----------
    estimator : estimator
    data : LabelledData
    folds : list of pairs of int arrays
    method, action, calibrate
        As `judge_labels` and `cleaned_training_set`.
    n_rounds : int
        Fewer are made where a round finds the issues of the last one.
    pred_probs : float array of shape (n, n_classes)
        Out-of-sample probabilities of the first round.

    Returns
    -------
    verdict : Verdict
        Of the last round.
    training : TrainingSet
    """
    verdict = judge_labels(data.codes, pred_probs, method=method, calibrate=calibrate)
    training = cleaned_training_set(data.codes, verdict, action)
    for _ in range(n_rounds - 1):
        before = verdict.issues
        pred_probs = out_of_sample_probabilities(estimator, data, training, folds)
        verdict = judge_labels(data.codes, pred_probs, method=method, calibrate=calibrate)
        training = cleaned_training_set(data.codes, verdict, action)
        if np.array_equal(before, verdict.issues):
            break
    return verdict, training


def _best_of_each_class(codes: NDArray[np.int64], posterior: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the rows of each class whose label is most probably right."""
    own = posterior[np.arange(len(codes)), codes]
    order = np.lexsort((-own, codes))
    starts = np.searchsorted(codes[order], np.arange(posterior.shape[1]))
    best = np.empty(len(codes), dtype=bool)
    best[order] = np.arange(len(codes)) - starts[codes[order]] < KEPT_PER_CLASS
    return best
