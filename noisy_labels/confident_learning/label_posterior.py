"""What a model and a given label say together about the true class, and the temperature of the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from noisy_labels.transitions.noise_matrices import check_transition_matrix
from sparse_data.checks import (
    check_finite,
    check_ids_in_range,
    check_ndim,
    check_non_negative,
    check_same_length,
)

SMALLEST_PROBABILITY = 1e-6
# Temperatures that are tried: from a model far too cautious to one far too sure.
LOG_TEMPERATURES = (float(np.log(0.1)), float(np.log(10.0)))


def true_class_posterior(
    labels: ArrayLike, pred_probs: ArrayLike, transition: ArrayLike
) -> NDArray[np.float64]:
    r"""Return the probability of each true class given the features and the given label.

    .. math:: q_{ik} = \frac{p(y = k \mid x_i) \, T_{k \tilde y_i}}
              {\sum_l p(y = l \mid x_i) \, T_{l \tilde y_i}}

    Parameters
    ----------
    labels : int array of shape (n,)
        Given classes 0, ..., n_classes - 1.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities of the true class, see `temper`.
    transition : array of shape (n_classes, n_classes)
        T, rows are true classes.

    Returns
    -------
    float array of shape (n, n_classes)
        A row that the transition matrix makes impossible is that of the given label.

    Raises
    ------
    TypeError, ValueError
        If shapes disagree, a label is no column, or the rows of `transition` are no distributions.

    Examples
    --------
    >>> true_class_posterior([1, 1], [[0.8, 0.2], [0.5, 0.5]], [[0.75, 0.25], [0.0, 1.0]]).round(2).tolist()
    [[0.5, 0.5], [0.2, 0.8]]
    """
    codes, probabilities, matrix = _read(labels, pred_probs, transition)
    weights = probabilities * matrix.T[codes]
    totals = weights.sum(axis=1, keepdims=True)
    given = np.eye(len(matrix))[codes]
    return np.where(totals > 0, weights / np.where(totals > 0, totals, 1.0), given)


def temper(
    labels: ArrayLike, pred_probs: ArrayLike, transition: ArrayLike
) -> tuple[NDArray[np.float64], float]:
    r"""Sharpen or flatten probabilities until the noisy labels are most likely.

    .. math:: p^\tau_{ik} \propto p_{ik}^{1/\tau}, \qquad
              \tau = \arg\max \sum_i \log \sum_k p^\tau_{ik} \, T_{k \tilde y_i}

    A model that was trained on noisy labels hedges: it gives the true class about the share of labels that
    are right.  Behind the transition matrix its probabilities are those of the true class.

    Parameters
    ----------
    labels : int array of shape (n,)
    pred_probs : array of shape (n, n_classes)
        Out-of-sample probabilities.
    transition : array of shape (n_classes, n_classes)
        T; the identity gives the usual temperature scaling.

    Returns
    -------
    pred_probs : float array of shape (n, n_classes)
    temperature : float
        τ in [0.1, 10].

    Raises
    ------
    TypeError, ValueError
        As `true_class_posterior`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017, arXiv:1706.04599.

    Examples
    --------
    >>> probabilities, temperature = temper([0, 0, 0, 1], [[0.9, 0.1]] * 4, [[1, 0], [0, 1]])
    >>> probabilities[0].round(2).tolist(), round(temperature, 1)
    ([0.75, 0.25], 2.0)
    """
    codes, probabilities, matrix = _read(labels, pred_probs, transition)
    logs = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    columns = matrix.T[codes]

    def loss(log_temperature: float) -> float:
        tempered = softmax(logs / np.exp(log_temperature), axis=1)
        given = np.maximum(np.sum(tempered * columns, axis=1), SMALLEST_PROBABILITY)
        return -float(np.mean(np.log(given)))

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-3})
    temperature = float(np.exp(found.x))
    return softmax(logs / temperature, axis=1), temperature


def _read(
    labels: ArrayLike, pred_probs: ArrayLike, transition: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    matrix = check_transition_matrix("transition", transition)
    checked = check_finite("pred_probs", check_ndim("pred_probs", pred_probs, 2))
    probabilities = check_non_negative("pred_probs", checked).astype(np.float64)
    if probabilities.shape[1] != len(matrix):
        raise ValueError(
            f"`pred_probs` must have {len(matrix)} columns, as `transition` has; got "
            f"{probabilities.shape[1]}. Pass one column a class."
        )
    codes = check_ids_in_range("labels", check_ndim("labels", labels, 1), len(matrix))
    check_same_length(labels=codes, pred_probs=probabilities)
    return codes, probabilities, matrix
