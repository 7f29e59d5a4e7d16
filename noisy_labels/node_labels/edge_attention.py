"""Attention over the edges of a graph, all heads at once, with a gradient that writes out no message."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from sparse_data.sparse_pattern import SparsePattern

_SLOPE = 0.2  # of the attention of Velickovic et al.


def pattern_of_heads(pattern: SparsePattern, heads: int) -> SparsePattern:
    """Return the pattern of the matrix in which every head of a node has a row and a column of its own.

    Parameters
    ----------
    pattern : SparsePattern of shape (n_targets, n_sources)
    heads : int

    Returns
    -------
    SparsePattern of shape (n_targets * heads, n_sources * heads)
        Head k of node i is at ``i * heads + k`` and meets its own kind only.

    Examples
    --------
    >>> pair = SparsePattern.from_entries(torch.tensor([[0, 0], [0, 1]]), (1, 2))
    >>> both = pattern_of_heads(pair, 2)
    >>> both.columns.tolist(), both.offsets.tolist()
    ([0, 2, 1, 3], [0, 2, 4])
    """
    if heads == 1:
        return pattern
    nodes = torch.arange(pattern.n_rows, device=pattern.columns.device).repeat_interleave(heads)
    taken, _ = pattern.take(nodes)
    return SparsePattern(taken.offsets, taken.columns * heads + taken.rows % heads, pattern.n_columns * heads)


def edge_attention(pattern: SparsePattern, source: Tensor, target: Tensor, values: Tensor) -> Tensor:
    r"""Return the averages of values that attention makes.

    .. math:: h_i = \sum_{j \in N(i)} \mathrm{softmax}_j\big(\mathrm{LeakyReLU}(s_j + t_i)\big) v_j

    Parameters
    ----------
    pattern : SparsePattern of shape (n_targets, n_sources)
        With an entry in every row.
    source : float tensor of shape (n_sources,)
    target : float tensor of shape (n_targets,)
    values : float tensor of shape (n_sources, d)

    Returns
    -------
    tensor of shape (n_targets, d)

    References
    ----------
    Velickovic et al., "Graph Attention Networks", 2018, arXiv:1710.10903.

    Examples
    --------
    >>> pair = SparsePattern.from_entries(torch.tensor([[0, 0], [0, 1]]), (1, 2))
    >>> edge_attention(pair, torch.zeros(2), torch.zeros(1), torch.tensor([[1.0], [3.0]])).tolist()
    [[2.0]]
    """
    averages: Tensor = _EdgeAttention.apply(source, target, values.contiguous(), pattern)
    return averages


class _EdgeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, values: Tensor, pattern: SparsePattern) -> Tensor:
        rows = pattern.rows
        logits = source.index_select(0, pattern.columns).add_(target.index_select(0, rows))
        slopes = torch.where(logits > 0, 1.0, _SLOPE)
        shares = leaky_relu(logits, _SLOPE, inplace=True)
        largest = torch.segment_reduce(shares, "max", offsets=pattern.offsets)
        shares.sub_(largest.index_select(0, rows)).exp_()
        totals = torch.segment_reduce(shares, "sum", offsets=pattern.offsets)
        shares.div_(totals.index_select(0, rows))
        averages = _product(pattern.with_values(shares), values)
        ctx.save_for_backward(shares, slopes, values, averages)
        ctx.pattern = pattern
        return averages

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        shares, slopes, values, averages = ctx.saved_tensors
        pattern: SparsePattern = ctx.pattern
        gradient = gradient.contiguous()
        of_values = None
        if ctx.needs_input_grad[2]:
            transposed, order = pattern.transposition
            of_values = _product(transposed.with_values(shares.index_select(0, order)), gradient)
        # The softmax takes the mean out, which is the product of a row's gradient with its average.
        means = torch.einsum("ij,ij->i", gradient, averages)
        empty = pattern.with_values(torch.zeros_like(shares))
        of_logits = torch.sparse.sampled_addmm(empty, gradient, values.T, beta=0.0).values()
        of_logits = (of_logits - means.index_select(0, pattern.rows)).mul_(shares).mul_(slopes)
        of_target = torch.segment_reduce(of_logits, "sum", offsets=pattern.offsets)
        of_source = of_logits.new_zeros(pattern.n_columns).index_add_(0, pattern.columns, of_logits)
        return of_source, of_target, of_values, None


def _product(sparse: Tensor, dense: Tensor) -> Tensor:
    if dense.is_cpu:  # torch's own reduction is twice as fast there as MKL's product
        product: Tensor = torch.sparse.mm(sparse, dense, "sum")
        return product
    return sparse @ dense
