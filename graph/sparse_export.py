"""Sparse graphs in the forms that are fast: sorted EdgeIndex and CSR, normalised once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric import EdgeIndex

from graph.edge_list import NumNodes, Sizes, read_edge_list
from sparse_data.tensor_checks import check_length, check_module, check_tensor

_KEPT = ("_cached_edge_index", "_cached_adj_t", "_cached_x")


def to_sorted_edge_index(edge_index: Any, *, num_nodes: NumNodes = None) -> EdgeIndex:
    """Return the edges sorted by their target, as an `EdgeIndex` that convolutions aggregate fastest.

    Parameters
    ----------
    edge_index : tensor of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
    num_nodes : int or (n_sources, n_targets), optional

    Returns
    -------
    EdgeIndex

    Examples
    --------
    >>> to_sorted_edge_index(torch.tensor([[0, 2, 1], [2, 1, 0]])).as_tensor()
    tensor([[1, 2, 0],
            [0, 1, 2]])
    """
    edges, sizes = read_edge_list(edge_index, num_nodes)
    return EdgeIndex(edges[:, _by_target(edges, sizes)], sparse_size=sizes[:2], sort_order="col")


def to_csr(
    edge_index: Any,
    *,
    num_nodes: NumNodes = None,
    values: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Return the transposed adjacency matrix in CSR: one row a target.

    ``conv(x, to_csr(edge_index))`` is ``conv(x, edge_index)`` for PyG's convolutions, computed as a product
    of matrices instead of message by message.

    Parameters
    ----------
    edge_index : tensor of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
        Without repeated edges.
    num_nodes : int or (n_sources, n_targets), optional
    values : float tensor of shape (n_edges,), optional
        Edge weights; ones when None.
    dtype : torch.dtype, optional
        Of ones; torch's default when None.

    Returns
    -------
    sparse CSR tensor of shape (n_targets, n_sources)

    Examples
    --------
    >>> to_csr(torch.tensor([[0, 2, 1], [2, 1, 0]])).to_dense()
    tensor([[0., 1., 0.],
            [0., 0., 1.],
            [1., 0., 0.]])
    """
    edges, sizes = read_edge_list(edge_index, num_nodes)
    order = _by_target(edges, sizes)
    starts = torch.zeros(sizes.n_targets + 1, dtype=torch.int64, device=edges.device)
    starts[1:] = torch.bincount(edges[1], minlength=sizes.n_targets).cumsum(0)
    if values is not None:
        values = check_length("values", check_tensor("values", values), "edges", len(order))
    else:
        if dtype is not None and not isinstance(dtype, torch.dtype):
            raise TypeError(f"`dtype` must be a torch.dtype; got {dtype!r}. Pass torch.float32 or the like.")
        values = torch.ones(len(order), dtype=dtype, device=edges.device)
    # Built from checked edges: the invariants hold.
    return torch.sparse_csr_tensor(
        starts,
        edges[0, order],
        values[order],
        size=(sizes.n_targets, sizes.n_sources),
        check_invariants=False,
    )


def cache_normalization(model: Module) -> Module:
    """Return a copy of a network that normalises its graph once, in the first prediction, and not in each.

    For predictions on one graph: the copy takes any later graph for the first one.

    Parameters
    ----------
    model : Module
        Left as it is. Of its layers those that have PyG's `cached`, as `GCNConv` has, change.

    Returns
    -------
    Module
        In evaluation mode.

    Examples
    --------
    >>> from torch_geometric.nn import GCN
    >>> cache_normalization(GCN(4, 8, 2, 3)).convs[0].cached
    True
    """
    check_module("model", model)
    # Graphs that a layer keeps are left behind; torch cannot copy one in CSR at all.
    kept = [getattr(layer, name, None) for layer in model.modules() for name in _KEPT]
    left_behind: dict[int, Any] = {id(graph): None for graph in kept if graph is not None}
    cached = copy.deepcopy(model, left_behind).eval()
    for layer in cached.modules():
        if hasattr(layer, "cached"):
            layer.cached = True  # type: ignore[assignment]
    return cached


def _by_target(edges: Tensor, sizes: Sizes) -> Tensor:
    return (edges[1] * max(sizes.n_sources, 1) + edges[0]).argsort(stable=True)
