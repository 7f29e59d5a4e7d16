"""Digits with corrupted labels: clean test accuracy of a small network under every robust loss.

1,797 digits, pixels in [0, 1]: a stratified quarter for testing, a fifth of the rest for validation, noise on
all other labels, those of the validation part too. A 64-256-10 ReLU network, 120 epochs of batches of 64, SGD
with momentum .9 from .05 to .005 (geometric), weight decay 5e-4. Losses have the hyper-parameters of their
papers, the corrections the true transition matrix. "last" is the clean test accuracy after the last epoch,
"best" that of the epoch with the best accuracy on the noisy validation labels, "learned_wrong" the share of
wrong training labels that the network gives back at the end. The seeds of a cell are trained side by side.

    python benchmarks/bench_robust_losses.py
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
from results_file import ResultsFile, circumstances
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisy_labels.robust_losses.bootstrap_loss import HardBootstrap, SoftBootstrap
from noisy_labels.robust_losses.corrected_cross_entropy import (
    BackwardCorrectedCrossEntropy,
    ForwardCorrectedCrossEntropy,
)
from noisy_labels.robust_losses.early_learning import EarlyLearning
from noisy_labels.robust_losses.generalized_cross_entropy import (
    GeneralizedCrossEntropy,
    TruncatedGeneralizedCrossEntropy,
)
from noisy_labels.robust_losses.row_loss_model import RowLoss
from noisy_labels.robust_losses.sparse_over_parameterization import SparseOverParameterization
from noisy_labels.robust_losses.symmetric_cross_entropy import SymmetricCrossEntropy
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.transitions.noise_matrices import pair_noise_matrix, symmetric_noise_matrix

CELLS = [("symmetric", 0.2), ("symmetric", 0.4), ("symmetric", 0.6), ("pair", 0.2), ("pair", 0.4)]
LOSSES = (
    "cross-entropy",
    "gce",
    "truncated gce",
    "sce",
    "forward",
    "backward",
    "soft bootstrap",
    "hard bootstrap",
    "elr",
    "sop",
)
EPOCHS, BATCH, FIRST_RATE, LAST_RATE, DECAY = 120, 64, 0.05, 0.005, 5e-4
MOMENTUM = 0.9
FULL_LOSS_EPOCHS = 40  # of the truncated loss, as in its paper


class Split(NamedTuple):
    """One seed's data; `label` is what is given, `clean` the truth."""

    x: Any
    label: Any
    clean: Any
    x_val: Any
    label_val: Any
    x_test: Any
    clean_test: Any


def read_split(noise: str, rate: float, seed: int) -> Split:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32")
    X_rest, X_test, rest, test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    noisy = corrupt_labels(rest, rate, noise, random_state=seed)
    X_train, X_val, label, label_val, clean, _ = train_test_split(
        X_rest, noisy, rest, test_size=0.2, random_state=seed, stratify=rest
    )
    return Split(X_train, label, clean, X_val, label_val, X_test, test)


def make_loss(name: str, noise: str, rate: float, n_rows: int) -> Any:
    matrix = (symmetric_noise_matrix if noise == "symmetric" else pair_noise_matrix)(10, rate)
    early, sparse = (
        ({}, {})
        if noise == "symmetric"
        else (
            {"momentum": 0.9, "strength": 1.0},
            {"u_rate": 0.1, "v_rate": 100.0},
        )
    )
    makers = {
        "cross-entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "gce": lambda: GeneralizedCrossEntropy(from_logits=True),
        "truncated gce": lambda: TruncatedGeneralizedCrossEntropy(from_logits=True),
        "sce": lambda: SymmetricCrossEntropy(from_logits=True),
        "forward": lambda: ForwardCorrectedCrossEntropy(matrix, from_logits=True),
        "backward": lambda: BackwardCorrectedCrossEntropy(matrix, from_logits=True),
        "soft bootstrap": lambda: SoftBootstrap(from_logits=True),
        "hard bootstrap": lambda: HardBootstrap(from_logits=True),
        "elr": lambda: EarlyLearning(n_rows, 10, from_logits=True, **early),
        "sop": lambda: SparseOverParameterization(n_rows, 10, from_logits=True, seed=0, **sparse),
    }
    return makers[name]()


def make_network(seed: int) -> keras.Model:
    layers = [keras.Input((64,))]
    for place, (units, activation) in enumerate([(256, "relu"), (10, None)]):
        start = keras.initializers.HeNormal(seed=10 * seed + place)
        layers.append(keras.layers.Dense(units, activation, kernel_initializer=start))
    return keras.Sequential(layers)


def make_trainer(loss: Any, network: keras.Model) -> Any:
    """Return a function of weights, memory, key and split: accuracies after every epoch and at the end."""
    whole = GeneralizedCrossEntropy(from_logits=True)

    def value(weights, memory, x, label, row, epoch):
        logits, _ = network.stateless_call(weights, [], x)
        if isinstance(loss, RowLoss):
            rows, memory = loss.stateless_call([], memory, label, logits, row)
            return jnp.mean(rows), memory
        if isinstance(loss, TruncatedGeneralizedCrossEntropy):
            early = epoch < FULL_LOSS_EPOCHS
            return jnp.where(early, whole(label, logits), loss(label, logits)), memory
        return loss(label, logits), memory

    def predict(weights, x):
        return jnp.argmax(network.stateless_call(weights, [], x)[0], axis=1)

    def train(weights, memory, key, split):
        n_steps = len(split.label) // BATCH

        def step(state, batch):
            weights, speed, memory = state
            row, number = batch
            done = number / (EPOCHS * n_steps)
            learning_rate = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** done
            slopes, memory = jax.grad(value, has_aux=True)(
                weights, memory, split.x[row], split.label[row], row, number // n_steps
            )
            speed = [MOMENTUM * s + g + DECAY * w for s, g, w in zip(speed, slopes, weights, strict=True)]
            weights = [w - learning_rate * s for w, s in zip(weights, speed, strict=True)]
            return (weights, speed, memory), None

        def epoch(state, number):
            order = jax.random.permutation(jax.random.fold_in(key, number), len(split.label))
            rows = order[: n_steps * BATCH].reshape(n_steps, BATCH)
            state, _ = jax.lax.scan(step, state, (rows, number * n_steps + jnp.arange(n_steps)))
            of_val = jnp.mean(predict(state[0], split.x_val) == split.label_val)
            return state, (of_val, jnp.mean(predict(state[0], split.x_test) == split.clean_test))

        start = (weights, [jnp.zeros_like(w) for w in weights], memory)
        (weights, *_), history = jax.lax.scan(epoch, start, jnp.arange(EPOCHS))
        wrong = split.label != split.clean
        back = (predict(weights, split.x) == split.label) & wrong
        return (*history, jnp.sum(back) / jnp.sum(wrong))

    return jax.jit(jax.vmap(train, in_axes=(0, None, 0, 0)))


def run_cell(name: str, noise: str, rate: float, seeds: list[int]) -> list[dict[str, float]]:
    splits = [read_split(noise, rate, seed) for seed in seeds]
    networks = [make_network(seed) for seed in seeds]
    loss = make_loss(name, noise, rate, len(splits[0].label))
    memory = [v.value for v in loss.non_trainable_variables] if isinstance(loss, RowLoss) else []
    weights = [jnp.stack(same) for same in zip(*(n.get_weights() for n in networks), strict=True)]
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    stacked = Split(*(jnp.stack(same) for same in zip(*splits, strict=True)))
    of_val, of_test, back = map(np.asarray, make_trainer(loss, networks[0])(weights, memory, keys, stacked))
    return [
        {"last": float(test[-1]), "best": float(test[val.argmax()]), "learned_wrong": float(share)}
        for val, test, share in zip(of_val, of_test, back, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    results = ResultsFile("robust_losses", key=("loss", "noise", "rate", "seed"))
    for noise, rate in CELLS:
        for name in options.loss:
            runs = [
                {"loss": name, "noise": noise, "rate": rate, "seed": seed} for seed in range(options.seeds)
            ]
            runs = [run for run in runs if not results.holds(run)]
            if not runs:
                continue
            start = time.perf_counter()
            found = run_cell(name, noise, rate, [run["seed"] for run in runs])
            seconds = (time.perf_counter() - start) / len(runs)
            for run, measured in zip(runs, found, strict=True):
                row = {**run, **measured, "seconds": seconds}
                results.append({**row, **circumstances("keras", "jax", "numpy", "scikit-learn")})
            means = {key: f"{np.mean([one[key] for one in found]):.3f}" for key in found[0]}
            print(name, noise, rate, means, f"{seconds:.1f} s a seed", flush=True)


if __name__ == "__main__":
    main()
