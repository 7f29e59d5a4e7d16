"""Fashion-MNIST with corrupted labels: losses of one network beside pairs of networks, clean test accuracy.

A small convolutional network; a tenth of the training rows, as noisy as the others, chooses epochs and the
number of features.  Pairs are told the rate of the noise; a fifth of the epochs each network learns alone,
then what is forgotten grows over `--gradual` epochs.  "last" is the last epoch, "best" the one that the noisy
validation chooses.

    KERAS_BACKEND=jax python benchmarks/bench_noisy_fashion.py
    KERAS_BACKEND=jax python benchmarks/bench_noisy_fashion.py --engine co_teaching jocor gce sce --seeds 0
    python benchmarks/bench_noisy_fashion.py --summary
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import keras
import numpy as np
from results_file import ResultsFile, circumstances

from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.robust_losses.bootstrap_loss import HardBootstrap
from noisy_labels.robust_losses.generalized_cross_entropy import GeneralizedCrossEntropy
from noisy_labels.robust_losses.symmetric_cross_entropy import SymmetricCrossEntropy
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.jocor import JoCoR
from noisy_labels.two_networks.labelled_rows import held_out_rows
from noisy_labels.two_networks.paired_training import falling_rates, predict_in_blocks
from noisy_labels.two_networks.row_batches import RowBatches
from sparse_data.datasets.fashion_mnist import fetch_fashion_mnist

CELLS = (("symmetric", 0.5), ("symmetric", 0.2), ("symmetric", 0.8), ("pair", 0.4))
BATCH_SIZE, LEARNING_RATE, DROPOUT, SIGMA = 128, 0.05, 0.5, 20.0
LOSSES: dict[str, Any] = {
    "ce": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "gce": lambda: GeneralizedCrossEntropy(from_logits=True),
    "sce": lambda: SymmetricCrossEntropy(from_logits=True),
    "bootstrap": lambda: HardBootstrap(from_logits=True),
}
PAIRS: dict[str, dict[str, Any]] = {
    "dropout_co_teaching": {"compression": DROPOUT},
    "nested_co_teaching": {"compression": NestedDropout(SIGMA)},
    "co_teaching": {"compression": None, "exchange": "batch"},
    "co_teaching_plus": {"compression": None, "exchange": CoTeachingPlus()},
    "jocor": {"compression": None, "exchange": JoCoR(0.9)},
}
ENGINES = ("ce", "dropout_co_teaching", "nested_co_teaching")
KEY = ("version", "noise", "rate", "engine", "seed", "epochs", "gradual")


def small_network(shape: tuple[int, ...]) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
        ]
    )


class Curve(keras.callbacks.Callback):
    """Accuracy on given rows after every epoch."""

    def __init__(self, **rows: tuple[Any, Any]) -> None:
        super().__init__()
        self.rows = rows
        self.found: dict[str, list[float]] = {name: [] for name in rows}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, (x, y) in self.rows.items():
            predicted = predict_in_blocks(self.model, x)[0].argmax(axis=1)
            self.found[name].append(float(np.mean(predicted == y)))


def train_one(
    engine: str, X: Any, y: Any, X_test: Any, y_test: Any, seed: int, epochs: int
) -> dict[str, float]:
    """Train one network by a loss."""
    keras.utils.set_random_seed(seed)
    held_out = held_out_rows(y, 0.1, seed)
    model = keras.Sequential([small_network(X.shape[1:]), keras.layers.Dense(10, use_bias=False)])
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=0.9, weight_decay=5e-4),
        LOSSES[engine](),
    )
    rates = falling_rates(epochs, LEARNING_RATE)
    curve = Curve(validation=(X[held_out], y[held_out]), test=(X_test, y_test))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: float(rates[epoch]))
    batches = RowBatches(X[~held_out], y[~held_out], batch_size=BATCH_SIZE, seed=seed)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[schedule, curve])
    tests = curve.found["test"]
    best = tests[int(np.argmax(curve.found["validation"]))]
    return {"last": tests[-1], "best": best, "size": 128}


def train_pair(
    engine: str,
    rate: float,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    seed: int,
    *,
    epochs: int,
    gradual: int,
) -> dict[str, float]:
    """Train two networks, as many epochs in all; `best` is what the classifier keeps."""
    curve = Curve(test=(X_test, y_test))
    alone = max(epochs // 5, 1)
    model = CoTeachingClassifier(
        small_network,
        **PAIRS[engine],
        noise_rate=rate,
        epochs=alone,
        exchange_epochs=epochs - alone,
        n_gradual=gradual,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        exchange_learning_rate=LEARNING_RATE,
        random_state=seed,
        verbose=False,
    ).fit(X, y, callbacks=[curve])
    size = 128 if model.path_ is None else model.path_.size
    return {"last": curve.found["test"][-1], "best": float(model.score(X_test, y_test)), "size": size}


def summary(results: ResultsFile) -> str:
    """Return mean and spread over seeds as Markdown tables, of the last epoch and of the chosen one."""
    kinds = sorted({(int(row["gradual"]), row["engine"]) for row in results.rows()})
    kinds.sort(key=lambda kind: [*LOSSES, *PAIRS].index(kind[1]))
    lines = ["| | " + " | ".join(f"{noise} {rate}" for noise, rate in CELLS) + " |", "|---" * 5 + "|"]
    for gradual, engine in kinds:
        for field in ("last", "best"):
            cells = [
                results.mean_and_spread(field, noise=noise, rate=rate, engine=engine, gradual=gradual)
                for noise, rate in CELLS
            ]
            growing = f", over {gradual} epochs" if engine in PAIRS else ""
            lines.append(f"| {engine}{growing}, {field} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="small", choices=["small", "full"], help="20,000 or 60,000 rows")
    parser.add_argument("--engine", nargs="+", default=ENGINES, choices=[*LOSSES, *PAIRS])
    parser.add_argument("--rates", nargs="+", type=float, default=[rate for _, rate in CELLS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--gradual", type=int, default=6, help="epochs over which forgetting grows")
    parser.add_argument("--summary", action="store_true", help="print the table of what was measured")
    return parser.parse_args()


def main() -> None:
    options = options_given()
    results = ResultsFile("noisy_fashion", key=KEY)
    if options.summary:
        print(summary(results))
        return
    images = fetch_fashion_mnist(options.version)
    X, X_test = ((part[..., None] / 255).astype("float32") for part in (images.X_train, images.X_test))
    cells = [cell for cell in CELLS if cell[1] in options.rates]
    for seed, (noise, rate), engine in itertools.product(options.seeds, cells, options.engine):
        run = {
            "version": options.version,
            "noise": noise,
            "rate": rate,
            "engine": engine,
            "seed": seed,
            "epochs": options.epochs,
            "gradual": options.gradual if engine in PAIRS else 0,
        }
        if results.holds(run):
            continue
        noisy = corrupt_labels(images.y_train, rate, noise, random_state=seed)
        start = time.perf_counter()
        data = (X, noisy, X_test, images.y_test, seed)
        if engine in LOSSES:
            found = train_one(engine, *data, options.epochs)
        else:
            found = train_pair(engine, rate, *data, epochs=options.epochs, gradual=options.gradual)
        measured = {**found, "seconds": time.perf_counter() - start}
        versions = {"backend": keras.backend.backend(), **circumstances("numpy", "keras")}
        results.append({**run, **measured, **versions})
        print({**run, **measured}, flush=True)


if __name__ == "__main__":
    main()
