"""The sparse ops of `sparse_data.ops_numpy`, compiled for the CPU.

Same names, arguments and results. Kernels are compiled once a machine (cached on disk) for float32 and
float64 values and int64 ids; other dtypes are converted at the door. Where a row is independent of the
others, rows are shared out over plain threads: the kernels release the lock, so no threading layer that
dislikes forks or concurrent callers is needed. `NUMBA_NUM_THREADS` sets their number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_count, check_integers, check_ndim, check_one_of
from sparse_data.ops_inputs import (
    Combiner,
    Kind,
    read_csr,
    read_floats,
    read_indptr,
    read_lookup,
    read_propagate,
    read_segments,
)

_BLOCK = 64  # scores looked at together: enough to fill the vector units, few enough to rescan cheaply
_SMALL = 1 << 17  # below this many touched values, starting threads costs more than it saves


def segment_sum(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the sum of each segment; see `ops_numpy.segment_sum`."""
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    sums, _ = _segment_sums(values, segment_ids, num_segments)
    return sums.reshape(num_segments, *values.shape[1:]).astype(values.dtype, copy=False)


def segment_mean(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the mean of each segment, 0 for an empty one; see `ops_numpy.segment_mean`."""
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    sums, counts = _segment_sums(values, segment_ids, num_segments)
    sums /= np.maximum(counts, 1)[:, None]
    return sums.reshape(num_segments, *values.shape[1:]).astype(values.dtype, copy=False)


def segment_max(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the maximum of each segment, 0 for an empty one; see `ops_numpy.segment_max`."""
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    columns = _columns(values)
    maxima = np.zeros((num_segments, columns.shape[1]), dtype=columns.dtype)
    _segment_max_kernel(columns, _ids(segment_ids), maxima)
    return maxima.reshape(num_segments, *values.shape[1:]).astype(values.dtype, copy=False)


def segment_softmax(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the softmax over the values of each segment; see `ops_numpy.segment_softmax`."""
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    columns, ids = _columns(values), _ids(segment_ids)
    maxima = np.zeros((num_segments, columns.shape[1]), dtype=columns.dtype)
    _segment_max_kernel(columns, ids, maxima)
    out = np.empty_like(columns)
    _segment_softmax_kernel(columns, ids, maxima, out)
    return out.reshape(values.shape).astype(values.dtype, copy=False)


def pooled_lookup(
    table: ArrayLike,
    values: ArrayLike,
    offsets: ArrayLike,
    weights: ArrayLike | None = None,
    combiner: Combiner = "sum",
) -> NDArray[Any]:
    """Return one combined table row a bag, shape (n_bags, dim); see `ops_numpy.pooled_lookup`."""
    return _lookup(*read_lookup(table, values, offsets, weights, combiner), combiner)


def csr_degree(indptr: ArrayLike, data: ArrayLike | None = None) -> NDArray[Any]:
    """Return the number of entries of each CSR row, or their sum; see `ops_numpy.csr_degree`."""
    if data is None:
        return np.diff(read_indptr("indptr", indptr))
    data = read_floats("data", check_ndim("data", data, 1))
    indptr = read_indptr("indptr", indptr, len(data))
    # A sum is the lookup of every entry in a table of one column.
    sums = _lookup(data[:, None], np.arange(len(data)), indptr, np.ones_like(data), "sum")
    return sums[:, 0]


def normalize_csr(
    indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, num_cols: int, kind: Kind = "symmetric"
) -> NDArray[Any]:
    """Return the data scaled by the sums of rows and columns; see `ops_numpy.normalize_csr`."""
    indptr, indices, data = read_csr(indptr, indices, data, num_cols)
    check_one_of("kind", kind, ("symmetric", "row", "column"))
    entries = _floats(data)
    scaled = np.empty_like(entries)
    by_row, by_column = kind != "column", kind != "row"
    _normalize_kernel(_ids(indptr), _ids(indices), entries, num_cols, by_row, by_column, scaled)
    return scaled.astype(data.dtype, copy=False)


def propagate(indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, x: ArrayLike) -> NDArray[Any]:
    """Return the product of a CSR matrix and a dense matrix; see `ops_numpy.propagate`."""
    return _lookup(*read_propagate(indptr, indices, data, x), "sum")


def top_k(scores: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the k largest scores of each row and their columns; see `ops_numpy.top_k`."""
    scores = check_ndim("scores", read_floats("scores", scores), 2)
    num_rows, num_columns = scores.shape
    k = check_count("k", k, maximum=num_columns)
    rows = _floats(scores)
    values = np.empty((num_rows, k), dtype=rows.dtype)
    columns = np.empty((num_rows, k), dtype=np.int64)
    has_nan = np.zeros(num_rows, dtype=np.bool_)
    _over_rows(_top_k_kernel, num_rows, rows.size, rows, values, columns, has_nan)
    if has_nan.any():
        raise ValueError(f"`scores` must be free of NaN; got NaN in row {has_nan.argmax()}. Check the model.")
    return values.astype(scores.dtype, copy=False), columns


def unique_rows(ids: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct ids in rising order and the position of each; see `ops_numpy.unique_rows`."""
    ids = check_ndim("ids", check_integers("ids", ids), 1)
    span = int(ids.max()) - int(ids.min()) + 1 if len(ids) else 0
    if span > 16 * len(ids):  # a table over the span would cost more than sorting
        unique, inverse = np.unique(ids, return_inverse=True)
        return unique, inverse.astype(np.int64, copy=False)
    shifted = _ids(ids - ids.min()) if len(ids) else _ids(ids)
    present, inverse = _unique_kernel(shifted, span)
    return (present + ids.min() if len(ids) else present).astype(ids.dtype), inverse


def project_l0(values: ArrayLike, k: int) -> NDArray[Any]:
    """Return a copy that keeps the k entries of largest magnitude; see `ops_numpy.project_l0`."""
    values = read_floats("values", values)
    k = check_count("k", k, minimum=0, maximum=values.size)
    if np.isnan(values).any():
        raise ValueError("`values` must be free of NaN; got NaN. Check the step that made them.")
    projected = np.zeros(values.size, dtype=_float_type(values))
    if k:
        flat = _floats(values).ravel()
        threshold = np.partition(np.abs(flat), flat.size - k)[flat.size - k]
        _keep_largest_kernel(flat, threshold, k, projected)
    return projected.reshape(values.shape).astype(values.dtype, copy=False)


def _float_type(array: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    return np.float32 if array.dtype in (np.float16, np.float32) else np.float64


def _floats(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=_float_type(array))


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    return _floats(values if values.ndim == 2 else values[:, None])


def _ids(array: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(array, dtype=np.int64)


def _segment_sums(
    values: NDArray[Any], segment_ids: NDArray[Any], num_segments: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    columns = _columns(values)
    sums = np.zeros((num_segments, columns.shape[1]), dtype=columns.dtype)
    counts = np.zeros(num_segments, dtype=columns.dtype)
    _segment_sum_kernel(columns, _ids(segment_ids), sums, counts)
    return sums, counts


def _lookup(
    table: NDArray[Any],
    values: NDArray[Any],
    offsets: NDArray[Any],
    weights: NDArray[Any],
    combiner: Combiner,
) -> NDArray[Any]:
    rows = _floats(table)
    out = np.zeros((len(offsets) - 1, table.shape[1]), dtype=rows.dtype)
    power = np.full(len(out), {"sum": 0, "mean": 1, "sqrtn": 2}[combiner], dtype=np.int64)
    arrays = (rows, _ids(values), _ids(offsets), _floats(weights), power, out)
    _over_rows(_lookup_kernel, len(out), len(values) * table.shape[1], *arrays)
    return out.astype(table.dtype, copy=False)


def _over_rows(kernel: Callable[..., None], num_rows: int, work: int, *arrays: NDArray[Any]) -> None:
    """Run ``kernel(start, stop, *arrays)`` over all rows, in threads where the work is worth it."""
    threads = min(numba.config.NUMBA_NUM_THREADS, num_rows)
    if threads < 2 or work < _SMALL:
        kernel(0, num_rows, *arrays)
        return
    # More pieces than threads, so that a slow core holds up the others by one piece at most.
    bounds = np.linspace(0, num_rows, min(4 * threads, num_rows) + 1).astype(np.int64)
    with ThreadPoolExecutor(threads) as pool:
        pieces = [pool.submit(kernel, start, stop, *arrays) for start, stop in pairwise(bounds.tolist())]
        for piece in pieces:
            piece.result()


@numba.njit(cache=True, nogil=True)
def _segment_sum_kernel(values, segment_ids, sums, counts):  # type: ignore[no-untyped-def]
    for row in range(values.shape[0]):
        segment = segment_ids[row]
        counts[segment] += 1
        for column in range(values.shape[1]):
            sums[segment, column] += values[row, column]


@numba.njit(cache=True, nogil=True)
def _segment_max_kernel(values, segment_ids, maxima):  # type: ignore[no-untyped-def]
    seen = np.zeros(maxima.shape[0], dtype=np.bool_)
    for row in range(values.shape[0]):
        segment = segment_ids[row]
        for column in range(values.shape[1]):
            value = values[row, column]
            if not seen[segment] or value > maxima[segment, column] or np.isnan(value):
                maxima[segment, column] = value
        seen[segment] = True


@numba.njit(cache=True, nogil=True)
def _segment_softmax_kernel(values, segment_ids, maxima, out):  # type: ignore[no-untyped-def]
    totals = np.zeros_like(maxima)
    for row in range(values.shape[0]):
        segment = segment_ids[row]
        for column in range(values.shape[1]):
            largest = maxima[segment, column]
            # A segment of -inf alone: -inf - (-inf) would be NaN.
            out[row, column] = 0 if largest == -np.inf else np.exp(values[row, column] - largest)
            totals[segment, column] += out[row, column]
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if totals[segment_ids[row], column] != 0:
                out[row, column] /= totals[segment_ids[row], column]


@numba.njit(cache=True, nogil=True)
def _lookup_kernel(start, stop, table, values, offsets, weights, power, out):  # type: ignore[no-untyped-def]
    for bag in range(start, stop):
        divisor = out.dtype.type(0)
        for position in range(offsets[bag], offsets[bag + 1]):
            row, weight = values[position], weights[position]
            divisor += weight**2 if power[bag] == 2 else weight
            for column in range(table.shape[1]):
                out[bag, column] += weight * table[row, column]
        if power[bag] == 2:
            divisor = np.sqrt(divisor)
        if power[bag] != 0:
            for column in range(table.shape[1]):
                out[bag, column] = 0 if divisor == 0 else out[bag, column] / divisor


@numba.njit(cache=True, nogil=True)
def _normalize_kernel(indptr, indices, data, num_cols, by_row, by_column, scaled):  # type: ignore[no-untyped-def]
    column_sums = np.zeros(num_cols, dtype=data.dtype)
    for entry in range(data.shape[0]):
        column_sums[indices[entry]] += data[entry]
    for row in range(indptr.shape[0] - 1):
        row_sum = data.dtype.type(0)
        for entry in range(indptr[row], indptr[row + 1]):
            row_sum += data[entry]
        for entry in range(indptr[row], indptr[row + 1]):
            divisor = row_sum
            if by_column:
                column_sum = column_sums[indices[entry]]
                divisor = np.sqrt(row_sum * column_sum) if by_row else column_sum
            scaled[entry] = 0 if divisor == 0 else data[entry] / divisor


@numba.njit(cache=True, nogil=True)
def _unique_kernel(ids, span):  # type: ignore[no-untyped-def]
    position = np.full(span, -1, dtype=np.int64)
    for id_ in ids:
        position[id_] = 0
    count = 0
    present = np.empty(min(span, ids.shape[0]), dtype=np.int64)
    for id_ in range(span):
        if position[id_] == 0:
            present[count] = id_
            position[id_] = count
            count += 1
    return present[:count], position[ids]


@numba.njit(cache=True, nogil=True)
def _keep_largest_kernel(values, threshold, k, projected):  # type: ignore[no-untyped-def]
    spare = k  # how many of those that equal the threshold may stay
    for value in values:
        spare -= abs(value) > threshold
    for entry in range(values.shape[0]):
        magnitude = abs(values[entry])
        if magnitude == threshold and spare > 0:
            spare -= 1
            projected[entry] = values[entry]
        elif magnitude > threshold:
            projected[entry] = values[entry]


@numba.njit(cache=True, nogil=True, inline="always")
def _goes_below(value_a, column_a, value_b, column_b):  # type: ignore[no-untyped-def]
    # The order of the ranking: larger scores first, the lower column first among equals.
    return value_a < value_b or (value_a == value_b and column_a > column_b)


@numba.njit(cache=True, nogil=True)
def _sift_down(values, columns, root, size):  # type: ignore[no-untyped-def]
    """Restore the heap whose root is its lowest-ranked entry, after the root was replaced."""
    value, column = values[root], columns[root]
    child = 2 * root + 1
    while child < size:
        right = child + 1
        if right < size and _goes_below(values[right], columns[right], values[child], columns[child]):
            child = right
        if not _goes_below(values[child], columns[child], value, column):
            break
        values[root], columns[root] = values[child], columns[child]
        root, child = child, 2 * child + 1
    values[root], columns[root] = value, column


@numba.njit(cache=True, nogil=True)
def _fill_heap(row, floor, values, columns):  # type: ignore[no-untyped-def]
    """Fill a heap with the ranking of one row, given that k scores reach `floor`; return if NaN was met."""
    k, filled = values.shape[0], 0
    for start in range(0, row.shape[0], _BLOCK):
        block = row[start : start + _BLOCK]
        # Most blocks hold no newcomer, and vector instructions tell: so the loop is of fixed length and has
        # no branch. It is written so that NaN counts as a newcomer.
        if block.shape[0] == _BLOCK:
            newcomers = np.uint32(0)
            if filled < k:
                for offset in range(_BLOCK):
                    newcomers |= np.uint32(not (block[offset] < floor))
            else:
                lowest = values[0]
                for offset in range(_BLOCK):  # an equal score further right ranks below, hence `<=`
                    newcomers |= np.uint32(not (block[offset] <= lowest))
            if newcomers == 0:
                continue
        for offset in range(block.shape[0]):
            score = block[offset]
            if score < floor or (filled == k and score <= values[0]):
                continue
            if np.isnan(score):
                return True
            if filled < k:
                values[filled], columns[filled] = score, start + offset
                filled += 1
                if filled == k:
                    for root in range(k // 2 - 1, -1, -1):
                        _sift_down(values, columns, root, k)
            else:
                values[0], columns[0] = score, start + offset
                _sift_down(values, columns, 0, k)
    return False


@numba.njit(cache=True, nogil=True)
def _top_k_kernel(start, stop, scores, values, columns, has_nan):  # type: ignore[no-untyped-def]
    k = values.shape[1]
    lanes = np.empty(4 * k, dtype=scores.dtype)
    use_lanes = scores.shape[1] >= 4 * lanes.shape[0]
    for row in range(start, stop):
        # The k-th largest of the maxima of disjoint sets of columns is a score that k columns reach. It is
        # found in one cheap pass and is close to the k-th score itself, so the heap is hardly ever disturbed.
        floor = scores.dtype.type(-np.inf)
        if use_lanes:
            lanes[:] = -np.inf
            for left in range(0, scores.shape[1] - lanes.shape[0] + 1, lanes.shape[0]):
                np.maximum(lanes, scores[row, left : left + lanes.shape[0]], lanes)
            _fill_heap(lanes, floor, values[row], columns[row])
            floor = values[row, 0]
        has_nan[row] = _fill_heap(scores[row], floor, values[row], columns[row])
        # Taking the lowest out of the heap, again and again, fills the ranking from its end.
        for size in range(k - 1, 0, -1):
            values[row, 0], values[row, size] = values[row, size], values[row, 0]
            columns[row, 0], columns[row, size] = columns[row, size], columns[row, 0]
            _sift_down(values[row], columns[row], 0, size)
