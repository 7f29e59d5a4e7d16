"""One column of a side table, checked against its declaration and brought into one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.embeddings.id_lookup import UNKNOWN, lookup
from recsys_ssl.encoding.features import MISSING, NUM_RESERVED, OOV, Dense, Feature, MultiCategory
from sparse_data import Bags

LARGEST = float(np.finfo(np.float32).max)


def look_up_rows(name: str, values: NDArray[Any], vocabulary: NDArray[Any]) -> NDArray[np.int32]:
    """Return the row of each value in the embedding table of a sorted vocabulary.

    Parameters
    ----------
    name : str
        Of the column, for the error message.
    values : ndarray of shape (n,)
        Strings, or whole numbers in an integer or floating point array.
    vocabulary : ndarray of shape (n_values,)
        Sorted, without doubles.

    Returns
    -------
    int32 ndarray of shape (n,)
        ``MISSING`` for an empty string or NaN, ``OOV`` for a value outside the vocabulary.

    Raises
    ------
    ValueError
        If strings meet a vocabulary of integers, or the other way round.

    Examples
    --------
    >>> look_up_rows("letter", np.array(["b", "c", ""]), np.array(["a", "b"]))
    array([4, 1, 0], dtype=int32)
    """
    values, missing = category_values(name, values)
    found = lookup(name, values[~missing], vocabulary)
    rows = np.full(len(values), MISSING, dtype=np.int32)
    rows[~missing] = np.where(found == UNKNOWN, OOV, found + NUM_RESERVED)
    return rows


def column_of(columns: Mapping[str, Any], feature: Feature) -> Any:
    """Return the feature's column if it is there and of the declared kind."""
    if feature.name not in columns:
        raise ValueError(
            f"`{feature.name}` must be among the columns; got {sorted(columns)}. "
            "Add the column, or leave the feature out of the declaration."
        )
    column = columns[feature.name]
    several = isinstance(column, Bags)
    if isinstance(feature, MultiCategory):
        want, right = "a list of values a row, without weights", several and column.weights is None
    elif isinstance(feature, Dense):
        want, right = "numbers", not several and column.dtype.kind in "fiu" and column.ndim <= 2
    else:
        want, right = "one value a row", not several and column.ndim == 1
    if not right:
        got = repr(column) if several else f"{column.dtype} of shape {column.shape}"
        raise ValueError(
            f"`{feature.name}` must hold {want}; got {got}. "
            "Declare lists as MultiCategory, numbers as Dense, strings and integers as Category."
        )
    return column


def category_values(name: str, column: NDArray[Any] | Bags) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values as int64 or strings, and which of them are missing (these are 0 or empty)."""
    values = column.values if isinstance(column, Bags) else column
    kind = values.dtype.kind
    if kind == "U":
        return values, np.asarray(values == "")
    if kind in "iub":
        return values.astype(np.int64, copy=False), np.zeros(len(values), dtype=np.bool_)
    # Whole numbers of which one is missing reach us as floating point.
    missing = np.isnan(values) if kind == "f" else np.zeros(len(values), dtype=np.bool_)
    known = np.where(missing, 0.0, values).astype(np.float64) if kind == "f" else values
    if kind != "f" or (known != np.floor(known)).any() or (np.abs(known) >= 2.0**63).any():
        got = f"{values.dtype}" if kind != "f" else "fractions or infinity"
        raise ValueError(
            f"`{name}` must hold strings or whole numbers; got {got}. "
            "Declare it as Dense, or convert it to strings."
        )
    return known.astype(np.int64), missing


def dense_values(name: str, column: NDArray[Any]) -> NDArray[np.float64]:
    """Return the numbers as (n_rows, width) with NaN where one is missing."""
    values = np.asarray(column, dtype=np.float64)
    if (np.abs(values) > LARGEST).any():
        raise ValueError(
            f"`{name}` must be finite in float32, or NaN; got {values[np.abs(values) > LARGEST][0]}. "
            "Replace it by a number or by NaN."
        )
    return values[:, None] if values.ndim == 1 else values
