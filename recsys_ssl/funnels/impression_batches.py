"""Encoded batches of impressions for click and conversion models, from memory or from files."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import MultiCategory
from recsys_ssl.encoding.streamed_encoder import unweighted
from sparse_data import Bags
from sparse_data.checks import check_count, check_finite, check_non_negative
from sparse_data.datasets.impressions import Impressions
from sparse_data.datasets.joined_impressions import concatenate_impressions
from sparse_data.type_checks import check_flag, check_type


class ImpressionBlocks(Protocol):
    """What batches can be read from: impressions in blocks of known lengths, in any order.

    `ImpressionFiles` and `AliCCP` are such sources.
    """

    @property
    def block_lengths(self) -> NDArray[np.int64]:
        """Number of impressions of each block, shape (n_blocks,)."""

    def read_block(self, place: int, /) -> Impressions:
        """Return the impressions of one block."""


class ImpressionBatches(keras.utils.PyDataset):
    """Batches ``(x, y)`` or ``(x, y, weights)`` of impressions, encoded as they are asked for.

    Impressions in memory are shuffled as a whole. Of files, blocks are drawn in random order, `buffer_blocks`
    of them are held, and their rows are shuffled; memory depends on the size of these and not on the number
    of impressions. Batches run on over the border between two buffers, so that each row comes once.

    Parameters
    ----------
    impressions : Impressions or ImpressionBlocks
        In memory, or `ImpressionFiles`, `AliCCP` or the like.
    encoder : FeatureEncoder
        Fitted; see also `learn_encoder`. It has no use for the weights of bags.
    batch_size : int, default=1024
    shuffle : bool, default=True
        True: a new order every epoch, without the last, smaller batch (unless it is the only one). False:
        all rows in their order, to predict.
    weight : str, optional
        Column of sample weights, finite and non-negative.
    max_values : int, optional
        Values of a multi-valued feature that are used: longer bags keep the first ones, and all batches have
        the same shape. None keeps all; the width of a batch is then rounded up to a power of two, so that a
        compiled model sees few shapes.
    buffer_blocks : int, default=8
        Blocks held and shuffled together.
    seed : int, default=0
        Of the order; the epoch's number is mixed in.

    Examples
    --------
    >>> from recsys_ssl import Category, FeatureEncoder
    >>> shown = Impressions({"ad": ["a", "b", "a"]}, clicks=[1, 0, 1], conversions=[1, 0, 0])
    >>> encoder = FeatureEncoder([Category("ad")]).fit(shown.columns)
    >>> x, y = ImpressionBatches(shown, encoder, batch_size=2, shuffle=False)[0]
    >>> x["ad"].tolist(), y["click"].tolist(), y["conversion"].tolist()
    ([3, 4], [1.0, 0.0], [1.0, 0.0])
    """

    def __init__(
        self,
        impressions: Impressions | ImpressionBlocks,
        encoder: FeatureEncoder,
        *,
        batch_size: int = 1024,
        shuffle: bool = True,
        weight: str | None = None,
        max_values: int | None = None,
        buffer_blocks: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        check_type("encoder", encoder, FeatureEncoder, "Pass a fitted one.")
        if not hasattr(impressions, "block_lengths") and not isinstance(impressions, Impressions):
            got = type(impressions).__name__
            raise TypeError(f"`impressions` must be Impressions or their files; got {got}. Read them first.")
        self.source = _InMemory(impressions) if isinstance(impressions, Impressions) else impressions
        self.encoder = encoder
        self.lengths = np.asarray(self.source.block_lengths, dtype=np.int64)
        self.n = int(self.lengths.sum())
        if not self.n:
            raise ValueError(
                "`impressions` must hold rows; got none. Check how the data were read or filtered."
            )
        self.batch_size = min(check_count("batch_size", batch_size), self.n)
        self.shuffle = check_flag("shuffle", shuffle)
        self.weight = check_type("weight", weight, (str, type(None)), "Name a column.")
        self.max_values = None if max_values is None else check_count("max_values", max_values)
        self.buffer_blocks = check_count("buffer_blocks", buffer_blocks)
        self.seed = check_count("seed", seed, minimum=0)
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return self.n // self.batch_size if self.shuffle else -(-self.n // self.batch_size)

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1
        blocks = np.arange(len(self.lengths))
        if self.shuffle:
            blocks = np.random.default_rng([self.seed, self.epoch]).permutation(len(blocks))
        held = self.buffer_blocks if self.shuffle else 1
        self._buffers = [blocks[start : start + held] for start in range(0, len(blocks), held)]
        rows = [int(self.lengths[buffer].sum()) for buffer in self._buffers]
        self._starts = np.cumsum([0, *rows])
        self._held: tuple[int, Impressions, NDArray[np.int64]] | None = None

    def __getitem__(self, place: int) -> Any:
        start = place * self.batch_size
        shown = self._rows(start, min(start + self.batch_size, self.n))
        columns = unweighted(shown.columns)
        several = [feature.name for feature in self.encoder.features if isinstance(feature, MultiCategory)]
        if self.max_values is not None:
            columns |= {
                name: _first_values(columns[name], self.max_values) for name in several if name in columns
            }
        x = self.encoder.transform(columns)
        x |= {name: _widened(x[name], self.max_values) for name in several}
        y = {"click": shown.clicks.astype(np.float32), "conversion": shown.conversions.astype(np.float32)}
        if self.weight is None:
            return x, y
        return x, y, self._weights(columns)

    def _rows(self, start: int, stop: int) -> Impressions:
        """Return the rows from `start` to `stop` of the epoch's order, which may lie in several buffers."""
        parts = []
        buffer = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            shown, order = self._buffer(buffer)
            first = int(self._starts[buffer])
            end = min(stop, int(self._starts[buffer + 1]))
            parts.append(shown.take(order[start - first : end - first]))
            start, buffer = end, buffer + 1
        return parts[0] if len(parts) == 1 else concatenate_impressions(parts)

    def _buffer(self, number: int) -> tuple[Impressions, NDArray[np.int64]]:
        if self._held is None or self._held[0] != number:
            self._held = None  # frees the memory before the next one is read
            blocks = [self.source.read_block(int(block)) for block in self._buffers[number]]
            shown = blocks[0] if len(blocks) == 1 else concatenate_impressions(blocks)
            order = np.arange(len(shown))
            if self.shuffle:
                order = np.random.default_rng([self.seed, self.epoch, number]).permutation(len(shown))
            self._held = (number, shown, order)
        return self._held[1:]

    def _weights(self, columns: dict[str, Any]) -> NDArray[np.float32]:
        if self.weight not in columns:
            raise ValueError(
                f"`weight` must name a column; got {self.weight!r}. Choose from {list(columns)}."
            )
        weights = check_non_negative(self.weight, check_finite(self.weight, columns[self.weight]))
        return weights.astype(np.float32)


class _InMemory:
    """Impressions in memory as one block."""

    def __init__(self, impressions: Impressions) -> None:
        self.impressions = impressions
        self.block_lengths = np.array([len(impressions)], dtype=np.int64)

    def read_block(self, place: int, /) -> Impressions:
        return self.impressions


def _first_values(column: Any, width: int) -> Any:
    """Return bags cut to their first `width` values; what is no bag is left for the encoder to refuse."""
    if not isinstance(column, Bags) or column.lengths.max(initial=0) <= width:
        return column
    ranks = np.arange(len(column.values)) - np.repeat(column.offsets[:-1], column.lengths)
    lengths = np.minimum(column.lengths, width)
    return Bags(
        column.values[ranks < width], np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    )


def _widened(padded: NDArray[np.int32], width: int | None) -> NDArray[np.int32]:
    """Return rows padded with 0 to `width`, or to a power of two."""
    wanted = width or 1 << (padded.shape[1] - 1).bit_length()
    return np.pad(padded, ((0, 0), (0, wanted - padded.shape[1])))
