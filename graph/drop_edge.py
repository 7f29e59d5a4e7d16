"""DropEdge: other random edges are left out in every epoch, and the whole graph is used to predict."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import Module

from graph.edge_sparsification import keep_edges, sparsify_edges
from graph.l0_projection import project_l0_
from graph.ticket import Ticket
from graph.ticket_search import TicketSearch
from graph.ticket_tasks import Graphs, Task
from graph.ticket_training import Optimization, TrainedNetwork, train_network


class DropEdgeTicket(TicketSearch):
    """Train on random edges, drawn anew in every epoch: what as many edges are worth if none is chosen.

    The edge sparsity is that of a training step; a prediction uses all edges.  Weights are projected as in
    `TeddyTicket`; there is no distillation.

    Parameters
    ----------
    model, edge_sparsity, weight_sparsity, task, inductive, forward, epochs, learning_rate, weight_decay, seed
        As for `TicketSearch`.

    References
    ----------
    Rong, Huang, Xu and Huang, "DropEdge: Towards deep graph convolutional networks on node classification",
    2020, arXiv:1907.10903.
    """

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

            def sparse_graph(epoch: int, ratio: float = edge_sparsity) -> Any:
                seed = optimization.seed * optimization.epochs + epoch
                graph = graphs.train
                _, mask = sparsify_edges(
                    graph.edge_index, ratio, score="random", num_nodes=graph.num_nodes, seed=seed
                )
                return keep_edges(graph, mask)

            def project(model: Module, sparsity: float = weight_sparsity) -> None:
                project_l0_(model.parameters(), sparsity)

            network = train_network(
                start, task, graphs, optimization, constrain=project, graph_of_epoch=sparse_graph
            )
            mask = torch.ones_like(graphs.test.edge_index[0], dtype=torch.bool)
            yield Ticket(network, graphs, mask, time.perf_counter() - began, "drop_edge")
