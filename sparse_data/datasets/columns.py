"""Columns of a table as plain arrays: integers, floats, strings, and `Bags` for several values a row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.checks import check_finite, check_ndim, check_no_missing, check_same_length
from sparse_data.type_checks import check_names, check_type, naming

Column: TypeAlias = NDArray[Any] | Bags

_SEVERAL = (list, tuple, set, frozenset, np.ndarray)
_NUMBERS = (bool, np.bool_, int, float, np.number, Decimal)
_WHOLE = (bool, np.bool_, int, np.integer)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_columns(frame: Any, *, multi_valued: Collection[str] = (), separator: str = "|") -> dict[str, Column]:
    """Return the columns of a frame or a mapping as arrays and bags.

    Whole numbers and booleans become int64; other numbers float64, NaN where one is missing; text becomes a
    NumPy string array, "" where missing; dates become float64 seconds since 1970 (UTC); lists become `Bags`,
    an empty bag where missing. A two-dimensional numeric array (one vector a row) keeps its shape.

    Parameters
    ----------
    frame : pandas, polars or pyarrow table, or mapping of str to array_like or Bags
    multi_valued : collection of str, default=()
        Text columns to split into bags.
    separator : str, default="|"
        What stands between two values in the columns of `multi_valued`.

    Returns
    -------
    dict of str to (ndarray of shape (n_rows,) or (n_rows, dim), or Bags)

    Raises
    ------
    TypeError
        If `frame` is neither a frame nor a mapping, or a column mixes or holds unknown types.
    ValueError
        If columns differ in length, or `multi_valued` names a column that is absent or not text.

    Examples
    --------
    >>> columns = to_columns({"item_id": [1, 2], "genres": ["war|drama", None]}, multi_valued=["genres"])
    >>> columns["item_id"], columns["genres"]
    (array([1, 2]), Bags(n_bags=2, n_values=2, dtype=<U5): ['war' 'drama'], [])
    """
    check_type("separator", separator, str, "Pass a text.")
    columns = {name: as_column(name, values) for name, values in raw_columns(frame).items()}
    for name in check_names("multi_valued", multi_valued):
        if name not in columns:
            raise ValueError(
                f"`multi_valued` must name columns of the table; got {name!r}. Choose from {list(columns)}."
            )
        columns[name] = _split(name, columns[name], separator)
    check_same_length(**columns)
    return columns


def raw_columns(frame: Any) -> dict[str, Any]:
    """Return the columns as NumPy arrays, without the changes of `to_columns`; a mapping passes through."""
    if isinstance(frame, Mapping):
        return {str(name): values for name, values in frame.items()}
    import narwhals as nw

    try:
        with naming("frame", "a table that names each column once"):
            table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(
            "`frame` must be a pandas, polars or pyarrow table or a mapping of columns; "
            f"got {type(frame).__module__}.{type(frame).__qualname__}. Collect a lazy frame first."
        ) from None
    return {str(series.name): series.to_numpy() for series in table.iter_columns()}


def as_column(name: str, values: Any) -> Column:
    """Return one column as `to_columns` describes it."""
    if isinstance(values, Bags):
        return values
    array = _as_array(name, values)
    if array.dtype.kind == "O":
        return _from_objects(name, check_ndim(name, array, 1))
    if array.dtype.kind in "iufb" and array.ndim == 2:
        return array.astype(np.float64)
    check_ndim(name, array, 1)
    if array.dtype.kind in "iub":
        if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"`{name}` must fit into int64; got {array.max()}. Convert it to strings.")
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype.kind in "UT":
        return _as_text(array)
    if array.dtype.kind == "M":
        return _seconds(array)
    raise TypeError(
        f"`{name}` must hold numbers, text, dates or lists; got {array.dtype}. Convert or drop the column."
    )


def as_ids(name: str, values: Any) -> NDArray[Any]:
    """Return ids as int64 or as a string array; missing ids, floats and booleans are refused."""
    array = check_ndim(name, _as_array(name, values), 1)
    check_no_missing(name, array, hint="Drop these rows or give them an id.")
    if array.size == 0:
        return array if array.dtype.kind == "U" else np.empty(0, dtype=np.int64)
    ids = as_column(name, array)
    boolean = array.dtype.kind == "b" or (array.dtype.kind == "O" and bool in set(map(type, array)))
    if isinstance(ids, Bags) or ids.dtype.kind not in "iU" or boolean:
        got = type(array[0]).__name__ if array.dtype.kind == "O" else array.dtype
        raise TypeError(f"`{name}` must be integers or strings; got {got}. Convert the ids to one of these.")
    return ids


def as_numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Return finite float64 values; NaN, infinity and text are refused."""
    numbers = _flat(name, as_column(name, values))
    return check_finite(name, numbers, hint="Drop these rows.").astype(np.float64)


def as_seconds(name: str, values: Any) -> NDArray[Any]:
    """Return times as int64 (whole numbers) or float64; dates and ISO 8601 text become seconds since 1970."""
    array = check_no_missing(name, check_ndim(name, _as_array(name, values), 1))
    times = _flat(name, as_column(name, array))
    if times.dtype.kind == "U":
        try:
            times = np.array([_seconds_of(datetime.fromisoformat(text)) for text in times.tolist()])
        except ValueError as error:
            raise ValueError(
                f"`{name}` must be numbers, dates or ISO 8601 text; got {str(error)!r}. Parse them first."
            ) from None
    return check_finite(name, times)


def _flat(name: str, column: Column) -> NDArray[Any]:
    if isinstance(column, Bags):
        raise TypeError(f"`{name}` must hold one value a row; got lists. Pick one value of each.")
    return check_ndim(name, column, 1)


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, (str, bytes, Mapping, Bags)) or not isinstance(values, Iterable):
        raise TypeError(
            f"`{name}` must be an array or a list; got {type(values).__name__}. Wrap it in a list."
        )
    if isinstance(values, (list, tuple)):
        # As objects: np.asarray would turn [1, "a"] into text and fail on lists of differing lengths.
        return np.fromiter(values, dtype=object, count=len(values))
    return np.asarray(values)


def _from_objects(name: str, array: NDArray[Any]) -> Column:
    missing = np.zeros(len(array), dtype=bool)
    if not set(map(type, array)) <= {str, int, list, np.ndarray}:
        missing = np.fromiter(map(_is_missing, array), dtype=bool, count=len(array))
    types = set(map(type, array[~missing]))
    if types and all(issubclass(kind, _SEVERAL) for kind in types):
        return _bags(name, array, missing)
    if types and all(issubclass(kind, str) for kind in types):
        return np.asarray(np.where(missing, "", array).tolist(), dtype=np.str_)
    if all(issubclass(kind, _NUMBERS) for kind in types):
        whole = len(array) > 0 and not missing.any() and all(issubclass(kind, _WHOLE) for kind in types)
        numbers = [np.nan if gone else value for gone, value in zip(missing, array, strict=True)]
        try:
            return np.asarray(numbers, dtype=np.int64 if whole else np.float64)
        except OverflowError:
            raise ValueError(
                f"`{name}` must fit into int64; got a larger number. Convert it to strings."
            ) from None
    if all(issubclass(kind, (date, np.datetime64)) for kind in types):
        return np.array([np.nan if gone else _seconds_of(v) for gone, v in zip(missing, array, strict=True)])
    got = ", ".join(sorted(kind.__name__ for kind in types))
    raise TypeError(
        f"`{name}` must hold values of one kind; got {got}. Convert the column to numbers or to text."
    )


def _bags(name: str, array: NDArray[Any], missing: NDArray[np.bool_]) -> Bags:
    lists = [[] if gone else list(value) for gone, value in zip(missing, array, strict=True)]
    bags = Bags.from_lists(lists, dtype=object)
    values = check_no_missing(name, bags.values, hint="Take the empty values out of the lists.")
    flat = as_column(name, values) if len(values) else np.empty(0, dtype=np.int64)
    if isinstance(flat, Bags) or flat.dtype.kind not in "iU":
        raise TypeError(
            f"`{name}` must hold lists of integers or of strings; got {type(values[0]).__name__} in them."
        )
    return bags.map_values(flat)


def _split(name: str, column: Column, separator: str) -> Bags:
    if isinstance(column, Bags):
        return column
    if column.dtype.kind != "U":
        raise ValueError(
            f"`multi_valued` must name text columns; got {name!r} of {column.dtype}. Leave it out."
        )
    parts = [[part for part in map(str.strip, text.split(separator)) if part] for text in column.tolist()]
    return Bags.from_lists(parts, dtype=np.str_)


def _as_text(array: NDArray[Any]) -> NDArray[np.str_]:
    if array.dtype.kind == "T":  # StringDType may hold its own missing value
        return np.asarray(["" if _is_missing(text) else text for text in array.tolist()], dtype=np.str_)
    return array


def _seconds(array: NDArray[Any]) -> NDArray[np.float64]:
    seconds = array.astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(np.isnat(array), np.nan, seconds)


def _seconds_of(moment: Any) -> float:
    if isinstance(moment, np.datetime64):
        return float(_seconds(np.array([moment]))[0])
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return float(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH).total_seconds())


def _is_missing(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, (str, *_SEVERAL)):
        return False
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA refuses to be a truth value
        return True
    except ValueError:  # a matrix as a value has no single truth value, and is not missing
        return False
