"""Messages along the edges of an Ising graph, compiled.

The graph is a symmetric CSR matrix; entry e of row i is the message to i from its neighbour, and
`reverse[e]` the entry of the message the other way.
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
Ints = NDArray[np.int32]

_SMALL = 1 << 14  # below this many messages, starting threads costs more than it saves

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


def update_edges(
    totals: Floats,
    indptr: NDArray[np.int64],
    indices: Ints,
    reverse: Ints,
    decay: Floats,
    messages: Floats,
    updated: Floats,
    *,
    damping: float,
) -> tuple[Floats, float]:
    """Write all new messages to `updated`; return their sum at each node and the largest change.

    `totals` are the log odds of the nodes, all old messages included; `decay` is exp(-J) of each entry.
    """
    n_nodes = totals.size
    sums = np.empty(n_nodes)
    arrays: tuple[Any, ...] = (totals, indptr, indices, reverse, decay, messages, updated, sums, damping)
    threads = min(numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1)
    if threads == 1 or indices.size < _SMALL:
        return sums, _edge_range(0, n_nodes, *arrays)
    shares = np.linspace(0, indices.size, 8 * threads + 1)
    bounds = np.unique(np.r_[0, np.searchsorted(indptr[:-1], shares[1:-1]), n_nodes])
    with ThreadPoolExecutor(threads) as pool:
        pieces = [pool.submit(_edge_range, start, stop, *arrays) for start, stop in pairwise(bounds.tolist())]
        return sums, max(piece.result() for piece in pieces)


@_kernel  # type: ignore[misc]
def _edge_range(  # type: ignore[no-untyped-def]
    start, stop, totals, indptr, indices, reverse, decay, messages, updated, sums, damping
):
    largest = 0.0
    for node in range(start, stop):
        total = 0.0
        for e in range(indptr[node], indptr[node + 1]):
            cavity = totals[indices[e]] - messages[reverse[e]]
            small = np.exp(-abs(cavity))
            # 2 atanh(tanh(J/2) tanh(h/2)); decays above 1 belong to edges that repel.
            answer = np.log((1.0 + decay[e] * small) / (small + decay[e]))
            if cavity < 0.0:
                answer = -answer
            answer = damping * messages[e] + (1.0 - damping) * answer
            largest = max(largest, abs(answer - messages[e]))
            updated[e] = answer
            total += answer
        sums[node] = total
    return largest
