"""The confident joint of data that come in batches: two readings, counts that merge, O(K^2) memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import exact_sums, read_thresholds, thresholds_of_sums
from noisy_labels.confident_learning.joint_counting import COLLISIONS, Collisions, count_joint
from noisy_labels.confident_learning.predicted_probabilities import (
    read_labels_and_probabilities,
    summarize_rows,
)
from sparse_data import checks
from sparse_data.type_checks import check_type

Batches = Iterable[tuple[ArrayLike, ArrayLike]]


class ConfidentJoint:
    """Confident joint by batches.

    The thresholds are means over all rows, and a row counts by its thresholds: so the data are read twice,
    unless thresholds are given. `partial_fit` serves the reading in progress; `begin_counting` ends the
    first. Sums are exact and counts are integers: batches may be cut, ordered and merged in any way.

    Parameters
    ----------
    thresholds : array of shape (n_classes,), optional
        Known thresholds; one reading is enough then.
    collisions : {"paper", "cleanlab"}, default="paper"
        See `confident_joint`.

    Attributes
    ----------
    n_seen : int
        Rows read in the reading in progress.
    label_counts : int64 array of shape (n_classes,)
        Examples of each given label in the reading in progress.

    Raises
    ------
    ValueError
        If `collisions` is unknown or thresholds are not finite.

    Examples
    --------
    >>> batches = [([0, 0], [[0.9, 0.1], [0.5, 0.5]]), ([1, 1], [[0.2, 0.8], [0.95, 0.05]])]
    >>> joint = ConfidentJoint()
    >>> for labels, pred_probs in batches:
    ...     joint = joint.partial_fit(labels, pred_probs)
    >>> joint = joint.begin_counting()
    >>> for labels, pred_probs in batches:
    ...     joint = joint.partial_fit(labels, pred_probs)
    >>> joint.finalize()
    array([[1, 1],
           [1, 1]])
    """

    def __init__(self, *, thresholds: ArrayLike | None = None, collisions: Collisions = "paper") -> None:
        self.collisions: Collisions = checks.check_one_of("collisions", collisions, COLLISIONS)
        self.thresholds: NDArray[np.float64] | None = None
        if thresholds is not None:
            self.thresholds = read_thresholds(thresholds, len(np.atleast_1d(np.asarray(thresholds))))
        self._sums: NDArray[np.int64] | None = None
        self._joint: NDArray[np.int64] | None = None
        self._n_expected: int | None = None

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """Examples of each given label in the reading in progress."""
        if self._sums is None:
            return np.zeros(0, dtype=np.int64)
        return self._sums[:, 0].copy()

    @property
    def n_seen(self) -> int:
        """Rows read in the reading in progress."""
        return int(self.label_counts.sum())

    def partial_fit(self, labels: ArrayLike, pred_probs: ArrayLike) -> Self:
        """Read a batch: labels of shape (n,), probabilities of shape (n, n_classes)."""
        given, probabilities = read_labels_and_probabilities(labels, pred_probs)
        n_classes = probabilities.shape[1]
        if self._sums is not None and len(self._sums) != n_classes:
            raise ValueError(
                f"`pred_probs` must have {len(self._sums)} columns as before; got {n_classes}. "
                "Give every batch all classes."
            )
        probabilities, rows = summarize_rows(given, probabilities)
        if self.thresholds is not None:
            thresholds = read_thresholds(self.thresholds, n_classes)
            joint, _ = count_joint(given, probabilities, rows, thresholds, self.collisions)
            self._joint = joint if self._joint is None else self._joint + joint
        sums = exact_sums(given, rows.own, n_classes)
        self._sums = sums if self._sums is None else self._sums + sums
        return self

    def begin_counting(self) -> Self:
        """End the first reading: the thresholds are what it gave, and batches are counted from now on."""
        if self.thresholds is not None:
            raise ValueError(
                "`begin_counting` must be called once, after the first reading; got a joint that counts. "
                "Go on with `partial_fit`."
            )
        if self._sums is None:
            raise ValueError(
                "`begin_counting` must follow a reading; got no batch. Call `partial_fit` with all batches "
                "first."
            )
        self.thresholds = thresholds_of_sums(self._sums)
        self._n_expected, self._sums = self.n_seen, None
        return self

    def merge(self, other: ConfidentJoint) -> Self:
        """Add what another joint has read in the same reading, with the same thresholds."""
        check_type("other", other, ConfidentJoint, "Pass the joint of another shard.")
        same = self.collisions == other.collisions and (
            np.array_equal(self.thresholds, other.thresholds)
            if self.thresholds is not None and other.thresholds is not None
            else self.thresholds is other.thresholds
        )
        if not same or (
            self._sums is not None and other._sums is not None and len(self._sums) != len(other._sums)
        ):
            raise ValueError(
                "`other` must be in the same reading, with the same thresholds, classes and collisions; "
                "got another. Give all shards the merged thresholds."
            )
        if other._sums is not None:
            self._sums = other._sums.copy() if self._sums is None else self._sums + other._sums
        if other._joint is not None:
            self._joint = other._joint.copy() if self._joint is None else self._joint + other._joint
        return self

    def finalize(self) -> NDArray[np.int64]:
        """Return the confident joint, int64 of shape (n_classes, n_classes); row: given class.

        Raises
        ------
        ValueError
            If the second reading is missing, or has other rows than the first.
        """
        if self._joint is None:
            raise ValueError(
                "`finalize` must follow the counting of all batches; got none counted. Call "
                "`begin_counting` after the first reading, then `partial_fit` with all batches again (or "
                "pass `thresholds`)."
            )
        if self._n_expected is not None and self.n_seen != self._n_expected:
            raise ValueError(
                f"the second reading must have the {self._n_expected} rows of the first; got {self.n_seen}. "
                "Read the same batches twice."
            )
        return self._joint.copy()

    def fit(self, make_batches: Callable[[], Batches]) -> Self:
        """Read all batches as often as needed.

        Parameters
        ----------
        make_batches : callable
            Returns an iterable of (labels, pred_probs), the same whenever it is called; see
            `probability_batches`.
        """
        if not callable(make_batches):
            raise TypeError(
                f"`make_batches` must be callable; got {type(make_batches).__name__}. A generator can be "
                "read once only: pass a function that makes it."
            )
        if self.n_seen:
            raise ValueError(
                f"`fit` must start with nothing read; got {self.n_seen} rows before. Build a new "
                "ConfidentJoint."
            )
        if self.thresholds is None:
            for labels, pred_probs in make_batches():
                self.partial_fit(labels, pred_probs)
            self.begin_counting()
        for labels, pred_probs in make_batches():
            self.partial_fit(labels, pred_probs)
        return self
