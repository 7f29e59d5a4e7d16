"""Batches of whole bags for Keras: ragged bags side by side, with padding to few shapes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.proportions.bag_labels import read_bags
from sparse_data import Bags
from sparse_data.checks import check_array, check_count, check_finite, check_nonempty
from sparse_data.type_checks import check_flag


class BagBatches(keras.utils.PyDataset):
    """Batches (X, y) of whole bags; a row of y holds the bag's number in the batch and its proportions.

    Batches are padded with rows of zeros, which y marks with bag -1, to a power of two of rows: a compiled
    step sees few shapes. Batch normalisation would see the padding too. Train with these, predict on arrays.

    Parameters
    ----------
    X : array of shape (n_rows, ...)
    bags : array of shape (n_rows,) or Bags
        The bag of each row by an id of any dtype, or the row numbers of each bag.
    proportions : array of shape (n_bags,) or (n_bags, n_classes)
        Positive share of each bag, or share of each class, for bags in order of first appearance.
    bags_per_batch : int, default=8
    shuffle : bool, default=True
        Draw the bags of the batches anew every epoch.
    seed : int, default=0

    Raises
    ------
    TypeError, ValueError
        If lengths differ, or values are missing.

    Examples
    --------
    >>> batches = BagBatches(np.eye(3), ["b", "a", "b"], [0.5, 1.0], shuffle=False)
    >>> x, y = batches[0]
    >>> y.tolist()
    [[0.0, 0.5], [0.0, 0.5], [1.0, 1.0], [-1.0, 0.0]]
    """

    def __init__(
        self,
        X: ArrayLike,
        bags: ArrayLike | Bags,
        proportions: ArrayLike,
        *,
        bags_per_batch: int = 8,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.X = check_nonempty("X", np.atleast_1d(check_array("X", X)))
        self.bags = read_bags(bags, len(self.X)).rows
        shares = check_finite("proportions", proportions).astype("float32")
        if shares.ndim not in (1, 2) or len(shares) != len(self.bags):
            raise ValueError(
                f"`proportions` must have one row a bag, {len(self.bags)}; got shape {shares.shape}. Bags "
                "are those ids that occur in `bags`, in order of first appearance."
            )
        self.proportions = shares.reshape(len(shares), -1)
        self.bags_per_batch = check_count("bags_per_batch", bags_per_batch)
        self.shuffle, self.epoch = check_flag("shuffle", shuffle), -1
        self.seed = check_count("seed", seed, minimum=0)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.bags) // self.bags_per_batch)

    def on_epoch_end(self) -> None:
        """Draw the order of the bags of the next epoch."""
        self.epoch += 1
        self.order = np.arange(len(self.bags))
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self.order)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
        chosen = self.order[index * self.bags_per_batch : (index + 1) * self.bags_per_batch]
        rows = self.bags[chosen]
        n_rows = rows.values.size
        padding = (1 << (n_rows - 1).bit_length()) - n_rows
        labels = np.column_stack([rows.segment_ids, self.proportions[chosen][rows.segment_ids]])
        x = np.pad(self.X[rows.values], [(0, padding)] + [(0, 0)] * (self.X.ndim - 1))
        y = np.pad(labels.astype(np.float32), [(0, padding), (0, 0)])
        y[n_rows:, 0] = -1
        return x, y
