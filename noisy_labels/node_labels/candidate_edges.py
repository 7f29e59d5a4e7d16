"""Edges that a graph lacks and may be given: each node with the few anchors most like it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_BLOCK = 1 << 22  # similarities that are held at a time


def nearest_anchors(x: Tensor, nodes: Tensor, anchors: Tensor, *, k: int) -> Tensor:
    r"""Return the k anchors with the largest cosine for each node, itself left out.

    Memory grows with the number of nodes times k; no matrix of all nodes is made.

    Parameters
    ----------
    x : float tensor of shape (n_nodes, n_features)
    nodes, anchors : int64 tensors
        Positions; the anchors distinct.
    k : int

    Returns
    -------
    int64 tensor of shape (2, n_pairs)
        Nodes in the first row, their anchors in the second.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])
    >>> nearest_anchors(x, torch.arange(3), torch.arange(3), k=1)
    tensor([[0, 1, 2],
            [1, 0, 1]])
    """
    directions = normalize(x, dim=1)
    keys = directions[anchors].T
    k = min(k, len(anchors))
    parts = [torch.empty(2, 0, dtype=torch.int64, device=x.device)]
    for block in nodes.split(max(_BLOCK // max(len(anchors), 1), 1)):
        similarity = directions[block] @ keys
        similarity[block[:, None] == anchors] = -torch.inf
        values, order = similarity.topk(k, dim=1)
        rows = block[:, None].expand_as(order)
        found = values > -torch.inf
        parts.append(torch.stack([rows[found], anchors[order[found]]]))
    return torch.cat(parts, dim=1)


def new_pairs(pairs: Tensor, edge_index: Tensor, *, n_nodes: int) -> Tensor:
    """Return the pairs once each, in one direction, without those that are edges already.

    Parameters
    ----------
    pairs, edge_index : int64 tensors of shape (2, n)
    n_nodes : int

    Examples
    --------
    >>> new_pairs(torch.tensor([[1, 0, 2], [0, 1, 0]]), torch.tensor([[0], [2]]), n_nodes=3)
    tensor([[0],
            [1]])
    """
    keys = _keys(pairs, n_nodes).unique()
    keys = keys[~torch.isin(keys, _keys(edge_index, n_nodes))]
    return torch.stack([keys // n_nodes, keys % n_nodes])


def _keys(pairs: Tensor, n_nodes: int) -> Tensor:
    return torch.minimum(*pairs) * n_nodes + torch.maximum(*pairs)
