"""The two directions of an undirected edge: whether a list holds both, and which belong together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK = 1 << 16  # so many edges that what is made of them stays in the cache
# Odd 64-bit constants with bits spread evenly: the fractions of the golden ratio and of sqrt(2), as int64.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_SQRT2 = 0x6A09E667F3BCC909


def is_symmetric(edges: Tensor, values: Tensor | None = None) -> bool:
    """Tell whether every edge stands in the list in both directions, equally often, with the same values.

    No sort: the 64-bit hashes of the pairs with source below target must add up to those of the others.
    A wrong answer has probability near 2**-64.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)
    values : float64 tensor of shape (n_edges,), optional
        Compared bit by bit; those of self-loops do not count.

    Examples
    --------
    >>> is_symmetric(torch.tensor([[0, 1, 2, 2], [1, 0, 2, 2]]))
    True
    >>> is_symmetric(torch.tensor([[0, 1], [1, 0]]), torch.tensor([0.5, 0.7]).double())
    False
    >>> is_symmetric(torch.tensor([[0, 1, 2], [1, 2, 0]]))
    False
    """
    total = torch.zeros((), dtype=torch.int64, device=edges.device)
    for start, (sources, targets), bits in _hashed(edges, seed=0):
        if values is not None:
            bits = _mix(bits.add_(values[start : start + len(bits)].view(torch.int64)))
        total += (bits * (targets - sources).sign()).sum()  # wraps around, as it should
    return int(total) == 0


def pair_uniform(edges: Tensor, seed: int) -> Tensor:
    """Return a number of [0, 1) for each edge, the same in both directions and on every device.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)
    seed : int

    Returns
    -------
    float64 tensor of shape (n_edges,)
    """
    values = torch.empty(edges.shape[1], dtype=torch.float64, device=edges.device)
    for start, _, bits in _hashed(edges, seed):
        values[start : start + len(bits)] = ((bits >> 11) & ((1 << 53) - 1)) * 2.0**-53
    return values


def pair_edges(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions of both directions of every undirected edge, self-loops left out.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)

    Returns
    -------
    first, second : int64 tensors of shape (n_pairs,)
        ``first < second``; pairs in the order in which they begin. The k-th copy of an edge belongs to the
        k-th copy of its reverse.

    Raises
    ------
    ValueError
        If an edge lacks its reverse.

    Examples
    --------
    >>> first, second = pair_edges(torch.tensor([[0, 2, 1, 1], [1, 1, 2, 0]]))
    >>> first.tolist(), second.tolist()
    ([0, 1], [3, 2])
    """
    sources, targets = edges
    size = int(edges.max()) + 1 if edges.numel() else 0
    upward, downward = (sources < targets).nonzero()[:, 0], (sources > targets).nonzero()[:, 0]
    keys_upward = sources[upward] * size + targets[upward]
    keys_downward = targets[downward] * size + sources[downward]
    keys_upward, order_upward = keys_upward.sort(stable=True)
    keys_downward, order_downward = keys_downward.sort(stable=True)
    if not torch.equal(keys_upward, keys_downward):
        raise ValueError(
            "`edge_index` must hold both directions of every edge; got edges without their reverse. "
            "Apply torch_geometric.utils.to_undirected or pass undirected=False."
        )
    upward, downward = upward[order_upward], downward[order_downward]
    first, order = torch.minimum(upward, downward).sort()
    return first, torch.maximum(upward, downward)[order]


def _hashed(edges: Tensor, seed: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield start, edges and hashes of the unordered pairs, a chunk of edges at a time."""
    # Of Python's unbounded integers, the lowest 64 bits as int64.
    salt = (((seed + 1) * _SQRT2 + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)
    for start in range(0, edges.shape[1], _CHUNK):
        part = edges[:, start : start + _CHUNK]
        bits = _mix(torch.minimum(*part) + salt)
        yield start, part, _mix(bits.add_(torch.maximum(*part)))


def _mix(bits: Tensor) -> Tensor:
    """Spread every bit over all 64: two rounds of multiplication and shift, a bijection."""
    for _ in range(2):
        bits = bits.mul_(_GOLDEN)
        bits ^= (bits >> 32) & 0xFFFFFFFF  # a logical shift
    return bits.mul_(_SQRT2)
