"""What a search for a graph lottery ticket finds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graph.ticket_tasks import Graphs
from graph.ticket_training import TrainedNetwork


@dataclass(frozen=True, eq=False)
class Ticket:
    """A network with few weights and the graphs with few edges that belong to it.

    Parameters
    ----------
    network : TrainedNetwork
    graphs : Graphs
        Sparse.
    edge_mask : bool tensor of shape (n_edges,)
        Edges of the test graph that stay.
    seconds : float
        Of the search without the dense network.
    score : str
        What the edges were chosen by.
    """

    network: TrainedNetwork
    graphs: Graphs
    edge_mask: Tensor
    seconds: float
    score: str
