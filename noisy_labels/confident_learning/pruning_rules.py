"""Which rows to flag, given the calibrated confident joint: the pruning rules of confident learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisy_labels.confident_learning import confident_joint_kernels as kernels
from noisy_labels.confident_learning.predicted_probabilities import RowSummary, over_threads


def prune_by_class(
    labels: NDArray[Any], rows: RowSummary, counts: NDArray[np.int64], *, min_examples: int
) -> NDArray[np.bool_]:
    r"""Flag in each class i the :math:`\sum_{j \ne i} \tilde C[i, j]` rows with the lowest self-confidence.

    Parameters
    ----------
    labels : int array of shape (n,)
    rows : RowSummary
    counts : int64 array of shape (n_classes, n_classes)
        Calibrated confident joint; row: given class.
    min_examples : int
        Classes without more examples are left alone.
    """
    flagged = np.zeros(len(labels), dtype=np.bool_)
    for given, members in _classes(labels, len(counts)):
        wanted = len(members) - counts[given, given]
        if wanted > 0 and len(members) > min_examples:
            flagged[members[lowest(rows.own[members], wanted)]] = True
    return flagged


def prune_by_noise_rate(
    labels: NDArray[Any],
    pred_probs: NDArray[Any],
    rows: RowSummary,
    counts: NDArray[np.int64],
    *,
    min_examples: int,
) -> NDArray[np.bool_]:
    r"""Flag for each pair i, j the :math:`\tilde C[i, j]` rows of class i with the largest p_j - p_i.

    Parameters
    ----------
    labels : int array of shape (n,)
    pred_probs : array of shape (n, n_classes)
    rows : RowSummary
    counts : int64 array of shape (n_classes, n_classes)
        Calibrated confident joint; row: given class.
    min_examples : int
        Classes without more examples are left alone.
    """
    n_classes = len(counts)
    flagged = np.zeros(len(labels), dtype=np.bool_)
    totals = np.bincount(labels, minlength=n_classes)
    disagreeing = np.flatnonzero(rows.argmax != labels)
    order, bounds = rows_by_class(labels[disagreeing], n_classes)
    disagreeing = disagreeing[order]
    del order

    def flag(start: int, stop: int) -> list[tuple[int, int]]:
        unsettled, remaining = np.empty(n_classes, dtype=np.int64), []
        for given in range(start, stop):
            if totals[given] <= min_examples:
                continue
            candidates = disagreeing[bounds[given] : bounds[given + 1]]
            n_left = kernels.largest_margins(pred_probs, candidates, given, counts[given], flagged, unsettled)
            remaining += [(given, int(other)) for other in unsettled[:n_left]]
        return remaining

    # Classes, not rows, are shared out; a thread sets flags of its own classes only.
    for pairs in over_threads(flag, n_classes, len(disagreeing) * n_classes):
        for given, other in pairs:
            everyone = np.flatnonzero(labels == given)
            margins = pred_probs[everyone, given] - pred_probs[everyone, other]
            flagged[everyone[lowest(margins, counts[given, other])]] = True
    return flagged


def keep_examples(counts: NDArray[np.int64], minimum: int) -> NDArray[np.int64]:
    """Raise the diagonal to a minimum, at the expense of the row's other positive cells in equal parts."""
    kept = counts.copy()
    for given in np.flatnonzero(counts.diagonal() < minimum):
        others = counts[given] > 0
        others[given] = False
        share = (minimum - counts[given, given]) / max(others.sum(), 1)
        kept[given, others] = np.floor(np.maximum(counts[given, others] - share, 0))
        kept[given, given] = minimum
    return kept


def lowest(values: NDArray[Any], wanted: int) -> NDArray[np.intp]:
    """Return the positions of the `wanted` lowest values; ties go as NumPy's partition has them."""
    wanted = min(int(wanted), len(values))
    if wanted == 0:
        return np.zeros(0, dtype=np.intp)
    return np.argpartition(values, wanted - 1)[:wanted]


def agrees(
    labels: NDArray[Any], rows: RowSummary, among: NDArray[np.intp], slack: float
) -> NDArray[np.bool_]:
    """Return which of some rows have the given label as the most probable one, or within `slack` of it."""
    # A class before the given one wins an exact tie in argmax; with slack the given one wins it.
    close = rows.own[among] + slack > rows.largest[among]
    return np.asarray((rows.argmax[among] == labels[among]) | close, dtype=np.bool_)


def _classes(labels: NDArray[Any], n_classes: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each class and its rows, in the order of the rows."""
    members, bounds = rows_by_class(labels, n_classes)
    for given in range(n_classes):
        yield given, members[bounds[given] : bounds[given + 1]]


def rows_by_class(labels: NDArray[Any], n_classes: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the rows ordered by class, in their order within it, and where each class begins."""
    bounds = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_classes))])
    # Radix sort, where the type has 16 bits: linear.
    small = labels.astype(np.uint16) if n_classes <= 1 << 16 else labels
    return np.argsort(small, kind="stable"), bounds
