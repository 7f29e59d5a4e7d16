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

# Scores that cost less than a prediction: degrees from two sides, common neighbours, chance.
CANDIDATES: tuple[Score, ...] = ("teddy", "inverse_degree", "jaccard", "random")


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
    r"""Return the score whose sparse graph changes the fewest predictions of the dense network.

    .. math:: \arg\max_s \frac1N \sum_v [\hat y_v(A_s) = \hat y_v(A)]

    Among equals it is the one with the smallest divergence from the predictions on the whole graph.  All
    nodes of the validation graph count and no label does: the few labels of a validation split tell scores
    apart by chance.  No training, one prediction a candidate.
    """
    whole = predict(dense, task, graphs.val)

    def harm(score: Score) -> tuple[float, float]:
        sparse, _ = sparsify_graphs(graphs, ratio, score=score, guard=guard, seed=seed)
        logits = predict(dense, task, sparse.val)
        return -task.agreement(whole, logits), float(task.divergence(whole, logits))

    return min(CANDIDATES, key=harm)
