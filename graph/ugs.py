"""UGS: edges and weights pruned together, round by round, by the size of learned masks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

from torch import Tensor
from torch.nn import Module

from graph.edge_sparsification import keep_edges
from graph.ticket import Ticket
from graph.ticket_search import TicketSearch
from graph.ticket_tasks import Graphs, NodeTask, Task
from graph.ticket_training import Optimization, TrainedNetwork, seeded, train_network
from graph.ugs_masks import MaskedNetwork, UGSMasks
from sparse_data.checks import check_in_range, check_one_of


class UGSTicket(TicketSearch):
    r"""Find a ticket by iterative pruning of learned masks, the method that TEDDY is measured against.

    A round trains masks and weights together,

    .. math:: \min \mathrm{CE}(f(\{m_g \odot A, X\}, m_\theta \odot \Theta)) + \gamma_1 \|m_g\|_1
              + \gamma_2 \|m_\theta\|_1,

    takes the masks of the epoch that was best in validation, removes the smallest share of each and sets the
    weights back.  After the last round the rewound weights are trained with the masks fixed.  The edge mask
    is a vector over edges and multiplies messages, so any network will do, where the published code has a
    dense matrix and GCN, GIN and GAT of its own.

    Parameters
    ----------
    model : Module
    edge_sparsity, weight_sparsity : float, default=0.0
        The number of rounds is the one after which the edge sparsity is nearest; the rounds share the weight
        sparsity evenly, :math:`1 - (1 - p)^{1 / n}` each.
    edge_rate : float, default=0.05
        Share of the remaining edges that a round removes.
    edge_penalty, weight_penalty : float, default=0.01
        gamma 1 and gamma 2, as published for GCN on Cora and CiteSeer.
    variant : {"intended", "published"}, default="intended"
        "published" has a mask value a direction, so that the graph loses its symmetry, removes one more than
        the share, with everything of that size, and lets weight decay act on the masks.  "intended" has one
        value an undirected edge, removes exactly the share and decays weights alone.
    **options
        As for `TicketSearch`; the task must be transductive.

    Attributes
    ----------
    edge_mask_, weight_mask_, model_, ...
        As of `TicketSearch`.

    References
    ----------
    Chen, Sui, Chen, Zhang and Wang, "A unified lottery ticket hypothesis for graph neural networks", 2021,
    arXiv:2102.06790.
    """

    def __init__(
        self,
        model: Module,
        *,
        edge_sparsity: float = 0.0,
        weight_sparsity: float = 0.0,
        edge_rate: float = 0.05,
        edge_penalty: float = 0.01,
        weight_penalty: float = 0.01,
        variant: Literal["intended", "published"] = "intended",
        **options: Any,
    ) -> None:
        super().__init__(model, edge_sparsity=edge_sparsity, weight_sparsity=weight_sparsity, **options)
        self.edge_rate = edge_rate
        self.edge_penalty = edge_penalty
        self.weight_penalty = weight_penalty
        self.variant = variant

    def _checked_task(self) -> Task:
        check_in_range("edge_rate", self.edge_rate, 0, 1, closed="neither")
        check_in_range("edge_penalty", self.edge_penalty, 0)
        check_in_range("weight_penalty", self.weight_penalty, 0)
        check_one_of("variant", self.variant, ("intended", "published"))
        if self.task != "node" or self.inductive:
            raise ValueError(
                "`task` must be 'node' and transductive, since a mask is learned for known edges alone; "
                f"got task={self.task!r}, inductive={self.inductive}. Use TeddyTicket."
            )
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
        graph, published = graphs.train, self.variant == "published"
        masks = UGSMasks.whole(start, graph.edge_index, by_pair=not published)
        done, search_seconds = 0, 0.0
        for edge_sparsity, weight_sparsity in sparsities:
            began = time.perf_counter()
            n_rounds = round(math.log1p(-edge_sparsity) / math.log1p(-self.edge_rate))
            weight_rate = 1 - ((1 - weight_sparsity) / masks.weight_share()) ** (1 / max(n_rounds - done, 1))
            for number in range(done, n_rounds):
                learned = self._learn(start, task, graph, masks, optimization, number)
                masks = masks.without_smallest(learned, self.edge_rate, max(weight_rate, 0.0), published)
            done = n_rounds
            search_seconds += time.perf_counter() - began
            edge_mask = masks.edge_mask()
            sparse = Graphs(*[keep_edges(graph, edge_mask)] * 3)
            network = train_network(start, task, sparse, optimization, constrain=masks.hold_)
            yield Ticket(network, sparse, edge_mask, search_seconds + network.seconds, "ugs")

    def _learn(
        self, start: Module, task: Task, graph: Any, masks: UGSMasks, optimization: Optimization, number: int
    ) -> MaskedNetwork:
        """Train masks and weights on what is left and return them as of the epoch best in validation."""
        sparse = keep_edges(graph, masks.edge_mask())
        with seeded(optimization.seed + number, graph.edge_index.device):
            network = MaskedNetwork(start, task, masks)
        exempt = {name for name, _ in network.named_parameters() if not name.startswith("outputs.")}

        def penalty(model: Any) -> Tensor:
            # The gradient of |m| is sign(m), which is how the penalty is published.
            edges: Tensor = model.edge_values.abs().sum()
            weights: Tensor = sum(value.abs().sum() for value in model.weight_values)
            return edges * self.edge_penalty + weights * self.weight_penalty

        trained = train_network(
            network,
            NodeTask(_call_masked),
            Graphs(sparse, sparse, sparse),
            optimization,
            penalty=penalty,
            without_decay=() if self.variant == "published" else exempt,
        )
        return cast(MaskedNetwork, trained.model)


def _call_masked(model: Module, graph: Any) -> Tensor:
    """Return the logits of a `MaskedNetwork`, which calls the function of the task itself."""
    return cast(Tensor, model(graph))
