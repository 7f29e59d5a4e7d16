"""Values that are wrong in one way, made from a value that is right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from sparse_data import Bags

HUGE = 2**63  # one more than int64 holds


def _with(array: np.ndarray, place: int, value: Any, dtype: Any = None) -> np.ndarray:
    """Return a copy with one value replaced, in a dtype that can hold it."""
    spoilt = array.astype(dtype) if dtype is not None else array.copy()
    if spoilt.size:
        spoilt.flat[place % spoilt.size] = value
    return spoilt


def _floating(array: np.ndarray) -> Any:
    return array.dtype if array.dtype.kind == "f" else np.float64


def _integral(array: np.ndarray) -> Any:
    return array.dtype if array.dtype.kind in "if" else np.int64


def _ragged(array: np.ndarray, place: int) -> Any:
    rows = np.atleast_1d(array).tolist()
    if not rows:
        return [[1], [2, 3]]
    row = rows[place % len(rows)]
    rows[place % len(rows)] = row[:-1] if isinstance(row, list) else [row, row]
    return rows


def _strided(array: np.ndarray, place: int) -> np.ndarray:
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array


def _read_only(array: np.ndarray, place: int) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _series(array: np.ndarray, place: int) -> Any:
    if array.ndim == 1:
        return pd.Series(array, index=np.arange(len(array))[::-1])
    return pd.DataFrame(array) if array.ndim == 2 else array


def _series_with_na(array: np.ndarray, place: int) -> Any:
    values = array.ravel().astype(object)
    if len(values):
        values[place % len(values)] = pd.NA
    return pd.Series(values)


def _extension(array: np.ndarray, place: int) -> Any:
    """Return a nullable pandas column where there is one of the kind."""
    kinds = {"i": "Int64", "f": "Float64", "b": "boolean", "U": "string", "O": "string"}
    if array.ndim != 1 or array.dtype.kind not in kinds:
        return pd.Categorical(array.ravel().astype(str))
    return pd.array(array, dtype=kinds[array.dtype.kind])


# Each takes the right array and a place in it.
OF_ARRAYS: dict[str, Callable[[np.ndarray, int], Any]] = {
    "NaN": lambda a, i: (
        _with(a, i, np.nan, _floating(a)) if a.dtype.kind in "biuf" else _with(a, i, None, object)
    ),
    "inf": lambda a, i: _with(a, i, np.inf, _floating(a) if a.dtype.kind in "biuf" else object),
    "-inf": lambda a, i: _with(a, i, -np.inf, _floating(a) if a.dtype.kind in "biuf" else object),
    "None inside": lambda a, i: _with(a, i, None, object),
    "all NaN": lambda a, i: np.full(a.shape, np.nan),
    "all zero": lambda a, i: np.zeros(a.shape, a.dtype if a.dtype.kind in "biuf" else int),
    "all alike": lambda a, i: np.full(a.shape, a.flat[i % a.size]) if a.size else a,
    "empty": lambda a, i: a[:0] if a.ndim else np.empty(0),
    "empty list": lambda a, i: [],
    "no columns": lambda a, i: a.reshape(-1)[:0].reshape((len(a), 0)) if a.ndim else np.empty((0, 0)),
    "one row": lambda a, i: a[:1] if a.ndim else a,
    "too short": lambda a, i: a[:-1] if a.ndim else a,
    "too long": lambda a, i: np.concatenate([a, a[:1]]) if a.ndim else np.stack([a, a]),
    "one column less": lambda a, i: a[..., :-1] if a.ndim else a,
    "no dimension": lambda a, i: np.asarray(a.flat[i % a.size]) if a.size else np.asarray(0),
    "a dimension more": lambda a, i: a[..., None],
    "a dimension before": lambda a, i: a[None],
    "flat": lambda a, i: a.ravel(),
    "transposed": lambda a, i: a.T,
    "first value": lambda a, i: a.flat[i % a.size] if a.size else 0,
    "object": lambda a, i: a.astype(object),
    "text": lambda a, i: a.astype(str),
    "bytes": lambda a, i: a.astype(str).astype("S"),
    "text inside": lambda a, i: _with(a, i, "x", object),
    "complex": lambda a, i: a.astype(complex) if a.dtype.kind in "biuf" else np.zeros(a.shape, complex),
    "dates": lambda a, i: np.full(a.shape, np.datetime64("2020-01-01")),
    "durations": lambda a, i: np.full(a.shape, np.timedelta64(i, "s")),
    "bool": lambda a, i: a.astype(bool) if a.dtype.kind in "biuf" else np.ones(a.shape, bool),
    "int8": lambda a, i: a.astype(np.int8) if a.dtype.kind in "biu" else np.ones(a.shape, np.int8),
    "uint64": lambda a, i: _with(np.ones(a.shape, np.uint64), i, 2**64 - 1),
    "float16": lambda a, i: a.astype(np.float16) if a.dtype.kind in "biuf" else np.zeros(a.shape, np.float16),
    "long double": lambda a, i: a.astype(np.longdouble) if a.dtype.kind in "biuf" else a,
    "other byte order": lambda a, i: a.astype(a.dtype.newbyteorder(">")),
    "records": lambda a, i: np.zeros(a.shape, [("a", "i4"), ("b", "f4")]),
    "fractions": lambda a, i: _with(a, i, 0.5, _floating(a)) if a.dtype.kind in "biuf" else a,
    "negative": lambda a, i: _with(a, i, -1, _integral(a)) if a.dtype.kind in "biuf" else a,
    "large": lambda a, i: _with(a, i, 2**40, _integral(a)) if a.dtype.kind in "biuf" else a,
    "least int64": lambda a, i: _with(a, i, -(2**63), np.int64) if a.dtype.kind in "biu" else a,
    "largest int64": lambda a, i: _with(a, i, 2**63 - 1, np.int64) if a.dtype.kind in "biu" else a,
    "beyond int64": lambda a, i: _with(a, i, 2**70, object),
    "largest double": lambda a, i: _with(a, i, 1.7e308, np.float64) if a.dtype.kind in "biuf" else a,
    "least double": lambda a, i: _with(a, i, 5e-324, np.float64) if a.dtype.kind in "biuf" else a,
    "masked": lambda a, i: np.ma.masked_array(
        a, mask=np.arange(a.size).reshape(a.shape) == i % max(a.size, 1)
    ),
    "strided": _strided,
    "reversed": lambda a, i: a[::-1] if a.ndim else a,
    "columns first": lambda a, i: np.asfortranarray(a),
    "read only": _read_only,
    "list": lambda a, i: a.tolist(),
    "tuple": lambda a, i: tuple(a.tolist()) if a.ndim else a,
    "ragged": _ragged,
    "series": _series,
    "series with NA": _series_with_na,
    "pandas extension": _extension,
    "sparse": lambda a, i: (
        sp.csr_array(np.atleast_2d(a)) if a.ndim in (1, 2) and a.dtype.kind in "biuf" else a
    ),
    "lists inside": lambda a, i: _with(a.astype(object), i, [1, 2]) if a.ndim == 1 else a,
    "mixed": lambda a, i: np.array([1, "a", None, 2.5] * 3, dtype=object)[: max(len(np.atleast_1d(a)), 1)],
}

# In place of anything.
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2.5, math.nan, math.inf, "", "unknown", b"bytes", (), [], {}, {"a": 1},
    {1, 2},
    object(), object, len, 1j, np.array(1), np.array([]), [[]], [None], [1, "a"], HUGE, -HUGE, 10**400,
    np.datetime64("2020-01-01"), pd.NA, pd.NaT, Ellipsis, slice(0, 1), range(3), iter([1, 2]),
)  # fmt: skip

# In place of a number.
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 0.0, -0.0, 0.5, 1.0, 1.5, -0.5, 2.0, 1e-300, 5e-324, 1e300, math.nan, math.inf, -math.inf,
    True, False, np.bool_(True), np.int8(2), np.int64(2), np.uint8(3), np.float16(0.5), np.float32(0.5),
    np.float64(0.25), np.float32(math.nan), np.array(1), np.array([1]), np.array([0.5, 0.5]), "1", "half",
    None,
    1j, HUGE, -HUGE, 10**400, [1], (), b"1", pd.NA,
)  # fmt: skip


def _spoilt_bags(bags: Bags, rng: Random) -> tuple[str, Any]:
    """Return bags with one of their arrays changed, or what the constructor said to that."""
    part = rng.choice(("values", "offsets", "weights", "lists", "rows", "junk"))
    if part == "lists":
        return "bags as lists", [bag.tolist() for bag in (bags[i] for i in range(len(bags)))]
    if part == "rows":
        return "bag of each row", np.repeat(np.arange(len(bags)), np.diff(bags.offsets))
    if part == "junk":
        return "junk", rng.choice(JUNK)
    array = getattr(bags, part)
    label, value = _spoilt_array(np.ones(len(bags.values)) if array is None else array, rng)
    try:
        return f"{part} {label}", dataclasses.replace(bags, **{part: value})
    except (TypeError, ValueError):  # refused at the door, as it should be: no bags to pass on
        return "no bags", None


def _spoilt_frame(frame: pd.DataFrame, rng: Random) -> tuple[str, Any]:
    kinds = (
        "column",
        "no column",
        "duplicate",
        "missing",
        "empty",
        "index",
        "names",
        "dict",
        "junk",
        "multi",
    )
    kind = rng.choice(kinds)
    name = rng.choice(list(frame.columns))
    if kind == "column":
        label, value = _spoilt_array(frame[name].to_numpy(), rng)
        columns = {other: frame[other].to_numpy() for other in frame.columns}
        try:
            return f"{name} {label}", pd.DataFrame({**columns, name: value})
        except (TypeError, ValueError):  # pandas will not have it
            return f"{name} {label} in a mapping", {**columns, name: value}
    made: dict[str, Callable[[], Any]] = {
        "no column": lambda: frame.drop(columns=name),
        "duplicate": lambda: pd.concat([frame, frame[[name]]], axis=1),
        "missing": lambda: frame.astype(object).mask(np.eye(*frame.shape, dtype=bool), pd.NA),
        "empty": lambda: frame.iloc[:0],
        "index": lambda: frame.set_index(np.repeat([7], len(frame))),
        "names": lambda: frame.set_axis(range(frame.shape[1]), axis=1),
        "dict": lambda: {other: frame[other].to_numpy() for other in frame.columns},
        "junk": lambda: rng.choice(JUNK),
        "multi": lambda: frame.set_axis(pd.MultiIndex.from_product([["a"], frame.columns]), axis=1),
    }
    return f"frame {kind} {name}", made[kind]()


def _spoilt_array(array: np.ndarray, rng: Random) -> tuple[str, Any]:
    kind = rng.choice(sorted(OF_ARRAYS))
    try:
        return kind, OF_ARRAYS[kind](array, rng.randint(0, 63))
    except (TypeError, ValueError, OverflowError):  # this array cannot be spoilt in this way
        return "junk", rng.choice(JUNK)


def _spoilt_sparse(matrix: Any, rng: Random) -> tuple[str, Any]:
    label, value = _spoilt_array(matrix.toarray(), rng)
    if (
        isinstance(value, np.ndarray)
        and value.ndim == 2
        and value.dtype.kind in "biuf"
        and rng.random() < 0.5
    ):
        return f"sparse {label}", sp.csr_array(value.astype(np.float64))
    return label, value


def _spoilt_mapping(mapping: Mapping[Any, Any], rng: Random) -> tuple[str, Any]:
    if not mapping:
        return "junk", rng.choice(JUNK)
    key = rng.choice(sorted(mapping, key=str))
    kind = rng.choice(("value", "value", "value", "no key", "new key", "number as key", "junk"))
    rest = {other: value for other, value in mapping.items() if other != key}
    if kind == "value":
        label, value = spoil(mapping[key], rng)
        return f"[{key!r}] {label}", {**mapping, key: value}
    if kind == "junk":
        return kind, rng.choice(JUNK)
    renamed = {"no key": {}, "new key": {"unknown": mapping[key]}, "number as key": {7: mapping[key]}}
    return f"{kind} {key!r}", {**rest, **renamed[kind]}


def _spoilt_sequence(values: Any, rng: Random) -> tuple[str, Any]:
    if not values or rng.randint(0, 3) == 0:
        return "junk", rng.choice(JUNK)
    kind = rng.choice(("value", "shorter", "twice", "array"))
    if kind == "array" and all(isinstance(value, (int, float, str)) for value in values):
        return _spoilt_array(np.asarray(values), rng)
    if kind == "shorter":
        return kind, values[:-1]
    if kind == "twice":
        return kind, values + values
    place = rng.randint(0, len(values) - 1)
    label, value = spoil(values[place], rng)
    return f"[{place}] {label}", type(values)([*values[:place], value, *values[place + 1 :]])


def _spoilt_tensor(tensor: Any, rng: Random) -> tuple[str, Any]:
    """Return a PyTorch tensor made of a spoilt array, or what cannot be one as it is."""
    import torch

    label, value = _spoilt_array(tensor.numpy(), rng)
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray) and rng.randint(0, 7):
        try:
            return f"tensor {label}", torch.from_numpy(value.copy())
        except (TypeError, ValueError):  # PyTorch has no such dtype
            return label, value
    return label, value


def spoil(value: Any, rng: Random) -> tuple[str, Any]:
    """Return how a value was spoilt, and the spoilt value."""
    if isinstance(value, np.ndarray):
        return _spoilt_array(value, rng) if rng.randint(0, 9) else ("junk", rng.choice(JUNK))
    if type(value).__module__.startswith("torch") and hasattr(value, "numpy"):
        return _spoilt_tensor(value, rng)
    if isinstance(value, bool) or value is None or (callable(value) and not dataclasses.is_dataclass(value)):
        return "junk", rng.choice(JUNK)
    if isinstance(value, (int, float, np.generic)):
        return "number", rng.choice(NUMBERS)
    if isinstance(value, str):
        near = (
            value.upper(),
            value + " ",
            value[:1],
            "",
            "no such option",
            value.encode(),
            [value],
            (value, value),
        )
        return "name", rng.choice((*near, *JUNK))
    if isinstance(value, Bags):
        return _spoilt_bags(value, rng)
    if isinstance(value, pd.DataFrame):
        return _spoilt_frame(value, rng)
    if sp.issparse(value):
        return _spoilt_sparse(value, rng)
    if isinstance(value, Mapping):
        return _spoilt_mapping(value, rng)
    if type(value) in (list, tuple):
        return _spoilt_sequence(value, rng)
    if isinstance(value, Path):
        return "path", rng.choice((value / "missing", str(value) + "\0", value.parent, *JUNK))
    return "junk", rng.choice(JUNK)


def spoilt_arguments(
    arguments: Mapping[str, Any], fixed: frozenset[str], rng: Random
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return how one or two arguments of a call were spoilt, and all arguments."""
    names = sorted(name for name in arguments if name not in fixed)
    how, spoilt = {}, dict(arguments)
    for name in rng.sample(names, min(len(names), rng.choice((1, 1, 2)))):
        how[name], spoilt[name] = spoil(arguments[name], rng)
    return how, spoilt
