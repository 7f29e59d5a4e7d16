"""A linear probe: multinomial logistic regression on embeddings, fast enough for every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from sparse_data.checks import check_count, check_in_range

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Weights of a softmax over classes.

    Parameters
    ----------
    coef : float array of shape (n_features, n_classes)
    intercept : float array of shape (n_classes,)
        Minus infinity for a class that no row had.
    """

    coef: Floats
    intercept: Floats

    def predict_proba(self, X: NDArray[np.floating]) -> Floats:
        """Return the probabilities of the classes, shape (n, n_classes)."""
        return np.asarray(softmax(X @ self.coef + self.intercept, axis=1), dtype=np.float64)


def fit_linear_probe(
    X: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    n_classes: int,
    C: float = 1.0,
    start: LinearProbe | None = None,
    max_iter: int = 1000,
    tol: float = 1e-4,
) -> LinearProbe:
    r"""Fit the logistic regression of scikit-learn, whose solution is unique, from a start.

    .. math:: \min_{W, b} \tfrac12 \|W\|^2 + C \sum_i \mathrm{CE}(y_i, \mathrm{softmax}(W^\top x_i + b))

    W is a combination of the rows: with fewer rows than features, the problem is solved in the coordinates of
    the rows, where it is small.

    Parameters
    ----------
    X : float array of shape (n, n_features)
    labels : integer array of shape (n,)
        From 0; some classes may be missing.
    n_classes : int
    C : float, default=1.0
    start : LinearProbe, optional
        Of similar features, such as those of the last epoch.
    max_iter : int, default=1000
    tol : float, default=1e-4
        Largest entry of the gradient, divided by n, as in scikit-learn.

    Returns
    -------
    LinearProbe

    Examples
    --------
    >>> probe = fit_linear_probe(np.array([[-1.0], [1.0]]), np.array([0, 1]), n_classes=2)
    >>> probe.predict_proba(np.array([[0.0], [2.0]])).round(2).tolist()
    [[0.5, 0.5], [0.11, 0.89]]
    """
    check_in_range("C", C, 0, closed="neither")
    check_count("n_classes", n_classes)
    present, codes = np.unique(labels, return_inverse=True)
    rows = np.asarray(X, dtype=np.float64)
    basis = None
    if len(rows) < rows.shape[1]:  # X = L Q with orthonormal rows of Q: ||W|| = ||Q W|| for W in their span
        basis, triangle = scipy.linalg.qr(rows.T, mode="economic", check_finite=False)
        rows = np.ascontiguousarray(triangle.T)
    weights = np.zeros((rows.shape[1] + 1, len(present)))
    if start is not None:
        coef = start.coef[:, present]
        weights[:-1] = coef if basis is None else basis.T @ coef
        weights[-1] = np.where(np.isfinite(start.intercept[present]), start.intercept[present], 0.0)
    found = minimize(
        _objective,
        weights.ravel(),
        args=(rows, np.eye(len(present))[codes], 1 / (C * len(rows))),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "gtol": tol, "ftol": 64 * np.finfo(float).eps, "maxls": 50},
    ).x.reshape(weights.shape)
    coef, intercept = np.zeros((X.shape[1], n_classes)), np.full(n_classes, -np.inf)
    coef[:, present] = found[:-1] if basis is None else basis @ found[:-1]
    intercept[present] = found[-1]
    return LinearProbe(coef, intercept)


def _objective(weights: Floats, rows: Floats, targets: Floats, penalty: float) -> tuple[float, Floats]:
    """Return the objective divided by C n, and its gradient."""
    matrix = weights.reshape(-1, targets.shape[1])
    log_probs = log_softmax(rows @ matrix[:-1] + matrix[-1], axis=1)
    wrong = (np.exp(log_probs) - targets) / len(rows)
    loss = -float((targets * log_probs).sum()) / len(rows) + 0.5 * penalty * float((matrix[:-1] ** 2).sum())
    gradient = np.empty_like(matrix)
    gradient[:-1] = rows.T @ wrong + penalty * matrix[:-1]
    gradient[-1] = wrong.sum(axis=0)
    return loss, gradient.ravel()
