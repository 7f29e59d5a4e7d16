"""Counts of the frequent among any number of different ids, in bounded memory.

Misra and Gries, Finding repeated elements, Science of Computer Programming 1982.
"""

from __future__ import annotations

from collections.abc import Iterable

from sparse_data import checks

Id = int | str


class CandidateCounts:
    r"""Count ids, keeping between ``max_candidates`` and twice as many of them.

    Whenever more than :math:`2m` ids are held, the :math:`(m + 1)`-th largest count is taken off every count
    and what is not above zero is forgotten. A count is therefore never too high, and too low by at most

    .. math:: \text{undercount} \le \frac{N}{m + 1}

    after *N* occurrences; it is exact as long as at most :math:`2m` different ids have come.

    Parameters
    ----------
    max_candidates : int
        The number *m*.

    Attributes
    ----------
    undercount : int
        What has been taken off so far, the most by which a count can be too low.

    References
    ----------
    Misra and Gries (1982), Finding repeated elements. Agarwal et al. (2012), Mergeable summaries, PODS.

    Examples
    --------
    >>> counts = CandidateCounts(1)
    >>> counts.add([("a", 3), ("b", 1), ("c", 1)])
    >>> counts["a"], counts["b"], counts.undercount
    (2, 0, 1)
    """

    def __init__(self, max_candidates: int) -> None:
        self.max_candidates = checks.check_count("max_candidates", max_candidates)
        self.undercount = 0
        self._counts: dict[Id, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, key: Id) -> int:
        return self._counts.get(key, 0)

    def add(self, occurrences: Iterable[tuple[Id, int]]) -> None:
        """Count ids, each as often as stands beside it."""
        for key, count in occurrences:
            self._counts[key] = self._counts.get(key, 0) + count
            if len(self._counts) > 2 * self.max_candidates:
                self._shrink()

    def drop(self, keys: Iterable[Id]) -> None:
        """Forget ids."""
        for key in keys:
            self._counts.pop(key, None)

    def items(self) -> list[tuple[Id, int]]:
        """Return ids and counts, in the order in which they came."""
        return list(self._counts.items())

    def _shrink(self) -> None:
        # Only at twice the size: each id pays for a constant share of the work.
        threshold = sorted(self._counts.values(), reverse=True)[self.max_candidates]
        self.undercount += threshold
        self._counts = {key: count - threshold for key, count in self._counts.items() if count > threshold}
