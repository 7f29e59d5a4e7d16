"""What an epoch of two networks costs beside plain training of one: the same rows and network.

One network is trained by ``model.fit(X, y, validation_data=...)`` of Keras, the pair by
`CoTeachingClassifier` with its defaults but for what is named; both look at the held-out tenth after every
epoch. Every contender of a round is a process of its own; contenders take turns, round by round. A figure is
the median over epochs from the third of its stage on, so that compiling is not in it.

    python benchmarks/bench_pair_epoch.py
    python benchmarks/bench_pair_epoch.py --backend tensorflow --rounds 5
    python benchmarks/bench_pair_epoch.py --summary
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import Any

import numpy as np
import own_process
from results_file import ResultsFile, circumstances

KEY = ("data", "backend", "contender", "round")
EPOCHS = {"digits": 20, "fashion": 6}
BATCH_SIZE = 128
PAIRS: dict[str, dict[str, Any]] = {
    "dropout, halves": {"compression": 0.5, "exchange": "halves"},
    "nested, halves": {"compression": "nested", "exchange": "halves"},
    "dropout, batch": {"compression": 0.5, "exchange": "batch"},
}


def rows_of(data: str) -> tuple[Any, Any]:
    from sparse_data.datasets.fashion_mnist import fetch_fashion_mnist

    if data == "fashion":
        images = fetch_fashion_mnist("small")
        return (images.X_train[..., None] / 255).astype("float32"), images.y_train
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype("float32"), y


def features(shape: tuple[int, ...]) -> Any:
    """Return the network below the last layer: convolutions of pictures, else one hidden layer."""
    import keras

    layers = keras.layers
    if len(shape) == 1:
        return keras.Sequential([keras.Input(shape), layers.Dense(256, activation="relu")])
    convolutions = [
        layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
    ]
    dense = [layers.Flatten(), layers.Dense(128, activation="relu")]
    return keras.Sequential([keras.Input(shape), *convolutions, *dense])


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train and return seconds of an epoch; in the process of the contender."""
    import keras

    from noisy_labels.compression.nested_dropout import NestedDropout
    from noisy_labels.transitions.noise import corrupt_labels
    from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
    from noisy_labels.two_networks.labelled_rows import held_out_rows

    stages: list[list[tuple[float, float]]] = []

    class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            stages.append([])

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            stages[-1].append((time.process_time(), time.perf_counter()))

    X, y = rows_of(options["data"])
    y = corrupt_labels(y, 0.4, "symmetric", random_state=options["round"])
    epochs, watch = EPOCHS[options["data"]], Stopwatch()
    if options["contender"] == "one network":
        held_out = held_out_rows(y, 0.1, options["round"])
        model = keras.Sequential([features(X.shape[1:]), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        sgd = keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=5e-4)
        model.compile(sgd, loss, metrics=["accuracy"])
        validation = (X[held_out], y[held_out])
        settings = {"batch_size": BATCH_SIZE, "epochs": epochs, "verbose": 0, "callbacks": [watch]}
        model.fit(X[~held_out], y[~held_out], validation_data=validation, **settings)
        return _medians("epoch", stages[0])
    settings = dict(PAIRS[options["contender"]])
    if settings["compression"] == "nested":
        settings["compression"] = NestedDropout(20.0)
    settings |= {"epochs": epochs, "exchange_epochs": epochs, "batch_size": BATCH_SIZE, "verbose": False}
    pair = CoTeachingClassifier(features, noise_rate=0.4, random_state=options["round"], **settings)
    pair.fit(X, y, callbacks=[watch])
    return {**_medians("alone", stages[0]), **_medians("epoch", stages[1])}


def _medians(name: str, ends: list[tuple[float, float]]) -> dict[str, float]:
    cpu, clock = np.diff(np.array(ends), axis=0)[1:].T
    return {f"{name}_cpu_seconds": float(np.median(cpu)), f"{name}_seconds": float(np.median(clock))}


def summary(file: ResultsFile) -> None:
    """Print the medians over rounds of what an epoch takes of one of the single network in the same round."""
    print("| data, backend, pair | rounds | first stage, CPU | by the clock | exchange, CPU | by the clock |")
    print("|---|---|---|---|---|---|")
    single = {
        tuple(row[name] for name in ("data", "backend", "round")): row
        for row in file.rows()
        if row["contender"] == "one network"
    }
    cells: dict[tuple[str, ...], list[list[float]]] = {}
    for row in file.rows():
        base = single.get(tuple(row[name] for name in ("data", "backend", "round")))
        if base is None or row["contender"] == "one network":
            continue
        ratios = [
            float(row[f"{stage}_{kind}"]) / float(base[f"epoch_{kind}"])
            for stage, kind in itertools.product(("alone", "epoch"), ("cpu_seconds", "seconds"))
        ]
        cells.setdefault(tuple(row[name] for name in ("data", "backend", "contender")), []).append(ratios)
    for place, ratios in cells.items():
        shown = " | ".join(f"{statistics.median(column):.2f}" for column in zip(*ratios, strict=True))
        print(f"| {', '.join(place)} | {len(ratios)} | {shown} |")


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=list(EPOCHS), default=list(EPOCHS))
    parser.add_argument("--backend", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    file = ResultsFile("pair_epoch", KEY)
    runs = itertools.product(range(options.rounds), options.data, options.backend, ["one network", *PAIRS])
    for number, data, backend, contender in () if options.summary else runs:
        run = {"data": data, "backend": backend, "contender": contender, "round": number}
        if not file.holds(run):
            measured = own_process.measure(run, {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"})
            nothing = {f"alone_{kind}": float("nan") for kind in ("cpu_seconds", "seconds")}
            file.append({**run, **nothing, **measured, **circumstances("numpy", "keras")})
            print(run, {name: round(value, 3) for name, value in measured.items()}, flush=True)
    summary(file)


if __name__ == "__main__":
    main()
