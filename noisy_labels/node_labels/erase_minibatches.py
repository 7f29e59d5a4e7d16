"""Epochs of ERASE over mini-batches of seed nodes, for graphs too large to be trained all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module

from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph
from sparse_data.sparse_features import Features


def train_on_batches(
    encoder: Module,
    features: Features,
    graph: NeighbourGraph,
    labels: Tensor,
    *,
    batch_size: int,
    fanouts: Sequence[int],
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
) -> float:
    """Take a step for every batch of nodes, each node once in random order, and return the mean loss.

    Only the seeds of a batch are in its loss; their sampled neighbours, whose own neighbourhoods are cut off,
    are not.

    Parameters
    ----------
    encoder : Module
        Of features and blocks.
    features : Tensor or SparseRows of shape (n_nodes, n_features)
    graph : NeighbourGraph
    labels : int64 tensor of shape (n_nodes,)
        Of all nodes.
    batch_size : int
        Of seeds; a last batch of fewer than half as many is left out.
    fanouts : sequence of int
        Neighbours that are sampled, the last layer first.
    loss : callable
        Of embeddings and labels of a batch.
    optimizer : Optimizer
    """
    encoder.train()
    order = torch.randperm(graph.num_nodes, device=labels.device)
    total, count = 0.0, 0
    for seeds in order.split(batch_size):
        if count and len(seeds) < batch_size / 2:
            break
        nodes, blocks = graph.blocks(seeds, fanouts)
        optimizer.zero_grad()
        value = loss(encoder(features[nodes], blocks), labels[seeds])
        value.backward()
        optimizer.step()
        total, count = total + float(value.detach()) * len(seeds), count + len(seeds)
    return total / count
