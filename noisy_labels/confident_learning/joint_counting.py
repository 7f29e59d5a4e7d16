"""Rows counted into the confident joint, given the thresholds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noisy_labels.confident_learning import confident_joint_kernels as kernels
from noisy_labels.confident_learning.predicted_probabilities import (
    RowContest,
    RowSummary,
    blocks,
    over_threads,
)

Collisions = Literal["paper", "cleanlab"]
COLLISIONS: tuple[Collisions, ...] = ("paper", "cleanlab")
SLACK = 1e-6  # by which rounding may keep a probability from its threshold


def count_joint(
    labels: NDArray[Any],
    pred_probs: NDArray[Any],
    rows: RowSummary,
    thresholds: NDArray[np.float64],
    collisions: Collisions,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the confident joint and which rows lie off its diagonal; a summary tells most rows."""
    n_rows, n_classes = pred_probs.shape
    off_diagonal = np.empty(n_rows, dtype=np.bool_)
    reached = _reached_from(thresholds - SLACK, rows.largest.dtype)

    def count(start: int, stop: int) -> NDArray[np.int64]:
        joint = np.zeros((n_classes, n_classes), dtype=np.int64)
        for first, last, block in blocks(pred_probs, start, stop):
            part = slice(first, last)
            kernels.count_block(
                block,
                labels[part].astype(np.int64, copy=False),
                rows.argmax[part],
                rows.largest[part],
                reached,
                collisions == "paper",
                joint,
                off_diagonal[part],
            )
        return joint

    parts = over_threads(count, n_rows, pred_probs.size)
    return np.sum(parts, axis=0), off_diagonal


def count_contest(
    labels: NDArray[Any],
    pred_probs: NDArray[Any],
    contest: RowContest,
    thresholds: NDArray[np.float64],
    collisions: Collisions,
) -> NDArray[np.int64]:
    """Return the confident joint from the contest of each row, which tells most rows."""
    n_classes = pred_probs.shape[1]
    reached = _reached_from(thresholds - SLACK, contest.own.dtype)

    def count(start: int, stop: int) -> NDArray[np.int64]:
        joint = np.zeros((n_classes, n_classes), dtype=np.int64)
        for first, last, block in blocks(pred_probs, start, stop):
            part = slice(first, last)
            given = labels[part].astype(np.int64, copy=False)
            own, rival = contest.own[part], contest.rival[part]
            kernels.count_contest(block, given, own, rival, reached, collisions == "paper", joint)
        return joint

    joint: NDArray[np.int64] = np.sum(over_threads(count, len(labels), pred_probs.size), axis=0)
    return joint


def _reached_from(thresholds: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the smallest numbers of the type that are not below the thresholds: the same rows reach them."""
    rounded = thresholds.astype(dtype)
    return np.where(rounded < thresholds, np.nextafter(rounded, dtype.type(np.inf)), rounded).astype(dtype)
