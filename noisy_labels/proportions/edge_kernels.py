"""Messages along the edges of an Ising graph, compiled.

A pair joins a lower node to an upper one and holds one message each way as odds e^m, so that a pass takes a
division and two roots a pair instead of exponentials and logarithms.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from noisy_labels.proportions.threads import in_threads

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

LARGEST_COUPLING = 150.0  # with totals below, products of odds and messages stay within doubles

_LARGEST_TOTAL = 345.0  # changes nothing: beyond twice the coupling, a message is the coupling to 1e-19
_SMALL = 1 << 18  # below this many pairs, starting threads costs more than it saves
_PARTS = 4  # whatever the number of threads, so that sums are the same
_BLOCK = 128  # pairs whose changes stay in the first cache
_HUGE, _TINY = 1e200, 1e-200  # products of messages beyond are put away as logarithms
_NEAR = 1 / 32  # of 1, where the first terms of a series are a root to the last digit
_UNCHECKED = 300.0  # sums of the sizes of messages up to which their products stay within doubles


def update_edges(
    totals: Floats,
    lower: Ints,
    upper: Ints,
    decay: Floats,
    to_lower: Floats,
    to_upper: Floats,
    *,
    damping: float,
    strongest: float = np.inf,
) -> tuple[Floats, float]:
    r"""Replace all messages; return the sum of their logarithms at each node and the largest change of one.

    .. math:: e^{m_{j \to i}} \leftarrow \big(e^{m_{j \to i}}\big)^d
              \Big(\frac{q + e^{-J}}{1 + e^{-J} q}\Big)^{1 - d}, \qquad q = e^{T_j - m_{i \to j}}

    Parameters
    ----------
    totals : float array of shape (n_nodes,)
        T, the log odds of the nodes, all old messages included.
    lower, upper : int32 array of shape (n_pairs,)
    decay : float array of shape (n_pairs,)
        :math:`e^{-J}`, for couplings of at most `LARGEST_COUPLING` either way.
    to_lower, to_upper : float array of shape (n_pairs,)
        :math:`e^m`, written to.
    damping : float
        d in [0, 1); roots make it fast where 1 - d is a power of a half.
    strongest : float
        No sum of the sizes of a node's couplings is larger; if it is moderate, products need no checks.
    """
    halvings = round(-np.log2(1 - damping))
    if 0.5**halvings != 1 - damping:
        halvings = -1
    odds = np.exp(np.clip(totals, -_LARGEST_TOTAL, _LARGEST_TOTAL))
    parts = 1 if lower.size < _SMALL else _PARTS
    checked = strongest > _UNCHECKED
    products, logarithms = np.ones((parts, totals.size)), np.zeros((parts, totals.size if checked else 0))
    arrays = (odds, lower, upper, decay, to_lower, to_upper, halvings, 1 - damping)

    def update(part: int) -> tuple[float, float]:
        ends = lower.size * part // parts, lower.size * (part + 1) // parts
        own = products[part], logarithms[part]
        return _pair_range(*ends, *arrays, checked, *own)  # type: ignore[no-any-return]

    factors = [update(0)] if parts == 1 else in_threads(update, range(parts))
    change = (1 - damping) * float(np.abs(np.log(factors)).max())
    if not checked:  # nor does the product of all parts overflow
        return np.log(products.prod(axis=0)), change
    return np.log(products).sum(axis=0) + logarithms.sum(axis=0), change


# No value here is NaN: saying so lets the compiler take several pairs at once.
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})


@_kernel  # type: ignore[misc]
def _bounds(first, second, n):  # type: ignore[no-untyped-def]
    """Return the smallest and the largest of the first n of both, and 1."""
    smallest, largest = 1.0, 1.0
    for k in range(n):
        largest = max(largest, max(first[k], second[k]))
        smallest = min(smallest, min(first[k], second[k]))
    return smallest, largest


@_kernel  # type: ignore[misc]
def _take_roots(values, n, near):  # type: ignore[no-untyped-def]
    """Replace values by their square roots; by a series if all are near 1, which is faster."""
    if not near:
        for k in range(n):
            values[k] = np.sqrt(values[k])
        return
    for k in range(n):
        x = values[k] - 1.0
        tail = -429 / 32768 + x * (715 / 65536)
        tail = 7 / 256 + x * (-21 / 1024 + x * (33 / 2048 + x * tail))
        values[k] = 1.0 + x * (0.5 + x * (-1 / 8 + x * (1 / 16 + x * (-5 / 128 + x * tail))))


@_kernel  # type: ignore[misc]
def _multiply_in(nodes, messages, checked, products, logarithms):  # type: ignore[no-untyped-def]
    """Multiply messages into the products of their nodes."""
    if not checked:
        for k in range(nodes.size):
            products[nodes[k]] *= messages[k]
        return
    for k in range(nodes.size):
        node = nodes[k]
        product = products[node] * messages[k]
        if product > _HUGE or product < _TINY:
            logarithms[node] += np.log(product)
            product = 1.0
        products[node] = product


@_kernel  # type: ignore[misc]
def _pair_range(  # type: ignore[no-untyped-def]
    start,
    stop,
    odds,
    lower,
    upper,
    decay,
    to_lower,
    to_upper,
    halvings,
    weight,
    checked,
    products,
    logarithms,
):
    """Update a range of pairs; return the bounds of the factors of messages before their roots."""
    smallest, largest = 1.0, 1.0
    one, two, first, second = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for begin in range(start, stop, _BLOCK):
        n, end = min(_BLOCK, stop - begin), min(stop, begin + _BLOCK)
        i, j, kept = lower[begin:end], upper[begin:end], decay[begin:end]
        down, up = to_lower[begin:end], to_upper[begin:end]
        # Many loops, since the compiler takes several pairs at once only where few arrays may overlap.
        for k in range(n):
            one[k] = odds[i[k]]
        for k in range(n):
            two[k] = odds[j[k]]
        for k in range(n):
            first[k] = (two[k] + kept[k] * up[k]) / (down[k] * (up[k] + kept[k] * two[k]))
        for k in range(n):
            second[k] = (one[k] + kept[k] * down[k]) / (up[k] * (down[k] + kept[k] * one[k]))
        low, high = _bounds(first, second, n)
        smallest, largest = min(smallest, low), max(largest, high)
        near = low > 1.0 - _NEAR and high < 1.0 + _NEAR
        for _ in range(halvings):
            _take_roots(first, n, near)
            _take_roots(second, n, near)
        if halvings < 0:
            for k in range(n):
                first[k] **= weight
                second[k] **= weight
        for k in range(n):
            down[k] *= first[k]
        for k in range(n):
            up[k] *= second[k]
        _multiply_in(i, down, checked, products, logarithms)
        _multiply_in(j, up, checked, products, logarithms)
    return smallest, largest
