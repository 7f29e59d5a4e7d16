"""Impressions: what was shown, whether it was clicked and whether it converted; one impression a row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_ndim, check_same_length
from sparse_data.datasets.columns import Column, as_ids, to_columns
from sparse_data.datasets.row_index import read_index
from sparse_data.datasets.tables import read_table
from sparse_data.type_checks import check_names


@dataclass(frozen=True, eq=False, repr=False)
class Impressions:
    """A log of impressions with their features and both labels of a click -> conversion funnel.

    Conversions without a click, which no funnel has, are kept; `drop_unclicked_conversions` takes them out.

    Parameters
    ----------
    columns : mapping of str to array_like or Bags
        Features, one row an impression. See `to_columns` for what becomes of a column.
    clicks, conversions : array_like of shape (n,)
        0 or 1 (or booleans); kept as int8.
    group : array_like of shape (n,), optional
        Ids of sessions, users, countries, ... by which metrics can be averaged: integers or strings.

    Attributes
    ----------
    columns : dict of str to (ndarray or Bags)
    clicks, conversions : int8 ndarray of shape (n,)
    group : ndarray of shape (n,) or None

    Raises
    ------
    TypeError
        If labels are not numbers, or a column mixes types.
    ValueError
        If lengths differ or a label is neither 0 nor 1.

    Examples
    --------
    >>> shown = Impressions({"item_id": [3, 5, 3]}, clicks=[1, 0, 1], conversions=[0, 0, 1])
    >>> shown
    Impressions(3 rows; 2 clicks; 1 conversions; item_id)
    >>> shown.take(shown.clicks == 1).columns["item_id"]
    array([3, 3])
    """

    columns: Mapping[str, Column]
    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]
    group: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        clicks = _as_labels("clicks", self.clicks)
        conversions = _as_labels("conversions", self.conversions)
        group = None if self.group is None else as_ids("group", self.group)
        columns = to_columns(self.columns)
        check_same_length(clicks=clicks, conversions=conversions, group=group)
        for name, column in columns.items():
            check_same_length(**{"clicks": clicks, name: column})
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "clicks", clicks)
        object.__setattr__(self, "conversions", conversions)
        object.__setattr__(self, "group", group)

    def __len__(self) -> int:
        return len(self.clicks)

    def __repr__(self) -> str:
        parts = [
            f"{len(self)} rows",
            f"{self.clicks.sum()} clicks",
            f"{self.conversions.sum()} conversions",
            ", ".join(self.columns),
        ]
        return f"Impressions({'; '.join(part for part in parts if part)})"

    def take(self, index: ArrayLike | slice) -> Impressions:
        """Return some rows.

        Parameters
        ----------
        index : slice, array_like of bool of shape (n,), or array_like of int
            Which rows, in which order.

        Returns
        -------
        Impressions

        Raises
        ------
        TypeError, ValueError
            If the index is of another type or dimension, or a mask of another length.
        IndexError
            If a row does not exist.
        """
        index = read_index(index, len(self), of="impressions")
        return Impressions(
            {name: column[index] for name, column in self.columns.items()},
            self.clicks[index],
            self.conversions[index],
            None if self.group is None else self.group[index],
        )

    def replace(self, **changes: Any) -> Impressions:
        """Return a copy with some fields replaced.

        Examples
        --------
        >>> Impressions({"ad": [7]}, clicks=[1], conversions=[0]).replace(conversions=[1])
        Impressions(1 rows; 1 clicks; 1 conversions; ad)
        """
        return dataclasses.replace(self, **changes)

    def drop_unclicked_conversions(self) -> Impressions:
        """Return the rows that a funnel can hold: without those that converted but were not clicked.

        Examples
        --------
        >>> Impressions({"ad": [7, 8]}, clicks=[1, 0], conversions=[1, 1]).drop_unclicked_conversions()
        Impressions(1 rows; 1 clicks; 1 conversions; ad)
        """
        return self.take(self.conversions <= self.clicks)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        click: str,
        conversion: str | None,
        group: str | None = None,
        columns: Sequence[str] | None = None,
        multi_valued: Collection[str] = (),
        separator: str = "|",
    ) -> Impressions:
        """Make impressions from a table with one impression a row.

        Parameters
        ----------
        frame : pandas, polars or pyarrow table, or mapping of columns
        click : str
            Column with the clicks.
        conversion : str or None
            Column with the conversions; None where the log has none, which makes all of them 0.
        group : str, optional
            Column with the groups.
        columns : sequence of str, optional
            Features; all others than the three above when None. Leave out what came after the impression.
        multi_valued : collection of str, default=()
            Text columns to split into bags, as in `to_columns`.
        separator : str, default="|"

        Returns
        -------
        Impressions

        Raises
        ------
        ValueError
            If a column is absent, or its values are refused by `Impressions`.

        Examples
        --------
        >>> table = {"ad": ["a", "b"], "click": [1, 0], "purchase": [0, 0]}
        >>> Impressions.from_frame(table, click="click", conversion="purchase")
        Impressions(2 rows; 1 clicks; 0 conversions; ad)
        """
        held = to_columns(frame, multi_valued=multi_valued, separator=separator)
        roles = [("click", click), ("conversion", conversion), ("group", group)]
        named = [name for _, name in roles if name is not None]
        asked = () if columns is None else check_names("columns", columns)
        for role, name in roles + [("columns", name) for name in asked]:
            if name is None and role != "click":
                continue
            if not isinstance(name, str) or name not in held:
                raise ValueError(
                    f"`{role}` must name a column of the table; got {name!r}. Choose from {list(held)}."
                )
        features = [name for name in held if name not in named] if columns is None else columns
        clicks = _as_labels(click, held[click])
        none = np.zeros(len(clicks), dtype=np.int8)
        return cls(
            {name: held[name] for name in features},
            clicks,
            none if conversion is None else _as_labels(conversion, held[conversion]),
            None if group is None else as_ids(group, held[group]),
        )

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, click: str, conversion: str | None, **arguments: Any
    ) -> Impressions:
        """Read impressions from a .csv, .tsv or .parquet file that fits into memory.

        Larger files: `ImpressionFiles`.

        Parameters
        ----------
        path : path
            A text file has its column names in the first line.
        click : str
        conversion : str or None
        **arguments
            Further arguments of `from_frame`.

        Returns
        -------
        Impressions

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is empty, ragged or unreadable, or `from_frame` refuses what it holds; the message
            names the file.
        ImportError
            If neither pyarrow nor polars nor pandas is installed.
        """
        table = read_table(path)
        with errors_of(path):
            return cls.from_frame(table, click=click, conversion=conversion, **arguments)


@contextmanager
def errors_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file before the message of a ValueError or TypeError that its content caused."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{os.fspath(path)}: {error}") from error


def _as_labels(name: str, values: Any) -> NDArray[np.int8]:
    array = check_ndim(name, values, 1)
    if array.dtype.kind not in "biuf" and array.size:
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert it to 0 and 1.")
    bad = (array != 0) & (array != 1)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"`{name}` must be 0 or 1; got {array[first]} at position {first}. Drop or correct these rows."
        )
    return array.astype(np.int8)
