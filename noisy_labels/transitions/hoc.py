"""HOC: the transition matrix from the labels of near neighbours, without training (Zhu et al., 2021)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors

from sparse_data.checks import (
    check_count,
    check_ids_in_range,
    check_integers,
    check_moderate,
    check_ndim,
    check_same_length,
)

Floats = NDArray[np.float64]
# Where the search begins: most labels right.
START_DIAGONAL = 0.8


def transition_hoc(
    labels: ArrayLike, features: ArrayLike, *, n_classes: int | None = None, max_iter: int = 500
) -> tuple[Floats, Floats]:
    r"""Match how often one, two and three labels of near neighbours agree.

    .. math:: \hat T, \hat p = \arg\min \big\lVert T^\top p - \hat c^{(1)} \big\rVert^2
              + \Big\lVert \sum_i p_i T_i \otimes T_i - \hat c^{(2)} \Big\rVert^2
              + \Big\lVert \sum_i p_i T_i \otimes T_i \otimes T_i - \hat c^{(3)} \Big\rVert^2

    where :math:`\hat c^{(m)}` counts the labels of an example and its nearest m - 1 neighbours by cosine.
    Rests on 2-NN clusterability: an example and its two neighbours have the same true class.  Time and
    memory for the counts grow with the cube of the number of classes.

    Parameters
    ----------
    labels : int array of shape (n,)
        Noisy classes 0, ..., n_classes - 1.
    features : array of shape (n, d)
        At least 3 rows, in which the true classes form clusters: an embedding rather than pixels.
    n_classes : int, optional
        By default the largest label plus 1.
    max_iter : int, default=500
        Iterations of L-BFGS.

    Returns
    -------
    transition : float array of shape (n_classes, n_classes)
    class_priors : float array of shape (n_classes,)
        Of the true classes.

    Raises
    ------
    TypeError, ValueError
        For labels out of range, features with NaN or infinity, or fewer than 3 rows.

    References
    ----------
    Zhu, Song and Liu, "Clusterability as an alternative to anchor points when learning with noisy labels",
    2021, arXiv:2102.05291.

    Examples
    --------
    >>> features = [[1.0, i / 100] for i in range(10)] + [[i / 100, 1.0] for i in range(10)]
    >>> transition, priors = transition_hoc([0] * 10 + [1] * 10, features)
    >>> (transition.round(1) + 0.0).tolist(), priors.round(1).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
    """
    check_count("max_iter", max_iter)
    points = check_moderate("features", check_ndim("features", features, 2)).astype(np.float64)
    check_count("the number of rows of features", len(points), 3)
    codes = check_ndim("labels", check_integers("labels", labels), 1)
    check_same_length(labels=codes, features=points)
    if n_classes is None:
        n_classes = int(codes.max()) + 1
    codes = check_ids_in_range("labels", codes, check_count("n_classes", n_classes, 2, maximum=2**15))
    return _solve(_consensus_counts(codes, points, n_classes), n_classes, max_iter)


def _consensus_counts(codes: NDArray[np.int64], points: Floats, n_classes: int) -> Floats:
    """Return the shares of the label triples of an example and its two nearest neighbours, symmetrised."""
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    search = NearestNeighbors(n_neighbors=2).fit(points / np.where(norms > 0, norms, 1.0))
    near = search.kneighbors(return_distance=False)  # without arguments, no example is its own neighbour
    cells = (codes * n_classes + codes[near[:, 0]]) * n_classes + codes[near[:, 1]]
    counts = np.bincount(cells, minlength=n_classes**3).reshape((n_classes,) * 3) / len(codes)
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return np.asarray(sum(counts.transpose(order) for order in orders) / len(orders))


def _solve(third: Floats, n_classes: int, max_iter: int) -> tuple[Floats, Floats]:
    second, first = third.sum(axis=2), third.sum(axis=(1, 2))

    def objective(parameters: Floats) -> tuple[float, Floats]:
        logits = parameters.reshape(n_classes + 1, n_classes)
        priors, transition = softmax(logits[0]), softmax(logits[1:], axis=1)
        value, prior_gradient, gradient = _mismatch(priors, transition, first, second, third)
        # Through the softmax of the priors and of each row.
        stacked, slopes = np.vstack([priors, transition]), np.vstack([prior_gradient, gradient])
        slopes = stacked * (slopes - np.sum(stacked * slopes, axis=1, keepdims=True))
        return value, slopes.ravel()

    off = np.log((1 - START_DIAGONAL) / (n_classes - 1)) - np.log(START_DIAGONAL)
    start = np.vstack([np.zeros(n_classes), off * (1 - np.eye(n_classes))]).ravel()
    options = {"maxiter": max_iter, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    logits = found.reshape(n_classes + 1, n_classes)
    return softmax(logits[1:], axis=1), softmax(logits[0])


def _mismatch(
    priors: Floats, transition: Floats, first: Floats, second: Floats, third: Floats
) -> tuple[float, Floats, Floats]:
    """Return the squared distance of the three orders and its gradients by priors and transition."""
    n_classes = priors.size
    pairs = (transition[:, :, None] * transition[:, None, :]).reshape(n_classes, -1)
    weighted = priors[:, None] * transition
    error_1 = weighted.sum(axis=0) - first
    error_2 = weighted.T @ transition - second
    error_3 = weighted.T @ pairs - third.reshape(n_classes, -1)
    value = sum(float(np.sum(error**2)) for error in (error_1, error_2, error_3))
    from_2, from_3 = transition @ error_2, pairs @ error_3.T
    prior_gradient = 2 * np.sum(transition * (error_1 + from_2 + from_3), axis=1)
    gradient = 2 * priors[:, None] * (error_1 + 2 * from_2 + 3 * from_3)
    return value, prior_gradient, gradient
