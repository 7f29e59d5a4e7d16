"""One-shot sparsification of the graphs of a task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from graph.edge_guards import Guard
from graph.edge_scoring import Score
from graph.edge_sparsification import keep_edges, sparsify_edges
from graph.ticket_tasks import Graphs, Task
from graph.ticket_training import predict

# One of each kind: degrees from two sides, common neighbours, bridges, chance.
CANDIDATES: tuple[Score, ...] = ("teddy", "inverse_degree", "jaccard", "resistance", "random")


def sparsify_graphs(
    graphs: Graphs, ratio: float, *, score: Score, guard: Guard | None = None, seed: int = 0
) -> tuple[Graphs, Tensor]:
    """Return the graphs without the edges of the lowest scores, and the mask of the test graph.

    Scores are computed on the CPU, in a fixed order of sums, so that every device gets the same edges.
    """
    sparse: dict[int, Any] = {}
    mask = torch.zeros(0, dtype=torch.bool)
    for graph in graphs:  # the test graph comes last
        if id(graph) not in sparse:
            options = {"score": score, "guard": guard, "seed": seed, "num_nodes": graph.num_nodes}
            _, mask = sparsify_edges(graph.edge_index.cpu(), ratio, **options)
            mask = mask.to(graph.edge_index.device)
            sparse[id(graph)] = keep_edges(graph, mask)
    return Graphs(*(sparse[id(graph)] for graph in graphs)), mask


def choose_score(
    dense: Module, task: Task, graphs: Graphs, ratio: float, *, guard: Guard | None, seed: int
) -> Score:
    """Return the score whose sparse graph hurts the dense network least.

    That is the highest validation score of the dense network on the sparse validation graph, and among
    equals the smallest divergence from its own predictions on the whole graph.  No training, one
    prediction a candidate.
    """
    whole = predict(dense, task, graphs.val)

    def harm(score: Score) -> tuple[float, float]:
        sparse, _ = sparsify_graphs(graphs, ratio, score=score, guard=guard, seed=seed)
        logits = predict(dense, task, sparse.val)
        return -task.score(logits, sparse.val, "val"), float(task.divergence(whole, logits))

    return min(CANDIDATES, key=harm)
