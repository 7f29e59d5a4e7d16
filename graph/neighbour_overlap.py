"""How many neighbours the two ends of each edge share."""

from __future__ import annotations

import torch
from torch import Tensor

_LOOKUPS = 1 << 20  # the least number of neighbours to look up at once


def count_common_neighbours(edges: Tensor, d_out: Tensor, d_in: Tensor) -> Tensor:
    r"""Return :math:`|\{w : u \to w \to v\}|` for every edge u to v, exactly.

    The neighbours of the end that has fewer are looked up among the edges of the other, blocks of about as
    many as there are edges at a time: :math:`\sum_{uv} \min(d_u, d_v)` binary searches in all.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)
        Without self-loops.
    d_out, d_in : int64 tensors of shape (n_nodes,)
        Degrees.

    Returns
    -------
    int64 tensor of shape (n_edges,)

    Examples
    --------
    >>> triangle_with_tail = torch.tensor([[0, 1, 0, 2, 1, 2, 2, 3], [1, 0, 2, 0, 2, 1, 3, 2]])
    >>> degrees = torch.tensor([2, 2, 3, 1])
    >>> count_common_neighbours(triangle_with_tail, degrees, degrees).tolist()
    [1, 1, 1, 1, 1, 1, 0, 0]
    """
    n_nodes, n_edges = len(d_out), edges.shape[1]
    counts = torch.zeros(n_edges, dtype=torch.int64, device=edges.device)
    forward = (edges[0] * n_nodes + edges[1]).sort().values
    backward = (edges[1] * n_nodes + edges[0]).sort().values
    from_source = d_out[edges[0]] <= d_in[edges[1]]
    # A step from u to w is looked up among the edges that arrive at v; or all of it reversed.
    for own, other, degrees, ends, chosen in (
        (forward, backward, d_out, edges, from_source),
        (backward, forward, d_in, edges.flip(0), ~from_source),
    ):
        rows = chosen.nonzero()[:, 0]
        for part in _blocks(rows, degrees[ends[0, rows]], max(_LOOKUPS, n_edges)):
            counts[part] = _count_block(own, other, degrees, ends[:, part])
    return counts


def _count_block(own: Tensor, other: Tensor, degrees: Tensor, ends: Tensor) -> Tensor:
    n_nodes, (u, v) = len(degrees), ends
    row = torch.repeat_interleave(degrees[u])  # of `ends`, once a neighbour of u
    rank = torch.arange(len(row), device=row.device) - _begins(degrees[u])[row]
    w = own[_begins(degrees)[u][row] + rank] % n_nodes
    found = _contains(other, v[row] * n_nodes + w)
    return torch.bincount(row[found], minlength=len(u))


def _begins(lengths: Tensor) -> Tensor:
    return lengths.cumsum(0) - lengths


def _blocks(rows: Tensor, steps: Tensor, block: int) -> tuple[Tensor, ...]:
    """Return the rows in parts of about so many steps each."""
    total = steps.cumsum(0)
    cuts = torch.arange(1, int(steps.sum()) // block + 1, device=rows.device) * block
    return rows.tensor_split(torch.searchsorted(total, cuts).cpu())


def _contains(sorted_keys: Tensor, keys: Tensor) -> Tensor:
    positions = torch.searchsorted(sorted_keys, keys).clamp_(max=len(sorted_keys) - 1)
    return sorted_keys[positions] == keys
