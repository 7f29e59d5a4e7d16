"""One-shot magnitude pruning: the largest weights of the dense network, rewound and trained alone."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import torch
from torch.nn import Module

from graph.edge_scoring import Score
from graph.l0_projection import project_l0_
from graph.ticket import Ticket
from graph.ticket_edges import sparsify_graphs
from graph.ticket_search import TicketSearch
from graph.ticket_tasks import Graphs, Task
from graph.ticket_training import Optimization, TrainedNetwork, train_network
from sparse_data.checks import check_one_of


class MagnitudeTicket(TicketSearch):
    """Find a ticket by the magnitudes of the dense network's weights, a control for projected training.

    The largest weights of the trained dense network say which stay; they start again from where the dense
    network started and the others stay zero.  Edges go at once by their score.  No distillation.

    Parameters
    ----------
    model : Module
    edge_sparsity, weight_sparsity : float, default=0.0
    score : str, default="random"
        As for `edge_scores`.
    **options
        As for `TicketSearch`.

    References
    ----------
    Frankle and Carbin, "The lottery ticket hypothesis", 2019, arXiv:1803.03635.
    """

    def __init__(
        self,
        model: Module,
        *,
        edge_sparsity: float = 0.0,
        weight_sparsity: float = 0.0,
        score: Score = "random",
        **options: Any,
    ) -> None:
        super().__init__(model, edge_sparsity=edge_sparsity, weight_sparsity=weight_sparsity, **options)
        self.score = score

    def _checked_task(self) -> Task:
        check_one_of("score", self.score, [name for name in get_args(Score) if name != "magnitude"])
        return super()._checked_task()

    def _tickets(
        self,
        start: Module,
        task: Task,
        graphs: Graphs,
        dense: TrainedNetwork,
        sparsities: Sequence[tuple[float, float]],
        optimization: Optimization,
    ) -> Iterator[Ticket]:
        for edge_sparsity, weight_sparsity in sparsities:
            began = time.perf_counter()
            sparse, edge_mask = sparsify_graphs(
                graphs, edge_sparsity, score=self.score, seed=optimization.seed
            )
            masks = project_l0_(copy.deepcopy(dense.model).parameters(), weight_sparsity)

            @torch.no_grad()
            def hold(model: Module, masks: Sequence[torch.Tensor] = masks) -> None:
                for weight, mask in zip(model.parameters(), masks, strict=True):
                    weight.mul_(mask)

            network = train_network(start, task, sparse, optimization, constrain=hold)
            yield Ticket(network, sparse, edge_mask, time.perf_counter() - began, self.score)
