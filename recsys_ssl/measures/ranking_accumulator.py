"""Per-user metrics gathered from ranked lists, shard by shard, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.measures import metrics
from sparse_data import checks
from sparse_data.type_checks import check_seed

# Bootstrap replicates drawn at once; bounds the memory at this many numbers a user.
REPLICATES_AT_ONCE = 64


class Estimate(NamedTuple):
    """One line of an evaluation; `low` and `high` are NaN where no interval is defined."""

    slice: str
    metric: str
    k: int
    value: float
    low: float
    high: float
    n_users: int
    n_interactions: int


class RankingAccumulator:
    """Metrics of ranked lists, by slices of items, mergeable over shards of users.

    Within a slice only its items are relevant, while the ranking stays that of the full catalogue; users
    without a relevant item in the slice do not count there.

    Parameters
    ----------
    slices : mapping of str to bool array of shape (n_columns,)
        The items of each slice.
    k : sequence of int
        The list lengths to report.
    n_items : int
        Size of the catalogue; columns from `n_items` on are items that cannot be recommended.

    Examples
    --------
    >>> accumulator = RankingAccumulator({"all": np.ones(3, dtype=bool)}, k=[1, 2], n_items=3)
    >>> accumulator.update(columns=np.array([[2, 0]]), users=np.array([0, 0]), items=np.array([0, 1]))
    >>> [(line.metric, line.k, line.value) for line in accumulator.estimates() if line.metric == "recall"]
    [('recall', 1, 0.0), ('recall', 2, 0.5)]
    """

    def __init__(self, slices: Mapping[str, NDArray[np.bool_]], k: Sequence[int], *, n_items: int) -> None:
        self.slices = dict(slices)
        self.k = sorted({checks.check_count("k", value) for value in k})
        self.n_items = n_items
        self.counts = np.zeros((len(self.k), n_items), dtype=np.int64)
        # For each slice: (n_users, n_metrics, n_k) values, (n_users, n_k) hits, (n_users,) relevant items.
        self._parts: dict[str, list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]] = {
            name: [] for name in self.slices
        }

    def update(self, columns: NDArray[np.int64], users: NDArray[np.int64], items: NDArray[np.int64]) -> None:
        """Add users.

        Parameters
        ----------
        columns : int64 array of shape (n_users, n_ranked)
            Ranked items of each user, -1 where there is none.
        users, items : int64 arrays of shape (n_pairs,)
            The relevant pairs, without duplicates: rows of `columns`, and items.
        """
        hits = hit_matrix(columns, users, items)
        for position, k in enumerate(self.k):
            shown = columns[:, :k]
            self.counts[position] += np.bincount(shown[shown >= 0], minlength=self.n_items)
        for name, mask in self.slices.items():
            inside = mask[items]
            n_relevant = np.bincount(users[inside], minlength=columns.shape[0])
            some = n_relevant > 0
            # Column -1 is no hit, so that the mask's last entry does no harm.
            hits_inside = hits[some] if mask.all() else hits[some] & mask[columns[some]]
            self._parts[name].append(self._values(hits_inside, n_relevant[some]))

    def _values(
        self, hits: NDArray[np.bool_], n_relevant: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        values = np.zeros((hits.shape[0], len(metrics.USER_METRICS), len(self.k)))
        found = np.zeros((hits.shape[0], len(self.k)))
        # All metrics are 0 without a hit, and most users of a slice have none.
        any_hit = hits.any(axis=1)
        hits, relevant = hits[any_hit], n_relevant[any_hit]
        for position, k in enumerate(self.k):
            found[any_hit, position] = np.count_nonzero(hits[:, :k], axis=1)
            for number, metric in enumerate(metrics.USER_METRICS.values()):
                values[any_hit, number, position] = metric(hits, relevant, k)
        return values, found, n_relevant

    def merge(self, other: RankingAccumulator) -> Self:
        """Add the users of another accumulator over the same slices, list lengths and catalogue."""
        same = (
            self.k == other.k and self.n_items == other.n_items and self.slices.keys() == other.slices.keys()
        )
        if not same:
            raise ValueError(
                "`other` must have the same slices, k and n_items; got others. Build both alike."
            )
        self.counts += other.counts
        for name, parts in other._parts.items():
            self._parts[name].extend(parts)
        return self

    def estimates(
        self,
        *,
        n_bootstrap: int = 0,
        confidence: float = 0.95,
        random_state: int | np.random.Generator | None = None,
    ) -> list[Estimate]:
        """Return every slice x metric x k, with percentile intervals over resampled users.

        `coverage` and `gini` are of the lists as a whole and have no interval; a slice's coverage is that
        of its own items.
        """
        checks.check_count("n_bootstrap", n_bootstrap, minimum=0)
        checks.check_in_range("confidence", confidence, 0, 1, closed="neither")
        generator = np.random.default_rng(check_seed("random_state", random_state))
        tail = (1 - confidence) / 2
        lines: list[Estimate] = []
        for name, mask in self.slices.items():
            values, found, n_relevant = self._joined(name)
            n_users, n_interactions = n_relevant.size, int(n_relevant.sum())
            # Two kinds of average, both a ratio of sums over users: over users, over interactions.
            over_users = values.reshape(n_users, len(metrics.USER_METRICS) * len(self.k))
            means = np.concatenate(
                [
                    over_users.sum(axis=0) / (n_users or np.nan),
                    found.sum(axis=0) / (n_interactions or np.nan),
                ]
            )
            low, high = np.full((2, means.size), np.nan)
            if n_bootstrap and n_users:
                draws = np.concatenate(
                    list(_replicates(over_users, found, n_relevant, n_bootstrap, generator))
                )
                low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
            names = [
                (metric, k) for metric in (*metrics.USER_METRICS, "hit_rate_per_interaction") for k in self.k
            ]
            lines += [
                Estimate(name, metric, k, float(mean), float(bottom), float(top), n_users, n_interactions)
                for (metric, k), mean, bottom, top in zip(names, means, low, high, strict=True)
            ]
            lines += self._list_lines(name, mask[: self.n_items], n_users, n_interactions)
        return lines

    def _joined(self, name: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        parts = self._parts[name]
        if not parts:
            return self._values(np.zeros((0, max(self.k)), dtype=np.bool_), np.zeros(0, dtype=np.int64))
        values, found, n_relevant = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return values, found, n_relevant

    def _list_lines(
        self, name: str, mask: NDArray[np.bool_], n_users: int, n_interactions: int
    ) -> list[Estimate]:
        lines = []
        for position, k in enumerate(self.k):
            counts = self.counts[position, mask]
            measured = {"coverage": metrics.coverage(counts)} if counts.size else {}
            if counts.size and mask.all():
                measured["gini"] = metrics.gini(counts)
            for metric, value in measured.items():
                lines.append(Estimate(name, metric, k, value, np.nan, np.nan, n_users, n_interactions))
        return lines


def hit_matrix(
    columns: NDArray[np.int64], users: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which ranked items are among the relevant pairs, bool of the shape of `columns`."""
    # One number a pair; a ranked item is a hit where its number is in the sorted list of relevant ones.
    width = int(max(columns.max(initial=-1), items.max(initial=-1))) + 1
    relevant = np.sort(users * width + items)
    hits = np.zeros(columns.shape, dtype=np.bool_)
    bounds = np.searchsorted(relevant, np.arange(columns.shape[0] + 1) * width)
    # Users in chunks keep the temporary arrays small.
    for start in range(0, columns.shape[0], 4096):
        stop = min(start + 4096, columns.shape[0])
        chunk = columns[start:stop]
        keys = np.where(chunk < 0, -1, np.arange(start, stop)[:, None] * width + chunk)
        inside = relevant[bounds[start] : bounds[stop]]
        if inside.size:
            found = np.minimum(np.searchsorted(inside, keys), inside.size - 1)
            hits[start:stop] = inside[found] == keys
    return hits


def _replicates(
    values: NDArray[np.float64],
    found: NDArray[np.float64],
    n_relevant: NDArray[np.int64],
    n_bootstrap: int,
    generator: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """Yield the means over users and over interactions of resampled users, some replicates at a time."""
    n_users = n_relevant.size
    sums = np.column_stack([values, found, n_relevant])
    for start in range(0, n_bootstrap, REPLICATES_AT_ONCE):
        n_draws = min(REPLICATES_AT_ONCE, n_bootstrap - start)
        drawn = generator.integers(0, n_users, size=(n_draws, n_users))
        times = np.stack([np.bincount(draw, minlength=n_users) for draw in drawn]).astype(np.float64)
        totals = times @ sums
        yield np.column_stack(
            [totals[:, : values.shape[1]] / n_users, totals[:, values.shape[1] : -1] / totals[:, -1:]]
        )
