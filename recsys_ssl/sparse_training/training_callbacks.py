"""Keras callbacks: a progress bar with throughput, and early stopping on a full-catalogue metric."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm


class ProgressBar(keras.callbacks.Callback):
    """One bar over all epochs: loss, pairs a second and, where it is measured, the validation metric.

    Parameters
    ----------
    n_pairs : int
        Pairs an epoch.
    description : str, default="fit"
    disable : bool, default=False
    """

    def __init__(self, n_pairs: int, *, description: str = "fit", disable: bool = False) -> None:
        super().__init__()
        self.n_pairs = n_pairs
        self.description = description
        self.disable = disable

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        total = self.params["epochs"] * self.n_pairs
        self.bar = tqdm(
            total=total, desc=self.description, unit=" pairs", unit_scale=True, disable=self.disable
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Advance by an epoch."""
        shown = {name: f"{value:.4g}" for name, value in (logs or {}).items()}
        self.bar.set_postfix({"epoch": epoch + 1, **shown}, refresh=False)
        self.bar.update(self.n_pairs)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self.bar.close()


class BestEpoch(keras.callbacks.Callback):
    """Measure after every epoch, stop when it no longer gets better, give the best weights back.

    Parameters
    ----------
    measure : callable
        Gives the validation metric of the model as it stands; higher is better.
    name : str
        The metric's name in the logs.
    patience : int
        Epochs without a better value after which training stops.
    """

    def __init__(self, measure: Callable[[], float], *, name: str, patience: int) -> None:
        super().__init__()
        self.measure = measure
        self.name = name
        self.patience = patience
        self.best = -np.inf
        self.best_epoch = 0
        self._weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, remember, stop."""
        value = self.measure()
        if logs is not None:
            logs[self.name] = value
        if value > self.best:
            self.best, self.best_epoch = value, epoch + 1
            self._weights = self.model.get_weights()
        elif epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Set the weights of the best epoch; without a finished epoch nothing changes."""
        if self._weights is not None:
            self.model.set_weights(self._weights)


class Finite(keras.callbacks.Callback):
    """Stop with an error as soon as the loss is no number, before more work is lost."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the epoch's loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"`loss` must stay finite; got {loss} in epoch {epoch + 1}. Lower the learning rate."
            )


class Stopwatch(keras.callbacks.Callback):
    """Write the seconds of every epoch into the logs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop."""
        if logs is not None:
            logs["seconds"] = time.perf_counter() - self._start


class WarnOnCollapse(keras.callbacks.Callback):
    """Warn when item vectors fall together: their uniformity (Wang and Isola 2020) is near 0 and not falling.

    Parameters
    ----------
    threshold : float, default=-0.02
        Of the uniformity, which is about -2 to -4 for vectors that spread and 0 for equal ones.
    """

    def __init__(self, threshold: float = -0.02) -> None:
        super().__init__()
        self.threshold = threshold
        self._before: float | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare the epoch's mean with that of the epoch before: first vectors may be near each other."""
        found = (logs or {}).get("uniformity")
        if found is None:
            return
        before, self._before = self._before, float(found)
        if before is not None and self._before > self.threshold and self._before >= before:
            warnings.warn(
                f"The item vectors collapse: uniformity {self._before:.3f} in epoch {epoch + 1}, 0 is all "
                "equal. Lower the weight of self-supervision or the learning rate, or raise the temperature.",
                stacklevel=2,
            )
