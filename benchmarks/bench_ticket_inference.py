"""Seconds of one prediction: the form of the graph and the share of its edges, apart from each other.

A random undirected graph, a network of two layers of 64 channels, one thread.  Every network is measured on
the list of edges (gather and scatter, as PyG computes it) and on `to_csr` of it (a product of matrices), each
with all edges and with those of a ticket: from the list of all edges to the list of the ticket's is the gain
of sparsity, from a list to its CSR that of the form.  "gcn" normalises in every call; "gcn, cached" once, by
`cache_normalization`.
Best of the repetitions; the CPU seconds beside the wall clock tell how busy the machine was.

    python benchmarks/bench_ticket_inference.py
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

NETWORKS = ["gcn", "gcn, cached", "graph_conv", "sage", "gin"]
CHANNELS = 64


def build(name: str) -> Any:
    from torch_geometric.nn import GCN, GIN, GraphConv, GraphSAGE
    from torch_geometric.nn.models.basic_gnn import BasicGNN

    from graph.sparse_export import cache_normalization

    class GraphConvNetwork(BasicGNN):
        supports_edge_weight = True
        supports_edge_attr = False

        def init_conv(self, in_channels: int, out_channels: int, **options: Any) -> GraphConv:
            return GraphConv(in_channels, out_channels, **options)

    networks = {"gcn": GCN, "gcn, cached": GCN, "graph_conv": GraphConvNetwork, "sage": GraphSAGE, "gin": GIN}
    network = networks[name](CHANNELS, CHANNELS, 2, CHANNELS).eval()
    return cache_normalization(network) if name == "gcn, cached" else network


def run(options: dict[str, Any]) -> dict[str, float]:
    import torch

    from graph.edge_sparsification import sparsify_edges
    from graph.sparse_export import to_csr

    torch.set_num_threads(1)
    torch.manual_seed(0)
    n_nodes, n_pairs = options["n_nodes"], options["n_edges"] // 2
    keys = torch.randint(0, n_nodes * n_nodes, (n_pairs * 3,))
    pairs = torch.stack([keys // n_nodes, keys % n_nodes])
    pairs = pairs[:, pairs[0] < pairs[1]].unique(dim=1)
    pairs = pairs[:, torch.randperm(pairs.shape[1])[:n_pairs]]
    edges = torch.cat([pairs, pairs.flip(0)], dim=1)
    edges = edges[:, (edges[1] * n_nodes + edges[0]).argsort()]  # by target, as PyG's data sets
    ticket, _ = sparsify_edges(edges, options["removed"], num_nodes=n_nodes)
    forms = {
        "list_all": edges,
        "list_ticket": ticket,
        "csr_all": to_csr(edges, num_nodes=n_nodes),
        "csr_ticket": to_csr(ticket, num_nodes=n_nodes),
    }
    x, measured = torch.randn(n_nodes, CHANNELS), {"edges": edges.shape[1], "ticket_edges": ticket.shape[1]}
    outputs = {}
    for name, form in forms.items():
        torch.manual_seed(1)
        network = build(options["network"])  # anew, for the cache is of one graph
        walls, cpus = [], []
        with torch.no_grad():
            outputs[name] = network(x, form)
            for _ in range(options["repetitions"]):
                began, cpu = time.perf_counter(), time.process_time()
                network(x, form)
                walls.append(time.perf_counter() - began)
                cpus.append(time.process_time() - cpu)
        measured[f"{name}_seconds"], measured[f"{name}_cpu_seconds"] = min(walls), min(cpus)
    for share in ("all", "ticket"):
        difference = (outputs[f"list_{share}"] - outputs[f"csr_{share}"]).abs().max()
        assert float(difference / outputs[f"list_{share}"].abs().max()) < 1e-4, "both forms predict the same"
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--edges", type=int, default=2_000_000, help="directed")
    parser.add_argument("--removed", type=float, nargs="+", default=[0.4, 1 - 0.95**20])
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    results = ResultsFile("ticket_inference", key=("network", "n_nodes", "n_edges", "removed"))
    for removed in given.removed:
        for network in given.network:
            case = {"network": network, "n_nodes": given.nodes, "n_edges": given.edges, "removed": removed}
            if results.holds(case):
                continue
            measured = measure({**case, "repetitions": given.repetitions}, {"OMP_NUM_THREADS": "1"})
            results.append({**case, **measured, **circumstances("torch", "torch-geometric")})
            print({**case, **{name: round(value, 4) for name, value in measured.items()}}, flush=True)


if __name__ == "__main__" and not answer_if_asked(run):
    main()
