"""Rows divided by the losses of two networks, anew before every epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from noisy_labels.two_networks.divided_batches import DividedBatches
from noisy_labels.two_networks.labelled_rows import LabelledRows
from noisy_labels.two_networks.mixture_split import clean_probability
from noisy_labels.two_networks.paired_networks import PairedNetworks
from noisy_labels.two_networks.paired_training import predict_in_blocks

LOSSES_AVERAGED = 5


class Division(keras.callbacks.Callback):
    """Divide the rows anew before every epoch but the first, which the warm-up divides.

    Parameters
    ----------
    rows : LabelledRows
        In memory.
    batches : DividedBatches
    average : bool
        Whether losses are averaged over the last five divisions.
    seed : int
    """

    def __init__(self, rows: LabelledRows, batches: DividedBatches, *, average: bool, seed: int) -> None:
        super().__init__()
        self.rows, self.batches, self.seed = rows, batches, seed
        self.remembered = LOSSES_AVERAGED if average else 1
        self._losses: list[NDArray[np.float64]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Divide for the next epoch."""
        self.divide()

    def divide(self) -> None:
        """Judge all rows by both networks as they stand."""
        losses = row_losses(self.model, self.rows.x, self.rows.codes)
        self._losses = [*self._losses, losses][-self.remembered :]
        mean = np.mean(self._losses, axis=0)
        self.batches.divide([clean_probability(row, random_state=self.seed) for row in mean])


def row_losses(networks: PairedNetworks, x: Any, codes: Any) -> NDArray[np.float64]:
    """Return both networks' cross-entropies of all rows, outside training, shape (2, n).

    Nested dropout counts with its k* features.
    """
    size = None if networks.nested is None else int(networks.nested.k)
    pairs = zip(predict_in_blocks(networks.feature_pair, x), networks.kernels, strict=True)
    logits = (z[:, :size].astype(np.float64) @ kernel[:size] for z, kernel in pairs)
    return np.stack([-log_softmax(values, axis=1)[np.arange(len(codes)), codes] for values in logits])
