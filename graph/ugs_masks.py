"""The masks of UGS: on edges and weights, fixed where something is gone and learned where it is not."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module, Parameter, ParameterList

from graph.edge_pairs import is_symmetric, pair_edges
from graph.message_masks import masked_messages
from graph.smallest import floor_share, smallest_mask
from graph.ticket_tasks import Task

_SPREAD = 1e-5  # of the values around 1 at the start of a round


@dataclass(frozen=True, eq=False)
class UGSMasks:
    """What is left of a graph and a network after some rounds.

    Parameters
    ----------
    units : bool tensor of shape (n_units,)
        Of undirected pairs, or of single edges.
    unit_of_edge : int64 tensor of shape (n_edges,)
        ``n_units`` for a self-loop, which always stays.
    weights : dict of str to bool tensor
    """

    units: Tensor
    unit_of_edge: Tensor
    weights: dict[str, Tensor]

    @classmethod
    def whole(cls, model: Module, edge_index: Tensor, *, by_pair: bool) -> UGSMasks:
        """Return masks that leave everything; a directed graph has no pairs."""
        proper = (edge_index[0] != edge_index[1]).nonzero()[:, 0]
        sides: tuple[Tensor, ...] = (proper,)
        if by_pair and is_symmetric(edge_index):
            sides = pair_edges(edge_index)
        n_units = len(sides[0])
        unit_of_edge = torch.full_like(edge_index[0], n_units)
        for side in sides:
            unit_of_edge[side] = torch.arange(n_units, device=side.device)
        units = torch.ones(n_units, dtype=torch.bool, device=edge_index.device)
        weights = {name: torch.ones_like(w, dtype=torch.bool) for name, w in model.named_parameters()}
        return cls(units, unit_of_edge, weights)

    def edge_mask(self) -> Tensor:
        """Return which edges are left."""
        return torch.cat([self.units, self.units.new_ones(1)])[self.unit_of_edge]

    def weight_share(self) -> float:
        """Return the share of the weights that is left."""
        n_left = sum(int(mask.sum()) for mask in self.weights.values())
        return n_left / sum(mask.numel() for mask in self.weights.values())

    @torch.no_grad()
    def hold_(self, model: Module) -> None:
        """Set the weights of a network that are gone to zero, in place."""
        for name, weight in model.named_parameters():
            weight.mul_(self.weights[name])

    def without_smallest(
        self, learned: MaskedNetwork, edge_rate: float, weight_rate: float, published: bool
    ) -> UGSMasks:
        """Return the masks without a share of what is left: of edges, and of all weights together.

        Parameters
        ----------
        learned : MaskedNetwork
        edge_rate, weight_rate : float
        published : bool
            Keep what is strictly larger than the element at floor(share * n), so that one more goes than
            the share, and everything of its size; else exactly the share.
        """
        units = _drop(self.units, learned.edge_values, edge_rate, published)
        flat = torch.cat([mask.flatten() for mask in self.weights.values()])
        values = torch.cat([value.flatten() for value in learned.weight_values])
        left = _drop(flat, values, weight_rate, published)
        parts = left.split([mask.numel() for mask in self.weights.values()])
        named = zip(self.weights.items(), parts, strict=True)
        weights = {name: part.reshape(mask.shape) for (name, mask), part in named}
        return UGSMasks(units, self.unit_of_edge, weights)


class MaskedNetwork(Module):
    """A network whose weights, and whose messages, are multiplied by learned values.

    Parameters
    ----------
    start : Module
        Copied.
    task : NodeTask or LinkTask
        Whose function calls the network.
    masks : UGSMasks
        The graph given to the network must be the one with the edges of these masks.
    """

    def __init__(self, start: Module, task: Task, masks: UGSMasks) -> None:
        super().__init__()
        self.outputs = _Outputs(copy.deepcopy(start), task)
        self.masks = masks
        self.edge_values = Parameter(_near_one(masks.units))
        self.weight_values = ParameterList([_near_one(mask) for mask in masks.weights.values()])

    def forward(self, graph: Any) -> Tensor:
        """Return the logits of the masked network."""
        masks = self.masks.weights.items()
        weights = {
            f"network.{name}": self.outputs.network.get_parameter(name) * (value * mask)
            for (name, mask), value in zip(masks, self.weight_values, strict=True)
        }
        values = torch.cat([self.edge_values, self.edge_values.new_ones(1)])
        edge_values = values[self.masks.unit_of_edge[self.masks.edge_mask()]]
        with masked_messages(self.outputs, edge_values, graph.edge_index):
            logits: Tensor = functional_call(self.outputs, weights, (graph,))
        return logits


class _Outputs(Module):
    """A network together with the function that calls it, so that its weights can be exchanged."""

    def __init__(self, network: Module, task: Task) -> None:
        super().__init__()
        self.network = network
        self.task = task

    def forward(self, graph: Any) -> Tensor:
        return self.task.outputs(self.network, graph)


def _near_one(mask: Tensor) -> Tensor:
    """Return values of 1 with a little noise, so that few are equal, and 0 where nothing is left."""
    noise = torch.rand(mask.shape, device=mask.device) * 2 - 1
    return mask * (1 + _SPREAD * noise)


def _drop(left: Tensor, values: Tensor, rate: float, published: bool) -> Tensor:
    """Return the mask without a share of the smallest magnitudes among those that are left."""
    rows = left.nonzero()[:, 0]
    magnitudes = values.detach()[rows].abs()
    n_dropped = floor_share(rate, len(rows))
    if published and len(rows):
        kept = magnitudes > magnitudes.sort().values[n_dropped]
    else:
        kept = ~smallest_mask(magnitudes, n_dropped)
    mask = torch.zeros_like(left)
    mask[rows[kept]] = True
    return mask
