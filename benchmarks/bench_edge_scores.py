"""Edge scores and pruning of random undirected graphs of growing size: seconds and memory, a process each.

The edges are in random order, which is the hardest for the cache, or sorted by target as in PyG's data sets.
Memory is the growth of the process's peak over its size with the edge list alone, in edge lists (16 bytes an
edge).  The sort of the scores, which a threshold by `argsort` would need, stands beside the pruning.

    python benchmarks/bench_edge_scores.py
    python benchmarks/bench_edge_scores.py --edges 100000000 --order sorted
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

SCORES = ["teddy", "inverse_degree", "resistance", "random", "local_degree", "jaccard"]
EDGES_A_NODE = 10


def run(options: dict[str, Any]) -> dict[str, float]:
    import numpy as np
    import torch

    from graph.edge_scoring import edge_scores
    from graph.edge_sparsification import sparsify_edges

    torch.set_num_threads(1)
    n_nodes = options["n_edges"] // EDGES_A_NODE
    generator = np.random.default_rng(0)
    sources = generator.integers(0, n_nodes, options["n_edges"] // 2)
    steps = generator.integers(1, n_nodes, len(sources))  # never back to the source: no self-loops
    half = np.stack([sources, (sources + steps) % n_nodes])
    edges = torch.from_numpy(np.concatenate([half, half[::-1]], axis=1))
    if options["order"] == "sorted":
        edges = edges[:, (edges[1] * n_nodes + edges[0]).argsort()].contiguous()
    warm = edges[:, :1000] % 7
    edge_scores(warm, score=options["score"])
    sparsify_edges(warm, 0.3, undirected=False)
    measured: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        before = _current_bytes()
        _reset_peak()
        began, cpu = time.perf_counter(), time.process_time()
        result = work()
        measured[f"{name}_seconds"] = time.perf_counter() - began
        measured[f"{name}_cpu_seconds"] = time.process_time() - cpu
        measured[f"{name}_edge_lists"] = (_peak_bytes() - before) / (16 * options["n_edges"])
        return result

    scores = timed("score", lambda: edge_scores(edges, score=options["score"], num_nodes=n_nodes))
    timed("pruning", lambda: sparsify_edges(edges, 0.4, score=scores, num_nodes=n_nodes))
    timed("scored_pruning", lambda: sparsify_edges(edges, 0.4, score=options["score"], num_nodes=n_nodes))
    timed("argsort", lambda: scores.argsort())
    return measured


def _current_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak_bytes() -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000, 10_000_000], help="directed")
    parser.add_argument("--score", nargs="+", default=SCORES, choices=SCORES)
    parser.add_argument("--order", nargs="+", default=["random", "sorted"], choices=["random", "sorted"])
    options = parser.parse_args()
    results = ResultsFile("edge_scores", key=("score", "n_edges", "order"))
    for n_edges in options.edges:
        for order in options.order:
            for score in options.score:
                case = {"score": score, "n_edges": n_edges, "order": order}
                if not results.holds(case):
                    measured = measure(case, {"OMP_NUM_THREADS": "1"})
                    results.append({**case, **measured, **circumstances("torch", "numpy")})
                    print({**case, **{name: round(value, 3) for name, value in measured.items()}})


if __name__ == "__main__" and not answer_if_asked(run):
    main()
