"""Messages of a count factor to the members of its bag, compiled: product tree and saddlepoint.

A bag is a slice of the logits; its factor is the table of log φ(c), c = 0..m, at the same slice shifted by
the number of bags before it.  The tree multiplies the polynomials (1 - p_i) + p_i x upward and carries φ
downward, so that nothing is divided and nothing cancels.  The logits are tilted first, which moves the
counts that matter to where the products are largest.  If log φ is concave, coefficients too small to matter
there are dropped, so that a bag of m costs about m log m operations.

One file, longer than others: numba does not compile a caller anew when a callee in another file changes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 16  # members that a leaf of the tree multiplies one after another
_NEGLIGIBLE = 1e-26  # a coefficient, beside the largest of its polynomial
_MAX_STEPS = 60  # of the search for the tilt; ten are enough as a rule
_WIDE = 300.0  # differences of logits or of log φ that may underflow where no one tilt suits all modes
_SMALL = 1 << 13  # below this many members, starting threads costs more than it saves

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


def count_messages(
    logits: Floats,
    offsets: Ints,
    log_potential: Floats,
    *,
    saddlepoint_from: int,
    least_variance: float,
    normaliser: bool,
) -> tuple[Floats, Floats]:
    """Return the message of its bag to each member, and log Σ e(c) φ(c) of each bag (or nothing).

    Messages are NaN in bags where they would underflow: those of extreme logits and a φ of several modes.

    Bags of at least `saddlepoint_from` members and tilted variance `least_variance` are approximated if φ is
    Gaussian in the count.  Threads share the bags; `NUMBA_NUM_THREADS` sets their number.
    """
    messages = np.empty(logits.size)
    log_z = np.empty(offsets.size - 1 if normaliser else 0)
    arrays: tuple[Any, ...] = (
        logits,
        offsets,
        log_potential,
        saddlepoint_from,
        least_variance,
        messages,
        log_z,
    )
    threads = min(numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1)
    if threads == 1 or logits.size < _SMALL:
        _bag_range(0, offsets.size - 1, *arrays)
        return messages, log_z
    shares = np.linspace(0, logits.size, 8 * threads + 1)
    bounds = np.unique(np.r_[0, np.searchsorted(offsets[:-1], shares[1:-1]), offsets.size - 1])
    with ThreadPoolExecutor(threads) as pool:
        pieces = [pool.submit(_bag_range, start, stop, *arrays) for start, stop in pairwise(bounds.tolist())]
        for piece in pieces:
            piece.result()
    return messages, log_z


@_kernel  # type: ignore[misc]
def _softplus(x):  # type: ignore[no-untyped-def]
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


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
def _tilt(r, table, chances):  # type: ignore[no-untyped-def]
    """Find θ such that the count under σ(r + θ) has its mean near the mode of e(c) φ(c).

    The mean rises with θ and the mode of φ(c) exp(-θc) falls: where they cross is kept between bounds.
    Inside, Newton steps to the mode of a Gaussian e, which end the search unless nearly all labels are
    certain.
    """
    tilt = 0.0
    low, high = -r.max() - np.log(r.size) - 5.0, -r.min() + np.log(r.size) + 5.0
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
    value = height - tilt * mean
    for i in range(r.size):
        value += _softplus(r[i] + tilt) - _softplus(r[i])
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
def _prefix_products(chances, prefixes):  # type: ignore[no-untyped-def]
    """Write the polynomial of the first i members to row i."""
    prefixes[0, 0] = 1.0
    for i in range(chances.shape[1]):
        zero, one = chances[0, i], chances[1, i]
        before, after = prefixes[i], prefixes[i + 1]
        after[0] = zero * before[0]
        for c in range(1, i + 1):
            after[c] = zero * before[c] + one * before[c - 1]
        after[i + 1] = one * before[i]


@_kernel  # type: ignore[misc]
def _leaf_messages(chances, prefixes, adjoint, tilt, out):  # type: ignore[no-untyped-def]
    """Write the messages of one leaf, from the last member to the first; `adjoint` is used up."""
    for i in range(chances.shape[1] - 1, -1, -1):
        if_zero, if_one = 0.0, 0.0
        for c in range(i + 1):
            if_zero += prefixes[i, c] * adjoint[c]
            if_one += prefixes[i, c] * adjoint[c + 1]
        out[i] = tilt + (np.log(if_one) - np.log(if_zero))
        zero, one = chances[0, i], chances[1, i]
        for c in range(i + 1):
            adjoint[c] = zero * adjoint[c] + one * adjoint[c + 1]


@_kernel  # type: ignore[misc]
def _grown(space, size):  # type: ignore[no-untyped-def]
    if size <= space.size:
        return space
    larger = np.empty(2 * size)
    larger[: space.size] = space
    return larger


@_kernel  # type: ignore[misc]
def _grow_tree(chances, smallest, products, prefixes, nodes):  # type: ignore[no-untyped-def]
    """Multiply upward; return the work space.  Columns of `nodes`: begin, lowest degree, width, members.

    Node k has the children 2k and 2k + 1; the second half of the rows are leaves of about 16 members.
    """
    m, leaves, top = chances.shape[1], nodes.shape[0] // 2, 0
    for k in range(2 * leaves - 1, 0, -1):
        if k >= leaves:
            first, last = m * (k - leaves) // leaves, m * (k - leaves + 1) // leaves
            low, size, members = 0, last - first + 1, last - first
            products = _grown(products, top + size)
            _prefix_products(chances[:, first:last], prefixes)
            products[top : top + size] = prefixes[members, :size]
        else:
            a, b = nodes[2 * k], nodes[2 * k + 1]
            if a[2] > b[2]:
                a, b = b, a
            low, size, members = a[1] + b[1], a[2] + b[2] - 1, a[3] + b[3]
            products = _grown(products, top + size)
            product = products[top : top + size]
            longer = products[b[0] : b[0] + b[2]]
            product[:] = 0.0
            for c in range(a[2]):
                factor, window = products[a[0] + c], product[c : c + b[2]]
                for d in range(b[2]):
                    window[d] += factor * longer[d]
        largest = products[top : top + size].max() * smallest
        skipped = 0
        while products[top + skipped] < largest:
            skipped += 1
        while products[top + size - 1] < largest:
            size -= 1
        nodes[k, 0], nodes[k, 1], nodes[k, 2] = top + skipped, low + skipped, size - skipped
        nodes[k, 3] = members
        top += size
    return products


@_kernel  # type: ignore[misc]
def _carry_down(adjoint, low, above, low_above, factors, low_factors):  # type: ignore[no-untyped-def]
    """Write Σ_k sibling(k) parent's adjoint(c + k) to each degree c of the window that begins at `low`."""
    adjoint[:] = 0.0
    for k in range(factors.size):
        shift = low + low_factors + k - low_above  # place in `above` of the first degree of the window
        first, last = max(0, -shift), min(adjoint.size, above.size - shift)
        factor = factors[k]
        if last > first:
            source, target = above[shift + first : shift + last], adjoint[first:last]
            for c in range(target.size):
                target[c] += factor * source[c]


@_kernel  # type: ignore[misc]
def _root_adjoint(adjoint, table, tilt, products, root, low):  # type: ignore[no-untyped-def]
    """Write φ̃ to the window of the root, from the degree `low` on; return log Σ ẽ(c) φ̃(c)."""
    peak = -np.inf
    for c in range(table.size):
        adjoint[c] = table[c] - tilt * (low + c)
        peak = max(peak, adjoint[c])
    for c in range(table.size):
        adjoint[c] = np.exp(adjoint[c] - peak)
    total = 0.0
    for c in range(root[2]):
        total += products[root[0] + c] * adjoint[root[1] - low + c]
    return peak + np.log(total)


@_kernel  # type: ignore[misc]
def _tree_messages(chances, table, tilt, smallest, products, adjoints, prefixes, out):  # type: ignore[no-untyped-def]
    """Write exact messages; return log Σ ẽ(c) φ̃(c) and the work spaces, grown where needed."""
    m = chances.shape[1]
    leaves = 1
    while leaves * _BLOCK < m:
        leaves *= 2
    nodes = np.empty((2 * leaves, 4), np.int64)
    windows = np.empty((2 * leaves, 3), np.int64)  # of the adjoints: begin, lowest degree, width
    products = _grow_tree(chances, smallest, products, prefixes, nodes)
    top = 0
    for k in range(1, 2 * leaves):
        # One degree further on either side: the member asked about may be the unlikely one.
        low = max(nodes[k, 1] - 1, 0)
        windows[k, 0], windows[k, 1] = top, low
        windows[k, 2] = min(nodes[k, 1] + nodes[k, 2], nodes[k, 3]) - low + 1
        top += windows[k, 2]
    adjoints = _grown(adjoints, top)
    root = windows[1]
    value = _root_adjoint(
        adjoints[: root[2]], table[root[1] : root[1] + root[2]], tilt, products, nodes[1], root[1]
    )
    for k in range(2, 2 * leaves):
        own, above, sibling = windows[k], windows[k // 2], nodes[k ^ 1]
        _carry_down(
            adjoints[own[0] : own[0] + own[2]],
            own[1],
            adjoints[above[0] : above[0] + above[2]],
            above[1],
            products[sibling[0] : sibling[0] + sibling[2]],
            sibling[1],
        )
    adjoint = np.empty(_BLOCK + 2)
    for leaf in range(leaves):
        first, last = m * leaf // leaves, m * (leaf + 1) // leaves
        own = windows[leaves + leaf]
        adjoint[:] = 0.0
        adjoint[own[1] : own[1] + own[2]] = adjoints[own[0] : own[0] + own[2]]
        _prefix_products(chances[:, first:last], prefixes)
        _leaf_messages(chances[:, first:last], prefixes, adjoint, tilt, out[first:last])
    return value, products, adjoints


@_kernel  # type: ignore[misc]
def _bag_range(  # type: ignore[no-untyped-def]
    start, stop, logits, offsets, log_potential, saddlepoint_from, least_variance, messages, log_z
):
    longest = 1
    for bag in range(start, stop):
        longest = max(longest, offsets[bag + 1] - offsets[bag])
    space, prefixes = np.empty((2, longest)), np.empty((_BLOCK + 1, _BLOCK + 2))
    products, adjoints = np.empty(4 * longest + 64), np.empty(4 * longest + 64)
    for bag in range(start, stop):
        first, last = offsets[bag], offsets[bag + 1]
        table = log_potential[first + bag : last + bag + 1]
        r, out, chances = logits[first:last], messages[first:last], space[:, : last - first]
        if first == last:
            if log_z.size:
                log_z[bag] = table[0]
            continue
        tilt, variance = _tilt(r, table, chances)
        if r.size >= saddlepoint_from and variance >= least_variance:
            form = _gaussian_form(table)
            if form[0] > 0.0:
                value = _saddlepoint(r, form, tilt, chances, out)
                if log_z.size:
                    log_z[bag] = value
                continue
        concave = _is_concave(table)
        value = np.nan
        if concave or r.max() - r.min() + _span(table) < _WIDE:
            value, products, adjoints = _tree_messages(
                chances, table, tilt, _NEGLIGIBLE if concave else 0.0, products, adjoints, prefixes, out
            )
        if not value > -np.inf:
            out[:] = np.nan
        if log_z.size:
            for i in range(r.size):
                value += _softplus(r[i] + tilt) - _softplus(r[i])
            log_z[bag] = value
