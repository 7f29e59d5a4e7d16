"""Which id has which row of a table, how often it was counted and when it was last seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.embeddings.candidate_counts import Id
from recsys_ssl.encoding.features import NUM_RESERVED
from sparse_data import checks

MOST_ROWS = 2**31 - 1


class VocabularyRows:
    """The rows of a table, each free or taken by one id.

    Parameters
    ----------
    capacity : int
        Rows of the table, the reserved ones included.

    Examples
    --------
    >>> rows = VocabularyRows(5)
    >>> rows.take("tea", count=2, last_seen=1), rows.take("pot", count=1, last_seen=1), rows.num_free
    (3, 4, 0)
    >>> rows.free(np.array([3]))
    array([3], dtype=int32)
    >>> rows.lookup(["tea", "pot"], otherwise=1)
    array([1, 4], dtype=int32)
    """

    def __init__(self, capacity: int) -> None:
        hint = f"{NUM_RESERVED} rows are reserved for missing, unknown and masked values."
        self.capacity = checks.check_count("capacity", capacity, NUM_RESERVED + 1, hint, maximum=MOST_ROWS)
        self._row_of: dict[Id, int] = {}
        self._id_of: list[Id | None] = [None] * NUM_RESERVED  # grows as rows are first used
        self._freed: list[int] = []
        self._counts = np.zeros(capacity, dtype=np.int64)  # 0: the row is free
        self._last_seen = np.zeros(capacity, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def num_free(self) -> int:
        """Rows that no id has."""
        return self.capacity - len(self._id_of) + len(self._freed)

    def row_of(self, key: Id) -> int | None:
        """Return the row of an id, None where it has none."""
        return self._row_of.get(key)

    def lookup(self, keys: Iterable[Id], otherwise: int) -> NDArray[np.int32]:
        """Return the row of each id, or `otherwise`."""
        find = self._row_of.get
        return np.array([find(key, otherwise) for key in keys], dtype=np.int32)

    def count(self, key: Id) -> int:
        """Return how often an id was counted; 0 where it has no row."""
        row = self._row_of.get(key)
        return 0 if row is None else int(self._counts[row])

    def ids_of(self, rows: Sequence[int]) -> list[Id]:
        """Return the id of each row, or raise where a row has none."""
        keys: list[Id] = []
        for row in rows:
            key = self._id_of[row] if row < len(self._id_of) else None
            if key is None:
                raise ValueError(f"`rows` must belong to ids; got row {row}, which is reserved or free.")
            keys.append(key)
        return keys

    def add(self, rows: NDArray[np.int64], counts: NDArray[np.int64], last_seen: NDArray[np.int64]) -> None:
        """Count further occurrences of ids that have a row; no row comes twice."""
        self._counts[rows] += counts
        self._last_seen[rows] = np.maximum(self._last_seen[rows], last_seen)

    def take(self, key: Id, *, count: int, last_seen: int) -> int:
        """Give a free row to an id: the one freed last, else the first that was never used."""
        if self._freed:
            row = self._freed.pop()
            self._id_of[row] = key
        else:
            row = len(self._id_of)
            self._id_of.append(key)
        self._row_of[key] = row
        self._counts[row] = count
        self._last_seen[row] = last_seen
        return row

    def free(self, rows: NDArray[np.integer]) -> NDArray[np.int32]:
        """Take rows from their ids; return them, rising."""
        rows = np.sort(rows)
        for row in rows.tolist():
            key = self._id_of[row]
            assert key is not None
            del self._row_of[key]
            self._id_of[row] = None
        # The stack's top is its end: the lowest row is used first.
        self._freed.extend(rows[::-1].tolist())
        self._counts[rows] = 0
        self._last_seen[rows] = 0
        return rows.astype(np.int32)

    def select(self, *, below_count: int | None, last_seen: int | None) -> NDArray[np.int64]:
        """Return the taken rows counted less than `below_count` and not seen after update `last_seen`."""
        chosen = self._counts > 0
        if below_count is not None:
            chosen &= self._counts < below_count
        if last_seen is not None:
            chosen &= self._last_seen <= last_seen
        return np.flatnonzero(chosen)

    def oldest(self, number: int, *, spared: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows not seen for the longest time, of equally old ones those counted least."""
        taken = self._counts > 0
        taken[list(spared)] = False
        rows = np.flatnonzero(taken)
        if number >= len(rows):
            return rows
        # One number orders by age and, within it, by count up to 2**20.
        order = (self._last_seen[rows] << 20) | np.minimum(self._counts[rows], 2**20 - 1)
        return rows[np.argpartition(order, number)[:number]]

    def grow(self, capacity: int) -> None:
        """Add free rows at the end."""
        hint = "The vocabulary has that many rows already; pass more."
        checks.check_count("capacity", capacity, self.capacity + 1, hint, maximum=MOST_ROWS)
        further = np.zeros(capacity - self.capacity, dtype=np.int64)
        self._counts = np.concatenate([self._counts, further])
        self._last_seen = np.concatenate([self._last_seen, further])
        self.capacity = capacity

    def shift_clock(self, updates: int) -> None:
        """Set the update in which each id was last seen later."""
        self._last_seen[self._counts > 0] += updates

    def entries(self) -> list[tuple[Id, int, int]]:
        """Return id, count and update last seen of every taken row, by row."""
        rows = np.flatnonzero(self._counts)
        counts, last_seen = self._counts[rows].tolist(), self._last_seen[rows].tolist()
        return list(zip(self.ids_of(rows.tolist()), counts, last_seen, strict=True))

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """Return rows, counts, ages in the order of `entries`, and the freed rows."""
        rows = np.flatnonzero(self._counts)
        return {
            "rows": rows,
            "counts": self._counts[rows],
            "last_seen": self._last_seen[rows],
            "freed_rows": np.array(self._freed, dtype=np.int64),
        }

    @classmethod
    def from_arrays(
        cls,
        capacity: int,
        ids: Sequence[Id],
        rows: NDArray[np.int64],
        counts: NDArray[np.int64],
        last_seen: NDArray[np.int64],
        freed_rows: NDArray[np.int64],
    ) -> VocabularyRows:
        """Rebuild from ids and what `arrays` returned; raise where rows and ids cannot be of one table."""
        made = cls(capacity)
        used = np.concatenate([rows, freed_rows])
        n_used = NUM_RESERVED + len(used)
        sizes = {len(ids), len(set(ids)), len(rows), len(counts), len(last_seen)}
        complete = n_used <= capacity and np.array_equal(np.sort(used), np.arange(NUM_RESERVED, n_used))
        if len(sizes) > 1 or not complete or (counts < 1).any():
            raise ValueError(
                "`state` must hold one row, count and update an id, and every row once; got others. "
                "Pass what `state_dict` returned, unchanged."
            )
        made._id_of.extend([None] * len(used))
        for key, row in zip(ids, rows.tolist(), strict=True):
            made._id_of[row] = key
            made._row_of[key] = row
        made._counts[rows] = counts
        made._last_seen[rows] = last_seen
        made._freed = freed_rows.tolist()
        return made
