"""Which of the ids just seen get a row, decided before anything changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.embeddings.candidate_counts import CandidateCounts, Id
from recsys_ssl.encoding.features import NUM_RESERVED
from recsys_ssl.encoding.vocabulary_rows import VocabularyRows

WHEN_FULL = ("raise", "evict")
SPARE_SHARE = 100  # where room is made, one row in so many becomes free at once


class Sighting(NamedTuple):
    """An id, how often it occurred and in which update last."""

    key: Id
    occurrences: int
    last_seen: int


@dataclass
class Admission:
    """What is going to happen to the ids just seen.

    Attributes
    ----------
    known : list of (row, count, last_seen)
        Ids that have a row.
    admitted : list of Sighting
        Ids that are due one, with all that was counted of them.
    waiting : list of (id, count)
        Ids that are not.
    """

    known: list[tuple[int, int, int]] = field(default_factory=list)
    admitted: list[Sighting] = field(default_factory=list)
    waiting: list[tuple[Id, int]] = field(default_factory=list)


def plan_admission(
    seen: Sequence[Sighting],
    rows: VocabularyRows,
    candidates: CandidateCounts,
    *,
    min_count: int,
    when_full: str,
) -> Admission:
    """Sort the ids seen, each of which comes once, into known, admitted and waiting ones.

    Raises
    ------
    ValueError
        If more ids are due a row than there are free rows and rows that may be taken from other ids.
    """
    plan = Admission()
    for key, count, last_seen in seen:
        row = rows.row_of(key)
        total = count + candidates[key]
        if row is not None:
            plan.known.append((row, count, last_seen))
        elif total >= min_count:
            plan.admitted.append(Sighting(key, total, last_seen))
        else:
            plan.waiting.append((key, count))
    room = rows.num_free
    if when_full == "evict":
        room += len(rows) - len(plan.known)
    if len(plan.admitted) > room:
        raise ValueError(
            f"`capacity` must be at least {rows.capacity + len(plan.admitted) - room} for these ids; "
            f"got {rows.capacity}. Call evict(...) or grow(...), or choose when_full='evict' or a larger "
            "min_count."
        )
    return plan


def carry_out(plan: Admission, rows: VocabularyRows, candidates: CandidateCounts) -> NDArray[np.int32]:
    """Do what was planned, making room where rows lack; return the admitted ids' rows."""
    lacking = len(plan.admitted) - rows.num_free
    known = np.array(plan.known, dtype=np.int64).reshape(-1, 3).T
    if lacking > 0:
        number = max(lacking, (rows.capacity - NUM_RESERVED) // SPARE_SHARE)
        rows.free(rows.oldest(number, spared=known[0].tolist()))
    rows.add(*known)
    candidates.drop(key for key, _, _ in plan.admitted)
    candidates.add(plan.waiting)
    taken = [rows.take(key, count=count, last_seen=last) for key, count, last in plan.admitted]
    return np.array(taken, dtype=np.int32)
