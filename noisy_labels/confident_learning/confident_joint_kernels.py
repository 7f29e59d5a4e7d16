"""The compiled loops of confident learning: one reading of a row each, over blocks in C order.

Every kernel releases the lock and touches a range of rows only; counts are integers, so that neither the
number of threads nor the size of the blocks changes a result.
"""

from __future__ import annotations

import numba
import numpy as np

# `reassoc` lets sums run in vector registers; NaN and infinity keep their meaning.
_row_kernel = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
_kernel = numba.njit(cache=True, nogil=True)
N_THREADS: int = numba.config.NUMBA_NUM_THREADS
# log(1 + f) / f where 1 + f lies between the roots of 1/2 and 2: a polynomial, to 6e-8 of its value.
_LEAST_MANTISSA = np.int32(np.float32(np.sqrt(0.5)).view(np.int32))
_MANTISSA_BITS = np.int32((1 << 23) - 1)
_LOG_2 = np.float32(np.log(2))
_interpolant = np.polynomial.Chebyshev.interpolate(
    lambda f: np.log1p(f) / f, 9, domain=[np.sqrt(0.5) - 1, np.sqrt(2) - 1]
)
_LOG_SERIES = tuple(np.float32(number) for number in _interpolant.convert(kind=np.polynomial.Polynomial).coef)


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
            number = bits[row, column]  # named once, so that the loop stays in vector registers
            top = max(top, number)
            signs |= number
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
    n_above = 0
    for column in range(probabilities.shape[0]):
        n_above += probabilities[column] >= thresholds[column]
    if n_above == 0 or (n_above > 1 and not paper):
        return argmax if n_above else -1
    best = -1
    for column in range(probabilities.shape[0]):
        if probabilities[column] >= thresholds[column] and (
            best < 0 or probabilities[column] > probabilities[best]
        ):
            best = column
    return best


@_kernel  # type: ignore[misc]
def round_to_totals(moved, missing, rounded, unsettled):  # type: ignore[no-untyped-def]
    """Add what rounded rows miss to the cells that were `moved` the furthest; return how many rows remain.

    Those whose last place is shared are put into `unsettled`.
    """
    remaining, candidates = 0, np.empty(moved.shape[1], dtype=moved.dtype)
    for row in range(moved.shape[0]):
        wanted, sign = abs(missing[row]), np.sign(missing[row])
        if wanted == 0:
            continue
        n_candidates = 0
        for column in range(moved.shape[1]):
            candidates[n_candidates] = sign * moved[row, column]
            n_candidates += candidates[n_candidates] > 0
        settled = n_candidates >= wanted
        if settled:
            cut = np.partition(candidates[:n_candidates], n_candidates - wanted)[n_candidates - wanted]
            settled = (candidates[:n_candidates] >= cut).sum() == wanted
        if settled:
            for column in range(moved.shape[1]):
                if sign * moved[row, column] >= cut:
                    rounded[row, column] += sign
        else:
            unsettled[remaining] = row
            remaining += 1
    return remaining


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
def rival_block(block, bits, labels, own, rival):  # type: ignore[no-untyped-def]
    """Fill the probabilities of the given label and of the likeliest other class, -1 where there is none.

    Return the first invalid row and the worst sum; for `bits` see `summarize_block`.
    """
    n_rows, n_classes = block.shape
    worst, at_fault = 0.0, -1
    cell = np.zeros(1, dtype=bits.dtype)
    value = cell.view(block.dtype)
    for row in range(n_rows):
        given = bits.dtype.type(labels[row])
        top, signs = bits.dtype.type(-1), bits[row, 0]
        total = block.dtype.type(0)
        for column in range(n_classes):
            # A choice instead of two loops around the given label: vector registers again.
            number = bits[row, column]
            top = max(top, number if column != given else bits.dtype.type(-1))
            signs |= number
            total += block[row, column]
        if not np.isfinite(total) or (signs < 0 and not _not_negative(block[row])):
            at_fault = row if at_fault < 0 else at_fault
        else:
            worst = max(worst, abs(np.float64(total) - 1))
        own[row] = block[row, given]
        cell[0] = max(top, bits.dtype.type(0))
        rival[row] = value[0] if n_classes > 1 else -1
    return at_fault, worst


@_kernel  # type: ignore[misc]
def _not_negative(numbers):  # type: ignore[no-untyped-def]
    """Return whether all numbers are 0, negative zeros among them, or more; NaN is not."""
    return (numbers >= 0).all()


@_kernel  # type: ignore[misc]
def count_contest(block, labels, own, rival, thresholds, paper, joint):  # type: ignore[no-untyped-def]
    """Count rows into the confident joint; those confident of their given label need no reading."""
    lowest = thresholds.min()
    for row in range(labels.shape[0]):
        given = labels[row]
        if own[row] > rival[row] and own[row] >= thresholds[given]:
            joint[given, given] += 1
            continue
        largest = max(own[row], rival[row])
        if largest < lowest:
            continue
        argmax = 0
        while block[row, argmax] != largest:
            argmax += 1
        confident = argmax
        if largest < thresholds[argmax]:
            confident = _other_class(block[row], thresholds, argmax, paper)
        if confident >= 0:
            joint[given, confident] += 1


@_row_kernel  # type: ignore[misc]
def entropy_block(block, bits, entropies):  # type: ignore[no-untyped-def]
    """Fill the entropy of rows in float32, its terms to 1e-7 of their values; 0 adds nothing."""
    for row in range(block.shape[0]):
        total = np.float32(0)
        for column in range(block.shape[1]):
            total += block[row, column] * _log(bits[row, column])
        entropies[row] = -total


@numba.njit(cache=True, inline="always", fastmath={"contract"})  # type: ignore[misc]
def _log(bits):  # type: ignore[no-untyped-def]
    """Return the logarithm of the float32 with these bits, a finite number for 0."""
    shifted = np.int32(bits - _LEAST_MANTISSA)
    fraction = np.int32((shifted & _MANTISSA_BITS) + _LEAST_MANTISSA).view(np.float32) - np.float32(1)
    series = _LOG_SERIES[9]
    for power in (8, 7, 6, 5, 4, 3, 2, 1, 0):
        series = series * fraction + _LOG_SERIES[power]
    return np.float32(shifted >> 23) * _LOG_2 + fraction * series
