"""Rows of arrays in random batches, in an order of their own every epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_count, check_same_length


class RowBatches(keras.utils.PyDataset):
    """Batches ``(x, y)`` of equal size; what is left over waits for another epoch's order.

    Parameters
    ----------
    x : array of shape (n, ...)
        Numbers of any type; batches are float32.
    codes : int array of shape (n,)
    batch_size : int
        All rows are one batch where there are fewer.
    seed : int
        Of the order; the epoch's number is mixed in.

    Examples
    --------
    >>> batches = RowBatches(np.arange(5)[:, None], np.arange(5), batch_size=2, seed=0)
    >>> x, y = batches[0]
    >>> len(batches), x.dtype.name, bool((x[:, 0] == y).all())
    (2, 'float32', True)
    """

    def __init__(self, x: NDArray[Any], codes: NDArray[np.int64], *, batch_size: int, seed: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        check_same_length(x=x, codes=codes)
        self.x, self.codes, self.seed = x, codes.astype(np.int32), seed
        self.batch_size = min(check_count("batch_size", batch_size), len(codes))
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.codes) // self.batch_size

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1
        self._order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.codes))

    def __getitem__(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        rows = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return self.x[rows].astype(np.float32), self.codes[rows]
