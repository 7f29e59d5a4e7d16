"""The sparse ops, written to be read: the definition that the numba, Keras and torch twins must agree with.

Shapes: `values` (n_values,) or (n_values, dim); `segment_ids` (n_values,) in [0, num_segments), any order; a
CSR matrix of shape (n_rows, num_cols) is the triple `indptr` (n_rows + 1,), `indices` (nnz,), `data` (nnz,).
Floats keep their dtype, other numbers become float64.
"""

from __future__ import annotations

from typing import Any

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


def segment_sum(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the sum of each segment.

    out[s] = Σ_{j: segment_ids[j] = s} values[j]

    Parameters
    ----------
    values : array_like of shape (n_values,) or (n_values, dim)
    segment_ids : array_like of int of shape (n_values,)
        In [0, num_segments), in any order.
    num_segments : int
        At least 0.

    Returns
    -------
    ndarray of shape (num_segments,) or (num_segments, dim)
        0 for an empty segment.

    Raises
    ------
    ValueError
        If an id is out of range or the lengths differ.

    Examples
    --------
    >>> segment_sum([1.0, 2.0, 4.0], [0, 2, 0], 3)
    array([5., 0., 2.])
    """
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    sums = np.zeros((num_segments, *values.shape[1:]), dtype=values.dtype)
    np.add.at(sums, segment_ids, values)
    return sums


def segment_mean(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the mean of each segment, 0 for an empty one; arguments as `segment_sum`.

    Examples
    --------
    >>> segment_mean([1.0, 2.0, 4.0], [0, 2, 0], 3)
    array([2.5, 0. , 2. ])
    """
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    counts = segment_sum(np.ones_like(values), segment_ids, num_segments)
    return _divide(segment_sum(values, segment_ids, num_segments), counts)


def segment_max(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the maximum of each segment, 0 for an empty one; arguments as `segment_sum`.

    Where the twins have a gradient it goes to the largest value (how equal ones share it is left open).

    Examples
    --------
    >>> segment_max([-1.0, 2.0, -4.0], [0, 2, 0], 3)
    array([-1.,  0.,  2.])
    """
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    maxima = np.full((num_segments, *values.shape[1:]), -np.inf, dtype=values.dtype)
    np.maximum.at(maxima, segment_ids, values)
    maxima[~np.isin(np.arange(num_segments), segment_ids)] = 0
    return maxima


@np.errstate(over="ignore", invalid="ignore")  # infinities and NaN follow IEEE 754, as in the twins
def segment_softmax(values: ArrayLike, segment_ids: ArrayLike, num_segments: int) -> NDArray[Any]:
    """Return the softmax over the values of each segment (and each column); arguments as `segment_sum`.

    out[j] = exp(values[j]) / Σ_{i in the segment of j} exp(values[i])

    Returns
    -------
    ndarray of the shape of `values`
        -inf gives 0, also where the whole segment is -inf.

    Examples
    --------
    >>> segment_softmax([0.0, 5.0, 0.0], [0, 2, 0], 3)
    array([0.5, 1. , 0.5])
    """
    values, segment_ids = read_segments(values, segment_ids, num_segments)
    maxima = segment_max(values, segment_ids, num_segments)
    maxima = np.where(np.isneginf(maxima), 0, maxima)  # -inf - (-inf) would be NaN
    exponentials = np.exp(values - maxima[segment_ids])
    return _divide(exponentials, segment_sum(exponentials, segment_ids, num_segments)[segment_ids])


@np.errstate(over="ignore", invalid="ignore")  # infinities and NaN follow IEEE 754, as in the twins
def pooled_lookup(
    table: ArrayLike,
    values: ArrayLike,
    offsets: ArrayLike,
    weights: ArrayLike | None = None,
    combiner: Combiner = "sum",
) -> NDArray[Any]:
    """Return one combined table row a bag: the rows that the bag names, summed or averaged.

    sum: Σ_j w_j table[values[j]];  mean: that over Σ_j w_j;  sqrtn: that over sqrt(Σ_j w_j²), j in the bag.

    Parameters
    ----------
    table : array_like of shape (num_rows, dim)
    values : array_like of int of shape (n_values,)
        Row numbers in [0, num_rows).
    offsets : array_like of int of shape (n_bags + 1,)
        Bag i is ``values[offsets[i]:offsets[i + 1]]``, as in `sparse_data.Bags`.
    weights : array_like of shape (n_values,), optional
        w_j; 1 when None.
    combiner : {"sum", "mean", "sqrtn"}, default="sum"

    Returns
    -------
    ndarray of shape (n_bags, dim)
        Zeros for an empty bag and wherever the divisor is 0.

    Raises
    ------
    ValueError
        If a row number is out of range or the shapes do not agree.

    Examples
    --------
    >>> pooled_lookup([[1.0, 0.0], [0.0, 2.0]], [0, 1, 1], [0, 2, 2, 3], combiner="mean")
    array([[0.5, 1. ],
           [0. , 0. ],
           [0. , 2. ]])
    """
    table, values, offsets, weights = read_lookup(table, values, offsets, weights, combiner)
    sums = _weighted_sums(table, values, offsets, weights)
    num_bags, bag_of_value = len(offsets) - 1, _row_of_entry(offsets)
    if combiner == "sum":
        return sums
    if combiner == "mean":
        return _divide(sums, segment_sum(weights, bag_of_value, num_bags)[:, None])
    return _divide(sums, np.sqrt(segment_sum(weights**2, bag_of_value, num_bags))[:, None])


def csr_degree(indptr: ArrayLike, data: ArrayLike | None = None) -> NDArray[Any]:
    """Return the number of entries of each CSR row, shape (n_rows,), or their sum where `data` is given.

    Examples
    --------
    >>> csr_degree([0, 2, 2, 3])
    array([2, 0, 1])
    >>> csr_degree([0, 2, 2, 3], [0.5, 1.0, 4.0])
    array([1.5, 0. , 4. ])
    """
    if data is None:
        return np.diff(read_indptr("indptr", indptr))
    data = check_ndim("data", data, 1)
    indptr = read_indptr("indptr", indptr, len(data))
    return segment_sum(data, _row_of_entry(indptr), len(indptr) - 1)


@np.errstate(over="ignore", invalid="ignore")  # infinities and NaN follow IEEE 754, as in the twins
def normalize_csr(
    indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, num_cols: int, kind: Kind = "symmetric"
) -> NDArray[Any]:
    """Return the data of a CSR matrix scaled by the sums of its rows and columns.

    row: a_ij / r_i;  column: a_ij / c_j;  symmetric: a_ij / sqrt(r_i c_j)
    with the row sums r_i = Σ_j a_ij and the column sums c_j = Σ_i a_ij.

    Parameters
    ----------
    indptr, indices, data : array_like
        The matrix; `data` non-negative.
    num_cols : int
    kind : {"symmetric", "row", "column"}, default="symmetric"

    Returns
    -------
    ndarray of shape (nnz,)
        0 wherever the divisor is 0.

    Examples
    --------
    >>> normalize_csr([0, 2, 3], [0, 1, 1], [1.0, 3.0, 1.0], 2, kind="row")
    array([0.25, 0.75, 1.  ])
    """
    indptr, indices, data = read_csr(indptr, indices, data, num_cols)
    check_one_of("kind", kind, ("symmetric", "row", "column"))
    row_sums = csr_degree(indptr, data)[_row_of_entry(indptr)]
    column_sums = segment_sum(data, indices, num_cols)[indices]
    if kind == "row":
        return _divide(data, row_sums)
    if kind == "column":
        return _divide(data, column_sums)
    return _divide(data, np.sqrt(row_sums * column_sums))


@np.errstate(over="ignore", invalid="ignore")  # infinities and NaN follow IEEE 754, as in the twins
def propagate(indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, x: ArrayLike) -> NDArray[Any]:
    """Return the product of a CSR matrix and a dense matrix: out[i] = Σ_j a_ij x[j].

    It is `pooled_lookup` read the other way: rows are bags, `data` their weights, `x` the table.

    Parameters
    ----------
    indptr, indices, data : array_like
        The matrix, of shape (n_rows, n_cols).
    x : array_like of shape (n_cols, dim)

    Returns
    -------
    ndarray of shape (n_rows, dim)

    Examples
    --------
    >>> propagate([0, 2, 3], [0, 1, 1], [1.0, 3.0, 1.0], [[1.0], [10.0]])
    array([[31.],
           [10.]])
    """
    return _weighted_sums(*read_propagate(indptr, indices, data, x))


def top_k(scores: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the k largest scores of each row, in falling order, and their columns.

    Parameters
    ----------
    scores : array_like of shape (n_rows, n_columns)
        -inf is allowed, NaN is not.
    k : int
        In [1, n_columns].

    Returns
    -------
    values : ndarray of shape (n_rows, k)
    columns : ndarray of int64 of shape (n_rows, k)
        Among equal scores the lower column comes first.

    Raises
    ------
    ValueError
        If k is out of range or a score is NaN (the Keras and torch twins do not look for NaN).

    Examples
    --------
    >>> top_k([[1.0, 3.0, 2.0, 3.0]], 3)
    (array([[3., 3., 2.]]), array([[1, 3, 2]]))
    """
    scores = read_floats("scores", check_ndim("scores", scores, 2))
    k = check_count("k", k, maximum=scores.shape[1])
    if np.isnan(scores).any():
        row = np.isnan(scores).any(axis=1).argmax()
        raise ValueError(f"`scores` must be free of NaN; got NaN in row {row}. Check the model.")
    columns = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)
    return np.take_along_axis(scores, columns, axis=1), columns


def unique_rows(ids: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct ids in rising order and the position of each id among them.

    Parameters
    ----------
    ids : array_like of int of shape (n_ids,)

    Returns
    -------
    unique : ndarray of shape (n_unique,)
    inverse : ndarray of int64 of shape (n_ids,)
        ``unique[inverse]`` equals `ids`.

    Examples
    --------
    >>> unique_rows([7, 2, 7])
    (array([2, 7]), array([1, 0, 1]))
    """
    ids = check_ndim("ids", check_integers("ids", ids), 1)
    unique, inverse = np.unique(ids, return_inverse=True)
    return unique, inverse.astype(np.int64)


def project_l0(values: ArrayLike, k: int) -> NDArray[Any]:
    """Return a copy with all but the k entries of largest magnitude set to 0.

    It is the point nearest to `values` among those with at most k non-zero entries.

    Parameters
    ----------
    values : array_like of any shape
        Free of NaN.
    k : int
        In [0, values.size].

    Returns
    -------
    ndarray of the shape of `values`
        Among equal magnitudes the lower flat index is kept.

    Raises
    ------
    ValueError
        If k is out of range or a value is NaN (the Keras and torch twins do not look for NaN).

    Examples
    --------
    >>> project_l0([3.0, -1.0, -4.0, 3.0], 2)
    array([ 3.,  0., -4.,  0.])
    """
    values = read_floats("values", values)
    k = check_count("k", k, minimum=0, maximum=values.size)
    if np.isnan(values).any():
        raise ValueError("`values` must be free of NaN; got NaN. Check the step that made them.")
    kept = np.argsort(-np.abs(values).ravel(), kind="stable")[:k]
    projected = np.zeros_like(values)
    projected.flat[kept] = values.flat[kept]
    return projected


def _row_of_entry(indptr: NDArray[Any]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _weighted_sums(
    table: NDArray[Any], values: NDArray[Any], offsets: NDArray[Any], weights: NDArray[Any]
) -> NDArray[Any]:
    return segment_sum(table[values] * weights[:, None], _row_of_entry(offsets), len(offsets) - 1)


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[Any]:
    """Return the ratio, 0 where the denominator is 0."""
    empty = denominator == 0
    return np.where(empty, 0, numerator / np.where(empty, 1, denominator))
