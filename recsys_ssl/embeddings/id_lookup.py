"""From the ids of the caller to rows of a sorted vocabulary and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data import checks
from sparse_data.datasets import columns as column_types

UNKNOWN = -1


def as_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    """Return `ids` as an array of int64 or of strings, shape (n,); a scalar becomes one id.

    Raises
    ------
    TypeError
        If an id is neither a string nor an integer.
    ValueError
        If an id is missing or the array is not one-dimensional.
    """
    return column_types.as_ids(name, [ids] if np.isscalar(ids) else ids)


def lookup(name: str, ids: NDArray[Any], vocabulary: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row of each id in a sorted `vocabulary`, and -1 where it is not in there.

    Raises
    ------
    ValueError
        If the ids are strings and the vocabulary is integers, or the other way round.

    Examples
    --------
    >>> lookup("item_ids", np.array(["b", "z"]), np.array(["a", "b"]))
    array([ 1, -1])
    """
    if ids.size == 0 or vocabulary.size == 0:
        return np.full(ids.size, UNKNOWN, dtype=np.int64)
    if (ids.dtype.kind == "U") != (vocabulary.dtype.kind == "U"):
        kinds = ["strings" if array.dtype.kind == "U" else "integers" for array in (vocabulary, ids)]
        raise ValueError(
            f"`{name}` must be {kinds[0]}, as in the data of `fit`; got {kinds[1]}. Convert them first."
        )
    rows = np.searchsorted(vocabulary, ids)
    rows[rows == vocabulary.size] = 0
    return np.where(vocabulary[rows] == ids, rows, UNKNOWN).astype(np.int64)


def check_known(name: str, ids: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `rows`, or raise a ValueError that names the ids that have none."""
    unknown = np.unique(ids[rows == UNKNOWN])
    if unknown.size:
        named = ", ".join(repr(value) for value in unknown[:5].tolist())
        more = f" and {unknown.size - 5} more" if unknown.size > 5 else ""
        raise ValueError(
            f"`{name}` must be ids that the model knows; got {named}{more}. "
            "Drop them, or fit on a log that holds them."
        )
    return rows


def ids_of(columns: NDArray[np.int64], vocabulary: NDArray[Any]) -> NDArray[Any]:
    """Return the ids at `columns`; a column of -1 gives -1, or an empty string where ids are strings."""
    ids = vocabulary[columns]
    ids[columns == UNKNOWN] = "" if vocabulary.dtype.kind == "U" else UNKNOWN
    return ids


def allowed_mask(
    vocabulary: NDArray[Any], allow: ArrayLike | None, deny: ArrayLike | None
) -> NDArray[np.bool_] | None:
    """Return which ids are in `allow` and not in `deny`, or None where neither is given."""
    if allow is None and deny is None:
        return None
    allowed = np.full(vocabulary.size, allow is None)
    for name, ids, value in (("allow", allow, True), ("deny", deny, False)):
        if ids is not None:
            rows = lookup(name, as_ids(name, ids), vocabulary)
            allowed[rows[rows != UNKNOWN]] = value
    return allowed


def check_k(k: int, n_choices: int) -> int:
    """Return `k` if it is at least 1 and at most the number of items to choose from, else raise."""
    if checks.check_count("k", k) > n_choices:
        raise ValueError(
            f"`k` must be at most the number of items to choose from, {n_choices}; got {k}. "
            "Ask for fewer, or allow more items."
        )
    return k


def all_ids(ids: NDArray[Any], table: Mapping[str, Any] | None, name: str) -> NDArray[Any]:
    """Return the sorted ids of a log's column and of the side table's column ``name``."""
    return np.unique(ids if table is None else np.concatenate([ids, table[name]]))
