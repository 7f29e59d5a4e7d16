r"""Transition matrices :math:`T_{ij} = P(\text{observed } j \mid \text{true } i)` of known noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_count, check_finite, check_in_range, check_ndim, check_non_negative
from sparse_data.type_checks import check_seed


def check_transition_matrix(name: str, matrix: ArrayLike) -> NDArray[np.float64]:
    """Return `matrix` as floats if it is square and its rows are distributions, else raise.

    Parameters
    ----------
    name : str
    matrix : array of shape (n_classes, n_classes)

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> check_transition_matrix("transition", [[0.9, 0.2], [0.1, 0.8]])
    Traceback (most recent call last):
    ...
    ValueError: `transition` must be of rows that sum to 1; got 1.1 in row 0. Rows are true classes, ...
    """
    checked = check_non_negative(name, check_finite(name, check_ndim(name, matrix, 2))).astype(np.float64)
    if checked.shape[0] != checked.shape[1] or not checked.size:
        raise ValueError(
            f"`{name}` must be square; got shape {checked.shape}. Pass a row and a column a class."
        )
    sums = checked.sum(axis=1)
    wrong = np.abs(sums - 1) > 1e-6
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"`{name}` must be of rows that sum to 1; got {sums[row]:.6g} in row {row}. Rows are true "
            "classes, columns observed ones: transpose it if it is the other way round."
        )
    return checked


def symmetric_noise_matrix(n_classes: int, rate: float) -> NDArray[np.float64]:
    r"""Return the matrix of noise that falls on all other classes alike.

    .. math:: T_{ii} = 1 - r, \qquad T_{ij} = \frac{r}{K - 1}

    Parameters
    ----------
    n_classes : int
        K, at least 2.
    rate : float
        r in [0, 1].

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Examples
    --------
    >>> symmetric_noise_matrix(3, 0.2).tolist()
    [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    """
    check_count("n_classes", n_classes, 2)
    check_in_range("rate", rate, 0, 1)
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def pair_noise_matrix(n_classes: int, rate: float) -> NDArray[np.float64]:
    r"""Return the matrix of noise that turns each class into the next one, the last into the first.

    .. math:: T_{ii} = 1 - r, \qquad T_{i, (i + 1) \bmod K} = r

    Parameters
    ----------
    n_classes : int
        K, at least 2.
    rate : float
        r in [0, 1]; from .5 on nobody can tell noise from truth.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Examples
    --------
    >>> pair_noise_matrix(3, 0.25).tolist()
    [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]]
    """
    check_count("n_classes", n_classes, 2)
    check_in_range("rate", rate, 0, 1)
    identity = np.eye(n_classes)
    return (1 - rate) * identity + rate * np.roll(identity, 1, axis=1)


def sparse_noise_matrix(
    n_classes: int,
    trace: float,
    *,
    sparsity: float = 0.0,
    random_state: int | np.random.Generator | None = None,
) -> NDArray[np.float64]:
    r"""Draw a noise matrix with a given trace and a given share of zeros off the diagonal.

    The diagonal is :math:`t / K + s (u_i - \bar u)` with uniform u and the largest s that leaves all of it
    in [0, 1], times a uniform number; the rest of each row falls on classes that are chosen at random, in
    random parts.  Zeros are spread over the rows as evenly as possible; each row keeps one other class.

    Parameters
    ----------
    n_classes : int
        K, at least 2.
    trace : float
        t in [0, K]; with uniform classes the share of wrong labels is :math:`1 - t / K`.
    sparsity : float, default=0.0
        Share of the K (K - 1) entries off the diagonal that are 0, in [0, 1]; at most (K - 2) a row are.
    random_state : int, Generator or None

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError
        For an argument out of its range.

    References
    ----------
    Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021,
    arXiv:1911.00068.

    Examples
    --------
    >>> matrix = sparse_noise_matrix(4, 2.8, sparsity=0.5, random_state=0)
    >>> round(float(matrix.trace()), 6), int((matrix == 0).sum())
    (2.8, 6)
    """
    check_count("n_classes", n_classes, 2)
    check_in_range("trace", trace, 0, n_classes)
    check_in_range("sparsity", sparsity, 0, 1)
    generator = np.random.default_rng(check_seed("random_state", random_state))
    diagonal = _diagonal(n_classes, trace, generator)
    n_zeros = min(round(sparsity * n_classes * (n_classes - 1)), n_classes * (n_classes - 2))
    zeros = np.full(n_classes, n_zeros // n_classes)
    zeros[generator.permutation(n_classes)[: n_zeros % n_classes]] += 1
    matrix = np.zeros((n_classes, n_classes))
    for row in range(n_classes):
        others = np.delete(np.arange(n_classes), row)
        kept = generator.permutation(others)[: n_classes - 1 - zeros[row]]
        matrix[row, kept] = (1 - diagonal[row]) * generator.dirichlet(np.ones(kept.size))
    np.fill_diagonal(matrix, diagonal)
    return matrix


def _diagonal(n_classes: int, trace: float, generator: np.random.Generator) -> NDArray[np.float64]:
    mean = trace / n_classes
    deviation = generator.random(n_classes)
    deviation -= deviation.mean()
    scale = min((1 - mean) / deviation.max(), mean / -deviation.min())
    return np.asarray(np.clip(mean + generator.random() * scale * deviation, 0.0, 1.0))
