"""Pictures of clothes, half of the labels wrong: networks that memorise them, and two that do not.

Trains by cross-entropy, and with compression and co-teaching, on Fashion-MNIST where it is at hand (or may be
downloaded), otherwise on the digits of scikit-learn; draws how many wrong labels are learned by heart:

    python examples/noisy_images.py                  # some minutes
    python examples/noisy_images.py --fast           # seconds, on the digits
    python examples/noisy_images.py --pictures docs  # noisy_images_memorisation.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.paired_training import predict_in_blocks
from sparse_data.datasets.download import DownloadError
from sparse_data.datasets.fashion_mnist import fetch_fashion_mnist

RATE, ROWS = 0.5, 10_000


def load(fast: bool) -> tuple[str, Any, Any, Any, Any]:
    """Return pictures for training and for the test."""
    if not fast:
        try:
            images = fetch_fashion_mnist("small")
            X, X_test = (
                (part[..., None] / 255).astype("float32") for part in (images.X_train, images.X_test)
            )
            return "Fashion-MNIST", X[:ROWS], images.y_train[:ROWS], X_test, images.y_test
        except DownloadError as error:
            print(f"Fashion-MNIST is not at hand: {error}")
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32").reshape(-1, 8, 8, 1)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    return "digits", X, y, X_test, y_test


def small_network(shape: tuple[int, ...]) -> keras.Model:
    """Return a network from pictures to 128 features."""
    coarse = keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="relu")
    fine = keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")
    features = keras.layers.Dense(128, activation="relu")
    return keras.Sequential([keras.Input(shape), coarse, fine, keras.layers.Flatten(), features])


class Memorised(keras.callbacks.Callback):
    """After every epoch: the share of wrong training labels that are predicted, and the test accuracy."""

    def __init__(self, wrong: tuple[Any, Any], test: tuple[Any, Any]) -> None:
        super().__init__()
        self.rows = {"wrong": wrong, "test": test}
        self.found: dict[str, list[float]] = {"wrong": [], "test": []}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predict both."""
        for name, (x, y) in self.rows.items():
            predicted = predict_in_blocks(self.model, x)[0].argmax(axis=1)
            self.found[name].append(float(np.mean(predicted == y)))


def draw(curves: dict[str, Memorised], folder: Path) -> None:
    """Draw both curves of each method."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    titles = {"wrong": "wrong training labels that are predicted", "test": "accuracy on the clean test"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for method, curve in curves.items():
            axes.plot(np.arange(1, len(curve.found[name]) + 1), curve.found[name], label=method)
        axes.set(xlabel="epoch", title=title, ylim=(0, 1))
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "noisy_images_memorisation.png", dpi=110)


def main() -> None:
    """Train three ways, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="the digits, few epochs")
    parser.add_argument("--pictures", type=Path, help="folder for the picture")
    options = parser.parse_args()
    name, X, clean, X_test, y_test = load(options.fast)
    noisy = corrupt_labels(clean, RATE, random_state=0)
    wrong, epochs = noisy != clean, 20 if options.fast else 30
    print(f"{name}: {len(X)} rows, {wrong.mean():.1%} of the labels wrong")

    # Without compression and with nothing to forget, the same class is two networks of cross-entropy.
    methods = {
        "cross-entropy": {"compression": None, "noise_rate": 0.0, "exchange": "batch"},
        "dropout + co-teaching": {"compression": 0.5, "noise_rate": RATE},
        "nested dropout + co-teaching": {"compression": NestedDropout(20.0), "noise_rate": RATE},
    }
    curves = {}
    for method, settings in methods.items():
        curves[method] = Memorised((X[wrong], noisy[wrong]), (X_test, y_test))
        settings |= {"epochs": epochs // 5, "exchange_epochs": epochs - epochs // 5, "n_gradual": epochs // 5}
        settings |= {"batch_size": 64, "random_state": 0, "verbose": False}
        model = CoTeachingClassifier(small_network, **settings)
        model.fit(X, noisy, callbacks=[curves[method]])
        found = curves[method].found
        kept, last, wrongly = model.score(X_test, y_test), found["test"][-1], found["wrong"][-1]
        print(f"{method:30} test {kept:.3f} (last epoch {last:.3f}), wrong labels learned {wrongly:.1%}")
        if model.path_ is not None:
            print(f"{'':30} {model.path_}")
    if options.pictures is not None:
        draw(curves, options.pictures)


if __name__ == "__main__":
    main()
