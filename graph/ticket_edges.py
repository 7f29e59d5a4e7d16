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

_OF_DEGREES: tuple[Score, ...] = ("inverse_degree", "teddy")
_TIE = 1.1  # harms closer than this tell nothing about the tickets


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


def degree_scores(
    dense: Module, task: Task, graphs: Graphs, ratio: float, *, guard: Guard | None, seed: int
) -> list[Score]:
    r"""Return the scores of degrees that are worth a training, one or two, the less harmful first.

    The harm of a sparse graph is how far the predictions of the dense network move, on all nodes of the
    validation graph and whatever their labels, :math:`\mathrm{KL}(\sigma(z_T) \,\|\, \sigma(z_T(A_s)))`.  The
    second score is worth a training if it does at most a tenth more.  It costs a prediction a score.
    """
    whole = predict(dense, task, graphs.val)
    harms = {}
    for score in _OF_DEGREES:
        sparse, _ = sparsify_graphs(graphs, ratio, score=score, guard=guard, seed=seed)
        harms[score] = float(task.divergence(whole, predict(dense, task, sparse.val)))
    most = _TIE * max(min(harms.values()), 0.0)  # rounding may leave less than nothing
    return sorted((score for score in harms if harms[score] <= most), key=harms.__getitem__)
