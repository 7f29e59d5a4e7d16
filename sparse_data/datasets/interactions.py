"""Interactions: the one container of recommender data, a log of (user, item) pairs with two side tables."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_non_negative, check_same_length
from sparse_data.datasets.columns import Column, as_ids, as_numbers, as_seconds, raw_columns, to_columns
from sparse_data.datasets.row_index import read_index
from sparse_data.datasets.tables import read_table
from sparse_data.type_checks import check_type


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """A log of interactions between users and items, one position a row.

    The same pair may occur more than once. Ids may lack in the side tables (then nothing is known of them),
    and side tables may describe users and items that the log does not hold.

    Parameters
    ----------
    user_ids, item_ids : array_like of shape (n,)
        Integers (kept as int64) or non-empty strings.
    timestamps : array_like of shape (n,), optional
        Numbers in any unit (int64 or float64), or dates and ISO 8601 text (float64 seconds since 1970, UTC).
    ratings : array_like of shape (n,), optional
        Finite numbers.
    weights : array_like of shape (n,), optional
        Finite and non-negative.
    users, items : mapping of str to array_like or Bags, optional
        Side tables: the column "user_id" (or "item_id") names each row once, all others are features. See
        `to_columns` for what becomes of a column.

    Attributes
    ----------
    user_ids, item_ids : ndarray of shape (n,)
    timestamps, ratings, weights : ndarray of shape (n,) or None
    users, items : dict of str to (ndarray or Bags), or None

    Raises
    ------
    TypeError
        If an id is neither an integer nor a string.
    ValueError
        If lengths differ, an id is missing or doubled in a side table, or a value is not finite.

    Examples
    --------
    >>> log = Interactions(["ann", "ann", "bob"], [3, 5, 3], ratings=[4, 5, 1], items={"item_id": [3, 5, 8]})
    >>> log
    Interactions(3 rows; ratings; items: item_id)
    >>> log.take(log.ratings >= 4).user_ids
    array(['ann', 'ann'], dtype='<U3')
    """

    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    timestamps: NDArray[Any] | None = None
    ratings: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    users: Mapping[str, Column] | None = None
    items: Mapping[str, Column] | None = None

    def __post_init__(self) -> None:
        fields: dict[str, Any] = {
            "user_ids": as_ids("user_ids", self.user_ids),
            "item_ids": as_ids("item_ids", self.item_ids),
        }
        if self.timestamps is not None:
            fields["timestamps"] = as_seconds("timestamps", self.timestamps)
        if self.ratings is not None:
            fields["ratings"] = as_numbers("ratings", self.ratings)
        if self.weights is not None:
            fields["weights"] = check_non_negative("weights", as_numbers("weights", self.weights))
        check_same_length(**fields)
        if self.users is not None:
            fields["users"] = _side_table("users", "user_id", self.users, fields["user_ids"])
        if self.items is not None:
            fields["items"] = _side_table("items", "item_id", self.items, fields["item_ids"])
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.user_ids)

    def __repr__(self) -> str:
        parts = [f"{len(self)} rows"]
        held = [name for name in ("timestamps", "ratings", "weights") if getattr(self, name) is not None]
        parts += [", ".join(held)] if held else []
        tables = {"users": self.users, "items": self.items}
        parts += [f"{name}: {', '.join(table)}" for name, table in tables.items() if table is not None]
        return f"Interactions({'; '.join(parts)})"

    def take(self, index: ArrayLike | slice) -> Interactions:
        """Return some rows of the log; the side tables stay whole.

        Parameters
        ----------
        index : slice, array_like of bool of shape (n,), or array_like of int
            Which rows, in which order.

        Returns
        -------
        Interactions

        Raises
        ------
        TypeError, ValueError
            If the index is of another type or dimension, or a mask of another length.
        IndexError
            If a row does not exist.
        """
        index = read_index(index, len(self), of="interactions")
        names = ("user_ids", "item_ids", "timestamps", "ratings", "weights")
        held = {name: getattr(self, name) for name in names}
        return self.replace(**{name: None if array is None else array[index] for name, array in held.items()})

    def replace(self, **changes: Any) -> Interactions:
        """Return a copy with some fields replaced.

        Examples
        --------
        >>> Interactions([1], [2]).replace(weights=[0.5]).weights
        array([0.5])
        """
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user_id",
        item: str = "item_id",
        timestamp: str | None = None,
        rating: str | None = None,
        weight: str | None = None,
        users: Any = None,
        items: Any = None,
    ) -> Interactions:
        """Make interactions from a table with one interaction a row.

        Parameters
        ----------
        frame : pandas, polars or pyarrow table, or mapping of columns
        user, item : str
            Columns with the ids.
        timestamp, rating, weight : str, optional
            Columns with these; what is not named is left out.
        users, items : table or mapping of columns, optional
            Side tables. Their id column is called as in `frame` or "user_id" ("item_id"); multi-valued text
            is split beforehand with `to_columns`.

        Returns
        -------
        Interactions

        Raises
        ------
        ValueError
            If a column is absent, or its values are refused by `Interactions`.

        Examples
        --------
        >>> Interactions.from_frame({"who": [1, 1], "what": ["a", "b"]}, user="who", item="what")
        Interactions(2 rows)
        """
        columns = raw_columns(frame)
        names = {"user": user, "item": item, "timestamp": timestamp, "rating": rating, "weight": weight}
        for role, name in names.items():
            if name is None and role not in ("user", "item"):
                continue
            if not isinstance(name, str) or name not in columns:
                raise ValueError(
                    f"`{role}` must name a column of the table; got {name!r}. Choose from {list(columns)}."
                )

        return cls(
            as_ids(user, columns[user]),
            as_ids(item, columns[item]),
            timestamps=None if timestamp is None else as_seconds(timestamp, columns[timestamp]),
            ratings=None if rating is None else as_numbers(rating, columns[rating]),
            weights=None
            if weight is None
            else check_non_negative(weight, as_numbers(weight, columns[weight])),
            users=None if users is None else _renamed(users, user, "user_id"),
            items=None if items is None else _renamed(items, item, "item_id"),
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str], **columns: Any) -> Interactions:
        """Read interactions from a .csv, .tsv or .parquet file.

        Parameters
        ----------
        path : path
            A text file has its column names in the first line.
        **columns
            The arguments of `from_frame`; `users` and `items` may be paths as well.

        Returns
        -------
        Interactions

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is empty, ragged or unreadable, or `from_frame` refuses what it holds.
        ImportError
            If neither pyarrow nor polars nor pandas is installed.
        """
        for side in ("users", "items"):
            if isinstance(columns.get(side), (str, os.PathLike)):
                columns[side] = read_table(columns[side])
        return cls.from_frame(read_table(path), **columns)


def _renamed(table: Any, given: str, wanted: Literal["user_id", "item_id"]) -> dict[str, Column]:
    columns = to_columns(table)
    if wanted not in columns and given in columns:
        return {wanted if name == given else name: column for name, column in columns.items()}
    return columns


def _side_table(
    name: Literal["users", "items"], key: str, table: Mapping[str, Any], log_ids: NDArray[Any]
) -> dict[str, Column]:
    check_type(name, table, Mapping, "Pass arrays by the names of columns.")
    if key not in table:
        raise ValueError(f"`{name}` must have the column {key!r}; got {list(table)}. Rename its id column.")
    ids = as_ids(f"{name}[{key!r}]", table[key])
    if len(ids) and len(log_ids) and ids.dtype.kind != log_ids.dtype.kind:
        raise TypeError(
            f"`{name}[{key!r}]` must be of the type of the ids in the log, {log_ids.dtype}; got {ids.dtype}. "
            "Convert one of them."
        )
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise ValueError(
            f"`{name}[{key!r}]` must hold each id once; got {unique[counts > 1][0]!r} "
            f"{counts.max()} times. Drop the duplicates."
        )
    if not all(isinstance(column, str) for column in table):
        raise TypeError(f"`{name}` must have text for names of columns; got {list(table)}. Rename them.")
    columns = to_columns({**table, key: ids})
    return {column: columns[column] for column in table}
