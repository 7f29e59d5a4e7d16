"""How many ids share rows of a hashed table: counted, and expected of ideal hash functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.embeddings.id_hashing import check_table, flat_ids, hash_ids


@dataclass(frozen=True)
class CollisionStatistics:
    """Collisions of a set of ids in a hashed table.

    Attributes
    ----------
    num_ids : int
        Distinct ids.
    num_rows, num_hashes : int
        Of the table.
    sharing_a_row : int
        Ids of which at least one row is also a row of another id.
    sharing_all_rows : int
        Ids whose rows are all those of another id: without importance weights their vectors are equal.
    expected_sharing_a_row, expected_sharing_all_rows : float
        What these counts are on average for hash functions that draw rows independently and uniformly.
    load_factor : float
        Rows asked for over rows there are, num_ids num_hashes / num_rows.
    rows_used : int
        Rows that at least one id has.

    Examples
    --------
    >>> print(collision_statistics(range(100_000), 20_000, 2))
    100,000 ids in 20,000 rows by 2 hash function(s), load factor 10, 20,000 rows used
      share a row with another id: 100,000 (100.000%); expected 100,000
      share all rows, indistinguishable: 42 (0.042%); expected 50
    """

    num_ids: int
    num_rows: int
    num_hashes: int
    sharing_a_row: int
    sharing_all_rows: int
    expected_sharing_a_row: float
    expected_sharing_all_rows: float
    load_factor: float
    rows_used: int

    def __str__(self) -> str:
        head = (
            f"{self.num_ids:,} ids in {self.num_rows:,} rows by {self.num_hashes} hash function(s), "
            f"load factor {self.load_factor:.3g}, {self.rows_used:,} rows used"
        )
        some = self._line("share a row with another id", self.sharing_a_row, self.expected_sharing_a_row)
        same = self._line(
            "share all rows, indistinguishable", self.sharing_all_rows, self.expected_sharing_all_rows
        )
        return f"{head}\n{some}\n{same}"

    def _line(self, what: str, observed: int, expected: float) -> str:
        share = observed / self.num_ids if self.num_ids else 0.0
        return f"  {what}: {observed:,} ({share:.3%}); expected {_rounded(expected)}"


def collision_statistics(
    ids: ArrayLike, num_rows: int, num_hashes: int, *, seed: int = 0
) -> CollisionStatistics:
    r"""Count the ids that share rows under :func:`hash_ids`, beside the numbers that theory expects.

    Of *n* ids with *k* uniform draws each out of *R* rows, one whose draws are *r* different rows in the
    multiplicities :math:`\lambda` shares

    .. math:: \text{a row: } 1 - (1 - r/R)^{k (n - 1)}, \qquad
              \text{all rows: } 1 - (1 - p_\lambda)^{n - 1}, \quad
              p_\lambda = \frac{k!}{\prod_i \lambda_i!}\, R^{-k},

    averaged over the partitions :math:`\lambda` of *k*, times *n*.

    Parameters
    ----------
    ids : array_like of shape (n,)
        Integers or strings; a double counts once.
    num_rows, num_hashes : int
        Of the table.
    seed : int, default=0
        Of the hash functions.

    Returns
    -------
    CollisionStatistics

    Raises
    ------
    TypeError
        If the ids are neither integers nor strings, or mixed.
    ValueError
        If an id is missing, or a number is out of range.

    Examples
    --------
    >>> collision_statistics(["ann", "bob", "ann"], 1, 2).sharing_all_rows
    2
    """
    check_table(num_rows, num_hashes)
    distinct = np.unique(flat_ids(ids))
    rows = np.sort(hash_ids(distinct, num_rows, num_hashes, seed=seed), axis=1)
    n = len(rows)
    a_row, all_rows = _expected(n, num_rows, num_hashes)
    shared, used = _sharing_a_row(rows)
    return CollisionStatistics(
        num_ids=n,
        num_rows=num_rows,
        num_hashes=num_hashes,
        sharing_a_row=shared,
        sharing_all_rows=_sharing_all_rows(rows),
        expected_sharing_a_row=a_row,
        expected_sharing_all_rows=all_rows,
        load_factor=n * num_hashes / num_rows,
        rows_used=used,
    )


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _sharing_a_row(rows: NDArray[np.int32]) -> tuple[int, int]:
    """Return the number of ids that share a row, and of rows in use; every row of `rows` is sorted."""
    first = np.ones(rows.shape, dtype=np.bool_)
    first[:, 1:] = rows[:, 1:] != rows[:, :-1]  # an id's own double is no collision
    used, place, holders = np.unique(rows[first], return_inverse=True, return_counts=True)
    shared = np.zeros(rows.shape, dtype=np.bool_)
    shared[first] = holders[place] > 1
    return int(shared.any(axis=1).sum()), len(used)


def _sharing_all_rows(rows: NDArray[np.int32]) -> int:
    ordered = rows[np.lexsort(rows.T)]
    same = (ordered[1:] == ordered[:-1]).all(axis=1)
    in_group = np.zeros(len(rows), dtype=np.bool_)
    in_group[1:] |= same
    in_group[:-1] |= same
    return int(in_group.sum())


def _expected(n: int, num_rows: int, num_hashes: int) -> tuple[float, float]:
    a_row = all_rows = 0.0
    for parts in _partitions(num_hashes, num_hashes):
        different = len(parts)
        if different > num_rows or n == 0:
            continue
        arrangements = math.factorial(num_hashes) // math.prod(map(math.factorial, parts))
        alike = math.prod(math.factorial(times) for times in Counter(parts).values())
        log_p = math.log(arrangements) - num_hashes * math.log(num_rows)
        log_choices = sum(math.log(num_rows - taken) for taken in range(different)) - math.log(alike)
        share = math.exp(log_choices + log_p)  # of the ids that have this pattern
        a_row += share * _at_least_one(different / num_rows, num_hashes * (n - 1))
        all_rows += share * _at_least_one(math.exp(log_p), n - 1)
    return n * a_row, n * all_rows


def _at_least_one(chance: float, draws: int) -> float:
    if draws == 0:
        return 0.0
    return 1.0 if chance >= 1.0 else -math.expm1(draws * math.log1p(-chance))


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write `total` as a sum of parts in falling order, none above `largest`."""
    if total == 0:
        yield ()
    for part in range(min(total, largest), 0, -1):
        for rest in _partitions(total - part, part):
            yield (part, *rest)
