"""Graph lottery tickets on Planetoid: TEDDY against UGS and against controls that leave a part of it out.

Public split, features normalised by row, 200 epochs of Adam; the epoch is chosen in validation, the figure is
that of the test nodes.  Level i does without 1 - 0.95^i of the edges and 1 - 0.9^i of the weights.
Some methods differ from TEDDY in one thing alone: the score of the edges, the distillation, or both.
"magnitude" keeps random edges and the largest weights of the dense network, rewound; "drop_edge" trains on
other random edges in every epoch and predicts on all of them.  Layers have 128 channels where the papers have
512 (`--hidden`), a GAT has 8 heads of 8; seconds are those of one processor.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_graph_tickets.py
    ... --data cora --network GCN --levels 10 --seeds 2 --method teddy "random + distillation"
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import TYPE_CHECKING, Any

from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

if TYPE_CHECKING:
    from torch.nn import Module

    from graph.ticket_search import TicketSearch

METHODS = {
    "teddy": {},
    "random + distillation": {"score": "random"},
    "teddy without distillation": {"distillation": 0.0},
    "random": {"score": "random", "distillation": 0.0},
    "auto": {"score": "auto"},
    "jaccard + distillation": {"score": "jaccard"},
    "inverse degree + distillation": {"score": "inverse_degree"},
    "resistance + distillation": {"score": "resistance"},
    "teddy with a spanning forest": {"guard": "spanning_forest"},
    "magnitude": {},
    "drop_edge": {},
    "ugs": {},
    "ugs, published": {"variant": "published"},
}
# Learning rate, weight decay, penalty of edges and of weights, as published for UGS.
UGS = {
    ("GCN", "cora"): (0.008, 8e-5, 1e-2, 1e-2),
    ("GCN", "citeseer"): (0.01, 5e-4, 1e-2, 1e-2),
    ("GCN", "pubmed"): (0.01, 5e-4, 1e-6, 1e-3),
    ("GIN", "cora"): (0.008, 8e-5, 1e-3, 1e-3),
    ("GIN", "citeseer"): (0.01, 5e-4, 1e-5, 1e-5),
    ("GIN", "pubmed"): (0.01, 5e-4, 1e-5, 1e-5),
    ("GAT", "cora"): (0.008, 8e-5, 1e-3, 1e-3),
    ("GAT", "citeseer"): (0.01, 5e-4, 1e-7, 1e-3),
    ("GAT", "pubmed"): (0.01, 5e-4, 1e-2, 1e-2),
}
NETWORKS = ("GCN", "GIN", "GAT")
# What glibc gives back to the system after every epoch it has to fetch again in the next.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def build_network(name: str, n_features: int, n_classes: int, hidden: int) -> Module:
    """Return a network of two layers; GIN's have one linear map each, as TEDDY's authors have it."""
    from torch.nn import Linear
    from torch_geometric.nn import GAT, GCN, GIN, GINConv

    class LinearGIN(GIN):
        def init_conv(self, in_channels: int, out_channels: int) -> GINConv:
            return GINConv(Linear(in_channels, out_channels, bias=False), train_eps=True)

    if name == "GCN":
        return GCN(n_features, hidden, 2, n_classes, dropout=0.5, bias=False)
    if name == "GAT":
        return GAT(n_features, 64, 2, n_classes, dropout=0.6, act="elu", heads=8, bias=False)
    return LinearGIN(n_features, hidden, 2, n_classes, dropout=0.5)


def build_search(method: str, network: Module, options: dict[str, Any]) -> TicketSearch:
    from graph.drop_edge import DropEdgeTicket
    from graph.magnitude_ticket import MagnitudeTicket
    from graph.teddy import TeddyTicket
    from graph.ugs import UGSTicket

    if method == "magnitude":
        return MagnitudeTicket(network)
    if method == "drop_edge":
        return DropEdgeTicket(network)
    if method.startswith("ugs"):
        rate, decay, edges, weights = UGS[options["network"], options["data"]]
        penalties = {"edge_penalty": edges, "weight_penalty": weights}
        return UGSTicket(network, learning_rate=rate, weight_decay=decay, **penalties, **METHODS[method])
    return TeddyTicket(network, **METHODS[method])


def share_dense_networks() -> None:
    """Let all searches of this process take the dense network of a seed from the first of them."""
    import graph.ticket_search as ticket_search

    train, trained = ticket_search.train_network, {}

    def train_once(start: Module, task: Any, graphs: Any, optimization: Any) -> Any:
        if optimization not in trained:
            trained[optimization] = train(start, task, graphs, optimization)
        return trained[optimization]

    ticket_search.train_network = train_once


def begin(options: dict[str, Any]) -> tuple[Any, tuple[int, int, int]]:
    """Return the graph and the widths of a network; from now on: one thread, its seconds, one teacher."""
    import torch
    from torch_geometric.transforms import NormalizeFeatures

    from sparse_data.datasets.planetoid import fetch_planetoid

    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # the seconds of a sweep are to be those of the processor
    share_dense_networks()
    data = NormalizeFeatures()(fetch_planetoid(options["data"]).to_pyg())
    return data, (data.num_features, int(data.y.max()) + 1, options["hidden"])


def run(options: dict[str, Any]) -> dict[str, Any]:
    data, shape = begin(options)
    rows = []
    for method, levels in options["levels_of_method"].items():
        search = build_search(method, build_network(options["network"], *shape), options)
        frame = search.sweep(data, levels, seeds=[options["seed"]])
        frame.insert(0, "method", method)
        rows += frame.drop(columns=["seed"]).to_dict("records")
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cora", "citeseer", "pubmed"])
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 5, 10, 15, 20])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    given = parser.parse_args()
    key = ("data", "network", "hidden", "method", "level", "seed")
    results = ResultsFile("graph_tickets", key=key)
    for data, network, seed in itertools.product(given.data, given.network, range(given.seeds)):
        case = {"data": data, "network": network, "hidden": given.hidden, "seed": seed}
        missing: dict[str, list[int]] = {}
        for method, level in itertools.product(given.method, given.levels):
            if not results.holds({**case, "method": method, "level": level}):
                missing.setdefault(method, []).append(level)
        if not missing:
            continue
        for row in measure({**case, "levels_of_method": missing}, KEPT_MEMORY)["rows"]:
            results.append({**case, **row, **circumstances("torch", "torch-geometric")})
            shown = {name: row[name] for name in ("method", "level", "test_score", "dense_test_score")}
            print({**case, **shown}, flush=True)


if __name__ == "__main__" and not answer_if_asked(run):
    main()
