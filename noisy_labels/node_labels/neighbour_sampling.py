"""Neighbourhoods of seed nodes as blocks, one a layer: whole, exact or sampled; in plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sparse_data.sparse_attention import pattern_of_heads
from sparse_data.sparse_pattern import SparsePattern, offsets_of


@dataclass(frozen=True, eq=False)
class Block:
    """What one layer sums over: the first rows of its sources are its targets.

    Parameters
    ----------
    pattern : SparsePattern
        Rows are targets, columns sources; every target is among its own sources.
    degrees : float tensor of shape (n_sources,)
        Neighbours in the whole graph and the node itself.
    """

    pattern: SparsePattern
    degrees: Tensor
    _of_heads: dict[int, SparsePattern] = field(default_factory=dict, init=False, repr=False)

    def of_heads(self, heads: int) -> SparsePattern:
        """Return the pattern with a row and a column for each head of a node, `pattern_of_heads`."""
        if heads not in self._of_heads:
            self._of_heads[heads] = pattern_of_heads(self.pattern, heads)[0]
        return self._of_heads[heads]

    def of_targets(self, rows: Tensor) -> Tensor:
        """Return the rows of the targets, from a row each source."""
        return rows[: self.pattern.n_rows]

    def edge_index(self) -> Tensor:
        """Return sources and targets without the nodes themselves, int64 of shape (2, n_edges)."""
        edges = torch.stack([self.pattern.columns, self.pattern.rows])
        return edges[:, edges[0] != edges[1]]


class NeighbourGraph:
    """Lists of the nodes from which edges come, for each node.

    Parameters
    ----------
    edge_index : int64 tensor of shape (2, n_edges)
        Sources and targets; self-loops and repeated edges are dropped.
    num_nodes : int

    Examples
    --------
    >>> graph = NeighbourGraph(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> nodes, blocks = graph.blocks(torch.tensor([2]), (None, None))
    >>> nodes.tolist(), [block.pattern.n_rows for block in blocks]
    ([2, 1, 0], [2, 1])
    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        edges = edge_index.flip(0)
        edges = edges[:, edges[0] != edges[1]]
        self.neighbours = SparsePattern.from_entries(edges, (num_nodes, num_nodes))
        self.degrees = self.neighbours.counts.float() + 1
        self._positions = torch.full((num_nodes,), -1, device=edges.device)

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return self.neighbours.n_rows

    def whole(self) -> Block:
        """Return the block in which every node is a target."""
        nodes = torch.arange(self.num_nodes, device=self._positions.device)
        entries = torch.stack([self.neighbours.rows, self.neighbours.columns])
        with_loops = torch.cat([entries, nodes.repeat(2, 1)], dim=1)
        pattern = SparsePattern.from_entries(with_loops, (self.num_nodes, self.num_nodes))
        return Block(pattern, self.degrees)

    def blocks(
        self, seeds: Tensor, fanouts: Sequence[int | None], generator: torch.Generator | None = None
    ) -> tuple[Tensor, list[Block]]:
        """Return the nodes that embeddings of the seeds depend on, and the blocks that lead to the seeds.

        Parameters
        ----------
        seeds : int64 tensor of shape (n_seeds,)
            Distinct.
        fanouts : sequence of int or None
            Neighbours of a node in each layer, the last layer first: as many drawn without replacement, or
            all for None.
        generator : torch.Generator, optional

        Returns
        -------
        nodes : int64 tensor of shape (n_nodes,)
            The seeds first.
        blocks : list of Block
            In the order of the layers.
        """
        nodes, blocks = seeds, []
        for fanout in fanouts:
            targets = nodes
            if fanout is None:
                taken, _ = self.neighbours.take(targets)
                rows, sources = taken.rows, taken.columns
            else:
                rows, sources = self._sample(targets, fanout, generator)
            nodes = torch.cat([targets, self._new(targets, sources)])
            self._positions[nodes] = torch.arange(len(nodes), device=nodes.device)
            own = torch.arange(len(targets), device=nodes.device)
            rows, columns = torch.cat([own, rows]), torch.cat([own, self._positions[sources]])
            order = rows.argsort(stable=True)
            pattern = SparsePattern(offsets_of(rows[order], len(targets)), columns[order], len(nodes))
            blocks.append(Block(pattern, self.degrees[nodes]))
            self._positions[nodes] = -1
        return nodes, blocks[::-1]

    def _new(self, targets: Tensor, sources: Tensor) -> Tensor:
        self._positions[targets] = 0
        new: Tensor = sources[self._positions[sources] < 0].unique()
        self._positions[targets] = -1
        return new

    def _sample(
        self, targets: Tensor, fanout: int, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Draw by Floyd's method: the candidate of step j is below j, or j itself where that one is taken."""
        counts = self.neighbours.counts[targets]
        chosen = torch.full((len(targets), fanout), -1, device=targets.device)
        for step in range(fanout):
            last = counts - fanout + step
            uniform = torch.rand(
                len(targets), generator=generator, device=targets.device, dtype=torch.float64
            )
            candidate = (uniform * (last + 1)).long().clamp(max=last)
            taken = (chosen == candidate[:, None]).any(1)
            few = torch.where(counts > step, step, -1)  # nodes with few neighbours keep them all
            chosen[:, step] = torch.where(counts <= fanout, few, torch.where(taken, last, candidate))
        rows, steps = (chosen >= 0).nonzero(as_tuple=True)
        return rows, self.neighbours.columns[self.neighbours.offsets[targets][rows] + chosen[rows, steps]]
