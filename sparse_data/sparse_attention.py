"""Attention along the rows of a sparse matrix: a softmax in every row, all heads at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from sparse_data.sparse_pattern import SparsePattern


def pattern_of_heads(pattern: SparsePattern, heads: int) -> tuple[SparsePattern, Tensor]:
    """Return the pattern in which every head of a node has a row and a column of its own.

    Parameters
    ----------
    pattern : SparsePattern of shape (n_targets, n_sources)
    heads : int

    Returns
    -------
    pattern : SparsePattern of shape (n_targets * heads, n_sources * heads)
        Head k of node i is at ``i * heads + k`` and meets its own kind only.
    entries : int64 tensor of shape (n_entries * heads,)
        The entry of the given pattern that each of its entries is.

    Examples
    --------
    >>> pair = SparsePattern.from_entries(torch.tensor([[0, 0], [0, 1]]), (1, 2))
    >>> both, entries = pattern_of_heads(pair, 2)
    >>> both.columns.tolist(), both.offsets.tolist(), entries.tolist()
    ([0, 2, 1, 3], [0, 2, 4], [0, 1, 0, 1])
    """
    nodes = torch.arange(pattern.n_rows, device=pattern.columns.device).repeat_interleave(heads)
    taken, entries = pattern.take(nodes)
    columns = taken.columns * heads + taken.rows % heads
    return SparsePattern(taken.offsets, columns, pattern.n_columns * heads), entries


def attention_weights(pattern: SparsePattern, source: Tensor, target: Tensor, slope: float = 0.2) -> Tensor:
    r"""Return the weight of each entry, which add up to 1 in every row.

    .. math:: \alpha_{ij} = \mathrm{softmax}_{j \in N(i)}(\mathrm{LeakyReLU}(s_j + t_i))

    Parameters
    ----------
    pattern : SparsePattern of shape (n_targets, n_sources)
    source : float tensor of shape (n_sources,)
        s.
    target : float tensor of shape (n_targets,)
        t.
    slope : float, default=0.2
        Of the leaky unit below 0.

    Returns
    -------
    tensor of shape (n_entries,)

    References
    ----------
    Velickovic et al., "Graph Attention Networks", 2018, arXiv:1710.10903.

    Examples
    --------
    >>> pair = SparsePattern.from_entries(torch.tensor([[0, 0], [0, 1]]), (1, 2))
    >>> attention_weights(pair, torch.tensor([1.0, 3.0]).log(), torch.zeros(1)).round(decimals=2)
    tensor([0.2500, 0.7500])
    """
    weights: Tensor = _RowSoftmax.apply(source, target, pattern, slope)
    return weights


class _RowSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, pattern: SparsePattern, slope: float) -> Tensor:
        rows, offsets = pattern.rows, pattern.offsets
        logits = source.index_select(0, pattern.columns).add_(target.index_select(0, rows))
        weights = leaky_relu(logits, slope)
        largest = torch.segment_reduce(weights, "max", offsets=offsets)
        weights.sub_(largest.index_select(0, rows)).exp_()
        weights.div_(torch.segment_reduce(weights, "sum", offsets=offsets).index_select(0, rows))
        ctx.pattern, ctx.slope = pattern, slope
        ctx.save_for_backward(weights, logits)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        weights, logits = ctx.saved_tensors
        pattern: SparsePattern = ctx.pattern
        weighted = weights * gradient
        means = torch.segment_reduce(weighted, "sum", offsets=pattern.offsets)
        of_logits = weighted.addcmul_(weights, means.index_select(0, pattern.rows), value=-1)
        of_logits = torch.ops.aten.leaky_relu_backward(of_logits, logits, ctx.slope, False)
        of_target = torch.segment_reduce(of_logits, "sum", offsets=pattern.offsets)
        of_source = of_logits.new_zeros(pattern.n_columns).index_add_(0, pattern.columns, of_logits)
        return of_source, of_target, None, None
