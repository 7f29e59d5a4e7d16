"""Stages of training two networks: what happens before and after every epoch, and which epoch is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from noisy_labels.compression.compression_path import (
    PENALTY,
    CompressionPath,
    accuracy_of_every_size,
    choose_size,
)
from noisy_labels.compression.compression_path import compression_path as measure_path
from noisy_labels.two_networks.epoch_choice import level_with_best
from noisy_labels.two_networks.paired_networks import PairedNetworks, TrainingRule

ROWS_AT_ONCE = 1024
FEWEST_ROWS = 32
FALL = 0.1  # of the learning rate over a stage


@dataclass(frozen=True, eq=False)
class Validation:
    """Held-out rows that choose the epoch and the number of features; `kind` is "noisy" or "clean"."""

    x: NDArray[Any]
    codes: NDArray[np.int64]
    kind: str = "noisy"


@dataclass(frozen=True)
class Stage:
    """How one stage of training goes.

    Attributes
    ----------
    rule : TrainingRule
    learning_rates : float array of shape (n_epochs,)
    rates : float array of shape (n_epochs,)
        What the rule reads as `networks.rate`.
    momentum, weight_decay : float
        Of SGD; the decay is decoupled from the momentum.
    alone : bool
        Whether each network keeps the epoch that is its own best one; otherwise both keep the last one that
        is level with the best.
    """

    rule: TrainingRule
    learning_rates: NDArray[np.float64]
    rates: NDArray[np.float64]
    momentum: float
    weight_decay: float
    alone: bool


def falling_rates(n_epochs: int, learning_rate: float) -> NDArray[np.float64]:
    r"""Return learning rates that fall geometrically to a tenth.

    .. math:: \eta_e = \eta \cdot 10^{-e / (E - 1)}

    Examples
    --------
    >>> falling_rates(3, 1.0).round(3).tolist()
    [1.0, 0.316, 0.1]
    """
    return learning_rate * FALL ** (np.arange(n_epochs) / max(n_epochs - 1, 1))


def predict_in_blocks(model: keras.Model, x: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Return a model's outputs for all rows, in blocks of few sizes so that little is compiled anew.

    Parameters
    ----------
    model : keras.Model
        With one output or a list of them.
    x : array of shape (n, ...)

    Returns
    -------
    list of float32 arrays with n rows
        One an output.
    """
    parts = []
    for start in range(0, len(x), ROWS_AT_ONCE):
        block = np.asarray(x[start : start + ROWS_AT_ONCE], dtype=np.float32)
        wanted = max(1 << (len(block) - 1).bit_length(), FEWEST_ROWS)
        padded = np.concatenate([block, np.repeat(block[:1], wanted - len(block), axis=0)])
        outputs = model.predict_on_batch(padded)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        parts.append([np.asarray(output)[: len(block)] for output in outputs])
    return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]


def validation_path(networks: PairedNetworks, held_out: Validation | None) -> CompressionPath | None:
    """Return the accuracy of the mean logits with every number of features.

    None where there is nothing to choose: without nested dropout, or without held-out rows.
    """
    if held_out is None or networks.nested is None:
        return None
    features = predict_in_blocks(networks.feature_pair, held_out.x)
    return measure_path(features, networks.kernels, held_out.codes, kind=held_out.kind)


class SetRates(keras.callbacks.Callback):
    """Set learning rate and the rule's rate before every epoch."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the rates of this epoch."""
        self.model.optimizer.learning_rate = float(self.stage.learning_rates[epoch])
        self.model.rate.assign(float(self.stage.rates[epoch]))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop as soon as the loss is no number, before more work is lost."""
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"`loss` must stay finite; got {loss} in epoch {epoch + 1}. Lower `learning_rate`."
            )


class KeepBest(keras.callbacks.Callback):
    """Choose the number of features after every epoch, and keep the best epoch by penalised accuracy.

    Together, the last epoch that is level with the best one is kept; alone, networks memorise, and later is
    worse.
    """

    def __init__(self, held_out: Validation, *, alone: bool) -> None:
        super().__init__()
        self.held_out, self.alone = held_out, alone
        self.best = [-np.inf, -np.inf]
        self._right = [np.zeros(0, dtype=bool)] * 2
        self._weights: list[list[Any]] = [[], []]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure both networks, alone or together."""
        networks: PairedNetworks = self.model
        features = predict_in_blocks(networks.feature_pair, self.held_out.x)
        kernels = networks.kernels
        groups = [(0,), (1,)] if self.alone else [(0, 1)]
        judged = [self._judge([features[i] for i in group], [kernels[i] for i in group]) for group in groups]
        if logs is not None:
            logs["val_accuracy"] = float(np.mean([right.mean() for right, _ in judged]))
        if networks.nested is not None:
            _, together = self._judge(features, kernels) if self.alone else judged[0]
            networks.nested.k.assign(together)
        for group, (right, size) in zip(groups, judged, strict=True):
            if self._keeps(group[0], right, float(right.mean()) - PENALTY * (size - 1)):
                for place in group:
                    self._weights[place] = networks.weights_of(place)

    def _keeps(self, place: int, right: NDArray[np.bool_], value: float) -> bool:
        if value > self.best[place]:
            self.best[place], self._right[place] = value, right
            return True
        return not self.alone and level_with_best(right, self._right[place])

    def _judge(self, features: Sequence[Any], kernels: Sequence[Any]) -> tuple[NDArray[np.bool_], int]:
        """Return which held-out rows are classed right, and by how many features."""
        size = 1
        if self.model.nested is not None:
            size = choose_size(accuracy_of_every_size(features, kernels, self.held_out.codes))
            features, kernels = [z[:, :size] for z in features], [kernel[:size] for kernel in kernels]
        logits = sum(z @ kernel for z, kernel in zip(features, kernels, strict=True))
        return np.argmax(logits, axis=1) == self.held_out.codes, size

    def restore(self) -> None:
        """Set the weights of the best epoch, and its number of features; nothing without an epoch."""
        networks: PairedNetworks = self.model
        for place, weights in enumerate(self._weights):
            if weights:
                networks.set_weights_of(place, weights)
        if networks.nested is not None and self._weights[0]:
            # Alone, the best epochs of the two may differ, and so does what suits their mean.
            features = predict_in_blocks(networks.feature_pair, self.held_out.x)
            networks.nested.k.assign(self._judge(features, networks.kernels)[1])


class EpochBar(keras.callbacks.Callback):
    """Advance a progress bar by an epoch."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self.bar = bar

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the loss and what was measured."""
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in (logs or {}).items()}, refresh=False)
        self.bar.update()


def train_stage(
    networks: PairedNetworks,
    batches: Any,
    stage: Stage,
    *,
    held_out: Validation | None = None,
    bar: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> list[dict[str, float]]:
    """Train two networks for one stage and leave them with their best epoch.

    Parameters
    ----------
    networks : PairedNetworks
    batches : PyDataset or tf.data.Dataset
        Of what the stage's rule reads.
    stage : Stage
    held_out : Validation, optional
        Chooses epoch and number of features; without it the last epoch is kept.
    bar : tqdm, optional
    callbacks : sequence of keras.callbacks.Callback

    Returns
    -------
    list of dict
        Loss and validation accuracy of every epoch.

    Raises
    ------
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    n_epochs = len(stage.learning_rates)
    if n_epochs == 0:
        return []
    networks.rule = stage.rule
    optimizer = keras.optimizers.SGD(
        float(stage.learning_rates[0]), momentum=stage.momentum, weight_decay=stage.weight_decay or None
    )
    networks.compile(optimizer=optimizer, jit_compile=networks.jit_compile)
    history = keras.callbacks.History()
    best = None if held_out is None else KeepBest(held_out, alone=stage.alone)
    used = [SetRates(stage), *([] if best is None else [best]), *callbacks, history]
    networks.fit(
        batches,
        epochs=n_epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*used, EpochBar(tqdm(disable=True) if bar is None else bar)],
    )
    networks.rule = None
    if best is not None:
        best.restore()
    return [{name: values[epoch] for name, values in history.history.items()} for epoch in range(n_epochs)]
