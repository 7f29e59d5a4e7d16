"""Folds of labelled rows in which rare classes do no harm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, check_cv

from sparse_data.type_checks import naming

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def label_folds(
    cv: Any, X: Any, y: NDArray[Any], *, groups: Any = None, random_state: Any = None
) -> list[Fold]:
    """Return pairs of training and test rows such that every row is tested.

    Parameters
    ----------
    cv : int, splitter of scikit-learn or iterable of pairs
        An int deals the rows of each class out in turn, in random order: classes may have fewer rows than
        there are folds.  With `groups`, no group is on both sides.
    X : array-like of shape (n, ...)
    y : array of shape (n,)
        The class of each row.
    groups : array of shape (n,), optional
    random_state : int, Generator, RandomState or None

    Returns
    -------
    list of pairs of int arrays

    Raises
    ------
    ValueError
        If a row is never tested.

    Examples
    --------
    >>> folds = label_folds(2, np.zeros((5, 1)), np.array([0, 0, 0, 0, 1]), random_state=0)
    >>> sorted(np.concatenate([test for _, test in folds]).tolist())
    [0, 1, 2, 3, 4]
    """
    if isinstance(cv, (int, np.integer)) and groups is None:
        return _dealt(min(int(cv), len(y)), y, np.random.default_rng(random_state))
    if isinstance(cv, (int, np.integer)):
        seed = int(np.random.default_rng(random_state).integers(2**31))
        cv = StratifiedGroupKFold(int(cv), shuffle=True, random_state=seed)
    with naming("cv", "a number of folds, a splitter or pairs of row numbers"):
        if isinstance(cv, (str, bytes)):
            raise TypeError(f"got {cv!r}")  # which can be split too
        splits = check_cv(cv, y, classifier=True).split(X, y, groups)
        folds = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    tested = np.zeros(len(y), dtype=bool)
    for _, test in folds:
        tested[test] = True
    if not tested.all():
        raise ValueError(
            f"`cv` must test every row; got {int((~tested).sum())} rows in no test fold. Use a splitter that "
            "partitions the rows, such as StratifiedKFold."
        )
    return folds


def _dealt(n_folds: int, y: NDArray[Any], generator: np.random.Generator) -> list[Fold]:
    order = generator.permutation(len(y))
    # Dealt in turn through all classes one after another, so that the folds are of equal size too.
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % n_folds
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(n_folds)]
