"""Wrong labels on Cora, CiteSeer and PubMed: methods for graphs against a network that trusts the labels.

Public split, features normalised by row.  The noise is drawn anew in every run, falls on training and
validation nodes alike, and the epoch is chosen by the noisy validation labels: nobody has clean ones.  The
accuracy is that of the test nodes against their clean labels; beside it stand those of the training nodes
whose label is right and whose label is wrong (against the clean label), so that fitted noise shows.
"co_teaching" is told the rate of the noise.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_graph_noise.py --runs 10
    ... --data cora --noise symmetric --rate 0.4 --method gcn rtgnn --runs 3
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import TYPE_CHECKING, Any

from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

if TYPE_CHECKING:
    from noisy_labels.node_labels.node_classifier import NodeClassifier

METHODS = ["gcn", "gat", "label_spreading", "gce", "forward", "co_teaching", "nrgnn", "rtgnn"]
FIRST_NOISE_SEED = 3000


def build(method: str, rate: float, seed: int) -> NodeClassifier:
    from noisy_labels.node_labels.graph_co_teaching import GraphCoTeachingClassifier
    from noisy_labels.node_labels.graph_forward import GraphForwardClassifier
    from noisy_labels.node_labels.graph_gce import GraphGCEClassifier
    from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
    from noisy_labels.node_labels.label_spreading_graph import GraphLabelSpreading
    from noisy_labels.node_labels.nrgnn import NRGNNClassifier
    from noisy_labels.node_labels.rtgnn import RTGNNClassifier

    classifiers = {
        "gcn": GraphNetworkClassifier(),
        "gat": GraphNetworkClassifier("gat", dropout=0.6, learning_rate=0.005),
        "label_spreading": GraphLabelSpreading(),
        "gce": GraphGCEClassifier(),
        "forward": GraphForwardClassifier(),
        "co_teaching": GraphCoTeachingClassifier(noise_rate=rate),
        "nrgnn": NRGNNClassifier(),
        "rtgnn": RTGNNClassifier(),
    }
    return classifiers[method].set_params(random_state=seed)


def run(options: dict[str, Any]) -> dict[str, float]:
    import numpy as np
    import torch
    from torch_geometric.transforms import NormalizeFeatures

    from noisy_labels.node_labels.graph_noise import GraphLabelNoise
    from sparse_data.datasets.planetoid import fetch_planetoid

    torch.set_num_threads(options["threads"])
    data = NormalizeFeatures()(fetch_planetoid(options["data"]).to_pyg())
    noise = GraphLabelNoise(
        options["rate"], options["noise"], random_state=FIRST_NOISE_SEED + options["seed"]
    )
    noisy = noise(data)
    model = build(options["method"], options["rate"], options["seed"])
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(noisy)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    right = model.predict() == noisy.y_clean.numpy()
    train, wrong = noisy.train_mask.numpy(), noisy.noise_mask.numpy()
    return {
        "test_accuracy": float(right[noisy.test_mask.numpy()].mean()),
        "train_accuracy_label_right": float(right[train & ~wrong].mean()),
        "train_accuracy_label_wrong": float(right[train & wrong].mean()) if (train & wrong).any() else np.nan,
        "val_score": getattr(getattr(model, "best_epoch_", None), "val_score", float("nan")),
        "best_epoch": getattr(getattr(model, "best_epoch_", None), "epoch", -1),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cora"], choices=["cora", "citeseer", "pubmed"])
    parser.add_argument("--noise", nargs="+", default=["symmetric", "pair"])
    parser.add_argument("--rate", type=float, nargs="+", default=[0.2, 0.4])
    parser.add_argument("--method", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    results = ResultsFile("graph_noise", key=("data", "noise", "rate", "method", "seed"))
    cases = itertools.product(given.data, range(given.runs), given.method, given.noise, given.rate)
    for data, seed, method, noise, rate in cases:
        case = {"data": data, "noise": noise, "rate": rate, "method": method, "seed": seed}
        if results.holds(case):
            continue
        measured = measure({**case, "threads": given.threads}, {})
        results.append({**case, **measured, **circumstances("torch", "torch-geometric")})
        print(case, {name: round(measured[name], 3) for name in ("test_accuracy", "seconds")}, flush=True)


if __name__ == "__main__" and not answer_if_asked(run):
    main()
