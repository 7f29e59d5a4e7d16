"""The compiled loops of confident learning: one reading of a row each, over blocks in C order.

Every kernel releases the lock and touches a range of rows only; counts are integers, so that neither the
number of threads nor the size of the blocks changes a result.
"""

from __future__ import annotations

import numba
import numpy as np

# `reassoc` lets sums run in vector registers; NaN and infinity keep their meaning.
_row_kernel = numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
_kernel = numba.njit(cache=True, nogil=True)
N_THREADS: int = numba.config.NUMBA_NUM_THREADS


@_row_kernel  # type: ignore[misc]
def summarize_block(block, bits, labels, argmax, largest, own):  # type: ignore[no-untyped-def]
    """Fill argmax, largest and own probability of each row; return the first invalid row and the worst sum.

    `bits` is `block` seen as integers: numbers that are not negative have the order of their bits, and the
    maximum of integers is a vector instruction where that of floats (with NaN) is none.
    """
    n_rows, n_classes = block.shape
    worst, at_fault = 0.0, -1
    for row in range(n_rows):
        top, signs = bits[row, 0], bits[row, 0]
        total = block.dtype.type(0)
        for column in range(n_classes):
            top = max(top, bits[row, column])
            signs |= bits[row, column]
            total += block[row, column]
        position = 0
        while bits[row, position] != top:
            position += 1
        if signs < 0:  # a negative number, a negative zero or NaN
            position = 0
            for column in range(n_classes):
                if not block[row, column] >= 0 and at_fault < 0:
                    at_fault = row
                if block[row, column] > block[row, position]:
                    position = column
        deviation = abs(np.float64(total) - 1)
        if not np.isfinite(total):
            if at_fault < 0:
                at_fault = row
        elif deviation > worst:
            worst = deviation
        argmax[row] = position
        largest[row] = block[row, position]
        own[row] = block[row, labels[row]]
    return at_fault, worst


@_kernel  # type: ignore[misc]
def add_exactly(labels, own, sums):  # type: ignore[no-untyped-def]
    """Add the probabilities of the given labels to sums of three integers a class: count, 2^-30, 2^-60.

    Integers add up to the same total in any order and any partition.
    """
    unit = 1073741824.0
    for row in range(labels.shape[0]):
        scaled = np.float64(own[row]) * unit
        high = np.floor(scaled)
        sums[labels[row], 0] += 1
        sums[labels[row], 1] += np.int64(high)
        sums[labels[row], 2] += np.int64((scaled - high) * unit)


@_kernel  # type: ignore[misc]
def count_block(  # type: ignore[no-untyped-def]
    block, labels, argmax, largest, thresholds, paper, joint, off_diagonal
):
    """Count rows into the confident joint, and say which of them lie off its diagonal."""
    lowest = thresholds.min()
    for row in range(labels.shape[0]):
        off_diagonal[row] = False
        confident = argmax[row]
        if largest[row] < thresholds[confident]:
            # No class can reach a threshold that the largest probability does not reach.
            confident = (
                -1 if largest[row] < lowest else _other_class(block[row], thresholds, confident, paper)
            )
        if confident >= 0:
            joint[labels[row], confident] += 1
            off_diagonal[row] = confident != labels[row]


@_kernel  # type: ignore[misc]
def _other_class(probabilities, thresholds, argmax, paper):  # type: ignore[no-untyped-def]
    """Return the confident class of a row whose argmax is below its threshold, -1 if there is none."""
    best, n_above = -1, 0
    for column in range(probabilities.shape[0]):
        if probabilities[column] >= thresholds[column]:
            n_above += 1
            if best < 0 or probabilities[column] > probabilities[best]:
                best = column
    return argmax if n_above > 1 and not paper else best


@_kernel  # type: ignore[misc]
def largest_margins(pred_probs, rows, given, counts, flagged, unsettled):  # type: ignore[no-untyped-def]
    """Flag, for each class j, the `counts[j]` rows with the largest p_j - p_given; return how many j remain.

    `rows` are those of the class whose argmax is another one: all rows with a positive margin are among them.
    Where fewer than `counts[j]` margins are positive, or the last place is shared, j is put into `unsettled`.
    """
    n_rows, remaining = rows.shape[0], 0
    own = np.empty(n_rows, dtype=pred_probs.dtype)
    for position in range(n_rows):
        own[position] = pred_probs[rows[position], given]
    margins = np.empty(n_rows, dtype=pred_probs.dtype)
    for other in range(counts.shape[0]):
        wanted = counts[other]
        if other == given or wanted == 0:
            continue
        positive = 0
        for position in range(n_rows):
            margins[position] = pred_probs[rows[position], other] - own[position]
            positive += margins[position] > 0
        settled = False
        if positive >= wanted:
            cut = np.partition(margins, n_rows - wanted)[n_rows - wanted]
            settled = (margins >= cut).sum() == wanted
        if settled:
            for position in range(n_rows):
                if margins[position] >= cut:
                    flagged[rows[position]] = True
        else:
            unsettled[remaining] = other
            remaining += 1
    return remaining


@_row_kernel  # type: ignore[misc]
def margin_block(block, labels, scores):  # type: ignore[no-untyped-def]
    """Fill the normalized margin (p_given - max of the others + 1) / 2, or p_given if there are no others."""
    for row in range(block.shape[0]):
        given = labels[row]
        other = block.dtype.type(-1)
        for column in range(given):
            other = max(other, block[row, column])
        for column in range(given + 1, block.shape[1]):
            other = max(other, block[row, column])
        own = np.float64(block[row, given])
        scores[row] = own if other < 0 else (own - np.float64(other) + 1) / 2
