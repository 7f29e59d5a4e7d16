"""Ragged bags: one flat array of values and the offsets at which each bag begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from sparse_data.checks import (
    check_array,
    check_count,
    check_finite,
    check_integers,
    check_ndim,
    check_non_negative,
    check_same_length,
)


@dataclass(frozen=True, eq=False, repr=False)
class Bags:
    """Bags of values of differing length, held as flat values and offsets.

    Bag `i` is ``values[offsets[i]:offsets[i + 1]]``. A multi-valued feature (the genres of each film) and the
    bags of learning from label proportions are both of this form. A bag may be empty. The object is frozen;
    its arrays are those that were passed, not copies.

    Parameters
    ----------
    values : array_like of shape (n_values,)
        Any dtype.
    offsets : array_like of shape (n_bags + 1,)
        Integers that begin at 0, never decrease and end at n_values; kept as int64.
    weights : array_like of shape (n_values,), optional
        Finite and non-negative, one a value.

    Raises
    ------
    ValueError
        If the shapes or the offsets do not agree, or a weight is negative, NaN or infinite.

    Examples
    --------
    >>> genres = Bags.from_lists([["comedy", "drama"], [], ["drama"]])
    >>> genres
    Bags(n_bags=3, n_values=3, dtype=<U6): ['comedy' 'drama'], [], ['drama']
    >>> genres[0]
    array(['comedy', 'drama'], dtype='<U6')
    >>> genres[1:].lengths
    array([0, 1])
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    weights: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        values = check_ndim("values", self.values, 1)
        offsets = check_ndim("offsets", check_integers("offsets", self.offsets), 1).astype(
            np.int64, copy=False
        )
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            got = np.array2string(offsets, threshold=6)
            raise ValueError(
                f"`offsets` must begin at 0, never decrease and end at the {len(values)} values; got {got}. "
                "Build the bags with Bags.from_lists."
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "offsets", offsets)
        if self.weights is not None:
            weights = check_non_negative("weights", check_finite("weights", self.weights))
            check_same_length(values=values, weights=check_ndim("weights", weights, 1))
            object.__setattr__(self, "weights", weights)

    @classmethod
    def from_lists(
        cls,
        lists: Iterable[Iterable[Any] | None],
        weights: Iterable[Iterable[float] | None] | None = None,
        dtype: DTypeLike | None = None,
    ) -> Bags:
        """Make bags from one list (or array) a bag.

        Parameters
        ----------
        lists : iterable of iterables
            One a bag; None is an empty bag.
        weights : iterable of iterables of float, optional
            Of the same lengths as `lists`.
        dtype : dtype, optional
            Of the values; found from the values when None (int64 when there are none).

        Returns
        -------
        Bags

        Raises
        ------
        TypeError
            If a bag is a string, which would fall into its letters.
        ValueError
            If `weights` differ in length from `lists`.
        """
        rows = _rows("lists", lists)
        flat = list(chain.from_iterable(rows))
        values = _flat("lists", flat, np.int64 if dtype is None and not flat else dtype)
        lengths = [len(row) for row in rows]
        flat_weights = None
        if weights is not None:
            weight_rows = _rows("weights", weights)
            if [len(row) for row in weight_rows] != lengths:
                raise ValueError(
                    "`weights` must be of the same lengths as `lists`, bag by bag; got other lengths. "
                    "Pass one weight a value."
                )
            flat_weights = _flat("weights", list(chain.from_iterable(weight_rows)), np.float64)
        return cls(values, _offsets(np.asarray(lengths, dtype=np.int64)), flat_weights)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[start:stop]

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | ArrayLike) -> Bags: ...
    def __getitem__(self, key: Any) -> NDArray[Any] | Bags:
        # The offsets' own indexing settles negative, out-of-range and boolean keys.
        starts, stops = self.offsets[:-1], self.offsets[1:]
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if not -len(self) <= key < len(self):
                raise IndexError(f"`key` must be in [{-len(self)}, {len(self)}); got {key}. Check the bag.")
            return self.values[starts[key] : stops[key]]
        if not isinstance(key, slice):
            key = check_array("key", key)
            key = key if key.dtype == bool else check_integers("key", key)
            check_ndim("key", key, 1)
        lengths = self.lengths[key]
        offsets = _offsets(lengths)
        # Position of every kept value: start of its bag, plus its rank inside the bag.
        positions = np.repeat(starts[key] - offsets[:-1], lengths) + np.arange(offsets[-1])
        weights = None if self.weights is None else self.weights[positions]
        return Bags(self.values[positions], offsets, weights)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bags):
            return NotImplemented
        if (self.weights is None) != (other.weights is None):
            return False
        same = np.array_equal(self.offsets, other.offsets) and np.array_equal(self.values, other.values)
        return same and (self.weights is None or np.array_equal(self.weights, other.weights))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        head = (
            f"Bags(n_bags={len(self)}, n_values={len(self.values)}, dtype={self.values.dtype.str.lstrip('|')}"
        )
        head += ", weighted)" if self.weights is not None else ")"
        shown = [np.array2string(bag, threshold=4, edgeitems=2) for bag in self[:3]]
        return head + (f": {', '.join(shown)}" if shown else "") + (", ..." if len(self) > 3 else "")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of values of each bag, shape (n_bags,)."""
        return np.diff(self.offsets)

    @property
    def segment_ids(self) -> NDArray[np.int64]:
        """Bag of each value, shape (n_values,): the form that the segment ops take."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def to_padded(self, width: int | None = None, fill: Any = None) -> NDArray[Any]:
        """Return the bags as rows of one rectangle.

        Parameters
        ----------
        width : int, optional
            Number of columns, at least 1; longer bags keep their first `width` values. The longest bag when
            None.
        fill : scalar, optional
            Value of the empty cells; the zero of the dtype (0, "", False) when None. The dtype widens where
            `fill` needs it.

        Returns
        -------
        ndarray of shape (n_bags, width)

        Examples
        --------
        >>> Bags.from_lists([[4, 5], [], [6]]).to_padded(fill=-1)
        array([[ 4,  5],
               [-1, -1],
               [ 6, -1]])
        """
        if width is None:
            width = int(self.lengths.max(initial=0))
        else:
            check_count("width", width, maximum=2**31 - 1)
        dtype = self.values.dtype
        if fill is not None:
            dtype = _wide_enough(dtype, fill)
        padded = np.zeros((len(self), width), dtype=dtype)
        if fill is not None:
            padded[...] = fill
        columns = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        kept = columns < width
        padded[self.segment_ids[kept], columns[kept]] = self.values[kept]
        return padded

    def map_values(self, values: ArrayLike) -> Bags:
        """Return bags with the same offsets and weights and new values of shape (n_values,)."""
        return Bags(check_array("values", values), self.offsets, self.weights)


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def _wide_enough(dtype: np.dtype[Any], fill: Any) -> np.dtype[Any]:
    """Return a dtype that holds both the values and `fill`, or raise where there is none."""
    kind = np.asarray(fill).dtype if isinstance(fill, (str, bytes)) else fill
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        widened = np.result_type(dtype, kind)
        np.zeros(1, dtype=widened)[0] = fill
        return widened
    raise TypeError(f"`fill` must be a scalar beside {dtype} values; got {fill!r}. Pass one of their kind.")


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not (isinstance(value, np.ndarray) and value.ndim == 0)


def _flat(name: str, values: list[Any], dtype: DTypeLike | None) -> NDArray[Any]:
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        wanted = "of one kind" if dtype is None else f"of the `dtype` {dtype}"
        raise ValueError(f"`{name}` must hold values {wanted}; got others. Convert them.") from None


def _rows(name: str, lists: Iterable[Iterable[Any] | None]) -> list[Any]:
    """Return one sized row a bag, None as an empty one."""
    rows: list[Any] = []
    for row in lists if _several(lists) else (lists,):
        if isinstance(row, (str, bytes)):
            raise TypeError(f"`{name}` must hold one list a bag; got the string {row!r}. Wrap or split it.")
        if row is not None and not _several(row):
            raise TypeError(
                f"`{name}` must hold one list a bag; got {type(row).__name__}. Pass a list of lists."
            )
        rows.append([] if row is None else row if isinstance(row, (list, tuple, np.ndarray)) else list(row))
    return rows
