"""Graph lottery tickets on Planetoid: TEDDY against UGS and against controls that leave a part of it out.

Public split, features normalised by row, 200 epochs of Adam; the epoch is chosen in validation, the figure is
that of the test nodes.  Level i does without 1 - 0.95^i of the edges and 1 - 0.9^i of the weights.
Some methods differ from TEDDY in one thing alone: the score of the edges, the distillation, or both.
"magnitude" keeps random edges and the largest weights of the dense network, rewound; "drop_edge" trains on
other random edges in every epoch and predicts on all of them.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_graph_tickets.py
    ... --data cora --network GCN --levels 10 --seeds 2 --method teddy "random + distillation"
"""

from __future__ import annotations

import argparse
import itertools
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
HIDDEN = {"GCN": 512, "GIN": 512, "GAT": 64}  # of GAT 8 heads of 8, as its authors have it


def build_network(name: str, n_features: int, n_classes: int) -> Module:
    """Return a network of two layers."""
    from torch_geometric.nn import GAT, GCN, GIN

    if name == "GCN":
        return GCN(n_features, HIDDEN[name], 2, n_classes, dropout=0.5, bias=False)
    if name == "GAT":
        return GAT(n_features, HIDDEN[name], 2, n_classes, dropout=0.6, act="elu", heads=8, bias=False)
    return GIN(n_features, HIDDEN[name], 2, n_classes, dropout=0.5, train_eps=True, norm=None)


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


def run(options: dict[str, Any]) -> dict[str, Any]:
    import torch
    from torch_geometric.transforms import NormalizeFeatures

    from sparse_data.datasets.planetoid import fetch_planetoid

    torch.set_num_threads(options["threads"])
    data = NormalizeFeatures()(fetch_planetoid(options["data"]).to_pyg())
    network = build_network(options["network"], data.num_features, int(data.y.max()) + 1)
    search = build_search(options["method"], network, options)
    frame = search.sweep(data, options["levels"], seeds=[options["seed"]])
    return {"rows": frame.drop(columns=["seed"]).to_dict("records")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cora", "citeseer", "pubmed"])
    parser.add_argument("--network", nargs="+", default=list(HIDDEN), choices=list(HIDDEN))
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 5, 10, 15, 20])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    results = ResultsFile("graph_tickets", key=("data", "network", "method", "level", "seed"))
    cases = itertools.product(given.data, given.network, range(given.seeds), given.method)
    for data, network, seed, method in cases:
        case = {"data": data, "network": network, "method": method, "seed": seed}
        levels = [level for level in given.levels if not results.holds({**case, "level": level})]
        if not levels:
            continue
        measured = measure({**case, "levels": levels, "threads": given.threads}, {})
        for row in measured["rows"]:
            results.append({**case, **row, **circumstances("torch", "torch-geometric")})
            print({**case, **{name: row[name] for name in ("level", "test_score", "dense_test_score")}})


if __name__ == "__main__" and not answer_if_asked(run):
    main()
