"""One protocol for models of a funnel: the same network, batches, budget and early stopping for every method.

A run trains at most `EPOCHS` epochs and keeps the weights of its best epoch, by the AUC of pCVR among the
clicked impressions of the validation part: what can be known without planted answers. What a class does at
the end of an epoch (`end_epoch`) precedes that score. Settings are tuned by the same number, six of them a
method, by the first seed.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import ResultsFile
from sklearn.metrics import log_loss, roc_auc_score

DIM, HIDDEN, BATCH, EPOCHS, PATIENCE = 16, (64, 32), 2048, 10, 1
LEARNING_RATES = (0.002, 0.005, 0.01)
PREDICTED_AT_ONCE = 1 << 15
CLICK_SETTING = {"learning_rate": 0.002}
# Runs that differ by learning rate and seed alone are one program: it is compiled once.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "funnel-benchmark-programs"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}
SMALLEST_PROPENSITY = 0.001
PACKAGE = "recsys_ssl.entire_space"


@dataclass(frozen=True)
class Method:
    """A class, what it is always given, and two values of its own parameter, of l2 where it has none."""

    place: str
    fixed: Mapping[str, Any]
    own: str = "l2"
    values: tuple[float, float] = (0.0, 0.003)

    def settings(self) -> list[dict[str, float]]:
        """Return the six settings that are tried: three learning rates, two of the own parameter."""
        pairs = itertools.product(LEARNING_RATES, self.values)
        return [{"learning_rate": rate, self.own: value} for rate, value in pairs]


SHARED = {"shared_tables": True}
CLIPPED = ("min_propensity", (0.05, 0.01))
WEIGHTED = ("cvr_weight", (0.1, 1.0))
METHODS = {
    "BASE": Method("clicked_only.ClickedOnly", {}),
    "SHARED": Method("clicked_only.ClickedOnly", SHARED),
    "AMAN": Method("aman.AMAN", {}, "rate", (0.1, 0.5)),
    "OVERSAMPLING": Method("oversampling.Oversampling", {}, "copies", (2, 5)),
    "UNBIAS": Method("unbias.Unbias", {}, *CLIPPED),
    "DIVISION": Method("division.Division", {}),
    "ESMM-NS": Method("esmm.ESMM", {"shared_tables": False}),
    "ESMM": Method("esmm.ESMM", {}),
    "AveragedESMM": Method("averaged_esmm.AveragedESMM", {}),
    "ESMM+MMoE": Method("esmm.ESMM", {"bottom": "mmoe.MMoE"}),
    "ESMM+PLE": Method("esmm.ESMM", {"bottom": "ple.PLE"}),
    "AITM": Method("end_to_end.EndToEnd", {"bottom": "aitm.AITM"}),
    "SHARED+SNIPS": Method("unbias.Unbias", SHARED, *CLIPPED),
    "ESCM2-IPS": Method("escm2.ESCM2", {"estimator": "ips"}, *WEIGHTED),
    "ESCM2-SNIPS": Method("escm2.ESCM2", {"estimator": "snips"}, *WEIGHTED),
    "ESCM2-DR": Method("escm2.ESCM2", {"estimator": "dr"}, *WEIGHTED),
    "DCMT": Method("dcmt.DCMT", {}, "counterfactual_weight", (0.001, 0.1)),
    "NISE": Method("nise.NISE", {}, "alpha", (0.1, 1.0)),
}


@dataclass(frozen=True)
class FunnelTask:
    """Encoded impressions, their labels, and the rows that train, validate and test."""

    x: Mapping[str, NDArray[Any]]
    clicks: NDArray[np.float32]
    conversions: NDArray[np.float32]
    specification: list[dict[str, Any]]
    train: Any
    validation: Any
    test: Any
    batch_size: int = BATCH
    epochs: int = EPOCHS

    def part(self, rows: Any) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float32]]]:
        """Return inputs and labels of some rows."""
        return (
            {name: values[rows] for name, values in self.x.items()},
            {"click": self.clicks[rows], "conversion": self.conversions[rows]},
        )


def build(task: FunnelTask, method: Method, setting: Mapping[str, Any], seed: int) -> Any:
    """Return the compiled model of a method; a bottom takes the place of the first hidden layer."""
    from recsys_ssl import LazyAdam

    arguments = {**method.fixed, **setting}
    learning_rate = arguments.pop("learning_rate")
    hidden = HIDDEN
    if "bottom" in arguments:
        bottom = functools.partial(_named(arguments["bottom"]), units=HIDDEN[:1], seed=seed)
        arguments["bottom"], hidden = bottom, HIDDEN[1:]
    model = _named(method.place)(task.specification, dim=DIM, hidden_units=hidden, seed=seed, **arguments)
    model.compile(optimizer=LazyAdam(learning_rate))
    return model


def train(
    task: FunnelTask,
    method: Method,
    setting: Mapping[str, Any],
    *,
    seed: int,
    by_clicks: bool = False,
) -> dict[str, Any]:
    """Train, and return the model at its best epoch with what it scored there.

    With `by_clicks` the best epoch is that of the cross entropy of clicks: so the pCTR is trained with which
    all models of pCVR are multiplied alike.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = build(task, method, setting, seed)
    inputs, labels = task.part(task.train)
    start = time.perf_counter()
    best: tuple[float, int, Any] = (-np.inf, 0, None)
    for epoch in range(1, task.epochs + 1):
        model.fit(inputs, labels, batch_size=task.batch_size, epochs=1, verbose=0)
        model.end_epoch(lambda: validation_score(task, predict(model, task, task.validation)["cvr"]))
        found = predict(model, task, task.validation)
        if by_clicks:
            score = -float(log_loss(task.clicks[task.validation], found["ctr"]))
        else:
            score = validation_score(task, found["cvr"])
        if score > best[0]:
            best = (score, epoch, model.get_weights())
        elif epoch - best[1] > PATIENCE:
            break
    model.set_weights(best[2])
    seconds = time.perf_counter() - start
    return {"model": model, "score": best[0], "epochs": best[1], "seconds": seconds}


def tuned(
    task: FunnelTask,
    name: str,
    *,
    about: Mapping[str, Any],
    where: Mapping[str, Any],
    file: ResultsFile,
    fast: bool,
) -> str:
    """Return the setting of the best validation score, as JSON; what is not in the file yet is tried."""
    scores = {}
    for setting in METHODS[name].settings()[: 1 if fast else None]:
        tried = {**where, "method": name, "setting": json.dumps(setting)}
        if not file.holds(tried):
            run = train(task, METHODS[name], setting, seed=0)
            file.append({**tried, **{field: run[field] for field in ("score", "epochs", "seconds")}, **about})
    for row in file.rows():
        if all(row[key] == f"{value}" for key, value in {**where, "method": name}.items()):
            scores[row["setting"]] = float(row["score"])
    return max(scores, key=lambda setting: scores[setting])


def independent_ctr(task: FunnelTask, seed: int) -> NDArray[np.float64]:
    """Return pCTR of all impressions by a network that learns nothing but clicks, BASE's."""
    run = train(task, METHODS["BASE"], CLICK_SETTING, seed=seed, by_clicks=True)
    return predict(run["model"], task, slice(None))["ctr"]


def predict(model: Any, task: FunnelTask, rows: Any) -> dict[str, NDArray[np.float64]]:
    """Return probabilities by name; a quotient that exceeds 1 counts as 1."""
    found = model.predict(task.part(rows)[0], batch_size=PREDICTED_AT_ONCE, verbose=0)
    return {name: np.clip(values.astype(np.float64), 0, 1) for name, values in found.items()}


def estimated_means(cvr: Any, task: FunnelTask, ctr: Any) -> dict[str, float]:
    """Return what can be estimated of the mean of pCVR over all impressions, given `cvr` on validation."""

    def by_propensity(rows: Any, values: Any) -> float:
        weights = task.clicks[rows] / np.maximum(ctr[rows], SMALLEST_PROPENSITY)
        return float(np.average(values, weights=weights))

    residual = task.conversions[task.validation] - cvr
    return {
        "levelled": by_propensity(task.train, task.conversions[task.train]),
        "robust": float(cvr.mean()) + by_propensity(task.validation, residual),
    }


def shifted(probabilities: Any, cvr: Any, mean: float) -> Any:
    """Shift the logits of `probabilities` by what those of `cvr` lack to the mean."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    logits, wanted = (logit(np.clip(values, 1e-7, 1 - 1e-7)) for values in (cvr, probabilities))
    mean = min(max(mean, 1e-4), 1 - 1e-4)  # with few clicks the robust estimate may be no probability
    shift = brentq(lambda by: float(expit(logits + by).mean()) - mean, -30, 30)
    return expit(wanted + shift)


def values_of(table: Any) -> dict[str, float]:
    """Return the metrics of `evaluate_funnel` that are kept, by short names."""
    found = {
        (row.prediction, row.label, row.population, row.metric): float(row.value)
        for row in table.itertuples(index=False)
    }
    shared = "shared_ctr * cvr"
    names = {
        "clicked_auc": ("cvr", "conversions", "clicked", "auc"),
        "ctr_auc": ("ctr", "clicks", "all", "auc"),
        "ctcvr_auc": ("ctcvr", "conversions", "all", "auc"),
        "shared_ctcvr_auc": (shared, "conversions", "all", "auc"),
        "entire_auc": ("cvr", "potential_conversions", "all", "auc"),
        "entire_log_loss": ("cvr", "potential_conversions", "all", "log_loss"),
        "mean_ratio": ("cvr", "potential_conversions", "all", "mean_ratio"),
        "log_bias": ("cvr", "potential_conversions", "all", "log_bias"),
    }
    return {name: found[place] for name, place in names.items() if place in found}


def validation_score(task: FunnelTask, cvr: NDArray[np.float64]) -> float:
    """Return the AUC of pCVR among the clicks of the validation part."""
    clicked = task.clicks[task.validation] > 0
    return float(roc_auc_score(task.conversions[task.validation][clicked], cvr[clicked]))


def _named(place: str) -> Any:
    module, _, name = place.partition(".")
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
