"""Columns of a side table brought to the rows of a log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data.datasets.columns import Column


def side_columns(
    ids: NDArray[Any], table: Mapping[str, Column], key: str, *, path: str | os.PathLike[str]
) -> dict[str, Column]:
    """Return the columns of a table, its key aside, at the row of each id.

    Parameters
    ----------
    ids : ndarray of shape (n,)
    table : mapping of str to (ndarray or Bags)
        The column `key` holds each id once.
    key : str
    path : path
        Where the table was read from, for messages.

    Returns
    -------
    dict of str to (ndarray or Bags)

    Raises
    ------
    ValueError
        If the table has no such column, an id stands in it twice, or one of `ids` not at all.

    Examples
    --------
    >>> table = {"id": np.array([5, 7]), "kind": np.array(["a", "b"])}
    >>> side_columns(np.array([7, 5, 7]), table, "id", path="kinds.csv")
    {'kind': array(['b', 'a', 'b'], dtype='<U1')}
    """
    if key not in table:
        raise ValueError(f"{os.fspath(path)}: it must have the column {key!r}; got {list(table)}. Rename it.")
    known = np.asarray(table[key])
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    if (ranked[1:] == ranked[:-1]).any():
        double = ranked[1:][ranked[1:] == ranked[:-1]][0]
        raise ValueError(
            f"{os.fspath(path)}: `{key}` must hold each id once; got {double!r} twice. Drop one."
        )
    found = np.minimum(np.searchsorted(ranked, ids), len(ranked) - 1)
    absent = ids[ranked[found] != ids]
    if len(absent):
        raise ValueError(
            f"{os.fspath(path)}: `{key}` must hold all ids of the log; got none for {absent[0]!r}. "
            "Get the file anew."
        )
    return {name: column[order[found]] for name, column in table.items() if name != key}
