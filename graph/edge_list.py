"""Edges in the forms that users have them: tensors, EdgeIndex, CSR of torch or SciPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from sparse_data.checks import check_count
from sparse_data.tensor_checks import check_tensor

NumNodes = int | tuple[int, int] | None
_MOST_NODES = 2**31 - 1  # so that the number of a pair fits into 64 bits


class Sizes(NamedTuple):
    """Numbers of sources and targets, and whether these are two kinds of nodes."""

    n_sources: int
    n_targets: int
    bipartite: bool


def read_edge_list(edge_index: Any, num_nodes: NumNodes = None) -> tuple[Tensor, Sizes]:
    """Return the edges as a plain int64 tensor and the numbers of sources and targets.

    Parameters
    ----------
    edge_index : tensor or array of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
        Sources in the first row, targets in the second. Of a sparse matrix the rows are sources, the columns
        targets, and the order of edges is that of its entries row by row.
    num_nodes : int or pair of int, optional
        A pair for a bipartite graph: numbers of sources and of targets. Taken from the edges when None; a
        matrix that is not square is a bipartite graph.

    Returns
    -------
    edges : int64 tensor of shape (2, n_edges)
    sizes : Sizes

    Raises
    ------
    TypeError
        If the node ids are no integers.
    ValueError
        If the shape is not (2, n_edges) or an id lies outside the number of nodes.
    """
    edges, shape = _plain(edge_index)
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(
            f"`edge_index` must be of shape (2, n_edges); got {tuple(edges.shape)}. "
            "Put sources in the first row and targets in the second."
        )
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise TypeError(
            f"`edge_index` must be of an integer dtype; got {edges.dtype}. Convert it with .long()."
        )
    edges = edges.long()
    sizes = _sizes(edges, shape, num_nodes)
    for row, size in zip(edges, sizes[:2], strict=True):
        if row.numel() and (int(row.min()) < 0 or int(row.max()) >= size):
            raise ValueError(
                f"`edge_index` must be in [0, {size}); got ids from {int(row.min())} to {int(row.max())}. "
                "Pass the right `num_nodes`."
            )
    return edges, sizes


def select_edges(edge_index: Any, mask: Tensor, *, undirected: bool = False) -> Any:
    """Return the edges under a mask in the form in which they were given.

    Parameters
    ----------
    edge_index : as for `read_edge_list`
    mask : bool tensor of shape (n_edges,)
    undirected : bool, default=False
        Whether an EdgeIndex of both directions is one still.
    """
    if isinstance(edge_index, EdgeIndex):
        return EdgeIndex(
            edge_index.as_tensor()[:, mask],
            sparse_size=edge_index.sparse_size(),
            sort_order=edge_index.sort_order,
            is_undirected=edge_index.is_undirected and undirected,
        )
    if scipy.sparse.issparse(edge_index):
        entries = edge_index.tocsr().tocoo()
        kept = mask.cpu().numpy()
        chosen = (entries.data[kept], (entries.row[kept], entries.col[kept]))
        return type(edge_index)(type(entries)(chosen, shape=entries.shape))
    if isinstance(edge_index, Tensor) and edge_index.layout in (torch.sparse_csr, torch.sparse_coo):
        entries = _coo(edge_index)
        parts = (entries.indices()[:, mask], entries.values()[mask], entries.shape)
        part = torch.sparse_coo_tensor(*parts, is_coalesced=True, check_invariants=False)
        return part if edge_index.layout == torch.sparse_coo else part.to_sparse_csr()
    return check_tensor("edge_index", edge_index)[:, mask]


def _plain(edge_index: Any) -> tuple[Tensor, tuple[int | None, int | None]]:
    if isinstance(edge_index, EdgeIndex):
        n_sources, n_targets = edge_index.sparse_size()
        return edge_index.as_tensor(), (n_sources, n_targets)
    if scipy.sparse.issparse(edge_index):
        entries = edge_index.tocsr().tocoo()
        rows = np.stack([entries.row, entries.col]).astype(np.int64)
        return torch.from_numpy(rows), (entries.shape[0], entries.shape[1])
    edges = check_tensor("edge_index", edge_index)
    if edges.layout in (torch.sparse_csr, torch.sparse_coo):
        return _coo(edges).indices(), (edges.shape[0], edges.shape[1])
    return edges, (None, None)


def _coo(matrix: Tensor) -> Tensor:
    entries: Tensor = matrix.to_sparse_coo().coalesce()
    return entries


def _sizes(edges: Tensor, shape: tuple[int | None, int | None], num_nodes: NumNodes) -> Sizes:
    if isinstance(num_nodes, tuple):
        if len(num_nodes) != 2:
            raise ValueError(
                f"`num_nodes` must be a number or a pair; got {num_nodes!r}. Pass (n_sources, n_targets)."
            )
        n_sources, n_targets = (
            check_count("num_nodes", size, minimum=0, maximum=_MOST_NODES) for size in num_nodes
        )
        return Sizes(n_sources, n_targets, bipartite=True)
    if num_nodes is None and shape[0] is not None and shape[1] is not None:
        return Sizes(shape[0], shape[1], bipartite=shape[0] != shape[1])
    if num_nodes is None:
        num_nodes = int(edges.max()) + 1 if edges.numel() else 0
    size = check_count("num_nodes", num_nodes, minimum=0, maximum=_MOST_NODES)
    return Sizes(size, size, bipartite=False)
