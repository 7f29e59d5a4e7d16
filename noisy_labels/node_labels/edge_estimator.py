"""A network that tells which nodes belong together, and gives a graph weighted edges that it lacked."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import normalize
from torch_geometric.nn import GCN


class EdgeEstimator(Module):
    r"""Embed nodes by two layers of GCN, so that the product of two embeddings is the weight of an edge.

    .. math:: w_{ij} = \max(0, g_i^\top g_j), \qquad w_{ij} = 0 \text{ below the threshold}

    Parameters
    ----------
    n_features, hidden : int
    threshold : float
    unit_length : bool
        Whether embeddings are divided by their length, as RTGNN has it and NRGNN has not.
    """

    def __init__(self, *, n_features: int, hidden: int, threshold: float, unit_length: bool) -> None:
        super().__init__()
        self.layers = GCN(n_features, hidden, 2, hidden)
        self.threshold = threshold
        self.unit_length = unit_length

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the embeddings g, shape (n_nodes, hidden)."""
        embeddings = cast(Tensor, self.layers(x, edge_index))
        return normalize(embeddings, dim=1) if self.unit_length else embeddings

    def extended(self, embeddings: Tensor, edge_index: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the edges, with weight 1, and behind them both directions of the pairs of weight above 0.

        Parameters
        ----------
        embeddings : float tensor of shape (n_nodes, hidden)
        edge_index, pairs : int64 tensors of shape (2, n)
        """
        weights = _products(embeddings, pairs)
        kept = (weights > 0) & (weights >= self.threshold)
        pairs, weights = pairs[:, kept], weights[kept]
        edges = torch.cat([edge_index, pairs, pairs.flip(0)], dim=1)
        return edges, torch.cat([weights.new_ones(edge_index.shape[1]), weights, weights])


def reconstruction_loss(embeddings: Tensor, edge_index: Tensor, *, n_negatives: int) -> Tensor:
    r"""Return how far products of embeddings are from 1 on edges and from 0 on random pairs without one.

    .. math:: L = \frac{N}{|E^-| + |E|} \Big( \sum_{(i, j) \in E^-} (g_i^\top g_j)^2
              + \sum_{(i, j) \in E} (1 - g_i^\top g_j)^2 \Big)

    Parameters
    ----------
    embeddings : float tensor of shape (n_nodes, d)
    edge_index : int64 tensor of shape (2, n_edges)
    n_negatives : int
        Pairs drawn for each node, by torch's generator; those that are edges or self-loops are left out.
    """
    n_nodes = len(embeddings)
    sources = torch.arange(n_nodes, device=embeddings.device).repeat(n_negatives)
    pairs = torch.stack([sources, torch.randint_like(sources, n_nodes)])
    taken = torch.isin(pairs[0] * n_nodes + pairs[1], edge_index[0] * n_nodes + edge_index[1])
    negatives = pairs[:, ~taken & (pairs[0] != pairs[1])]
    errors = (
        _products(embeddings, negatives).square().sum()
        + (1 - _products(embeddings, edge_index)).square().sum()
    )
    return errors * n_nodes / max(negatives.shape[1] + edge_index.shape[1], 1)


def _products(embeddings: Tensor, pairs: Tensor) -> Tensor:
    return (embeddings.index_select(0, pairs[0]) * embeddings.index_select(0, pairs[1])).sum(dim=1)
