"""How often an item appears among the batches, estimated from the stream itself.

Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sparse_data import checks
from sparse_data.type_checks import check_type

_LARGE_PRIME = (1 << 61) - 1


class StreamingFrequency:
    r"""Estimate the probability that a batch holds an item, without a table of all items.

    Arrays :math:`A_h, B_h` of fixed size, one pair a hash function *h*. When step *t* brings item *y*,

    .. math:: B_h[h(y)] \leftarrow (1 - a) B_h[h(y)] + a (t - A_h[h(y)]), \quad A_h[h(y)] \leftarrow t,

    so that *B* is the mean number of steps between two sightings and :math:`p_y = 1 / \max_h B_h[h(y)]`: an
    item that shares a bucket looks more frequent than it is, and the largest gap is the least disturbed.

    Parameters
    ----------
    num_buckets : int, default=2**20
    num_hashes : int, default=2
    rate : float, default=0.02
        The moving average's step *a*, in (0, 1].
    seed : int, default=0
        Of the hash functions.

    Raises
    ------
    ValueError
        If a count is below 1 or the rate is out of range.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling, RecSys, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> frequency = StreamingFrequency(rate=0.1)
    >>> for step in range(400):
    ...     frequency.update(np.array([0, 1]) if step % 4 == 0 else np.array([0]))
    >>> frequency.probability(np.array([0, 1])).round(2).tolist()
    [1.0, 0.25]
    """

    def __init__(
        self, num_buckets: int = 1 << 20, *, num_hashes: int = 2, rate: float = 0.02, seed: int = 0
    ) -> None:
        self.num_buckets = checks.check_count("num_buckets", num_buckets, maximum=2**31 - 1)
        self.num_hashes = checks.check_count("num_hashes", num_hashes, maximum=64)
        self.rate = checks.check_in_range("rate", rate, low=0, high=1, closed="right")
        generator = np.random.default_rng(checks.check_count("seed", seed, minimum=0))
        self._multipliers = generator.integers(1, 1 << 31, size=num_hashes, dtype=np.uint64)
        self._shifts = generator.integers(0, 1 << 61, size=num_hashes, dtype=np.uint64)
        self._step = 0
        self._last = np.zeros((num_hashes, num_buckets), dtype=np.int64)
        self._gap = np.zeros((num_hashes, num_buckets), dtype=np.float64)

    def update(self, ids: NDArray[np.integer[Any]]) -> None:
        """Take one batch in; an item counts once however often the batch holds it.

        Parameters
        ----------
        ids : integer ndarray of shape (batch,)
        """
        buckets = self._buckets(ids)
        self._step += 1
        for last, gap, bucket in zip(self._last, self._gap, buckets, strict=True):
            bucket = np.unique(bucket)
            since = self._step - last[bucket]
            moved = (1 - self.rate) * gap[bucket] + self.rate * since
            # The first sighting has no earlier gap to average with.
            gap[bucket] = np.where(last[bucket] == 0, since, moved)
            last[bucket] = self._step

    def probability(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Probability that a batch holds each item, in (0, 1].

        Parameters
        ----------
        ids : integer ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (n,)
            An item never seen counts as if it came at the next step for the first time, 1 / (t + 1).
        """
        buckets = self._buckets(ids)
        gaps = np.stack([gap[bucket] for gap, bucket in zip(self._gap, buckets, strict=True)])
        unseen = np.stack([last[bucket] == 0 for last, bucket in zip(self._last, buckets, strict=True)])
        gaps = np.where(unseen, self._step + 1.0, gaps)
        return np.asarray(1.0 / np.maximum(gaps.max(axis=0), 1.0))

    def merge(self, other: StreamingFrequency) -> Self:
        """Take in what another estimator saw of the same stream, for instance on another machine.

        The probabilities of the two are averaged, each weighted by its number of steps.

        Parameters
        ----------
        other : StreamingFrequency
            Made with the same ``num_buckets``, ``num_hashes`` and ``seed``.

        Returns
        -------
        StreamingFrequency
            Itself.

        Raises
        ------
        ValueError
            If the other was made differently.

        Examples
        --------
        >>> import numpy as np
        >>> left, right = StreamingFrequency(), StreamingFrequency()
        >>> left.update(np.array([3]))
        >>> right.update(np.array([4]))
        >>> left.merge(right).probability(np.array([3, 4])).tolist()
        [0.5, 0.5]
        """
        check_type("other", other, StreamingFrequency, "Merge estimators.")
        same = self._last.shape == other._last.shape and np.array_equal(self._shifts, other._shifts)
        if not (same and np.array_equal(self._multipliers, other._multipliers)):
            raise ValueError(
                "`other` must have the same num_buckets, num_hashes and seed; got others. Build both alike."
            )
        steps = self._step + other._step
        # Sightings that a bucket stands for: steps over gap, none where it was never seen.
        sightings = sum(
            np.where(part._last > 0, part._step / np.maximum(part._gap, 1.0), 0.0) for part in (self, other)
        )
        seen = sightings > 0
        self._gap = np.where(seen, steps / np.where(seen, sightings, 1.0), 0.0)
        # The other's stream follows on this one's.
        self._last = np.where(other._last > 0, self._step + other._last, self._last)
        self._step = steps
        return self

    def _buckets(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        keys = checks.check_ndim("ids", checks.check_integers("ids", ids), 1).astype(np.uint64)
        mixed = (keys[None, :] * self._multipliers[:, None] + self._shifts[:, None]) % np.uint64(_LARGE_PRIME)
        return (mixed % np.uint64(self.num_buckets)).astype(np.int64)
