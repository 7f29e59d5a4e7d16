"""Is it the counts that a model has learned from?  The same fit with the counts of other bags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from noisy_labels.proportions.bag_classifier import BagClassifier
from noisy_labels.proportions.bag_factor import Values
from noisy_labels.proportions.bag_labels import BagIndex, read_bags, read_counts
from noisy_labels.proportions.count_potentials import CountPotential, ExactCount
from sparse_data import Bags
from sparse_data.checks import check_count, check_ndim
from sparse_data.type_checks import random_state_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PermutedBagTest:
    """Scores with the counts as they are and with counts dealt out anew.

    Attributes
    ----------
    score : float
    null_scores : float array of shape (n_permutations,)
    p_value : float
        (1 + number of null scores at least as large) / (1 + n_permutations).
    """

    score: float
    null_scores: Floats
    p_value: float


def permuted_bag_test(
    estimator: BagClassifier,
    X: ArrayLike,
    *,
    bags: ArrayLike | Bags,
    proportions: Values | None = None,
    counts: Values | None = None,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    n_permutations: int = 20,
    cv: int = 5,
    random_state: int | np.random.RandomState | None = None,
) -> PermutedBagTest:
    r"""Compare a fit to the counts of bags with fits to counts that were permuted between bags.

    Graphs and features alone can rank rows well: only what the true counts add is learned from bags.  Without
    labels the score is the mean log-likelihood of the counts of bags held out by folds; with `X_test` and
    `y_test` it is the ROC AUC there.

    .. math:: p = \frac{1 + \#\{t : S_t \ge S\}}{1 + T}

    Parameters
    ----------
    estimator : BagClassifier
        Such as `BagRidge`; it is cloned.
    X : array_like of shape (n_rows, n_features)
    bags, proportions, counts
        As for `fit`; numbers only.  Between bags of differing size, proportions are permuted and counts are
        the nearest whole numbers.
    X_test, y_test : array_like, optional
        Labelled rows.
    n_permutations : int, default=20
        T.
    cv : int, default=5
        Folds of bags, at least 2; not used with labelled rows.
    random_state : int, RandomState or None

    Returns
    -------
    PermutedBagTest

    Raises
    ------
    ValueError
        If bags and counts do not fit, or only one of `X_test` and `y_test` is given.

    Examples
    --------
    >>> from noisy_labels.proportions.bag_ridge import BagRidge
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(320, 2)), np.arange(320) // 8
    >>> counts = np.bincount(bags, X[:, 0] > 0)
    >>> permuted_bag_test(BagRidge(), X, bags=bags, counts=counts, random_state=0).p_value < 0.05
    True
    """
    if isinstance(counts, CountPotential):
        raise TypeError("`counts` must be numbers; got a CountPotential. Pass its counts.")
    if (X_test is None) != (y_test is None):
        raise ValueError("`X_test` and `y_test` must be given together; got one of them.")
    check_count("n_permutations", n_permutations)
    rows = check_ndim("X", X, 2)
    index = read_bags(bags, rows.shape[0])
    potential = read_counts(index, proportions=proportions, counts=counts)
    if not isinstance(potential, ExactCount):
        raise TypeError(f"`counts` must be numbers; got {type(potential).__name__}. Pass its counts.")
    check_count("cv", cv, 2, maximum=index.ids.size)
    rng = random_state_of("random_state", random_state)
    folds = rng.permutation(index.ids.size) % cv
    true = np.asarray(potential.counts, dtype=np.float64)

    def score(given: Floats) -> float:
        if X_test is not None:
            model = clone(estimator).fit(rows, bags=index.rows, counts=given)
            return float(roc_auc_score(y_test, model.decision_function(X_test)))
        return _held_out_score(estimator, rows, index, given, folds)

    observed = score(true)
    null = np.array([score(_permuted(true, index.sizes, rng)) for _ in range(n_permutations)])
    return PermutedBagTest(observed, null, float((1 + (null >= observed).sum()) / (1 + n_permutations)))


def _permuted(counts: Floats, sizes: NDArray[np.int64], rng: np.random.RandomState) -> Floats:
    return np.round(rng.permutation(counts / sizes) * sizes)


def _held_out_score(
    estimator: BagClassifier,
    X: NDArray[np.generic],
    index: BagIndex,
    counts: Floats,
    folds: NDArray[np.int64],
) -> float:
    total = 0.0
    for fold in range(folds.max() + 1):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        train, train_index = index.take(others)
        test, test_index = index.take(own)
        model = clone(estimator).fit(X[train], bags=train_index.rows, counts=counts[others])
        total += own.size * model.score(X[test], bags=test_index.rows, counts=counts[own])
    return total / index.ids.size
