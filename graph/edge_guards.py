"""Edges that sparsification must not take: a spanning forest, or one edge for every node."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

Guard = Literal["spanning_forest", "isolated"]


def spanning_forest(ends: Tensor, scores: Tensor, num_nodes: int) -> Tensor:
    """Return a mask of the spanning forest with the largest scores: it keeps all components whole.

    Parameters
    ----------
    ends : int64 tensor of shape (2, n_edges)
        One column an undirected edge, none a self-loop.
    scores : float tensor of shape (n_edges,)
        Of equal scores the first goes before.
    num_nodes : int

    Returns
    -------
    bool tensor of shape (n_edges,)

    Examples
    --------
    >>> triangle = torch.tensor([[0, 0, 1], [1, 2, 2]])
    >>> spanning_forest(triangle, torch.tensor([0.3, 0.1, 0.2]), 3).tolist()
    [True, False, True]
    """
    order = scores.argsort(descending=True, stable=True).cpu().numpy()
    rows, columns = np.sort(ends.cpu().numpy()[:, order], axis=0)
    # Ranks from 1 as lengths: SciPy takes 0 for no edge and adds up repeated ones, so the best copy stays.
    _, first = np.unique(rows * num_nodes + columns, return_index=True)
    lengths = (first + 1.0, (rows[first], columns[first]))
    forest = minimum_spanning_tree(scipy.sparse.csr_array(lengths, shape=(num_nodes, num_nodes)))
    mask = np.zeros(len(order), dtype=bool)
    mask[order[forest.tocoo().data.astype(np.int64) - 1]] = True
    return torch.from_numpy(mask).to(scores.device)


def best_edge_of_each_node(ends: Tensor, scores: Tensor, num_nodes: int) -> Tensor:
    """Return a mask of every node's edge with the largest score, the first of equals.

    Parameters
    ----------
    ends, scores, num_nodes
        As for `spanning_forest`.

    Returns
    -------
    bool tensor of shape (n_edges,)

    Examples
    --------
    >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    >>> best_edge_of_each_node(path, torch.tensor([0.3, 0.1, 0.2]), 4).tolist()
    [True, False, True]
    """
    n_edges = len(scores)
    order = scores.argsort(descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(n_edges, device=order.device))
    best = torch.full((num_nodes,), n_edges, dtype=torch.int64, device=order.device)
    for side in ends:
        best = best.scatter_reduce(0, side, rank, "amin")
    mask = torch.zeros(n_edges, dtype=torch.bool, device=order.device)
    mask[order[best[best < n_edges]]] = True
    return mask
