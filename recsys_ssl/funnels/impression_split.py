"""Hold a part of the impressions out, with some of every outcome in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.funnels.impression_batches import ImpressionBlocks
from sparse_data import checks
from sparse_data.datasets.impressions import Impressions

Rows = NDArray[np.int64]


def hold_out_impressions(
    clicks: NDArray[np.bool_], conversions: NDArray[np.bool_], fraction: float, *, seed: int
) -> tuple[Rows, Rows]:
    """Split rows at random so that both parts have the same rates of clicks and conversions.

    Parameters
    ----------
    clicks, conversions : bool ndarray of shape (n,)
    fraction : float
        Of every outcome (no click, a click alone, a conversion), in (0, 1); of each at least one row is held
        out and one is left.
    seed : int

    Returns
    -------
    training, held_out : int64 ndarrays
        Rows in increasing order.

    Raises
    ------
    ValueError
        If there are fewer than two conversions, or fewer than two clicks without one.

    Examples
    --------
    >>> clicks = np.array([0, 1, 1, 1, 1, 0, 0, 0]) == 1
    >>> conversions = np.array([0, 1, 1, 0, 0, 0, 0, 0]) == 1
    >>> training, held_out = hold_out_impressions(clicks, conversions, 0.5, seed=0)
    >>> len(held_out), int(clicks[held_out].sum()), int(conversions[held_out].sum())
    (4, 2, 1)
    """
    checks.check_in_range("fraction", fraction, 0, 1, closed="neither")
    outcome = clicks.astype(np.int64) + conversions
    generator = np.random.default_rng([seed, 1])
    is_held_out = np.zeros(len(outcome), dtype=np.bool_)
    for kind, name in enumerate(
        ("impressions without a click", "clicks without a conversion", "conversions")
    ):
        rows = np.flatnonzero(outcome == kind)
        if kind and len(rows) < 2:
            raise ValueError(
                f"`validation_fraction` must be 0 with fewer than two {name}; got {len(rows)}. "
                "Pass more rows: a fold of a single class measures nothing."
            )
        if len(rows) > 1:
            number = min(max(1, round(fraction * len(rows))), len(rows) - 1)
            is_held_out[generator.permutation(rows)[:number]] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


class BlockRange:
    """Some blocks of a source, such as the first ones to train on or the last ones to measure on.

    Parameters
    ----------
    source : ImpressionBlocks
    start, stop : int
        Blocks, as in a slice.

    Examples
    --------
    >>> class Source:
    ...     block_lengths = np.array([5, 7, 3])
    ...
    ...     def read_block(self, place, /): ...
    >>> BlockRange(Source(), 1, 3).block_lengths.tolist()
    [7, 3]
    """

    def __init__(self, source: ImpressionBlocks, start: int, stop: int) -> None:
        self.source = source
        self.start = start
        self.block_lengths = np.asarray(source.block_lengths, dtype=np.int64)[start:stop]

    def read_block(self, place: int, /) -> Impressions:
        """Return the impressions of one block."""
        return self.source.read_block(self.start + place)


def hold_out_blocks(source: ImpressionBlocks, fraction: float) -> tuple[BlockRange, BlockRange]:
    """Split a source into its first blocks and the last ones, which logs in the order of time end with.

    Parameters
    ----------
    source : ImpressionBlocks
    fraction : float
        Of the rows, in (0, 1); at least one block is held out and one is left.

    Returns
    -------
    training, held_out : BlockRange

    Raises
    ------
    ValueError
        If there is a single block.

    Examples
    --------
    >>> class Source:
    ...     block_lengths = np.array([5, 7, 3])
    ...
    ...     def read_block(self, place, /): ...
    >>> [part.block_lengths.tolist() for part in hold_out_blocks(Source(), 0.1)]
    [[5, 7], [3]]
    """
    checks.check_in_range("fraction", fraction, 0, 1, closed="neither")
    lengths = np.asarray(source.block_lengths, dtype=np.int64)
    if len(lengths) < 2:
        raise ValueError(
            f"`impressions` must have two blocks or more to hold one out; got {len(lengths)}. "
            "Pass `validation`, write smaller blocks, or set validation_fraction=0."
        )
    after = np.cumsum(lengths[::-1])[::-1]  # rows from each block on
    large_enough = np.flatnonzero(after >= fraction * lengths.sum())
    cut = min(max(1, int(large_enough[-1])), len(lengths) - 1)
    return BlockRange(source, 0, cut), BlockRange(source, cut, len(lengths))
