"""Fashion-MNIST with corrupted labels: cross-entropy beside compression and co-teaching, clean test accuracy.

A small convolutional network; a tenth of the training rows, as noisy as the others, chooses epochs and the
number of features.  Co-teaching is told the rate of the noise.  "last" is the last epoch of cross-entropy,
"best" the one that the noisy validation chooses.

    KERAS_BACKEND=jax python benchmarks/bench_noisy_fashion.py
    python benchmarks/bench_noisy_fashion.py --summary
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import keras
import numpy as np
from results_file import ResultsFile, circumstances

from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.labelled_rows import held_out_rows
from noisy_labels.two_networks.paired_training import falling_rates, predict_in_blocks
from noisy_labels.two_networks.row_batches import RowBatches
from sparse_data.datasets.fashion_mnist import fetch_fashion_mnist

CELLS = (("symmetric", 0.5), ("symmetric", 0.2), ("symmetric", 0.8), ("pair", 0.4))
ENGINES = ("ce", "dropout_co_teaching", "nested_co_teaching")
KEY = ("version", "noise", "rate", "engine", "seed", "epochs")
BATCH_SIZE, LEARNING_RATE, DROPOUT, SIGMA = 128, 0.05, 0.5, 20.0


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


def train_ce(X: Any, y: Any, X_test: Any, y_test: Any, seed: int, epochs: int) -> dict[str, float]:
    """Train one network by cross-entropy."""
    keras.utils.set_random_seed(seed)
    held_out = held_out_rows(y, 0.1, seed)
    model = keras.Sequential([small_network(X.shape[1:]), keras.layers.Dense(10, use_bias=False)])
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=0.9, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
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
    engine: str, rate: float, X: Any, y: Any, X_test: Any, y_test: Any, seed: int, epochs: int
) -> dict[str, float]:
    """Train two compressed networks, as many epochs in all; `best` is what the classifier keeps."""
    curve = Curve(test=(X_test, y_test))
    alone = max(epochs // 5, 1)
    model = CoTeachingClassifier(
        small_network,
        compression=NestedDropout(SIGMA) if engine.startswith("nested") else DROPOUT,
        noise_rate=rate,
        epochs=alone,
        exchange_epochs=epochs - alone,
        n_gradual=alone,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        exchange_learning_rate=LEARNING_RATE,
        random_state=seed,
        verbose=False,
    ).fit(X, y, callbacks=[curve])
    size = 128 if model.path_ is None else model.path_.size
    return {"last": curve.found["test"][-1], "best": float(model.score(X_test, y_test)), "size": size}


def summary(results: ResultsFile) -> str:
    """Return mean and spread over seeds as a Markdown table."""
    columns = [("ce", "last"), ("ce", "best"), (ENGINES[1], "best"), (ENGINES[2], "best")]
    names = [f"{engine} {field}" for engine, field in columns]
    lines = ["| noise | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(columns)]
    for noise, rate in CELLS:
        cells = [
            results.mean_and_spread(field, noise=noise, rate=rate, engine=engine) for engine, field in columns
        ]
        lines.append(f"| {noise} {rate} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="small", choices=["small", "full"], help="20,000 or 60,000 rows")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--summary", action="store_true", help="print the table of what was measured")
    options = parser.parse_args()
    results = ResultsFile("noisy_fashion", key=KEY)
    if options.summary:
        print(summary(results))
        return
    images = fetch_fashion_mnist(options.version)
    X, X_test = ((part[..., None] / 255).astype("float32") for part in (images.X_train, images.X_test))
    for seed in range(options.seeds):
        for noise, rate in CELLS:
            noisy = corrupt_labels(images.y_train, rate, noise, random_state=seed)
            for engine in ENGINES:
                run = {
                    "version": options.version,
                    "noise": noise,
                    "rate": rate,
                    "engine": engine,
                    "seed": seed,
                    "epochs": options.epochs,
                }
                if results.holds(run):
                    continue
                start = time.perf_counter()
                data = (X, noisy, X_test, images.y_test, seed, options.epochs)
                found = train_ce(*data) if engine == "ce" else train_pair(engine, rate, *data)
                measured = {**found, "seconds": time.perf_counter() - start}
                versions = {"backend": keras.backend.backend(), **circumstances("numpy", "keras")}
                results.append({**run, **measured, **versions})
                print({**run, **measured}, flush=True)


if __name__ == "__main__":
    main()
