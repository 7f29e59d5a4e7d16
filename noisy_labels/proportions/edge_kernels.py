"""Messages along the edges of an Ising graph, compiled.

A pair joins a lower node to an upper one and holds one message each way as odds e^m, so that a pass takes a
division and a root a message instead of an exponential and a logarithm.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

LARGEST_COUPLING = 150.0  # with totals below, products of odds and messages stay within doubles

_LARGEST_TOTAL = 345.0  # changes nothing: beyond twice the coupling, a message is the coupling to 1e-19
_SMALL = 1 << 18  # below this many pairs, starting threads costs more than it saves
_PARTS = 4  # whatever the number of threads, so that sums are the same
_BLOCK = 512  # pairs whose changes stay in the first cache
_HUGE, _TINY = 1e200, 1e-200  # products of messages beyond are put away as logarithms


def update_edges(
    totals: Floats,
    lower: Ints,
    upper: Ints,
    decay: Floats,
    to_lower: Floats,
    to_upper: Floats,
    *,
    damping: float,
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
    """
    odds = np.exp(np.clip(totals, -_LARGEST_TOTAL, _LARGEST_TOTAL))
    halvings = round(-np.log2(1 - damping))
    if 0.5**halvings != 1 - damping:
        halvings = -1
    parts = 1 if lower.size < _SMALL else _PARTS
    products, logarithms = np.ones((parts, totals.size)), np.zeros((parts, totals.size))
    bounds = pairwise(np.linspace(0, lower.size, parts + 1).astype(np.int64).tolist())
    arrays = (odds, lower, upper, decay, to_lower, to_upper, halvings, 1 - damping)
    works = [(*ends, *arrays, products[k], logarithms[k]) for k, ends in enumerate(bounds)]
    if parts == 1:
        factors = [_pair_range(*works[0])]
    else:
        with ThreadPoolExecutor(min(numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1)) as pool:
            factors = list(pool.map(lambda work: _pair_range(*work), works))
    change = (1 - damping) * float(np.abs(np.log(factors)).max())
    return (np.log(products) + logarithms).sum(axis=0), change


# No value here is NaN: saying so lets the compiler take several pairs at once.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})  # type: ignore[misc]
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
    products,
    logarithms,
):
    """Update a range of pairs; return the largest and the smallest factor of a message before its root."""
    largest, smallest = 1.0, 1.0
    first, second = np.empty(_BLOCK), np.empty(_BLOCK)
    for begin in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - begin)
        for k in range(n):
            p = begin + k
            one, two = odds[lower[p]], odds[upper[p]]
            first[k] = (two + decay[p] * to_upper[p]) / (to_lower[p] * (to_upper[p] + decay[p] * two))
            second[k] = (one + decay[p] * to_lower[p]) / (to_upper[p] * (to_lower[p] + decay[p] * one))
        for k in range(n):
            largest = max(largest, max(first[k], second[k]))
            smallest = min(smallest, min(first[k], second[k]))
        for _ in range(halvings):
            for k in range(n):
                first[k] = np.sqrt(first[k])
                second[k] = np.sqrt(second[k])
        if halvings < 0:
            for k in range(n):
                first[k] **= weight
                second[k] **= weight
        for k in range(n):
            to_lower[begin + k] *= first[k]
            to_upper[begin + k] *= second[k]
        for p in range(begin, begin + n):
            for nodes, messages in ((lower, to_lower), (upper, to_upper)):
                node = nodes[p]
                product = products[node] * messages[p]
                if product > _HUGE or product < _TINY:
                    logarithms[node] += np.log(product)
                    product = 1.0
                products[node] = product
    return largest, smallest
