"""Exact top-k over a full catalogue, a block of queries at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sparse_data.ops_numba import top_k

# The one large buffer holds at most this many scores (64 MiB of float32).
BUFFER_SCORES = 1 << 24
LARGEST_BLOCK = 1024

ScoreInto = Callable[[int, int, NDArray[np.float32]], None]


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _drop_pairs(
    scores: NDArray[np.float32], rows: NDArray[np.int64], indptr: NDArray[Any], indices: NDArray[Any]
) -> None:
    """Set the scores of the stored pairs of each row to -inf; a row of -1 has none."""
    for query in range(rows.shape[0]):
        row = rows[query]
        if row >= 0:
            for position in range(indptr[row], indptr[row + 1]):
                scores[query, indices[position]] = -np.inf


def block_size(n_items: int) -> int:
    """Return how many queries are scored at once against `n_items` items."""
    return int(np.clip(BUFFER_SCORES // max(n_items, 1), 1, LARGEST_BLOCK))


def blocked_top_k(
    score_into: ScoreInto,
    n_queries: int,
    n_items: int,
    k: int,
    *,
    seen: csr_array | None = None,
    seen_rows: NDArray[np.int64] | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the `k` best columns of each query and their scores.

    Parameters
    ----------
    score_into : callable
        `score_into(start, stop, out)` writes the scores of the queries start..stop into `out`, a float32
        array of shape (stop - start, n_items) that is used again for the next block.
    n_queries, n_items : int
        The shape of the score matrix, which never exists as a whole.
    k : int
        At most `n_items`.
    seen : csr_array of shape (n_rows, n_items), optional
        Its stored pairs are removed, whatever their value.
    seen_rows : array of shape (n_queries,), optional
        The row of `seen` for each query, -1 for none.  By default query q has row q.
    allowed : bool array of shape (n_items,), optional
        Columns that are False are removed for all queries.

    Returns
    -------
    columns : int64 array of shape (n_queries, k)
        Best first; the lower column first where scores tie; -1 where nothing is left.
    scores : float32 array of shape (n_queries, k)
        -inf where nothing is left.
    """
    columns = np.empty((n_queries, k), dtype=np.int64)
    scores = np.empty((n_queries, k), dtype=np.float32)
    size = min(block_size(n_items), n_queries)
    buffer = np.empty((size, n_items), dtype=np.float32)
    rows = np.arange(n_queries, dtype=np.int64) if seen_rows is None else seen_rows
    # The kernel below does not check its indices.
    if seen is not None and (seen.shape[1] != n_items or rows.max(initial=-1) >= seen.shape[0]):
        raise ValueError(
            f"`seen` must have {n_items} columns and a row for each query; got shape {seen.shape}. "
            "Build it over the same ids."
        )
    dropped = None if allowed is None else np.flatnonzero(~allowed)
    for start in range(0, n_queries, max(size, 1)):
        stop = min(start + size, n_queries)
        out = buffer[: stop - start]
        score_into(start, stop, out)
        if seen is not None:
            _drop_pairs(out, rows[start:stop], seen.indptr, seen.indices)
        if dropped is not None and dropped.size:
            out[:, dropped] = -np.inf
        scores[start:stop], columns[start:stop] = top_k(out, k)
    columns[scores == -np.inf] = -1
    return columns, scores
