"""TEDDY: edges removed once by degree, a student of the dense network with projected weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

from torch.nn import Module

from graph.edge_guards import Guard
from graph.edge_scoring import Score
from graph.l0_projection import project_l0_
from graph.ticket import Ticket
from graph.ticket_edges import degree_scores, sparsify_graphs
from graph.ticket_search import TicketSearch
from graph.ticket_tasks import Graphs, Task
from graph.ticket_training import Optimization, TrainedNetwork, predict, train_network
from sparse_data.checks import check_in_range, check_one_of


class TeddyTicket(TicketSearch):
    r"""Find a graph lottery ticket with one training of the sparse network.

    A dense network with logits :math:`z_T` is trained.  The edges with the lowest scores go at once, and a
    network that starts from the same weights is trained on the rest by projected gradient descent,

    .. math::

        L = \mathrm{CE} + \lambda \frac{1}{N} \sum_v \mathrm{KL}(\sigma(z_{T,v}) \,\|\, \sigma(z_v)), \qquad
        \theta \leftarrow \Pi_{\|\theta\|_0 \le (1 - p) |\theta|} (\mathrm{Adam}(\theta, \nabla L)),

    where all parameters count and the support may change until the last step.

    Distillation explains much of the gain, and no score is best on every graph: compare with
    ``score="random"`` and with ``distillation=0``.  ``score="auto"`` takes "teddy" or "inverse_degree",
    whichever graph moves the predictions of the dense network less; where both move them alike, it trains a
    ticket on each and keeps the one that agrees more with the dense network.

    Parameters
    ----------
    model : Module
    edge_sparsity, weight_sparsity : float, default=0.0
    score : str, default="teddy"
        As for `edge_scores`, or "auto", which costs one ticket or two and reads no label.
    distillation : float, default=1.0
        lambda; 0 trains without the teacher.
    guard : {"spanning_forest", "isolated"}, optional
        As for `sparsify_edges`.
    scope : {"global", "tensor"}, default="global"
        As for `project_l0_`.
    **options
        `task`, `inductive`, `forward`, `epochs`, `learning_rate`, `weight_decay`, `seed` of `TicketSearch`.

    References
    ----------
    Seo, Yun and Yang, "TEDDY: Trimming edges with degree-based discrimination strategy", 2024,
    arXiv:2402.01261.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from torch_geometric.nn import GCN
    >>> ends = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    >>> train, rest = torch.arange(6) % 3 == 0, torch.arange(6) % 3 > 0
    >>> masks = {"train_mask": train, "val_mask": rest, "test_mask": rest}
    >>> y = torch.tensor([0, 0, 0, 1, 1, 1])
    >>> two_triangles = Data(x=torch.eye(6), edge_index=torch.cat([ends, ends.flip(0)], 1), y=y, **masks)
    >>> ticket = TeddyTicket(GCN(6, 8, 2, out_channels=2), edge_sparsity=0.34, weight_sparsity=0.5, epochs=20)
    >>> _ = ticket.fit(two_triangles)
    >>> int(ticket.edge_mask_.sum()), ticket.graph_.num_edges
    (8, 8)
    """

    def __init__(
        self,
        model: Module,
        *,
        edge_sparsity: float = 0.0,
        weight_sparsity: float = 0.0,
        score: Score | Literal["auto"] = "teddy",
        distillation: float = 1.0,
        guard: Guard | None = None,
        scope: Literal["global", "tensor"] = "global",
        **options: Any,
    ) -> None:
        super().__init__(model, edge_sparsity=edge_sparsity, weight_sparsity=weight_sparsity, **options)
        self.score = score
        self.distillation = distillation
        self.guard = guard
        self.scope = scope

    def _checked_task(self) -> Task:
        names = [name for name in get_args(Score) if name != "magnitude"]
        check_one_of("score", self.score, ["auto", *names])
        check_in_range("distillation", self.distillation, 0)
        if self.guard is not None:
            check_one_of("guard", self.guard, get_args(Guard))
        check_one_of("scope", self.scope, ("global", "tensor"))
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
        train = partial(
            train_network,
            start,
            task,
            optimization=optimization,
            teacher=predict(dense.model, task, graphs.train),
            distillation=self.distillation,
        )
        whole = predict(dense.model, task, graphs.val)

        def agreement(ticket: Ticket) -> float:
            return task.agreement(whole, predict(ticket.network.model, task, ticket.graphs.val))

        for sparsity in sparsities:
            began, seed = time.perf_counter(), optimization.seed
            if self.score == "auto":
                scores = degree_scores(dense.model, task, graphs, sparsity[0], guard=self.guard, seed=seed)
            else:
                scores = [self.score]
            tickets = [self._ticket(score, train, graphs, sparsity, seed) for score in scores]
            best = tickets[0] if len(tickets) == 1 else max(tickets, key=agreement)
            yield replace(best, seconds=time.perf_counter() - began)

    def _ticket(
        self,
        score: Score,
        train: Callable[..., TrainedNetwork],
        graphs: Graphs,
        sparsity: tuple[float, float],
        seed: int,
    ) -> Ticket:
        edge_sparsity, weight_sparsity = sparsity
        sparse, mask = sparsify_graphs(graphs, edge_sparsity, score=score, guard=self.guard, seed=seed)

        def project(model: Module) -> None:
            project_l0_(model.parameters(), weight_sparsity, scope=self.scope)

        network = train(sparse, constrain=project)
        return Ticket(network, sparse, mask, 0.0, score)
