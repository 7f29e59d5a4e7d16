"""Logits of rows by estimators that have not seen their bags, fitted to all other bags or to a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator

from noisy_labels.proportions.bag_factor import Factor
from noisy_labels.proportions.soft_labels import drawn_labels, fit_soft_labels, soft_label_logits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class HeldOutFolds:
    """Folds that share no bag, and the bags that estimators are fitted to and judged by.

    Attributes
    ----------
    of_row : int64 array of shape (n_rows,)
        Fold of each row.
    bags : int64 array
        Numbers of the bags fitted to.
    rows : int64 array
        Their rows.
    factor : CountFactor or ClassCountFactor
        Of these rows and bags alone.
    drawn_by : RandomState or None
        If they are a sample, which draws one label a row from its probabilities: beside more rows than are
        looked at, labels of both classes with weights cost more than they tell.
    """

    of_row: Ints
    bags: Ints
    rows: Ints
    factor: Factor
    drawn_by: np.random.RandomState | None

    def fit(self, estimator: BaseEstimator, X: Floats, logits: Floats) -> Iterator[Any]:
        """Yield for each fold a clone fitted to the labels, of these logits, of the other folds."""
        own, targets = self.of_row[self.rows], label_probabilities(logits[self.rows])
        if self.drawn_by is not None:
            targets = drawn_labels(targets, self.drawn_by)
        for fold in range(self.of_row.max() + 1):
            kept = np.flatnonzero(own != fold)
            yield fit_soft_labels(estimator, X[self.rows[kept]], targets[kept])

    def first(self) -> HeldOutFolds:
        """Return the first fold: its bags, their rows, and their factor."""
        members = self.factor.index.rows
        bags = np.flatnonzero(self.of_row[self.rows[members.values[members.offsets[:-1]]]] == 0)
        rows, factor = self.factor.take(bags)
        return HeldOutFolds(self.of_row, self.bags[bags], self.rows[rows], factor, self.drawn_by)

    def logits(self, models: list[Any], X: Floats, rows: Ints, n_classes: int) -> Floats:
        """Return the logits of some rows, each by the model of its fold."""
        own = self.of_row[rows]
        found = np.empty(rows.size if n_classes == 2 else (rows.size, n_classes))
        for fold, model in enumerate(models):
            part = np.flatnonzero(own == fold)
            if part.size:
                found[part] = soft_label_logits(model, X[rows[part]], n_classes)
        return found


def lay_folds(factor: Factor, cv: int, *, max_rows: int, rng: np.random.RandomState) -> HeldOutFolds | None:
    """Return folds of bags at random; None if more than half of the rows hang together by their bags.

    Parameters
    ----------
    factor : CountFactor or ClassCountFactor
    cv : int
        Number of folds.
    max_rows : int
        Where there are more, estimators are fitted to a random sample of whole bags of at most so many rows,
        but `cv` bags.  Bags that overlap are taken together.
    rng : RandomState
    """
    group, n_groups = factor.index.groups()
    sizes = np.bincount(group, minlength=n_groups)
    if n_groups < 2 or 2 * sizes.max() > group.size:
        return None
    cv = min(cv, n_groups)
    rank = rng.permutation(n_groups)
    of_row = np.asarray((rank % cv)[group], dtype=np.int64)
    if group.size > max_rows:
        order = np.argsort(rank)
        n_sampled = max(cv, int(np.searchsorted(np.cumsum(sizes[order]), max_rows, side="right")))
        of_bag = group[factor.index.rows.values[factor.index.rows.offsets[:-1]]]
        bags = np.flatnonzero(rank[of_bag] < n_sampled)
        rows, sampled = factor.take(bags)
        if np.unique(of_row[rows]).size == cv:  # not if most rows are in no bag
            return HeldOutFolds(of_row, bags, rows, sampled, rng)
    return HeldOutFolds(of_row, np.arange(factor.index.ids.size), np.arange(group.size), factor, None)


def label_probabilities(logits: Floats) -> Floats:
    """Return P(y = 1) of log odds, shape (n,), or P(class) of logits, shape (n, n_classes)."""
    return np.asarray(expit(logits) if logits.ndim == 1 else softmax(logits, axis=1))
