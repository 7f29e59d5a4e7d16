"""What must hold of the labels of impressions before anything is trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.entire_space.funnel_labels import check_funnel_labels
from recsys_ssl.funnels.impression_batches import ImpressionBlocks
from recsys_ssl.measures.label_leak import label_leak_warnings
from sparse_data import Bags, checks
from sparse_data.datasets.impressions import Impressions

Bools = NDArray[np.bool_]

# Of each outcome, for the search for leaks: a column that tells a label does so on any part of the rows.
SEARCHED_FOR_LEAKS = 50_000


class Outcomes(NamedTuple):
    """Numbers of impressions of a positive weight, of clicks among them and of conversions among these."""

    rows: int = 0
    clicks: int = 0
    conversions: int = 0

    @classmethod
    def of(cls, clicks: Bools, conversions: Bools, weights: NDArray[Any] | None = None) -> Outcomes:
        """Count."""
        counted = np.ones(len(clicks), dtype=np.bool_) if weights is None else weights > 0
        return cls(int(counted.sum()), int((counted & clicks).sum()), int((counted & conversions).sum()))

    def plus(self, other: Outcomes) -> Outcomes:
        """Return the sum of two counts."""
        return Outcomes(*(one + another for one, another in zip(self, other, strict=True)))

    def check(self, where: str) -> None:
        """Raise ValueError unless both classes of both labels are there.

        Examples
        --------
        >>> Outcomes(9, 3, 0).check("in training")
        Traceback (most recent call last):
        ...
        ValueError: `conversions` must hold both 0 and 1 among clicks in training; got 0 of 3 that are 1. ...
        """
        if not 0 < self.clicks < self.rows:
            raise ValueError(
                f"`clicks` must hold both 0 and 1 {where}; got {self.clicks} of {self.rows} that are 1. "
                "Pass all impressions, clicked or not."
            )
        if not 0 < self.conversions < self.clicks:
            raise ValueError(
                f"`conversions` must hold both 0 and 1 among clicks {where}; got {self.conversions} of "
                f"{self.clicks} that are 1. Pass more impressions, or check how the labels were joined."
            )


def check_blocks(method: str, impressions: Any) -> None:
    """Raise for a source that has no blocks, and for a method that needs more than a source holds.

    Examples
    --------
    >>> check_blocks("esmm", [1, 2])
    Traceback (most recent call last):
    ...
    TypeError: `impressions` must have blocks to read; got list. Pass ImpressionFiles, or use `fit`.
    """
    if not hasattr(impressions, "read_block"):
        raise TypeError(
            f"`impressions` must have blocks to read; got {type(impressions).__name__}. "
            "Pass ImpressionFiles, or use `fit`."
        )
    if method == "esm2":
        raise ValueError(
            "`method` must be another one for files, which hold no actions; got 'esm2'. Use `fit`."
        )


def warn_of_leaks(columns: Mapping[str, Any], clicks: Bools, conversions: Bools, *, seed: int) -> list[str]:
    """Warn of features that nearly are a label; look at a part of the rows where there are many.

    Parameters
    ----------
    columns : mapping of str to (ndarray of shape (n,) or (n, width), or Bags)
        Bags, which are no score, are passed over.
    clicks, conversions : bool ndarray of shape (n,)
        Without both classes of both there is nothing to look for.
    seed : int
        Of the rows that are looked at.

    Returns
    -------
    list of str
        Names of the suspicious columns.
    """
    converted = conversions[clicks]
    if clicks.all() or converted.all() or not converted.any():
        return []
    generator = np.random.default_rng([seed, 2])
    outcome = clicks.astype(np.int64) + conversions
    kinds = [generator.permutation(np.flatnonzero(outcome == kind))[:SEARCHED_FOR_LEAKS] for kind in range(3)]
    rows = np.sort(np.concatenate(kinds))
    scores = {}
    for name, column in columns.items():
        if isinstance(column, Bags):
            continue
        if column.ndim == 1:
            scores[name] = column[rows]
        else:
            scores |= {f"{name}[{place}]": column[rows, place] for place in range(column.shape[1])}
    return label_leak_warnings(scores, clicks[rows], conversions[rows])


class CheckedBlocks:
    """Blocks whose labels and weights are checked and counted as they are read.

    Parameters
    ----------
    source : ImpressionBlocks
    weight : str or None
        Column of sample weights.

    Attributes
    ----------
    outcomes : Outcomes
        Of the blocks that were read.
    """

    def __init__(self, source: ImpressionBlocks, weight: str | None) -> None:
        self.source = source
        self.weight = weight
        self.outcomes = Outcomes()

    def __iter__(self) -> Iterator[Impressions]:
        for place in range(len(self.source.block_lengths)):
            block = self.source.read_block(place)
            weights = None
            if self.weight is not None:
                if self.weight not in block.columns:
                    names = list(block.columns)
                    raise ValueError(
                        f"`weight` must name a column; got {self.weight!r}. Choose from {names}."
                    )
                weights = np.asarray(block.columns[self.weight])
                checks.check_non_negative(self.weight, checks.check_finite(self.weight, weights))
            check_funnel_labels(block.clicks, block.conversions)
            clicks, conversions = block.clicks == 1, block.conversions == 1
            self.outcomes = self.outcomes.plus(Outcomes.of(clicks, conversions, weights))
            yield block
