"""Bags that overlap: a row may be in several, as in two tables of the same rows, or in none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, sparray
from scipy.sparse.csgraph import connected_components

from sparse_data import Bags

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class BagMembership:
    """Which rows each bag holds, where bags may overlap.

    Attributes
    ----------
    rows : Bags
        Row numbers, bag by bag.
    n_rows : int
        Those that are in no bag included.
    """

    rows: Bags
    n_rows: int

    @property
    def ids(self) -> Ints:
        """Number of each bag, shape (n_bags,)."""
        return np.arange(len(self.rows))

    @property
    def sizes(self) -> Ints:
        """Rows of each bag, shape (n_bags,)."""
        return self.rows.lengths

    def means(self, values: Floats) -> Floats:
        """Return the mean over the rows of each bag of values of shape (n_rows,) or (n_rows, n_columns)."""
        return member_means(self.rows, values)

    def of_rows(self, members: Floats) -> Floats:
        """Return the sums over the bags of each row of values of members, shape (n_rows, ...)."""
        if members.ndim == 1:
            return np.asarray(np.bincount(self.rows.values, members, self.n_rows), dtype=np.float64)
        columns = [np.bincount(self.rows.values, column, self.n_rows) for column in members.T]
        return np.stack(columns, axis=1)

    def groups(self) -> tuple[Ints, int]:
        """Return the group of each row, and the number of groups: bags of different groups share no rows."""
        n_bags = len(self.rows)
        joined = csr_array(
            (np.ones(self.rows.values.size), (self.rows.segment_ids, n_bags + self.rows.values)),
            shape=(n_bags + self.n_rows,) * 2,
        )
        n_groups, label = connected_components(joined, directed=False)
        return label[n_bags:].astype(np.int64), int(n_groups)

    def take(self, bags: Ints) -> tuple[Ints, BagMembership]:
        """Return the rows of some bags and the membership of these bags over these rows alone."""
        chosen = self.rows[bags]
        rows, place = np.unique(chosen.values, return_inverse=True)
        return rows, BagMembership(Bags(place, chosen.offsets), rows.size)


def member_means(rows: Bags, values: Floats) -> Floats:
    """Return the mean over the rows of each bag of values of shape (n_rows,) or (n_rows, n_columns)."""
    n_members = rows.values.size
    sums = csr_array((np.ones(n_members), rows.values, rows.offsets), shape=(len(rows), len(values))) @ values
    return np.asarray(sums / rows.lengths.reshape(-1, *([1] * (values.ndim - 1))))


def read_membership(membership: sparray | Bags, n_rows: int) -> Bags:
    """Return the row numbers of each bag; a row may be in several bags or in none.

    Parameters
    ----------
    membership : sparse matrix of shape (n_bags, n_rows) or Bags
        Anything but zero joins a row to a bag; or the row numbers of each bag.
    n_rows : int

    Returns
    -------
    Bags

    Raises
    ------
    ValueError
        If the shape differs, a bag is empty or holds a row twice, or numbers are out of range.

    Examples
    --------
    >>> read_membership(csr_array([[1, 1, 0], [0, 1, 1]]), 3)
    Bags(n_bags=2, n_values=4, dtype=<i8): [0 1], [1 2]
    """
    if isinstance(membership, Bags):
        number = membership.segment_ids
        outside = (membership.values < 0) | (membership.values >= n_rows)
        if outside.any():
            raise ValueError(
                f"`membership` must hold row numbers below {n_rows}; got {membership.values[outside][0]}."
            )
        matrix = csr_array(
            (np.ones(number.size), (number, membership.values)), shape=(len(membership), n_rows)
        )
        if matrix.nnz < number.size:
            raise ValueError("`membership` must hold a row once in a bag; got one twice. Drop repeats.")
    elif issparse(membership) and membership.shape[1] == n_rows:
        matrix = csr_array(membership, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    else:
        got = membership.shape if issparse(membership) else type(membership).__name__
        raise ValueError(f"`membership` must be a sparse matrix of shape (n_bags, {n_rows}); got {got}.")
    if not matrix.shape[0]:
        raise ValueError("`membership` must have a row a bag; got none. Pass at least one bag.")
    empty = np.diff(matrix.indptr) == 0
    if empty.any():
        raise ValueError(f"`membership` must give each bag rows; got none in bag {empty.argmax()}. Drop it.")
    return Bags(matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
