"""Messages of a count factor to the members of its bag, compiled: exact ones and the saddlepoint.

A bag is a slice of the logits; its factor is the table of log φ(c), c = 0..m, at the same slice shifted by
the number of bags before it.  The logits are tilted first, which moves the counts that matter to where the
products of `count_tree` are largest.  If log φ is concave, coefficients too small to matter there are
dropped, so that a bag of m costs about m log m operations.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from noisy_labels.proportions.count_tree import (
    LEAVES,
    ask_leaves,
    carry_down,
    count_leaves,
    fill_leaves,
    make_leaves,
    make_tree,
    multiply_leaves,
    multiply_up,
)
from noisy_labels.proportions.threads import count_threads, in_threads

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TINY = 1e-300  # odds below, or above its inverse, are told by two logarithms
_NEGLIGIBLE = 1e-26  # a coefficient, beside the largest of its polynomial
_MAX_STEPS = 60  # of the search for the tilt; ten are enough as a rule
_HUGE = 1e300  # products beyond are put away as logarithms
_WIDE = 300.0  # differences of logits or of log φ that may underflow where no one tilt suits all modes
_SMALL = 1 << 16  # below this many members, starting threads costs more than it saves

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


def count_messages(
    logits: Floats,
    offsets: Ints,
    log_potential: Floats,
    *,
    saddlepoint_from: int,
    least_variance: float,
    normaliser: bool,
    tilts: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return the message of its bag to each member, and log Σ e(c) φ(c) of each bag (or nothing).

    Messages are NaN in bags where they would underflow: those of extreme logits and a φ of several modes.

    Bags of at least `saddlepoint_from` members and tilted variance `least_variance` are approximated if φ is
    Gaussian in the count.  Threads share the bags; `NUMBA_NUM_THREADS` sets their number.

    The search for the tilt of each bag begins at `tilts`, where it leaves what it found: whoever asks again
    with logits that have changed little saves most of it.
    """
    messages = np.empty(logits.size)
    tilts = np.zeros(offsets.size - 1) if tilts is None else tilts
    log_z = np.empty(offsets.size - 1 if normaliser else 0)
    arrays: tuple[Any, ...] = (
        logits,
        offsets,
        log_potential,
        saddlepoint_from,
        least_variance,
        tilts,
        messages,
        log_z,
    )
    threads = 1 if logits.size < _SMALL else count_threads()
    if threads == 1:
        _bag_range(0, offsets.size - 1, *arrays)
        return messages, log_z
    shares = np.linspace(0, logits.size, 8 * threads + 1)
    bounds = np.unique(np.r_[0, np.searchsorted(offsets[:-1], shares[1:-1]), offsets.size - 1])
    in_threads(lambda ends: _bag_range(*ends, *arrays), pairwise(bounds.tolist()))
    return messages, log_z


@_kernel  # type: ignore[misc]
def _sum_softplus(r, tilt):  # type: ignore[no-untyped-def]
    """Return Σ log(1 + e^(r + θ)), by a product of factors from 1 to 2 with few logarithms."""
    total, product = 0.0, 1.0
    for i in range(r.size):
        x = r[i] + tilt
        total += max(x, 0.0)
        product *= 1.0 + np.exp(-abs(x))
        if product > _HUGE:
            total += np.log(product)
            product = 1.0
    return total + np.log(product)


@_kernel  # type: ignore[misc]
def _moments(r, tilt, chances):  # type: ignore[no-untyped-def]
    """Write P(y = 0) and P(y = 1) of the tilted members; return mean and variance of their count."""
    mean, variance = 0.0, 0.0
    for i in range(r.size):
        x = r[i] + tilt
        small = np.exp(-abs(x))
        larger = 1.0 / (1.0 + small)
        smaller = small * larger
        chances[0, i] = smaller if x > 0.0 else larger
        chances[1, i] = larger if x > 0.0 else smaller
        mean += chances[1, i]
        variance += larger * smaller
    return mean, variance


@_kernel  # type: ignore[misc]
def _mode(table, tilt, mean, curvature):  # type: ignore[no-untyped-def]
    """Return the count where log φ(c) - θc - curvature (c - mean)² is largest."""
    mode, largest = 0, -np.inf
    for c in range(table.size):
        distance = c - mean
        value = table[c] - distance * (tilt + curvature * distance)
        if value > largest:
            mode, largest = c, value
    return mode


@_kernel  # type: ignore[misc]
def _tilt(r, table, guess, chances):  # type: ignore[no-untyped-def]
    """Find θ, from a guess, such that the count under σ(r + θ) has its mean near the mode of e(c) φ(c).

    The mean rises with θ and the mode of φ(c) exp(-θc) falls: where they cross is kept between bounds.
    Inside, Newton steps to the mode of a Gaussian e, which end the search unless nearly all labels are
    certain.
    """
    low, high = -r.max() - np.log(r.size) - 5.0, -r.min() + np.log(r.size) + 5.0
    tilt = guess if low < guess < high else 0.0
    mean, variance = _moments(r, tilt, chances)
    for _ in range(_MAX_STEPS):
        step = np.inf
        if variance > 0.1:
            distance = _mode(table, tilt, mean, 0.5 / variance) - mean
            if abs(distance) <= 0.25 + 0.5 * np.sqrt(variance):
                break
            step = tilt + distance / variance
        distance = _mode(table, tilt, mean, 0.0) - mean
        if abs(distance) <= 0.5:
            break
        if distance > 0.0:
            low = max(low, tilt)
        else:
            high = min(high, tilt)
        if high - low <= 1e-6:
            break
        tilt = step if low < step < high else 0.5 * (low + high)
        mean, variance = _moments(r, tilt, chances)
    return tilt, variance


@_kernel  # type: ignore[misc]
def _is_concave(table):  # type: ignore[no-untyped-def]
    first, last = 0, table.size - 1
    while table[first] == -np.inf:
        first += 1
    while table[last] == -np.inf:
        last -= 1
    for c in range(first + 1, last):
        bend = table[c - 1] + table[c + 1] - 2.0 * table[c]
        if table[c] == -np.inf or bend > 1e-9 * (1.0 + abs(table[c])):
            return False
    return True


@_kernel  # type: ignore[misc]
def _span(table):  # type: ignore[no-untyped-def]
    low, high = np.inf, -np.inf
    for value in table:
        if value > -np.inf:
            low, high = min(low, value), max(high, value)
    return high - low


@_kernel  # type: ignore[misc]
def _gaussian_form(table):  # type: ignore[no-untyped-def]
    """Return λ, s and log φ(s) if log φ(c) - log φ(s) = -λ(c-s)²: λ is inf for one count, 0 for no such φ."""
    finite, peak = 0, 0
    for c in range(table.size):
        finite += table[c] > -np.inf
        if table[c] > table[peak]:
            peak = c
    if finite == 1 and 0 < peak < table.size - 1:
        return np.inf, float(peak), table[peak]
    if finite < table.size or table.size < 3:
        return 0.0, 0.0, 0.0
    strength = table[1] - 0.5 * (table[0] + table[2])
    if strength <= 0.0:
        return 0.0, 0.0, 0.0
    middle = (table[1] - table[0] + strength) / (2.0 * strength)
    height = table[0] + strength * middle * middle
    for c in range(table.size):
        fall = strength * (c - middle) ** 2
        if abs(table[c] - height + fall) > 1e-9 * (1.0 + abs(height) + fall):
            return 0.0, 0.0, 0.0
    return strength, middle, height


@_kernel  # type: ignore[misc]
def _saddlepoint(r, form, tilt, chances, out):  # type: ignore[no-untyped-def]
    """Write messages for a Gaussian φ with a Gaussian in place of e, around the exact tilt; return log Z."""
    strength, middle, height = form
    hard = strength == np.inf
    mean, variance = _moments(r, tilt, chances)
    for _ in range(_MAX_STEPS):
        if hard:
            step = (middle - mean) / variance
        else:
            step = -(tilt + 2.0 * strength * (mean - middle)) / (1.0 + 2.0 * strength * variance)
        tilt += step
        mean, variance = _moments(r, tilt, chances)
        if abs(step) < 1e-10:
            break
    value = height - tilt * mean + _sum_softplus(r, tilt) - _sum_softplus(r, 0.0)
    for i in range(r.size):
        chance = chances[1, i]
        rest = variance - chance * chances[0, i]
        if hard:
            out[i] = tilt + (chance - 0.5) / rest
        else:
            gap = 2.0 * (mean - chance - middle) + 1.0 - 2.0 * tilt * rest
            out[i] = -strength * gap / (1.0 + 2.0 * strength * rest)
    if hard:
        return value - 0.5 * np.log(2.0 * np.pi * variance)
    return value - strength * (mean - middle) ** 2 - 0.5 * np.log(1.0 + 2.0 * strength * variance)


@_kernel  # type: ignore[misc]
def _read_leaves(leaves, column, tilt, out):  # type: ignore[no-untyped-def]
    """Write the messages of a bag as log odds."""
    m, parts = out.size, count_leaves(out.size)
    for k in range(parts):
        first, last = m * k // parts, m * (k + 1) // parts
        for i in range(last - first):
            if_zero, if_one = leaves.zero[i, column + k], leaves.one[i, column + k]
            odds = if_one / if_zero
            within = _TINY < odds < 1 / _TINY
            out[first + i] = tilt + (np.log(odds) if within else np.log(if_one) - np.log(if_zero))


@_kernel  # type: ignore[misc]
def _begin_bag(r, table, guess, saddlepoint_from, least_variance, chances, out):  # type: ignore[no-untyped-def]
    """Return the tilt, the smallest coefficient to keep (NaN for no tree), and log Z if it is known."""
    tilt, variance = _tilt(r, table, guess, chances)
    if r.size >= saddlepoint_from and variance >= least_variance:
        form = _gaussian_form(table)
        if form[0] > 0.0:
            return tilt, np.nan, _saddlepoint(r, form, tilt, chances, out)
    if _is_concave(table):
        return tilt, _NEGLIGIBLE, np.nan
    out[:] = np.nan
    within = r.max() - r.min() + _span(table) < _WIDE
    return tilt, 0.0 if within else np.nan, np.nan


@_kernel  # type: ignore[misc]
def _exact_messages(first, last, column, steps, bags, smallest, leaves, tree, messages, log_z):  # type: ignore[no-untyped-def]
    """Find the messages of consecutive bags that lie in the leaves; those of NaN in `smallest` have none."""
    logits, offsets, log_potential, tilts = bags
    for k in range(0, column, LEAVES):
        multiply_leaves(leaves, k, min(LEAVES, column - k), steps)
    place = 0
    for bag in range(first, last):
        begin, end, number = offsets[bag], offsets[bag + 1], bag - first
        if not np.isnan(smallest[number]):
            table, tilt = log_potential[begin + bag : end + bag + 1], tilts[bag]
            multiply_up(end - begin, leaves, place, smallest[number], tree)
            value = carry_down(end - begin, leaves, place, table, tilt, smallest[number], tree)
            if not value > -np.inf:
                smallest[number] = np.nan
                messages[begin:end] = np.nan
            if log_z.size:
                r = logits[begin:end]
                log_z[bag] = value + _sum_softplus(r, tilt) - _sum_softplus(r, 0.0)
        place += count_leaves(end - begin)
    for k in range(0, column, LEAVES):
        if column > LEAVES:
            multiply_leaves(leaves, k, LEAVES, steps)
        ask_leaves(leaves, k, min(LEAVES, column - k), steps)
    place = 0
    for bag in range(first, last):
        begin, end = offsets[bag], offsets[bag + 1]
        if not np.isnan(smallest[bag - first]):
            _read_leaves(leaves, place, tilts[bag], messages[begin:end])
        place += count_leaves(end - begin)


@_kernel  # type: ignore[misc]
def _bag_range(  # type: ignore[no-untyped-def]
    start, stop, logits, offsets, log_potential, saddlepoint_from, least_variance, tilts, messages, log_z
):
    """Find the messages of a range of bags, as many at a time as have `LEAVES` leaves together."""
    longest = 1
    for bag in range(start, stop):
        longest = max(longest, offsets[bag + 1] - offsets[bag])
    capacity = max(LEAVES, count_leaves(longest))
    leaves, tree, chances = make_leaves(capacity), make_tree(longest), np.empty((2, longest))
    smallest = np.empty(capacity)
    first = start
    while first < stop:
        last, column, steps = first, 0, 1
        while last < stop:
            begin, end, number = offsets[last], offsets[last + 1], last - first
            m, parts = end - begin, count_leaves(end - begin)
            if last > first and column + parts > LEAVES:
                break
            r, table = logits[begin:end], log_potential[begin + last : end + last + 1]
            smallest[number] = 0.0
            if m > 0:
                own = chances[:, :m], messages[begin:end]
                found = _begin_bag(r, table, tilts[last], saddlepoint_from, least_variance, *own)
                tilts[last], smallest[number], value = found
                if log_z.size:
                    log_z[last] = value
            fill_leaves(chances[:, :m], column, leaves)
            column, last, steps = column + parts, last + 1, max(steps, -(-m // parts))
        bags = (logits, offsets, log_potential, tilts)
        _exact_messages(first, last, column, steps, bags, smallest, leaves, tree, messages, log_z)
        first = last
