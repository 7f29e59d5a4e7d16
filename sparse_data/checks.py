"""Checks that raise: one function a rule, each returns the value (converted where that helps the caller).

Every message reads: the name, the rule, what was received, what to do about it.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Value = TypeVar("Value")
Closed = Literal["both", "left", "right", "neither"]
_LARGEST = 2**63 - 1  # what an array can count
_MODERATE = 1e140  # 1e28 squares of it add up


def _fail(name: str, rule: str, got: object, hint: str) -> ValueError:
    return ValueError(f"`{name}` must be {rule}; got {got}. {hint}")


def check_one_of(name: str, value: Value, options: Collection[Value], hint: str | None = None) -> Value:
    """Return `value` if it is one of `options`, else raise.

    Parameters
    ----------
    name : str
        Name of the argument, as the caller wrote it.
    value : object
    options : collection of objects
    hint : str, optional
        What to do; a sentence of its own.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_one_of("combiner", "max", ("sum", "mean"))
    Traceback (most recent call last):
    ...
    ValueError: `combiner` must be one of 'sum', 'mean'; got 'max'. Choose one of these.
    """
    if not any(type(option) is type(value) and option == value for option in options):
        listed = ", ".join(repr(option) for option in options)
        raise _fail(name, f"one of {listed}", repr(value), hint or "Choose one of these.")
    return value


def check_in_range(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    closed: Closed = "both",
    hint: str | None = None,
) -> float:
    """Return `value` as an int or a float if it lies inside the interval, else raise; NaN is never inside.

    Parameters
    ----------
    name : str
    value : number
    low, high : float, optional
        Ends of the interval; None is unbounded.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which ends belong to the interval.
    hint : str, optional

    Returns
    -------
    int or float
        Of Python, since numbers of NumPy of few bits overflow and unsigned ones have no negative.

    Raises
    ------
    TypeError
        If `value` is no real number (a bool is none).
    ValueError
        If it lies outside the interval.

    Examples
    --------
    >>> check_in_range("rate", 1.5, 0, 1, closed="left")
    Traceback (most recent call last):
    ...
    ValueError: `rate` must be in [0, 1); got 1.5. Pass a number in that interval.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be a number; got {value!r}. {hint or 'Pass an int or a float.'}")
    value = int(value) if isinstance(value, (int, np.integer)) else float(value) + 0.0  # of -0.0 makes 0.0
    above = low is None or (value >= low if closed in ("both", "left") else value > low)
    below = high is None or (value <= high if closed in ("both", "right") else value < high)
    if not (above and below) or value != value or (isinstance(value, int) and abs(value) > _LARGEST):
        left = "[" if closed in ("both", "left") and low is not None else "("
        right = "]" if closed in ("both", "right") and high is not None else ")"
        interval = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
        raise _fail(name, f"in {interval}", value, hint or "Pass a number in that interval.")
    return value


def check_count(
    name: str, value: int, minimum: int = 1, hint: str | None = None, *, maximum: int | None = None
) -> int:
    """Return `value` as an int if it is an integer in [minimum, maximum], else raise.

    Raises
    ------
    TypeError
        If `value` is no integer (a bool or a float is none).
    ValueError
        If it is below `minimum`, or above `maximum` where that is given.

    Examples
    --------
    >>> check_count("k", 0)
    Traceback (most recent call last):
    ...
    ValueError: `k` must be at least 1; got 0. Pass a larger integer.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        advice = hint or "Pass an int."
        raise TypeError(f"`{name}` must be an integer; got {value!r}. {advice}") from None
    if count < minimum:
        raise _fail(name, f"at least {minimum}", count, hint or "Pass a larger integer.")
    most = _LARGEST if maximum is None else maximum
    if count > most:
        raise _fail(name, f"at most {most}", count, hint or "Pass a smaller integer.")
    return count


def check_array(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray in the byte order of the machine, else raise.

    Raises
    ------
    TypeError
        If it is a sparse matrix.
    ValueError
        If its rows differ in length, or values of it are masked, which an ndarray could not tell.

    Examples
    --------
    >>> check_array("x", [[1, 2], [3]])
    Traceback (most recent call last):
    ...
    ValueError: `x` must be an array with rows of one length; got a list that is none. Check the rows.
    """
    kind = type(array).__name__
    if hasattr(array, "toarray"):
        raise TypeError(f"`{name}` must be dense; got a {kind}. {hint or 'Call its toarray().'}")
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        got = f"{np.ma.count_masked(array)} masked value(s)"
        raise _fail(name, "without masked values", got, hint or "Fill or drop them.")
    try:
        array = np.asarray(array)
    except (TypeError, ValueError, RuntimeError):
        got = f"a {kind} that is none"
        raise _fail(name, "an array with rows of one length", got, hint or "Check the rows.") from None
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_numeric(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray of bools, integers or floats, else raise; long doubles become float64.

    Raises
    ------
    TypeError
        If the array is not numeric (complex numbers are none).
    ValueError
        As `check_array`.

    Examples
    --------
    >>> check_numeric("x", ["a"])
    Traceback (most recent call last):
    ...
    TypeError: `x` must be numeric; got dtype <U1. Convert it to numbers.
    """
    array = check_array(name, array)
    if array.dtype.kind not in "biuf":
        advice = hint or "Convert it to numbers."
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. {advice}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)  # which compiled kernels and frameworks do not know
    return array


def check_finite(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray if it is numeric and holds neither NaN nor infinity, else raise.

    Raises
    ------
    TypeError
        If the array is not numeric.
    ValueError
        If a value is NaN or infinite; the message counts them and gives the first position.

    Examples
    --------
    >>> check_finite("x", [1.0, float("nan")])
    Traceback (most recent call last):
    ...
    ValueError: `x` must be finite; got 1 NaN or infinite value(s), first at position 1. ...
    """
    array = check_numeric(name, array, hint)
    bad = ~np.isfinite(array)
    if bad.any():
        got = f"{_counted(bad, 'NaN or infinite value(s)')}"
        raise _fail(name, "finite", got, hint or "Remove or impute them.")
    return array


def check_moderate(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as `check_finite` if sums of its squares fit into doubles, else raise ValueError.

    Examples
    --------
    >>> check_moderate("x", [1.0, -1e200])
    Traceback (most recent call last):
    ...
    ValueError: `x` must be within 1e+140 either way; got 1 value(s) beyond, first at position 1. ...
    """
    array = check_numeric(name, array, hint)
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 4
    if wide and array.size and array.min() >= -_MODERATE and array.max() <= _MODERATE:
        return array  # NaN is in neither; most arrays end here, and no other of their size is laid out
    array = check_finite(name, array, hint)
    if wide and (bad := np.abs(array) > _MODERATE).any():
        rule, got = "within 1e+140 either way", _counted(bad, "value(s) beyond")
        raise _fail(name, rule, got, hint or "Scale or drop them.")
    return array


def check_non_negative(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray if it is numeric and no value is below zero (or NaN), else raise.

    Raises
    ------
    TypeError
        If the array is not numeric.
    ValueError
        If a value is negative or NaN.
    """
    array = check_numeric(name, array, hint)
    bad = ~(array >= 0)
    if bad.any():
        got = _counted(bad, "negative or NaN value(s)")
        raise _fail(name, "non-negative", got, hint or "Remove them or set them to 0.")
    return array


def check_ndim(name: str, array: ArrayLike, ndim: int, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray if it has `ndim` dimensions, else raise ValueError.

    Examples
    --------
    >>> check_ndim("user_ids", [[1, 2]], 1)
    Traceback (most recent call last):
    ...
    ValueError: `user_ids` must be 1-dimensional; got shape (1, 2). Reshape it or pick one column.
    """
    array = check_array(name, array)
    if array.ndim != ndim:
        got = f"shape {array.shape}"
        raise _fail(name, f"{ndim}-dimensional", got, hint or "Reshape it or pick one column.")
    return array


def check_same_length(**named_arrays: Any) -> int:
    """Return the common length of the arrays given by keyword (None is skipped), else raise ValueError.

    Examples
    --------
    >>> check_same_length(labels=[0, 1], weights=None, bags=[3, 3])
    2
    >>> check_same_length(labels=[0, 1], bags=[3])
    Traceback (most recent call last):
    ...
    ValueError: `labels` and `bags` must be of the same length; got 2 and 1. Pass one value a row.
    """
    lengths = {name: _length(name, array) for name, array in named_arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        names = " and ".join(f"`{name}`" for name in lengths)
        got = " and ".join(str(length) for length in lengths.values())
        raise ValueError(f"{names} must be of the same length; got {got}. Pass one value a row.")
    return next(iter(lengths.values()), 0)


def check_nonempty(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray if it holds at least one value, else raise ValueError."""
    array = check_array(name, array)
    if array.size == 0:
        got = f"shape {array.shape}"
        raise _fail(name, "non-empty", got, hint or "Check how the data were read or filtered.")
    return array


def check_integers(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an integer ndarray (its width is kept), else raise TypeError.

    Bools and floats are refused even where they hold whole numbers; an empty list becomes int64.

    Examples
    --------
    >>> check_integers("ids", [1.0, 2.0])
    Traceback (most recent call last):
    ...
    TypeError: `ids` must be of an integer dtype; got float64. Convert it with .astype("int64").
    """
    array = check_array(name, array)
    if array.size == 0 and array.dtype == np.float64:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        advice = hint or 'Convert it with .astype("int64").'
        raise TypeError(f"`{name}` must be of an integer dtype; got {array.dtype}. {advice}")
    return array


def check_ids_in_range(name: str, ids: ArrayLike, size: int, hint: str | None = None) -> NDArray[Any]:
    """Return `ids` as an integer ndarray if all of them lie in [0, size), else raise.

    Raises
    ------
    TypeError
        If `ids` is not of an integer dtype.
    ValueError
        If an id lies outside.
    """
    ids = check_integers(name, ids, hint)
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        got = f"ids from {ids.min()} to {ids.max()}"
        raise _fail(name, f"in [0, {size})", got, hint or "Encode the ids or enlarge the table.")
    return ids


def check_no_missing(name: str, array: ArrayLike, hint: str | None = None) -> NDArray[Any]:
    """Return `array` as an ndarray if it holds no None, NaN, NaT, pandas.NA or empty string, else raise.

    Raises
    ------
    ValueError
        If a value is missing; the message counts them and gives the first position.

    Examples
    --------
    >>> check_no_missing("user_ids", ["ann", "", "bob"])
    Traceback (most recent call last):
    ...
    ValueError: `user_ids` must be without missing values; got 1 missing, first at position 1. ...
    """
    array = check_array(name, array)
    kind = array.dtype.kind
    if kind in "fcmM":
        bad = np.asarray(np.isnat(array) if kind in "mM" else np.isnan(array))
    elif kind in "US":
        bad = np.asarray(np.char.str_len(array) == 0)
    elif kind in "OT":
        flat = (_is_missing(value) for value in array.astype(object).ravel())
        bad = np.fromiter(flat, dtype=bool, count=array.size).reshape(array.shape)
    else:
        return array
    if bad.any():
        got = _counted(bad, "missing")
        raise _fail(name, "without missing values", got, hint or "Drop or fill these rows.")
    return array


def _length(name: str, array: Any) -> int:
    try:
        return len(array)
    except TypeError:
        got = type(array).__name__
        raise TypeError(f"`{name}` must have a length; got {got}. Pass one value a row.") from None


def _is_missing(value: object) -> bool:
    if value is None or (isinstance(value, (str, bytes)) and len(value) == 0):
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA refuses to be a truth value
        return True
    except ValueError:  # an array as a value has no single truth value, and is not missing
        return False


def _counted(bad: NDArray[np.bool_], what: str) -> str:
    position = tuple(map(int, np.unravel_index(int(bad.argmax()), bad.shape)))
    where = position[0] if len(position) == 1 else position
    return f"{int(bad.sum())} {what}, first at position {where}"
