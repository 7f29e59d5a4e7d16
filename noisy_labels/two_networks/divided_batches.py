"""Batches of rows that a division calls labelled and unlabelled, for each of two networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_same_length

Floats = NDArray[np.float64]
Augment = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]


class DividedBatches(keras.utils.PyDataset):
    """Two views of labelled and of unlabelled rows for each network, with orders and shares to mix them.

    An epoch has as many steps as pass all rows once.  A network for which no row is labelled, or none is
    unlabelled, draws from all rows instead.

    Parameters
    ----------
    x : array of shape (n, ...)
    codes : int array of shape (n,)
    batch_size : int
        Labelled rows a step, and as many unlabelled ones.
    augment : callable, optional
        From a batch and a generator to a randomly changed batch of the same shape.
    alpha : float, default=4.0
        Of the Beta law of shares; λ is the larger of the draw and 1 minus it.
    threshold : float, default=0.5
        Of the clean probability above which a row is labelled.
    seed : int, default=0

    Attributes
    ----------
    clean : list of two float arrays of shape (n,)
        By which network 0 and network 1 learn; set by :meth:`divide`.
    """

    def __init__(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        *,
        batch_size: int,
        augment: Augment | None = None,
        alpha: float = 4.0,
        threshold: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.x, self.codes = x, codes.astype(np.int32)
        self.batch_size = min(batch_size, len(codes))
        self.augment, self.alpha, self.threshold, self.seed = augment, alpha, threshold, seed
        self.epoch = -1
        self.divide([np.ones(len(codes)), np.ones(len(codes))])

    def __len__(self) -> int:
        return max(len(self.codes) // (2 * self.batch_size), 1)

    def divide(self, judged: Sequence[Floats]) -> None:
        """Start an epoch: each network learns by what its peer says is clean.

        Parameters
        ----------
        judged : pair of float arrays of shape (n,)
            The clean probabilities by the losses of network 0 and of network 1.
        """
        check_same_length(judged_0=judged[0], judged_1=judged[1], codes=self.codes)
        self.epoch += 1
        self.clean = [np.asarray(judged[1]), np.asarray(judged[0])]
        everything = np.arange(len(self.codes))
        self._sides = []
        for place, clean in enumerate(self.clean):
            generator = np.random.default_rng([self.seed, self.epoch, place])
            sides = (everything[clean > self.threshold], everything[clean <= self.threshold])
            self._sides.append([generator.permutation(side if side.size else everything) for side in sides])

    def __getitem__(self, number: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.int32]]:
        batch: dict[str, NDArray[Any]] = {}
        for place, (labelled, unlabelled) in enumerate(self._sides):
            generator = np.random.default_rng([self.seed, self.epoch, place, number])
            places = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
            rows, others = labelled[places % labelled.size], unlabelled[places % unlabelled.size]
            for view in "ab":
                batch[f"labelled_{view}_{place}"] = self._view(rows, generator)
                batch[f"unlabelled_{view}_{place}"] = self._view(others, generator)
            share = generator.beta(self.alpha, self.alpha)
            n_mixed = 4 * self.batch_size
            batch[f"codes_{place}"] = self.codes[rows]
            batch[f"clean_{place}"] = self.clean[place][rows].astype(np.float32)
            batch[f"order_{place}"] = generator.permutation(n_mixed).astype(np.int32)
            batch[f"share_{place}"] = np.full(n_mixed, max(share, 1 - share), dtype=np.float32)
        return batch, batch["codes_0"]

    def _view(self, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float32]:
        chosen = self.x[rows].astype(np.float32)
        if self.augment is None:
            return chosen
        view = np.asarray(self.augment(chosen, generator), dtype=np.float32)
        if view.shape != self.x[rows].shape:
            raise ValueError(
                f"`augment` must keep the shape {chosen.shape}; got {view.shape}. Crop or pad to that."
            )
        return view
