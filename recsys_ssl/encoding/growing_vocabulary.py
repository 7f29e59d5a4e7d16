"""A vocabulary that admits new ids and lets go of old ones while every other id keeps its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.embeddings.candidate_counts import CandidateCounts
from recsys_ssl.encoding.features import OOV
from recsys_ssl.encoding.vocabulary_admission import WHEN_FULL, Admission, Sighting, carry_out, plan_admission
from recsys_ssl.encoding.vocabulary_rows import VocabularyRows
from recsys_ssl.encoding.vocabulary_state import VocabularyState, as_array, from_arrays, to_arrays
from sparse_data import checks
from sparse_data.datasets.columns import as_ids
from sparse_data.type_checks import check_type


class GrowingVocabulary:
    r"""Rows of an embedding table for ids that come and go.

    The table has ``capacity`` rows, the first three of which are MISSING, OOV and MASK. An id that
    :meth:`update` has seen ``min_count`` times is given a free row and keeps it until it is evicted; nothing
    that happens to other ids changes it. Ids on the way there are counted by :class:`CandidateCounts` in
    bounded memory: never too high, so that no id comes in early, and too low by at most ``undercount`` and by
    :math:`N / (m + 1)` after *N* occurrences of ids without a row, with *m* ``max_candidates``.

    Parameters
    ----------
    capacity : int
        Rows of the table, the reserved three included; at most 2**31 - 1.
    min_count : int, default=1
        Occurrences after which an id is given a row.
    when_full : {"raise", "evict"}, default="raise"
        What happens when an id is due a row and none is free. ``"raise"``: a ValueError, and the vocabulary
        is as it was. ``"evict"``: the ids not seen for the longest time go, of equally old ones those with
        the lower count, never one of the batch at hand; at least one row in a hundred is made free, since
        finding them takes a pass over all rows.
    max_candidates : int, optional
        Ids without a row to count, at least; twice as many at most. None takes the capacity.

    Raises
    ------
    ValueError
        If a number is out of range or `when_full` unknown.

    Examples
    --------
    >>> vocabulary = GrowingVocabulary(100, min_count=2)
    >>> vocabulary.update(["tea", "pot", "tea"])  # the rows that are new
    array([3], dtype=int32)
    >>> vocabulary.lookup(["tea", "pot"])  # "pot" is out of vocabulary, row 1
    array([3, 1], dtype=int32)
    >>> vocabulary.update(["pot"])
    array([4], dtype=int32)
    """

    def __init__(
        self,
        capacity: int,
        *,
        min_count: int = 1,
        when_full: str = "raise",
        max_candidates: int | None = None,
    ) -> None:
        self._rows = VocabularyRows(capacity)
        self.min_count = checks.check_count("min_count", min_count)
        self.when_full = checks.check_one_of("when_full", when_full, WHEN_FULL)
        self._candidates = CandidateCounts(capacity if max_candidates is None else max_candidates)
        self.updates = 0
        self._kind = ""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def capacity(self) -> int:
        """Rows of the table."""
        return self._rows.capacity

    @property
    def undercount(self) -> int:
        """Occurrences by which an id without a row may have been counted too low, at most."""
        return self._candidates.undercount

    def update(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Count a batch of ids and give rows to those that are due one.

        Parameters
        ----------
        ids : array_like of shape (n,)
            Integers or strings, the same kind at every call; doubles count as often as they come.

        Returns
        -------
        int32 ndarray of shape (n_new,)
            The rows that went to another id, in the order of the ids' first occurrence. Give them fresh
            values: ``layer.reset_rows(rows)`` and ``optimizer.reset_rows(layer.embeddings, rows)``.

        Raises
        ------
        TypeError
            If the ids are neither integers nor strings, or mixed.
        ValueError
            If an id is missing or of another kind than before, or the table is full; nothing has changed.
        """
        checked = self._checked(ids)
        distinct, first, counts = np.unique(checked, return_index=True, return_counts=True)
        order = np.argsort(first)
        now = self.updates + 1
        seen = zip(distinct[order].tolist(), counts[order].tolist(), strict=True)
        plan = self._plan([Sighting(key, count, now) for key, count in seen])
        self.updates = now
        if len(checked):
            self._kind = checked.dtype.kind
        return carry_out(plan, self._rows, self._candidates)

    def lookup(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return the row of each id, OOV for one without a row.

        Parameters
        ----------
        ids : array_like of shape (n,)

        Returns
        -------
        int32 ndarray of shape (n,)
        """
        return self._rows.lookup(self._checked(ids).tolist(), otherwise=OOV)

    def ids_of(self, rows: ArrayLike) -> NDArray[Any]:
        """Return the id that each row belongs to.

        Raises
        ------
        ValueError
            If a row is reserved, free or out of range.
        """
        rows = checks.check_ids_in_range("rows", checks.check_ndim("rows", rows, 1), self.capacity)
        return as_array(self._rows.ids_of(rows.tolist()), self._kind)

    def counts(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Return how often each id was counted; too low by at most ``undercount``, never too high.

        What came before an eviction does not count.
        """
        return np.array(
            [self._rows.count(key) or self._candidates[key] for key in self._checked(ids).tolist()],
            dtype=np.int64,
        )

    def evict(self, *, below_count: int | None = None, unseen_for: int | None = None) -> NDArray[np.int32]:
        """Free the rows of ids that are rare, long not seen or, where both are given, both at once.

        An evicted id starts again from nothing when it comes back. Its row keeps its values until
        :meth:`update` returns it as the row of another id.

        Parameters
        ----------
        below_count : int, optional
            Ids counted fewer times than this.
        unseen_for : int, optional
            Ids that none of the last this many updates held.

        Returns
        -------
        int32 ndarray
            The freed rows, rising.

        Raises
        ------
        ValueError
            If neither is given or one is below 1.
        """
        if below_count is None and unseen_for is None:
            raise ValueError(
                "`below_count` or `unseen_for` must be given; got neither. Say which ids are to go."
            )
        if below_count is not None:
            checks.check_count("below_count", below_count)
        last_seen = None
        if unseen_for is not None:
            last_seen = self.updates - checks.check_count("unseen_for", unseen_for)
        return self._rows.free(self._rows.select(below_count=below_count, last_seen=last_seen))

    def grow(self, capacity: int) -> None:
        """Make room for more ids; every id keeps its row. The table grows by :func:`recsys_ssl.grown`.

        Raises
        ------
        ValueError
            If the capacity is not above the present one.
        """
        self._rows.grow(capacity)

    def merge(self, other: GrowingVocabulary) -> NDArray[np.int32]:
        """Take in what another vocabulary counted of another shard of the same stream.

        The counts are added up; an id of the other keeps its row here or is given one here if it is due one
        by the sum. The shards ran side by side: an id's age is the younger one of the two.

        Parameters
        ----------
        other : GrowingVocabulary
            With the same ``min_count``; it is unchanged.

        Returns
        -------
        int32 ndarray of shape (n_new,)
            The rows that are new here, as from :meth:`update`.

        Raises
        ------
        ValueError
            If the other has another `min_count` or ids of another kind, or the table is full. Nothing has
            changed then.
        """
        check_type("other", other, GrowingVocabulary, "Merge vocabularies.")
        if self.min_count != other.min_count:
            raise ValueError(
                f"`other` must have the same min_count, {self.min_count}; got {other.min_count}. "
                "Make both alike."
            )
        if self._kind and other._kind and self._kind != other._kind:
            raise ValueError("`other` must hold ids of the same kind; got strings and integers. Convert one.")
        now = max(self.updates, other.updates)
        later = now - other.updates
        seen = [Sighting(key, count, last + later) for key, count, last in other._rows.entries()]
        seen += [Sighting(key, count, now) for key, count in other._candidates.items()]
        plan = self._plan(seen)
        self._rows.shift_clock(now - self.updates)
        self.updates, self._kind = now, self._kind or other._kind
        self._candidates.undercount += other._candidates.undercount
        return carry_out(plan, self._rows, self._candidates)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays without objects: ``np.savez(file, **vocabulary.state_dict())``."""
        return to_arrays(
            VocabularyState(
                self._rows, self._candidates, self.min_count, self.when_full, self.updates, self._kind
            )
        )

    @classmethod
    def from_state_dict(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild a vocabulary from what :meth:`state_dict` returned, or from what ``np.load`` reads.

        Raises
        ------
        ValueError
            If an array is absent or they do not fit together.
        """
        parts = from_arrays(state)
        made = cls(parts.rows.capacity, min_count=parts.min_count, when_full=parts.when_full)
        made._rows, made._candidates = parts.rows, parts.candidates
        made.updates, made._kind = parts.updates, parts.kind
        return made

    def _checked(self, ids: ArrayLike) -> NDArray[Any]:
        checked = as_ids("ids", ids)
        if len(checked) and self._kind not in ("", checked.dtype.kind):
            kinds = ("strings", "integers") if self._kind == "U" else ("integers", "strings")
            raise ValueError(f"`ids` must be {kinds[0]}, as before; got {kinds[1]}. Convert them first.")
        return checked

    def _plan(self, seen: Sequence[Sighting]) -> Admission:
        return plan_admission(
            seen, self._rows, self._candidates, min_count=self.min_count, when_full=self.when_full
        )
