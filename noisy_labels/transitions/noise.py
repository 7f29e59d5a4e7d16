"""Labels made wrong on purpose: the known noise that methods are measured on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.transitions.noise_matrices import (
    check_transition_matrix,
    pair_noise_matrix,
    sparse_noise_matrix,
    symmetric_noise_matrix,
)
from sparse_data.checks import (
    check_finite,
    check_in_range,
    check_ndim,
    check_no_missing,
    check_nonempty,
    check_one_of,
    check_same_length,
)
from sparse_data.type_checks import check_seed

NoiseKind = Literal["symmetric", "pair", "asymmetric", "instance"]
# Standard deviation of the rate of an item (Xia et al. 2020).
INSTANCE_DEVIATION = 0.1


def corrupt_labels(
    y: ArrayLike,
    rate: float,
    kind: NoiseKind = "symmetric",
    random_state: int | np.random.Generator | None = None,
    *,
    X: ArrayLike | None = None,
) -> NDArray[Any]:
    r"""Return a copy of the labels in which about the share `rate` is wrong.

    Each label is drawn by itself from the row :math:`T_{y_i}` of a transition matrix:

    - ``"symmetric"``: every other class alike, `symmetric_noise_matrix`;
    - ``"pair"``: the next class in sorted order, `pair_noise_matrix`;
    - ``"asymmetric"``: rates and targets differ between classes, a `sparse_noise_matrix` with half of its
      entries off the diagonal 0 and a mean rate over classes of `rate`;
    - ``"instance"``: by the features, :math:`q_i \sim N(r, 0.1^2)` cut to [0, 1] is the rate of item i and
      :math:`\mathrm{softmax}_{k \ne y_i}(x_i^\top W^{y_i})` its target, W standard normal, the columns of X
      standardised and divided by :math:`\sqrt d`.

    Parameters
    ----------
    y : array of shape (n,)
        Numbers, strings or other sortable values, of at least two classes where `rate` is above 0.
    rate : float
        In [0, 1].
    kind : {"symmetric", "pair", "asymmetric", "instance"}, default="symmetric"
    random_state : int, Generator or None
    X : array of shape (n, d), optional
        Needed by ``"instance"``.

    Returns
    -------
    array of shape (n,)
        Of the dtype of `y`.

    Raises
    ------
    TypeError, ValueError
        For labels that are missing or of one class only, a rate out of range, or features that are missing.

    References
    ----------
    Xia et al., "Part-dependent label noise: towards instance-dependent label noise", 2020, arXiv:2006.07836.

    Examples
    --------
    >>> corrupt_labels(["a", "b", "c", "a"], 1.0, "pair").tolist()
    ['b', 'c', 'a', 'b']
    """
    check_in_range("rate", rate, 0, 1)
    check_one_of("kind", kind, ("symmetric", "pair", "asymmetric", "instance"))
    classes, codes = _encode(y)
    generator = np.random.default_rng(check_seed("random_state", random_state))
    if rate == 0:
        return classes[codes]
    if classes.size < 2:
        raise ValueError(
            f"`y` must be of at least two classes; got {classes.size}. There is no wrong label to give."
        )
    if kind == "instance":
        return classes[_draw(_instance_rows(codes, rate, classes.size, X, generator), generator)]
    matrix = _matrix(kind, classes.size, rate, generator)
    return classes[_draw(matrix[codes], generator)]


def flip_labels(
    y: ArrayLike, transition: ArrayLike, *, random_state: int | np.random.Generator | None = None
) -> NDArray[Any]:
    r"""Return a copy of the labels, each drawn from its row of a transition matrix.

    .. math:: P(\tilde y_i = j) = T_{y_i j}

    Parameters
    ----------
    y : array of shape (n,)
        Class k of `transition` is the k-th distinct value in sorted order; all classes must occur.
    transition : array of shape (n_classes, n_classes)
    random_state : int, Generator or None

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    TypeError, ValueError
        For a matrix whose rows are no distributions, or of another size than the number of classes.

    Examples
    --------
    >>> flip_labels([3, 5, 3], [[0, 1], [1, 0]]).tolist()
    [5, 3, 5]
    """
    matrix = check_transition_matrix("transition", transition)
    classes, codes = _encode(y)
    if classes.size != len(matrix):
        raise ValueError(
            f"`transition` must have a row for each of the {classes.size} classes of `y`; got {len(matrix)}. "
            "Drop the rows of classes that do not occur."
        )
    return classes[_draw(matrix[codes], np.random.default_rng(check_seed("random_state", random_state)))]


def _encode(y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    labels = check_no_missing("y", check_nonempty("y", check_ndim("y", y, 1)))
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError:
        raise TypeError("`y` must hold values that can be sorted; got several types. Convert them.") from None
    return classes, codes


def _matrix(
    kind: NoiseKind, n_classes: int, rate: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    if kind == "symmetric":
        return symmetric_noise_matrix(n_classes, rate)
    if kind == "pair":
        return pair_noise_matrix(n_classes, rate)
    return sparse_noise_matrix(n_classes, n_classes * (1 - rate), sparsity=0.5, random_state=generator)


def _instance_rows(
    codes: NDArray[np.int64],
    rate: float,
    n_classes: int,
    X: ArrayLike | None,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return P(observed | item), shape (n, n_classes)."""
    if X is None:
        raise ValueError("`X` must be given for noise of kind 'instance'; got None. Pass the features.")
    features = check_finite("X", check_ndim("X", X, 2)).astype(np.float64)
    check_same_length(y=codes, X=features)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    features /= np.sqrt(max(features.shape[1], 1))
    rates = generator.normal(rate, INSTANCE_DEVIATION, size=codes.size)
    while (outside := (rates < 0) | (rates > 1)).any():
        rates[outside] = generator.normal(rate, INSTANCE_DEVIATION, size=int(outside.sum()))
    rows = np.empty((codes.size, n_classes))
    for true in range(n_classes):
        members = np.flatnonzero(codes == true)
        logits = features[members] @ generator.normal(size=(features.shape[1], n_classes))
        logits[:, true] = -np.inf
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        rows[members] = rates[members, None] * weights / weights.sum(axis=1, keepdims=True)
    rows[np.arange(codes.size), codes] = 1 - rates
    return rows


def _draw(rows: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw one column from each row of probabilities."""
    levels = np.cumsum(rows, axis=1)
    # Scaled by the sum, which rounding may leave just below 1, so that no draw falls behind the last column.
    draws = generator.random(len(rows)) * levels[:, -1]
    return np.asarray((draws[:, None] >= levels).sum(axis=1))
