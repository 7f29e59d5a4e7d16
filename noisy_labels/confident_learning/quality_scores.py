"""Scores of label quality: the lower, the likelier the given label is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning import confident_joint_kernels as kernels
from noisy_labels.confident_learning.confident_counts import exact_sums, thresholds_of_sums
from noisy_labels.confident_learning.predicted_probabilities import (
    RowContest,
    blocks,
    contest_rows,
    over_threads,
    read_labels_and_probabilities,
    summarize_rows,
)
from sparse_data import checks
from sparse_data.type_checks import check_flag, check_list

Score = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
Weights = Literal["accuracy", "uniform", "log_loss"]
_SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
_CACHED_ROWS = 1 << 13  # whose numbers stay in the cache between the steps of a formula
_TEMPERATURES = (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 2e2)


def label_quality(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    score: Score = "normalized_margin",
    adjust: bool = False,
    classes: Sequence[Any] | None = None,
) -> NDArray[Any]:
    r"""Score each given label between 0 (likely wrong) and 1.

    ===============================  =====================================================================
    score                            formula
    ===============================  =====================================================================
    ``self_confidence``              :math:`\hat p_{\tilde y}`
    ``normalized_margin``            :math:`(\hat p_{\tilde y} - \max_{k \ne \tilde y} \hat p_k + 1) / 2`
    ``confidence_weighted_entropy``  :math:`\log(c + 1) / c, \quad c = H(\hat p) / (\hat p_{\tilde y} \log K)`
    ===============================  =====================================================================

    The entropy says nothing of a row with a single probability of 1: its score is 0, as in cleanlab.

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities.
    score : str, default="normalized_margin"
        The margin ranks better where classes are mistaken in pairs.
    adjust : bool, default=False
        First put :math:`\hat p_k - t_k + \max_l t_l`, divided by its sum, in the place of :math:`\hat p_k`,
        t being the confident thresholds: corrects for classes of which the model is surer. Not for the
        entropy.
    classes : sequence of length n_classes, optional
        The label of each column.

    Returns
    -------
    float array of shape (n,)
        In the type of `pred_probs` (float64 for others than float32).

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities, or the entropy is to be adjusted.

    References
    ----------
    Kuan, Mueller (2022), "Model-agnostic label quality scoring to detect real-world label errors".

    Examples
    --------
    >>> label_quality([0, 1], [[0.75, 0.25], [0.75, 0.25]])
    array([0.75, 0.25])
    """
    checks.check_one_of("score", score, _SCORES)
    if check_flag("adjust", adjust) and score == "confidence_weighted_entropy":
        raise ValueError(
            "`adjust` must be False for the score 'confidence_weighted_entropy'; got True. Choose another "
            "score."
        )
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    entropy = score == "confidence_weighted_entropy"
    probabilities, contest = contest_rows(given, probabilities, entropy=entropy)
    n_classes = probabilities.shape[1]
    if adjust:
        thresholds = thresholds_of_sums(exact_sums(given, contest.own, n_classes))
        _adjust(contest, given, probabilities, thresholds.max() - thresholds)
    return quality_of_contest(contest, score, n_classes)


def ensemble_label_quality(
    labels: ArrayLike,
    pred_probs: Sequence[ArrayLike],
    *,
    score: Score = "normalized_margin",
    weights: Weights | ArrayLike = "accuracy",
    adjust: bool = False,
    classes: Sequence[Any] | None = None,
) -> NDArray[np.float64]:
    r"""Average the label quality over models, :math:`\sum_m w_m s_m / \sum_m w_m`.

    Parameters
    ----------
    labels : array of shape (n,)
    pred_probs : sequence of arrays of shape (n, n_classes)
        Out-of-sample predicted probabilities, one matrix a model.
    score, adjust, classes
        As for `label_quality`.
    weights : {"accuracy", "uniform", "log_loss"} or array of shape (n_models,), default="accuracy"
        Accuracy against the given labels; equal weights; :math:`\exp(-T \cdot \text{log loss}_m)` with the T
        whose average of the probabilities has the least log loss; or numbers of your own.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    TypeError, ValueError
        If the input of `label_quality` is invalid, there is no model, or weights are not positive numbers.

    Examples
    --------
    >>> models = [[[0.75, 0.25], [0.75, 0.25]], [[0.25, 0.75], [0.25, 0.75]]]
    >>> ensemble_label_quality([0, 0], models, weights=[3, 1])
    array([0.625, 0.625])
    """
    pred_probs = check_list("pred_probs", pred_probs, "Pass one matrix a model.")
    if not pred_probs:
        raise ValueError("`pred_probs` must hold at least one matrix; got none. Pass one a model.")
    scores = [
        label_quality(labels, matrix, score=score, adjust=adjust, classes=classes) for matrix in pred_probs
    ]
    models = [read_labels_and_probabilities(labels, matrix, classes) for matrix in pred_probs]
    given = models[0][0]
    shares = _model_weights(given, [summarize_rows(given, matrix)[0] for _, matrix in models], weights)
    return np.asarray(np.average(scores, axis=0, weights=shares), dtype=np.float64)


def quality_of_contest(contest: RowContest, score: Score, n_classes: int) -> NDArray[Any]:
    """Return the scores of `label_quality`, written over the rivals and the entropy, which are gone then."""
    own, rival, entropy = contest
    if score == "self_confidence" or (score == "normalized_margin" and n_classes == 1):
        return own
    if entropy is None or score == "normalized_margin":
        np.subtract(own, rival, out=rival)
        rival += 1
        rival /= 2
        return rival
    for start in range(0, len(own), _CACHED_ROWS):
        part = slice(start, start + _CACHED_ROWS)
        # A probability above 1 by rounding has a logarithm above 0.
        ratio = np.maximum(entropy[part], 0) / np.log(max(n_classes, 2))
        ratio = ratio / np.maximum(own[part].astype(np.float64), 1e-6)
        entropy[part] = np.log(ratio + 1) / np.maximum(ratio, 1e-6)
    return entropy


def _adjust(
    contest: RowContest, labels: NDArray[Any], pred_probs: NDArray[Any], shift: NDArray[np.float64]
) -> None:
    """Put the contest of the adjusted probabilities in the place of that of the probabilities."""

    def fill(start: int, stop: int) -> None:
        for first, last, block in blocks(pred_probs, start, stop):
            adjusted = ((block + shift) / (1 + shift.sum())).astype(block.dtype)
            bits = adjusted.view(np.int32 if block.dtype == np.float32 else np.int64)
            given = labels[first:last].astype(np.int64, copy=False)
            kernels.rival_block(adjusted, bits, given, contest.own[first:last], contest.rival[first:last])

    over_threads(fill, len(labels), pred_probs.size)


def _model_weights(
    labels: NDArray[Any], matrices: list[NDArray[Any]], weights: Weights | ArrayLike
) -> NDArray[np.float64]:
    if not isinstance(weights, str):
        shares = checks.check_non_negative("weights", checks.check_ndim("weights", weights, 1))
        if len(shares) != len(matrices) or not shares.sum() > 0 or not np.isfinite(shares).all():
            raise ValueError(
                f"`weights` must be {len(matrices)} finite numbers, not all 0; got {shares}. Pass one a "
                "model."
            )
        return shares.astype(np.float64)
    checks.check_one_of("weights", weights, ("accuracy", "uniform", "log_loss"))
    if weights == "uniform":
        return np.ones(len(matrices))
    if weights == "accuracy":
        accuracy = np.array([(matrix.argmax(axis=1) == labels).mean() for matrix in matrices])
        return accuracy if accuracy.any() else np.ones(len(matrices))
    losses = np.array([_log_loss(labels, matrix) for matrix in matrices])
    # The least loss is taken off: it cancels, and the exponential of the best model is never 0.
    candidates = [np.exp(-temperature * (losses - losses.min())) for temperature in _TEMPERATURES]
    return min(candidates, key=lambda shares: _log_loss(labels, np.average(matrices, axis=0, weights=shares)))


def _log_loss(labels: NDArray[Any], matrix: NDArray[Any]) -> float:
    own = matrix[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, np.finfo(own.dtype).eps)).mean())
