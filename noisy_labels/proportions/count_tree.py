"""Products of the members of bags as trees, compiled: what exact messages of a count factor are made of.

A tree multiplies the polynomials (1 - p_i) + p_i x upward and carries φ downward, so that nothing is divided
and nothing cancels.  Its leaves are blocks of 32 members; those of many bags lie side by side, a column
each, and are multiplied together.

numba does not compile `count_kernels` anew when this file alone changes: remove `__pycache__` then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

BLOCK = 32  # members of a leaf at most
LEAVES = 128  # multiplied together

_FALL = -60.0  # of log φ, beyond which coefficients are negligible
_AROUND = 3  # zeros before and after a polynomial, so that four of its coefficients are multiplied at once

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


class Leaves(NamedTuple):
    """The leaves of some bags, a column each; rows are members or, of products and adjoints, degrees."""

    zero: Any
    one: Any
    products: Any
    adjoints: Any
    prefixes: Any
    sums: Any


class Tree(NamedTuple):
    """The nodes of one bag: node k has the children 2k and 2k + 1, the second half are leaves.

    Columns of `nodes`: begin among the products, lowest degree, width, members; of `windows`: begin among
    the adjoints, lowest degree, width.
    """

    nodes: Any
    windows: Any
    products: Any
    adjoints: Any


@_kernel  # type: ignore[misc]
def count_leaves(m):  # type: ignore[no-untyped-def]
    """Return the number of leaves of a bag of m: a power of two."""
    leaves = 1
    while leaves * BLOCK < m:
        leaves *= 2
    return leaves


@_kernel  # type: ignore[misc]
def make_leaves(capacity):  # type: ignore[no-untyped-def]
    """Return space for leaves of which at most `capacity` are held at a time."""
    # Rows of a power of two would all fall into a few sets of the cache.
    width = capacity + 8
    return Leaves(
        np.empty((BLOCK, width)),
        np.empty((BLOCK, width)),
        np.empty((BLOCK + 1, width)),
        np.zeros((BLOCK + 1, width)),
        np.zeros((BLOCK + 1, BLOCK + 2, LEAVES + 8)),
        np.empty((2, LEAVES)),
    )


@_kernel  # type: ignore[misc]
def make_tree(longest):  # type: ignore[no-untyped-def]
    """Return space for a bag of at most `longest` members; pages of it that are not used cost nothing."""
    parts = count_leaves(longest)
    levels = 1 + int(np.ceil(np.log2(parts)))
    space = levels * longest + 2 * parts * (3 + 2 * _AROUND)
    return Tree(
        np.empty((2 * parts, 4), np.int64),
        np.empty((2 * parts, 3), np.int64),
        np.empty(space),
        np.empty(space),
    )


@_kernel  # type: ignore[misc]
def fill_leaves(chances, column, leaves):  # type: ignore[no-untyped-def]
    """Write P(y = 0) and P(y = 1) of the members of a bag; where a leaf has none, 0 is certain."""
    m = chances.shape[1]
    parts = count_leaves(m)
    for k in range(parts):
        first, last = m * k // parts, m * (k + 1) // parts
        for i in range(BLOCK):
            lacks = i >= last - first
            leaves.zero[i, column + k] = 1.0 if lacks else chances[0, first + i]
            leaves.one[i, column + k] = 0.0 if lacks else chances[1, first + i]


@_kernel  # type: ignore[misc]
def multiply_leaves(leaves, column, n, steps):  # type: ignore[no-untyped-def]
    """Write the polynomial of the first i members of n leaves to row i of the prefixes.

    Its coefficient of degree c is at c + 1; those around it are zero.
    """
    leaves.prefixes[0, 1, :n] = 1.0
    for i in range(steps):
        zero, one = leaves.zero[i, column : column + n], leaves.one[i, column : column + n]
        for c in range(1, i + 3):
            same, fewer = leaves.prefixes[i, c], leaves.prefixes[i, c - 1]
            product = leaves.prefixes[i + 1, c]
            for k in range(n):
                product[k] = zero[k] * same[k] + one[k] * fewer[k]
    for c in range(steps + 1):
        leaves.products[c, column : column + n] = leaves.prefixes[steps, c + 1, :n]


@_kernel  # type: ignore[misc]
def ask_leaves(leaves, column, n, steps):  # type: ignore[no-untyped-def]
    """Write Σ e(c) φ(c) and Σ e(c) φ(c + 1), e without the member, in place of its P(y = 0) and P(y = 1).

    The prefixes are those of `multiply_leaves`; the adjoints are used up.
    """
    if_zero, if_one = leaves.sums[0], leaves.sums[1]
    for i in range(steps - 1, -1, -1):
        zero, one = leaves.zero[i, column : column + n], leaves.one[i, column : column + n]
        leaves.sums[:] = 0.0
        for c in range(i + 1):
            prefix = leaves.prefixes[i, c + 1]
            low = leaves.adjoints[c, column : column + n]
            high = leaves.adjoints[c + 1, column : column + n]
            # Two loops, since the compiler takes several leaves at once only where few arrays may overlap.
            for k in range(n):
                if_zero[k] += prefix[k] * low[k]
                if_one[k] += prefix[k] * high[k]
            for k in range(n):
                low[k] = zero[k] * low[k] + one[k] * high[k]
        for k in range(n):
            zero[k] = if_zero[k]
            one[k] = if_one[k]


@_kernel  # type: ignore[misc]
def _add_products(target, factors, source):  # type: ignore[no-untyped-def]
    """Add the product of two polynomials, all three with `_AROUND` zeros around, four factors at a time."""
    width = source.size - _AROUND
    for k in range(_AROUND, factors.size - _AROUND, 4):
        f0, f1, f2, f3 = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        into = target[k : k + width]
        s0, s1, s2, s3 = source[3:], source[2:-1], source[1:-2], source[:-3]
        for c in range(width):
            into[c] += f0 * s0[c] + f1 * s1[c] + f2 * s2[c] + f3 * s3[c]


@_kernel  # type: ignore[misc]
def multiply_up(m, leaves, column, smallest, tree):  # type: ignore[no-untyped-def]
    """Write the products of all nodes of a bag, without coefficients below `smallest` at either end."""
    nodes, products, parts, top = tree.nodes, tree.products, count_leaves(m), 0
    for k in range(2 * parts - 1, 0, -1):
        if k >= parts:
            members = m * (k - parts + 1) // parts - m * (k - parts) // parts
            low, size = 0, members + 1
            space = products[top : top + size + 2 * _AROUND]
            space[:_AROUND], space[-_AROUND:] = 0.0, 0.0
            for c in range(size):
                space[_AROUND + c] = leaves.products[c, column + k - parts]
        else:
            a, b = nodes[2 * k], nodes[2 * k + 1]
            if a[2] > b[2]:
                a, b = b, a
            low, size, members = a[1] + b[1], a[2] + b[2] - 1, a[3] + b[3]
            space = products[top : top + size + 2 * _AROUND]
            space[:] = 0.0
            factors = products[a[0] - _AROUND : a[0] + a[2] + _AROUND]
            _add_products(space, factors, products[b[0] - _AROUND : b[0] + b[2] + _AROUND])
        first, last = _trimmed(space, _AROUND, _AROUND + size, smallest)
        nodes[k, 0], nodes[k, 1] = top + first, low + first - _AROUND
        nodes[k, 2], nodes[k, 3] = last - first, members
        top += size + 2 * _AROUND


@_kernel  # type: ignore[misc]
def _trimmed(values, first, last, smallest):  # type: ignore[no-untyped-def]
    """Return where values of at least `smallest` beside the largest begin and end; make those around zero."""
    largest = 0.0
    for c in range(first, last):
        largest = max(largest, values[c])
    while values[first] < largest * smallest:
        values[first] = 0.0
        first += 1
    while values[last - 1] < largest * smallest:
        last -= 1
        values[last] = 0.0
    return first, last


@_kernel  # type: ignore[misc]
def _root_adjoint(adjoint, table, tilt, smallest):  # type: ignore[no-untyped-def]
    """Write φ(c) exp(-θc) beside its peak; return the logarithm of the peak."""
    peak = -np.inf
    for c in range(table.size):
        adjoint[c] = table[c] - tilt * c
        peak = max(peak, adjoint[c])
    least = peak + _FALL if smallest > 0.0 else -np.inf
    for c in range(table.size):
        adjoint[c] = np.exp(adjoint[c] - peak) if adjoint[c] >= least else 0.0
    return peak


@_kernel  # type: ignore[misc]
def _carry_to(adjoint, low, above, low_above, factors, low_factors):  # type: ignore[no-untyped-def]
    """Write Σ_k sibling(k) parent's adjoint(c + k) to each degree c of the window that begins at `low`.

    `above` and `factors` have `_AROUND` zeros around.
    """
    adjoint[:] = 0.0
    for k in range(0, factors.size - 2 * _AROUND, 4):
        f0, f1, f2, f3 = factors[k + 3], factors[k + 4], factors[k + 5], factors[k + 6]
        shift = low + low_factors + k - low_above  # place in the window above of the first degree
        first = max(0, -shift - _AROUND)
        last = min(adjoint.size, above.size - 2 * _AROUND - shift)
        if last > first:
            target, source = adjoint[first:last], above[shift + first + _AROUND :]
            s1, s2, s3 = source[1:], source[2:], source[3:]
            for c in range(target.size):
                target[c] += f0 * source[c] + f1 * s1[c] + f2 * s2[c] + f3 * s3[c]


@_kernel  # type: ignore[misc]
def _lay_windows(tree, parts):  # type: ignore[no-untyped-def]
    """Give each node a window of degrees for its adjoint; return where the last ends."""
    nodes, windows, top = tree.nodes, tree.windows, 0
    for k in range(1, 2 * parts):
        # One degree further on either side: the member asked about may be the unlikely one.
        low = max(nodes[k, 1] - 1, 0)
        windows[k, 0], windows[k, 1] = top + _AROUND, low
        windows[k, 2] = min(nodes[k, 1] + nodes[k, 2], nodes[k, 3]) - low + 1
        top += windows[k, 2] + 2 * _AROUND
    return top


@_kernel  # type: ignore[misc]
def carry_down(m, leaves, column, table, tilt, smallest, tree):  # type: ignore[no-untyped-def]
    """Write φ̃ carried down to each leaf; return log Σ ẽ(c) φ̃(c)."""
    nodes, windows, products, adjoints = tree
    parts = count_leaves(m)
    adjoints[: _lay_windows(tree, parts)] = 0.0
    low, width = windows[1, 1], windows[1, 2]
    root = adjoints[: width + 2 * _AROUND]
    peak = _root_adjoint(root[_AROUND:-_AROUND], table[low : low + width], tilt, smallest)
    total = 0.0
    for c in range(nodes[1, 2]):
        total += products[nodes[1, 0] + c] * root[_AROUND + nodes[1, 1] - low + c]
    first, last = _trimmed(root, _AROUND, _AROUND + width, smallest)
    windows[1, 0], windows[1, 1], windows[1, 2] = first, low + first - _AROUND, last - first
    for k in range(2, 2 * parts):
        own, above, sibling = windows[k], windows[k // 2], nodes[k ^ 1]
        _carry_to(
            adjoints[own[0] : own[0] + own[2]],
            own[1],
            adjoints[above[0] - _AROUND : above[0] + above[2] + _AROUND],
            above[1],
            products[sibling[0] - _AROUND : sibling[0] + sibling[2] + _AROUND],
            sibling[1],
        )
    for k in range(parts):
        own = windows[parts + k]
        for c in range(BLOCK + 1):
            leaves.adjoints[c, column + k] = 0.0
        for c in range(own[2]):
            leaves.adjoints[own[1] + c, column + k] = adjoints[own[0] + c]
    return peak - tilt * low + np.log(total)
