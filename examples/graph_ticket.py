"""A graph network with a part of its edges and weights: which part, and what it costs in accuracy.

Compares TEDDY with the controls that tell what of it does the work, on Cora where it is at hand (or may be
downloaded), otherwise on a graph of communities that is drawn here:

    python examples/graph_ticket.py --picture FILE   # some minutes
    python examples/graph_ticket.py --fast           # seconds, on the drawn graph
"""

from __future__ import annotations

import argparse
import time

import torch
from matplotlib.figure import Figure
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.transforms import NormalizeFeatures

from graph.diagnostics import graph_diagnostics
from graph.edge_sparsification import SparsifyEdges
from graph.sparse_export import to_csr
from graph.teddy import TeddyTicket
from sparse_data.datasets.download import DownloadError
from sparse_data.datasets.planetoid import fetch_planetoid


def draw_communities(n_nodes: int, seed: int) -> Data:
    """Return a graph of four communities with weak features: four in five edges stay inside."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n_nodes,), generator=generator)
    pairs = torch.randint(0, n_nodes, (2, 30 * n_nodes), generator=generator)
    same = y[pairs[0]] == y[pairs[1]]
    keep = torch.rand(pairs.shape[1], generator=generator) < torch.where(same, 0.8, 0.07)
    pairs = pairs[:, keep & (pairs[0] < pairs[1])].unique(dim=1)
    x = torch.randn(n_nodes, 32, generator=generator)
    x[torch.arange(n_nodes), y] += 1.2
    part = torch.rand(n_nodes, generator=generator)
    masks = {"train_mask": part < 0.1, "val_mask": (part >= 0.1) & (part < 0.4), "test_mask": part >= 0.4}
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], dim=1), y=y, **masks)


def load(fast: bool, seed: int) -> tuple[str, Data]:
    """Return Cora, or the drawn graph."""
    if not fast:
        try:
            return "Cora", NormalizeFeatures()(fetch_planetoid("cora").to_pyg())
        except DownloadError as error:
            print(f"Cora is not at hand: {error}")
    return "drawn communities", draw_communities(500, seed)


def draw(frames, title):
    """Draw accuracy against what is left of the graph, a line a search."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, frame in frames.items():
        axes.plot(1 - frame["kept_edge_share"], frame["test_score"], marker="o", label=label)
    axes.axhline(frame["dense_test_score"].mean(), color="gray", linestyle=":", label="all of both")
    axes.set(xlabel="share of edges removed (weights: .41, .65, .88)", ylabel="test accuracy", title=title)
    axes.legend()
    return figure


def main() -> None:
    """Sparsify, search, compare, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a small drawn graph, few epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", default=None, help="file where the picture is saved")
    options = parser.parse_args()
    name, data = load(options.fast, options.seed)
    print(f"{name}: {data}")

    # What each score does to the graph, before anything is trained. No score is best on every graph.
    for score in ("teddy", "jaccard", "random"):
        for guard in (None, "spanning_forest"):
            sparse = SparsifyEdges(0.4, score, guard)(data)
            facts = graph_diagnostics(sparse.edge_index, num_nodes=data.num_nodes, labels=data.y)
            print(
                f"40 % of the edges removed by {score:8} guard {guard!s:15} homophily {facts.homophily:.3f}, "
                f"{facts.n_isolated:4} isolated nodes, {facts.n_components:4} components"
            )

    hidden, epochs = (16, 60) if options.fast else (128, 200)
    network = GCN(data.num_features, hidden, 2, int(data.y.max()) + 1, dropout=0.5)
    searches = {
        "TEDDY": {},
        "random edges + distillation": {"score": "random"},
        "no distillation": {"distillation": 0.0},
        "score chosen by the dense network": {"score": "auto"},
    }
    frames, columns = {}, ["level", "kept_edge_share", "kept_weight_share", "macs", "test_score"]
    for label, settings in searches.items():
        search = TeddyTicket(network, epochs=epochs, **settings)
        frame = frames[label] = search.sweep(data, levels=(5, 10, 20), seeds=(options.seed,))
        print(f"\n{label}\n{frame[columns].round(3).to_string(index=False)}")

    if options.picture is not None:
        draw(frames, name).savefig(options.picture, dpi=120)
    ticket = TeddyTicket(network, edge_sparsity=0.4, weight_sparsity=0.65, epochs=epochs).fit(data)
    # Weights that are zero make nothing faster. Fewer edges do, and on large graphs the CSR form most of all.
    forms = {
        "all edges, as a list": data.edge_index,
        "the ticket's, as a list": ticket.graph_.edge_index,
        "the ticket's, as CSR": to_csr(ticket.graph_.edge_index, num_nodes=data.num_nodes),
    }
    print()
    for label, edges in forms.items():
        with torch.no_grad():
            ticket.model_(data.x, edges)
            began = time.perf_counter()
            for _ in range(10):
                ticket.model_(data.x, edges)
        print(f"one prediction with {label:24} {(time.perf_counter() - began) * 100:.2f} ms")


if __name__ == "__main__":
    main()
