"""A citation graph whose labels are partly wrong: a network that trusts them, ERASE, and labels to check.

Cora with a given share of wrong labels, among the training and the validation nodes alike, so that nothing in
training has seen a clean label; a graph of communities that is drawn here where Cora is not at hand:

    python examples/noisy_graph.py            # some minutes
    python examples/noisy_graph.py --fast     # seconds, on the drawn graph
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from noisy_labels.node_labels.erase import ERASEClassifier
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.transitions.noise import corrupt_labels
from sparse_data.datasets.download import DownloadError
from sparse_data.datasets.planetoid import fetch_planetoid


def draw_communities(n_nodes: int, seed: int) -> Data:
    """Return a graph of four communities with weak features: four in five edges stay inside."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n_nodes,), generator=generator)
    pairs = torch.randint(0, n_nodes, (2, 60 * n_nodes), generator=generator)
    same = y[pairs[0]] == y[pairs[1]]
    keep = torch.rand(pairs.shape[1], generator=generator) < torch.where(same, 0.5, 0.04)
    pairs = pairs[:, keep & (pairs[0] < pairs[1])].unique(dim=1)
    x = torch.randn(n_nodes, 32, generator=generator)
    x[torch.arange(n_nodes), y] += 1.2
    part = torch.rand(n_nodes, generator=generator)
    masks = {"train_mask": part < 0.2, "val_mask": (part >= 0.2) & (part < 0.4), "test_mask": part >= 0.4}
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], dim=1), y=y, **masks)


def load(fast: bool, seed: int) -> tuple[str, Data]:
    """Return Cora, or the drawn graph."""
    if not fast:
        try:
            return "Cora", NormalizeFeatures()(fetch_planetoid("cora").to_pyg())
        except DownloadError as error:
            print(f"Cora is not at hand: {error}")
    return "drawn communities", draw_communities(500, seed)


def with_wrong_labels(data: Data, rate: float, seed: int) -> Data:
    """Return a copy with wrong labels in `y`, the clean ones in `y_clean`."""
    noisy = data.clone()
    noisy.y_clean = data.y
    known = data.train_mask | data.val_mask
    noisy.y[known] = torch.from_numpy(corrupt_labels(data.y[known].numpy(), rate, random_state=seed))
    return noisy


def draw_picture(path: str, quality: NDArray[np.float64], wrong: NDArray[np.bool_]) -> None:
    """Save histograms of the quality of right and of wrong labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(quality.min(), quality.max(), 25)
    axes.hist([quality[~wrong], quality[wrong]], bins=bins, stacked=True, label=["right", "wrong"])
    axes.set(xlabel="quality of the given label", ylabel="training nodes")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Compare, and show the labels that are worth a second look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a small drawn graph, few epochs")
    parser.add_argument("--rate", type=float, default=0.4, help="share of wrong labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", default="", help="file to save a picture to")
    options = parser.parse_args()
    name, clean = load(options.fast, options.seed)
    data = with_wrong_labels(clean, options.rate, options.seed)
    train, test, answers = data.train_mask.numpy(), data.test_mask.numpy(), data.y_clean.numpy()
    wrong = data.y.numpy()[train] != answers[train]
    print(f"{name}: {len(wrong)} training labels, {wrong.sum()} of them wrong")

    small = {"epochs": 100, "hidden": 32, "embedding_dim": 64, "learning_rate": 0.01} if options.fast else {}
    models = {
        "GCN, trusts its labels": GraphNetworkClassifier(random_state=options.seed),
        "ERASE, as published": ERASEClassifier(random_state=options.seed, **small),
        "ERASE, averaged weights": ERASEClassifier(variant="averaged", random_state=options.seed, **small),
    }
    print(f"{'':24} accuracy on test nodes, which are clean")
    for label, model in models.items():
        accuracy = (model.fit(data).predict()[test] == answers[test]).mean()
        print(f"{label:24} {accuracy:.3f}")

    quality = model.label_quality_[train]
    found = np.isin(np.flatnonzero(train), model.noisy_idx_)
    area = roc_auc_score(wrong, -quality)
    print(f"\nwrong labels are found with an area under the ROC curve of {area:.3f};")
    print(f"of {found.sum()} labels that it calls noisy, {(found & wrong).sum()} are wrong")
    if options.picture:
        draw_picture(options.picture, quality, wrong)


if __name__ == "__main__":
    main()
