"""The sparse ops of `sparse_data.ops_numpy` on `keras.ops`: TensorFlow, JAX and torch backends alike.

Same names, arguments and results, with gradients with respect to every float argument. Arguments are tensors
(or what Keras turns into one); integers among the values become `keras.config.floatx()`. Ids are not looked
at, since that would wait for the device: an id out of range does what the backend does. Everything but
`unique_rows`, whose result has no fixed shape, also runs under ``tf.function`` and ``jax.jit``, where
`num_segments`, `num_cols` and `k` must be Python ints. Returned ids are of Keras's index type int32.
On the JAX and torch backends Keras sums segments in float32, float64 values too.
"""

from __future__ import annotations

from typing import Any

try:
    import keras
    from keras import ops
except ImportError as error:
    raise ImportError(
        "sparse_data.ops_keras needs Keras and one of its backends; pip install 'sparselabels[recsys]'"
    ) from error

from sparse_data.checks import check_count, check_one_of
from sparse_data.ops_inputs import Combiner, Kind

Tensor = Any  # each backend has its own class


def segment_sum(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the sum of each segment; see `ops_numpy.segment_sum`."""
    values, segment_ids = _segments(values, segment_ids)
    return _sum(values, segment_ids, num_segments)


def segment_mean(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the mean of each segment, 0 for an empty one; see `ops_numpy.segment_mean`."""
    values, segment_ids = _segments(values, segment_ids)
    counts = _sum(ops.ones_like(values), segment_ids, num_segments)
    return _sum(values, segment_ids, num_segments) / ops.maximum(counts, 1)


def segment_max(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the maximum of each segment, 0 for an empty one; see `ops_numpy.segment_max`."""
    values, segment_ids = _segments(values, segment_ids)
    counts = _sum(ops.ones_like(values), segment_ids, num_segments)
    above = _sum(ops.cast(values != -float("inf"), values.dtype), segment_ids, num_segments)
    maxima = _max(values, segment_ids, num_segments)
    # TensorFlow begins at the lowest finite float, also where a segment holds nothing but -inf.
    without = ops.where(counts > 0, ops.full_like(maxima, -float("inf")), ops.zeros_like(maxima))
    return ops.where(above > 0, maxima, without)


def segment_softmax(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the softmax over the values of each segment; see `ops_numpy.segment_softmax`."""
    values, segment_ids = _segments(values, segment_ids)
    # The maxima cancel out of the ratio, so no gradient need pass through them.
    maxima = ops.stop_gradient(segment_max(values, segment_ids, num_segments))
    maxima = ops.where(maxima == -float("inf"), ops.zeros_like(maxima), maxima)
    exponentials = ops.exp(values - ops.take(maxima, segment_ids, axis=0))
    totals = _sum(exponentials, segment_ids, num_segments)
    return _divide(exponentials, ops.take(totals, segment_ids, axis=0))


def pooled_lookup(
    table: Tensor, values: Tensor, offsets: Tensor, weights: Tensor | None = None, combiner: Combiner = "sum"
) -> Tensor:
    """Return one combined table row a bag, shape (n_bags, dim); see `ops_numpy.pooled_lookup`."""
    table, values, offsets = _floats(table), ops.convert_to_tensor(values), ops.convert_to_tensor(offsets)
    return pool_rows(ops.take(table, values, axis=0), offsets, weights, combiner)


def pool_rows(
    rows: Tensor, offsets: Tensor, weights: Tensor | None = None, combiner: Combiner = "sum"
) -> Tensor:
    """Return one combined row a bag, shape (n_bags, dim), for rows that are looked up already."""
    check_one_of("combiner", combiner, ("sum", "mean", "sqrtn"))
    num_bags = ops.shape(offsets)[0] - 1
    bag_of_value = _row_of_entry(offsets, rows)
    weights = ops.ones_like(rows[:, 0]) if weights is None else ops.cast(weights, rows.dtype)
    sums = _sum(rows * weights[:, None], bag_of_value, num_bags)
    if combiner == "sum":
        return sums
    if combiner == "mean":
        return _divide(sums, _sum(weights, bag_of_value, num_bags)[:, None])
    squares = _sum(weights * weights, bag_of_value, num_bags)
    # The gradient of a square root at 0 is infinite: give it a 1 there, the quotient is 0 anyway.
    roots = ops.sqrt(ops.where(squares == 0, ops.ones_like(squares), squares))
    return _divide(sums, ops.where(squares == 0, ops.zeros_like(roots), roots)[:, None])


def csr_degree(indptr: Tensor, data: Tensor | None = None) -> Tensor:
    """Return the number of entries of each CSR row, or their sum; see `ops_numpy.csr_degree`."""
    indptr = ops.convert_to_tensor(indptr)
    if data is None:
        return indptr[1:] - indptr[:-1]
    data = _floats(data)
    return _sum(data, _row_of_entry(indptr, data), ops.shape(indptr)[0] - 1)


def normalize_csr(
    indptr: Tensor, indices: Tensor, data: Tensor, num_cols: int, kind: Kind = "symmetric"
) -> Tensor:
    """Return the data scaled by the sums of rows and columns; see `ops_numpy.normalize_csr`."""
    check_one_of("kind", kind, ("symmetric", "row", "column"))
    indptr, indices, data = ops.convert_to_tensor(indptr), ops.convert_to_tensor(indices), _floats(data)
    row_sums = ops.take(csr_degree(indptr, data), _row_of_entry(indptr, data), axis=0)
    column_sums = ops.take(_sum(data, indices, num_cols), indices, axis=0)
    if kind == "row":
        return _divide(data, row_sums)
    if kind == "column":
        return _divide(data, column_sums)
    products = row_sums * column_sums
    positive = ops.where(products == 0, ops.ones_like(products), products)
    return ops.where(products == 0, ops.zeros_like(data), data / ops.sqrt(positive))


def propagate(indptr: Tensor, indices: Tensor, data: Tensor, x: Tensor) -> Tensor:
    """Return the product of a CSR matrix and a dense matrix; see `ops_numpy.propagate`."""
    return pooled_lookup(x, indices, indptr, data)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest scores of each row and their columns; see `ops_numpy.top_k`."""
    scores = _floats(scores)
    k = check_count("k", k, maximum=scores.shape[-1])
    values, columns = ops.top_k(scores, k)
    if keras.config.backend() == "torch":  # the others keep the order of the columns among equals
        return _lower_column_first(scores, values, k)
    return values, columns


def unique_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct ids in rising order and the position of each; see `ops_numpy.unique_rows`."""
    ids = ops.convert_to_tensor(ids)
    rising = ops.sort(ids)
    first = ops.concatenate([ops.ones_like(rising[:1], dtype="bool"), rising[1:] != rising[:-1]])
    unique = ops.take(rising, ops.nonzero(first)[0], axis=0)
    return unique, ops.searchsorted(unique, ids)


def project_l0(values: Tensor, k: int) -> Tensor:
    """Return a copy that keeps the k entries of largest magnitude; see `ops_numpy.project_l0`."""
    values = _floats(values)
    size = None if None in values.shape else int(ops.size(values))
    k = check_count("k", k, minimum=0, maximum=size)
    if k == 0:
        return ops.zeros_like(values)
    magnitudes = ops.abs(ops.reshape(values, (-1,)))
    kept = _largest(magnitudes, ops.top_k(magnitudes, k)[0][-1:], k)
    return ops.where(ops.reshape(kept, ops.shape(values)), values, ops.zeros_like(values))


def _floats(array: Tensor) -> Tensor:
    array = ops.convert_to_tensor(array)
    is_float = "float" in keras.backend.standardize_dtype(array.dtype)
    return array if is_float else ops.cast(array, keras.config.floatx())


def _segments(values: Tensor, segment_ids: Tensor) -> tuple[Tensor, Tensor]:
    return _floats(values), ops.convert_to_tensor(segment_ids)


def _sum(values: Tensor, segment_ids: Tensor, num_segments: Any) -> Tensor:
    return values[:0] if _is_zero(num_segments) else ops.segment_sum(values, segment_ids, num_segments)


def _max(values: Tensor, segment_ids: Tensor, num_segments: Any) -> Tensor:
    return values[:0] if _is_zero(num_segments) else ops.segment_max(values, segment_ids, num_segments)


def _is_zero(num_segments: Any) -> bool:
    # Keras on torch takes 0 for "not given". A tensor, as in TensorFlow's graphs, is well taken at 0.
    return isinstance(num_segments, int) and num_segments == 0


def _row_of_entry(indptr: Tensor, entries: Tensor) -> Tensor:
    """Return the row of each entry: the number of row ends at or before its position."""
    positions = ops.cast(ops.arange(ops.shape(entries)[0]), indptr.dtype)
    return ops.searchsorted(indptr[1:], positions, side="right")


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the ratio, 0 where the denominator is 0, with finite gradients on both sides."""
    empty = denominator == 0
    ratio = numerator / ops.where(empty, ops.ones_like(denominator), denominator)
    return ops.where(empty, ops.zeros_like(ratio), ratio)


def _largest(scores: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Return a mask of k scores along the last axis; of those at the threshold the first ones enter."""
    larger = scores > threshold
    spare = k - ops.sum(ops.cast(larger, "int32"), axis=-1, keepdims=True)
    equal = scores == threshold
    return ops.logical_or(larger, ops.logical_and(equal, ops.cumsum(ops.cast(equal, "int32"), -1) <= spare))


def _lower_column_first(scores: Tensor, values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the ranking of each row, given its k largest scores, with ties in the order of the columns."""
    kept = _largest(scores, values[:, -1:], k)
    num_columns = scores.shape[1]
    # Distinct keys that fall with the column: their top k are the kept columns in rising order.
    keys = ops.where(kept, num_columns - ops.arange(num_columns), 0)
    columns = num_columns - ops.top_k(keys, k)[0]
    values = ops.take_along_axis(scores, columns, axis=1)
    order = ops.argsort(-values, axis=1)
    columns = ops.take_along_axis(columns, order, axis=1)
    return ops.take_along_axis(values, order, axis=1), ops.cast(columns, "int32")
