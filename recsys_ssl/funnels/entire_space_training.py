"""Train a model of the funnel, keep the epoch that is best on held-out impressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from tqdm.auto import tqdm

from recsys_ssl.embeddings.rowwise import LazyAdam
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.funnels.funnel_calibration import FunnelCalibration
from recsys_ssl.sparse_training.training_callbacks import BestEpoch, Finite, Stopwatch

Floats = NDArray[np.float64]
PROBABILITIES = ("ctr", "cvr", "ctcvr")
MONITORS = ("auto", "cvr_auc", "log_likelihood")
ROWS_AT_ONCE = 8192
# Clicks with and without a conversion, below which their area under the curve says little of an epoch.
ENOUGH_FOR_AUC = 100


class Predicted(NamedTuple):
    """What a model says of impressions, and what came of them; all of shape (n,)."""

    clicks: NDArray[np.bool_]
    conversions: NDArray[np.bool_]
    weights: Floats
    probabilities: dict[str, Floats]


def probabilities_of(model: EntireSpaceModel, encoded: Mapping[str, Any]) -> dict[str, Floats]:
    """Return probabilities of a funnel: each in [0, 1], and ctcvr is ctr times cvr.

    A quotient of two heads that exceeds 1 is cut off there, which leaves ctcvr at ctr.

    Parameters
    ----------
    model : EntireSpaceModel
    encoded : mapping of str to ndarray with n rows

    Returns
    -------
    dict of {"ctr", "cvr", "ctcvr"} to float64 ndarray of shape (n,)
    """
    n_rows = len(next(iter(encoded.values())))
    parts = []
    for start in range(0, n_rows, ROWS_AT_ONCE):
        block = {name: column[start : start + ROWS_AT_ONCE] for name, column in encoded.items()}
        outputs = model(block, training=False)
        parts.append([keras.ops.convert_to_numpy(outputs[name]) for name in ("ctr", "cvr")])
    if not parts:
        return {name: np.zeros(0) for name in PROBABILITIES}
    ctr, cvr = (np.concatenate(columns).astype(np.float64) for columns in zip(*parts, strict=True))
    cvr = np.minimum(cvr, 1.0)
    return {"ctr": ctr, "cvr": cvr, "ctcvr": ctr * cvr}


def predict_batches(model: EntireSpaceModel, batches: keras.utils.PyDataset) -> Predicted:
    """Run through batches in their order and return what the model says, with the labels.

    Parameters
    ----------
    model : EntireSpaceModel
    batches : PyDataset
        Of ``(x, y)`` or ``(x, y, weights)``, with the labels "click" and "conversion".

    Returns
    -------
    Predicted
    """
    labels, weights, found = [], [], []
    for place in range(len(batches)):
        x, y, *weight = batches[place]
        labels.append((y["click"] == 1, y["conversion"] == 1))
        weights.append(weight[0].astype(np.float64) if weight else np.ones(len(y["click"])))
        found.append(probabilities_of(model, x))
    clicks, conversions = (np.concatenate(parts) for parts in zip(*labels, strict=True))
    together = {name: np.concatenate([part[name] for part in found]) for name in PROBABILITIES}
    return Predicted(clicks, conversions, np.concatenate(weights), together)


def validation_scores(predicted: Predicted) -> dict[str, float]:
    r"""Measure an epoch; higher is better.

    Parameters
    ----------
    predicted : Predicted

    Returns
    -------
    dict of str to float
        ``val_ctr_auc`` over all impressions, ``val_cvr_auc`` over clicked ones, and ``val_log_likelihood``,
        the mean of clicks' over all impressions plus the mean of conversions' over clicked ones.
    """
    clicks, weights, found = predicted.clicks, predicted.weights, predicted.probabilities
    inside, converted = weights[clicks], predicted.conversions[clicks]
    cvr = found["cvr"][clicks]
    classes = [False, True]
    return {
        "val_ctr_auc": float(roc_auc_score(clicks, found["ctr"], sample_weight=weights)),
        "val_cvr_auc": float(roc_auc_score(converted, cvr, sample_weight=inside)),
        "val_log_likelihood": -float(
            log_loss(clicks, found["ctr"], sample_weight=weights, labels=classes)
            + log_loss(converted, cvr, sample_weight=inside, labels=classes)
        ),
    }


def score_that_chooses(monitor: str, predicted: Predicted) -> str:
    """Return the name of the score that chooses the epoch; "auto" needs many conversions for an area."""
    if monitor == "auto":
        clicked = predicted.clicks & (predicted.weights > 0)
        n_converted = int(predicted.conversions[clicked].sum())
        enough = min(n_converted, int(clicked.sum()) - n_converted) >= ENOUGH_FOR_AUC
        monitor = "cvr_auc" if enough else "log_likelihood"
    return f"val_{monitor}"


@dataclass
class FunnelRun:
    """What came of training; `interrupted` says whether Ctrl-C ended it."""

    monitor: str | None = None
    calibration: FunnelCalibration | None = None
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False


def train_entire_space(
    model: EntireSpaceModel,
    training: Any,
    held_out: Any = None,
    *,
    learning_rate: float,
    epochs: int,
    patience: int,
    monitor: str = "auto",
    calibrate: str | None = None,
    verbose: bool = True,
) -> FunnelRun:
    """Compile and fit the model; leave it with the weights of the epoch that is best on held-out impressions.

    Parameters
    ----------
    model : EntireSpaceModel
    training, held_out : EncodedBatches or ImpressionBatches
        Without held-out impressions the last epoch counts as the best.
    learning_rate, epochs, patience, verbose
        As of :class:`~recsys_ssl.funnels.entire_space_classifier.EntireSpaceClassifier`.
    monitor : {"auto", "cvr_auc", "log_likelihood"}
    calibrate : {"logistic", "isotonic"}, optional
        By the held-out impressions.

    Returns
    -------
    FunnelRun
        Ctrl-C ends training and is reported in it, unless no epoch was finished: then KeyboardInterrupt is
        raised.
    """
    logs = keras.callbacks.History()
    callbacks: list[keras.callbacks.Callback] = [Stopwatch(), Finite()]
    best = None
    run = FunnelRun()
    if held_out is None:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: model.end_epoch()))
    else:
        measured = predict_batches(model, held_out)
        run.monitor = name = score_that_chooses(monitor, measured)
        scores = _Scores(held_out, name)
        best = BestEpoch(lambda: scores.latest[name], name=name, patience=patience)
        callbacks += [scores, best]
    bar = _ImpressionBar(len(training), training.batch_size, disable=not verbose)
    model.compile(optimizer=LazyAdam(learning_rate), jit_compile=keras.backend.backend() == "jax")
    try:
        model.fit(training, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks, logs, bar])
    except KeyboardInterrupt:
        if not logs.epoch:
            raise
        run.interrupted = True
    finally:
        bar.close()
    if best is not None:
        best.restore()
    if calibrate is not None:
        run.calibration = calibration_of(model, held_out, calibrate)
    run.best_epoch = len(logs.epoch) if best is None else best.best_epoch
    names = list(logs.history)
    run.history = [dict(zip(names, row, strict=True)) for row in zip(*logs.history.values(), strict=False)]
    return run


def calibration_of(model: EntireSpaceModel, held_out: Any, kind: str) -> FunnelCalibration:
    """Return the maps that calibrate a model by held-out impressions."""
    measured = predict_batches(model, held_out)
    return FunnelCalibration.learn(
        kind,
        measured.clicks,
        measured.conversions,
        measured.probabilities,
        sample_weight=measured.weights,
    )


class _Scores(keras.callbacks.Callback):
    """End every epoch of the model by the score of a name, then measure it and write that into the logs."""

    def __init__(self, held_out: Any, name: str) -> None:
        super().__init__()
        self.held_out, self.name = held_out, name
        self.latest: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.end_epoch(lambda: self._measured()[self.name])
        self.latest = self._measured()
        if logs is not None:
            logs.update(self.latest)

    def _measured(self) -> dict[str, float]:
        return validation_scores(predict_batches(self.model, self.held_out))


class _ImpressionBar(keras.callbacks.Callback):
    """One bar over all epochs: loss, scores and impressions a second, which grow while an epoch runs."""

    def __init__(self, n_batches: int, batch_size: int, *, disable: bool) -> None:
        super().__init__()
        self.n_batches, self.batch_size, self.disable = n_batches, batch_size, disable
        self.bar: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        total = self.params["epochs"] * self.n_batches * self.batch_size
        self.bar = tqdm(total=total, desc="fit", unit=" impressions", unit_scale=True, disable=self.disable)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.bar.update(self.batch_size)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = {name: f"{value:.4g}" for name, value in (logs or {}).items()}
        self.bar.set_postfix({"epoch": epoch + 1, **shown}, refresh=False)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
