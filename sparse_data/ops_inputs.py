"""How the NumPy and numba ops read their arguments: one door for both, so that they refuse the same input."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import (
    check_count,
    check_ids_in_range,
    check_integers,
    check_ndim,
    check_non_negative,
    check_numeric,
    check_one_of,
    check_same_length,
)

Combiner = Literal["sum", "mean", "sqrtn"]
Kind = Literal["symmetric", "row", "column"]


def read_floats(name: str, array: ArrayLike) -> NDArray[Any]:
    """Return an array of floats: their dtype is kept, other numbers become float64."""
    array = check_numeric(name, array)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def read_segments(
    values: ArrayLike, segment_ids: ArrayLike, num_segments: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return float values of one or two dimensions and their segments in [0, num_segments)."""
    values = read_floats("values", values)
    if values.ndim != 2:
        check_ndim("values", values, 1, hint="Values of shape (n_values,) or (n_values, dim) are taken.")
    size = check_count("num_segments", num_segments, minimum=0)
    segment_ids = check_ids_in_range("segment_ids", check_ndim("segment_ids", segment_ids, 1), size)
    check_same_length(values=values, segment_ids=segment_ids)
    return values, segment_ids


def read_indptr(name: str, indptr: ArrayLike, num_values: int | None = None) -> NDArray[Any]:
    """Return offsets that begin at 0, never fall, and end at `num_values` where that is given."""
    indptr = check_ndim(name, check_integers(name, indptr), 1)
    end = indptr[-1:] if num_values is None else num_values
    if len(indptr) == 0 or indptr[0] != 0 or indptr[-1] != end or (np.diff(indptr) < 0).any():
        end_rule = "" if num_values is None else f" and end at {num_values}"
        got = np.array2string(indptr, threshold=6)
        raise ValueError(
            f"`{name}` must begin at 0, never fall{end_rule}; got {got}. Rebuild the bags or the matrix."
        )
    return indptr


def read_lookup(
    table: ArrayLike, values: ArrayLike, offsets: ArrayLike, weights: ArrayLike | None, combiner: Combiner
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the table, row numbers, offsets and weights (1 when None, in the table's dtype)."""
    table = read_floats("table", check_ndim("table", table, 2))
    values = check_ids_in_range("values", check_ndim("values", values, 1), len(table))
    offsets = read_indptr("offsets", offsets, len(values))
    check_one_of("combiner", combiner, ("sum", "mean", "sqrtn"))
    weights = (
        np.ones(len(values))
        if weights is None
        else check_ndim("weights", check_numeric("weights", weights), 1)
    )
    check_same_length(values=values, weights=weights)
    return table, values, offsets, _cast("weights", weights, table.dtype)


def read_propagate(
    indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, x: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a CSR matrix and a dense one as the arguments of a lookup: x, indices, indptr, data."""
    x = read_floats("x", check_ndim("x", x, 2))
    indices = check_ids_in_range("indices", check_ndim("indices", indices, 1), len(x))
    data = _cast("data", check_ndim("data", check_numeric("data", data), 1), x.dtype)
    check_same_length(indices=indices, data=data)
    return x, indices, read_indptr("indptr", indptr, len(indices)), data


def read_csr(
    indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, num_cols: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the three arrays of a CSR matrix of `num_cols` columns with non-negative float data."""
    size = check_count("num_cols", num_cols, minimum=0)
    indices = check_ids_in_range("indices", check_ndim("indices", indices, 1), size)
    data = check_non_negative("data", check_ndim("data", read_floats("data", data), 1))
    check_same_length(indices=indices, data=data)
    return read_indptr("indptr", indptr, len(indices)), indices, data


def _cast(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `array` in the type of what it is multiplied with, or raise where a value does not fit."""
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError:
        raise ValueError(
            f"`{name}` must fit into {dtype}; got values up to {np.abs(array).max()}. Scale them, or "
            "pass the others as float64."
        ) from None
