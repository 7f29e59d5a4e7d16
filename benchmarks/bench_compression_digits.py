"""Digits with corrupted labels: compression and co-teaching of a small network, clean test accuracy.

1,797 digits, pixels in [0, 1], a stratified quarter for the test, noise on the training labels only; 5 seeds
draw split, noise and networks anew.  One layer of 256 units, 120 epochs of SGD from .05 to .005, batches of
64, decay 5e-4.  Co-teaching is told the rate of the noise.  All keep the last epoch.  Only nested dropout
alone holds rows out: a tenth of the noisy training rows chooses its number of features; with co-teaching it
takes those of 95 % of its draws.  "ce_best" is the best epoch by the test, as a bound.

    KERAS_BACKEND=jax python benchmarks/bench_compression_digits.py
    python benchmarks/bench_compression_digits.py --summary
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import keras
import numpy as np
from results_file import ResultsFile, circumstances
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisy_labels.compression.compression_dropout import CompressionDropout
from noisy_labels.compression.compression_path import accuracy_of_every_size, choose_size
from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.labelled_rows import held_out_rows
from noisy_labels.two_networks.paired_training import falling_rates
from noisy_labels.two_networks.row_batches import RowBatches

CELLS = (("symmetric", 0.2), ("symmetric", 0.4), ("symmetric", 0.6), ("pair", 0.2), ("pair", 0.4))
SINGLE = ("ce", "dropout", "nested")
PAIRED = ("co_teaching", "dropout_co_teaching", "nested_co_teaching")
SIGMA, RATE = 20.0, 0.5
EPOCHS, BATCH_SIZE, LEARNING_RATE, DECAY = 120, 64, 0.05, 5e-4
# Epochs of the first stage of co-teaching (the rest are its second), and those in which forgetting grows.
# Nested dropout learns more slowly: on seeds 100 to 102, 40 were better than 10.
ALONE = GRADUAL = 10
GRADUAL_NESTED = 40
KEY = ("noise", "rate", "engine", "seed")


class TestAccuracy(keras.callbacks.Callback):
    """The test accuracy after every epoch."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.found: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        predicted = np.asarray(self.model.predict_on_batch(self.x)).argmax(axis=1)
        self.found.append(float(np.mean(predicted == self.y)))


def train_single(engine: str, X: Any, y: Any, X_test: Any, y_test: Any, seed: int) -> dict[str, float]:
    """Train one network for all epochs; nested dropout chooses its size on held-out noisy labels."""
    held_out = held_out_rows(y, 0.1, seed) if engine == "nested" else np.zeros(len(y), dtype=bool)
    hidden = keras.layers.Dense(
        256, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed)
    )
    head = keras.layers.Dense(
        10, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed + 1)
    )
    layer = {"dropout": CompressionDropout(RATE, seed=seed), "nested": NestedDropout(SIGMA, seed=seed)}
    parts = [keras.Input(X.shape[1:]), hidden, *([layer[engine]] if engine in layer else []), head]
    model = keras.Sequential(parts)
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=0.9, weight_decay=DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    batches = RowBatches(X[~held_out], y[~held_out], batch_size=BATCH_SIZE, seed=seed)
    rates = falling_rates(EPOCHS, LEARNING_RATE)
    tests = TestAccuracy(X_test, y_test)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: float(rates[epoch]))
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[schedule, tests])
    if engine != "nested":
        return {"accuracy": tests.found[-1], "best_epoch_accuracy": max(tests.found), "size": 256}
    z = [np.maximum(rows @ hidden.get_weights()[0] + hidden.get_weights()[1], 0) for rows in (X, X_test)]
    kernel = head.get_weights()[0]
    size = choose_size(accuracy_of_every_size([z[0][held_out]], [kernel], y[held_out]))
    accuracy = float(np.mean((z[1][:, :size] @ kernel[:size]).argmax(axis=1) == y_test))
    return {"accuracy": accuracy, "best_epoch_accuracy": max(tests.found), "size": size}


def train_pair(
    engine: str, rate: float, X: Any, y: Any, X_test: Any, y_test: Any, seed: int
) -> dict[str, float]:
    """Train two networks for as many epochs in all."""
    compression = {
        "co_teaching": None,
        "dropout_co_teaching": RATE,
        "nested_co_teaching": NestedDropout(SIGMA),
    }
    tests = TestAccuracy(X_test, y_test)
    model = CoTeachingClassifier(
        compression=compression[engine],
        noise_rate=rate,
        epochs=ALONE,
        exchange_epochs=EPOCHS - ALONE,
        n_gradual=GRADUAL_NESTED if engine.startswith("nested") else GRADUAL,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        exchange_learning_rate=LEARNING_RATE,
        weight_decay=DECAY,
        validation_fraction=0.0,
        random_state=seed,
        verbose=False,
    ).fit(X, y, callbacks=[tests])
    nested = model.networks_.nested
    size = 256 if nested is None else int(nested.k)
    accuracy = float(model.score(X_test, y_test))
    return {"accuracy": accuracy, "best_epoch_accuracy": max(tests.found), "size": size}


def summary(results: ResultsFile) -> str:
    """Return mean and spread over seeds as a Markdown table."""
    columns = ["ce", "ce_best", *SINGLE[1:], *PAIRED]
    lines = ["| noise | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for noise, rate in CELLS:
        cells = []
        for column in columns:
            name, field = ("ce", "best_epoch_accuracy") if column == "ce_best" else (column, "accuracy")
            cells.append(results.mean_and_spread(field, noise=noise, rate=rate, engine=name))
        lines.append(f"| {noise} {rate} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", nargs="+", default=[*SINGLE, *PAIRED], choices=[*SINGLE, *PAIRED])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--summary", action="store_true", help="print the table of what was measured")
    options = parser.parse_args()
    results = ResultsFile("compression_digits", key=KEY)
    if options.summary:
        print(summary(results))
        return
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32")
    for seed in range(options.seeds):
        X_train, X_test, clean, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
        for noise, rate in CELLS:
            noisy = corrupt_labels(clean, rate, noise, random_state=seed)
            for engine in options.engine:
                run = {"noise": noise, "rate": rate, "engine": engine, "seed": seed}
                if results.holds(run):
                    continue
                start = time.perf_counter()
                data = (X_train, noisy, X_test, y_test, seed)
                found = train_single(engine, *data) if engine in SINGLE else train_pair(engine, rate, *data)
                measured = {**found, "seconds": time.perf_counter() - start}
                versions = {"backend": keras.backend.backend(), **circumstances("numpy", "keras")}
                results.append({**run, **measured, **versions})
                print({**run, **measured}, flush=True)


if __name__ == "__main__":
    main()
