r"""Learning from label proportions on UCI bank-full and Adult: test ROC AUC from the counts of random bags.

60 % of the rows make bags, the last 20 % are the test; no label of a single row is used in fitting or in the
choice of anything.  Each method stands beside itself with the counts permuted between bags.  Networks are all
the same, two hidden layers trained on whole bags, stopped by the likelihood of the counts of a tenth of the
bags, which are held out.  They start at the share of positives: one that starts at a half learns the share
through all of its weights, and then ranks rows by how unusual they are, below chance on bank.
`ProportionLabels` trains every row on the proportion of its bag; `Sinkhorn` goes on, as published, from the
network that DLLP leaves.

    KERAS_BACKEND=jax SPARSELABELS_DATA=<folder> python benchmarks/bench_label_proportions.py
    KERAS_BACKEND=jax SPARSELABELS_DATA=<folder> python benchmarks/bench_label_proportions.py \
        --methods DLLP EasyLLP --counts true --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.sparse import csr_array
from scipy.special import logit
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.bag_batches import BagBatches
from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_ridge import BagRidge
from noisy_labels.proportions.count_likelihood_loss import CountLikelihoodLoss
from noisy_labels.proportions.count_messages import CountFactor, count_factor, count_posterior
from noisy_labels.proportions.count_potentials import ExactCount
from noisy_labels.proportions.debiased_square_loss import DebiasedSquareLoss
from noisy_labels.proportions.dllp import DLLPLoss
from noisy_labels.proportions.easy_llp import EasyLLPLoss
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap
from noisy_labels.proportions.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.proportions.llp_fc import LLPFCLoss
from noisy_labels.proportions.llp_vat import LLPVATModel
from noisy_labels.proportions.mean_map import MeanMap
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.sinkhorn_loss import SinkhornLoss
from noisy_labels.proportions.smoothed_proportions import SmoothedProportions
from noisy_labels.proportions.upm_loss import UPMLoss

BATCH_ROWS, EPOCHS, PATIENCE = 512, 100, 10


class HeldOutCounts(keras.callbacks.Callback):
    """Stops when the counts of held-out bags get no likelier, and goes back to the best weights."""

    def __init__(self, rows: NDArray[np.float32], factor: CountFactor) -> None:
        super().__init__()
        self.rows, self.factor, self.best, self.waited = rows, factor, -np.inf, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self.factor.run(logits_of(self.model, self.rows))[1].mean()
        self.waited += 1
        if value > self.best:
            self.best, self.waited, self.weights = value, 0, self.model.get_weights()
        self.model.stop_training = self.waited >= PATIENCE

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self.weights)


def logits_of(model: keras.Model, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(model(rows))[:, 0], dtype=np.float64)


class Network:
    """An estimator around a loss of bags, made of the share of positives and the size of the largest bag."""

    def __init__(
        self,
        *losses: Callable[[float, int], keras.losses.Loss],
        alone: bool = False,
        adversarial: bool = False,
        random_state: int = 0,
    ) -> None:
        self.losses, self.random_state = losses, random_state
        self.alone, self.adversarial = alone, adversarial

    def fit(self, X: NDArray[np.float64], *, bags: NDArray[np.int64], counts: NDArray[np.float64]) -> None:
        self.scaler = StandardScaler().fit(X)
        rows, sizes = self.scaler.transform(X).astype(np.float32), np.bincount(bags)
        order = np.random.default_rng(self.random_state).permutation(sizes.size)
        held = np.sort(order[: max(5, sizes.size // 10)])
        out = np.isin(bags, held)
        kept = np.unique(bags[~out], return_index=True)  # in order of first appearance, as losses want them
        kept_bags = kept[0][np.argsort(kept[1])]
        held_bags = list(dict.fromkeys(bags[out].tolist()))
        given: dict[str, Any] = {"bags": bags[~out], "proportions": (counts / sizes)[kept_bags]}
        if self.alone:
            given = {"bags": np.arange(np.sum(~out)), "proportions": (counts / sizes)[bags[~out]]}
        per_batch = BATCH_ROWS if self.alone else max(4, BATCH_ROWS // int(sizes.max()))
        batches = BagBatches(rows[~out], **given, bags_per_batch=per_batch, seed=self.random_state)
        factor = count_factor(bags[out], ExactCount(counts[held_bags]), int(out.sum()))
        share = float(counts.sum() / sizes.sum())
        self.model = self._build(rows.shape[1], share)
        for loss in self.losses:
            self.model.compile(keras.optimizers.AdamW(1e-3), loss=loss(share, int(sizes.max())))
            self.model.fit(batches, epochs=EPOCHS, verbose=0, callbacks=[HeldOutCounts(rows[out], factor)])
        posterior = count_posterior(logits_of(self.model, rows), bags, ExactCount(counts))
        self.transduce_proba_ = np.stack([1 - posterior, posterior], axis=1)

    def decision_function(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return logits_of(self.model, self.scaler.transform(X).astype(np.float32))

    def _build(self, n_features: int, share: float) -> keras.Model:
        layers: list[Any] = [keras.Input((n_features,))]
        levels = [0.0, 0.0, float(logit(share))]
        for place, (width, activation) in enumerate([(128, "relu"), (64, "relu"), (1, None)]):
            start = keras.initializers.GlorotUniform(seed=3 * self.random_state + place)
            bias = keras.initializers.Constant(levels[place])
            layers.append(keras.layers.Dense(width, activation, True, start, bias))
        model = keras.Sequential(layers)
        return LLPVATModel(model, seed=self.random_state) if self.adversarial else model


def dllp(share: float, largest: int) -> keras.losses.Loss:
    return DLLPLoss(from_logits=True)


METHODS: dict[str, Any] = {
    "BagRidge": BagRidge,
    "LabelProportionsClassifier": LabelProportionsClassifier,
    "MeanMap": MeanMap,
    "LaplacianMeanMap": LaplacianMeanMap,
    "AlternatingMeanMap": AlternatingMeanMap,
    "SmoothedProportions": SmoothedProportions,
    "LLPBeliefPropagationClassifier": LLPBeliefPropagationClassifier,
    "ProportionLabels": partial(Network, dllp, alone=True),
    "DLLP": partial(Network, dllp),
    "EasyLLP": partial(Network, lambda share, largest: EasyLLPLoss(share, from_logits=True)),
    "UPM": partial(Network, lambda share, largest: UPMLoss(share, from_logits=True)),
    "DebiasedSquare": partial(Network, lambda share, largest: DebiasedSquareLoss(share, from_logits=True)),
    "CountLikelihood": partial(
        Network, lambda share, largest: CountLikelihoodLoss(largest, from_logits=True)
    ),
    "Sinkhorn": partial(Network, dllp, lambda share, largest: SinkhornLoss(from_logits=True)),
    "LLPFC": partial(Network, lambda share, largest: LLPFCLoss(share, from_logits=True)),
    "LLPVAT": partial(Network, dllp, adversarial=True),
}


@cache
def read(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return features, categories one-hot, and labels."""
    root = Path(os.environ["SPARSELABELS_DATA"])
    if name == "bank":
        archive = zipfile.ZipFile(root / "bank-marketing/bank-additional.zip")
        with archive, archive.open("bank-additional/bank-full.csv") as file:
            frame = pd.read_csv(file, sep=";")
        labels = (frame.pop("y") == "yes").to_numpy()
    else:
        files = [(root / "adult/adult.data", 0), (root / "adult/adult.test", 1)]
        frames = [pd.read_csv(f, header=None, skipinitialspace=True, skiprows=skip) for f, skip in files]
        frame = pd.concat(frames)
        labels = frame.pop(14).str.startswith(">50K").to_numpy()
    numbers, categories = frame.select_dtypes("number"), frame.select_dtypes(exclude="number")
    one_hot = pd.get_dummies(categories).to_numpy(dtype=np.float64)
    return np.hstack([numbers.to_numpy(dtype=np.float64), one_hot]), labels.astype(np.int64)


@cache
def split(name: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of train and of test."""
    n_rows = read(name)[1].size
    order = np.random.default_rng(seed).permutation(n_rows)
    return order[: int(0.6 * n_rows)], order[int(0.8 * n_rows) :]


@cache
def graph(name: str, seed: int) -> csr_array:
    """Return the graph that the classifier would make itself, once for all bags."""
    rows = read(name)[0][split(name, seed)[0]]
    return neighbour_graph(StandardScaler().fit_transform(rows), n_neighbors=10)


def fit_and_test(options: Mapping[str, Any]) -> dict[str, float]:
    X, y = read(options["data"])
    train, test = split(options["data"], options["seed"])
    made = make_bags(y[train], size=options["bag"], random_state=options["seed"])
    counts = made.counts
    if options["counts"] == "permuted":
        shares = np.random.default_rng(options["seed"]).permutation(counts / made.sizes)
        counts = np.round(shares * made.sizes)
    given: dict[str, Any] = {"bags": made.bags, "counts": counts}
    method = METHODS[options["method"]]
    model = method(random_state=options["seed"]) if hasattr(method(), "random_state") else method()
    if method is LabelProportionsClassifier:
        given["graph"] = graph(options["data"], options["seed"])
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(X[train], **given)
    seconds = time.process_time() - start
    auc = {
        "test_auc": float(roc_auc_score(y[test], model.decision_function(X[test]))),
        "train_posterior_auc": float(roc_auc_score(y[train], model.transduce_proba_[:, 1])),
    }
    return {**auc, "cpu_seconds": seconds}


def measure(options: argparse.Namespace) -> None:
    packages = ("numpy", "scikit-learn", "numba", "keras", keras.backend.backend())
    results = ResultsFile("label_proportions", key=("data", "method", "counts", "bag", "seed"))
    for seed in options.seeds:
        for data in options.data:
            for bag in options.bags:
                for method in options.methods:
                    for counts in options.counts:
                        run = {"data": data, "method": method, "counts": counts, "bag": bag, "seed": seed}
                        if results.holds(run):
                            continue
                        measured = fit_and_test(run)
                        results.append({**run, **measured, **circumstances(*packages)})
                        print({**run, **measured}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["bank", "adult"], choices=["bank", "adult"])
    parser.add_argument("--bags", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=[*METHODS][:2], choices=METHODS)
    parser.add_argument("--counts", nargs="+", default=["true", "permuted"], choices=["true", "permuted"])
    options = parser.parse_args()
    measure(options)


if __name__ == "__main__":
    main()
