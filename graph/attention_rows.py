"""Graph attention along the rows of a sparse matrix, with no message written out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparse_data.sparse_pattern import SparsePattern, offsets_of, pattern_matmul

_WIDTH = 8  # MKL takes ten times as long for the gradient of rows that fill no vector of the processor


class AttentionRows:
    r"""The messages of a graph, target by target and head by head: an entry a message and head.

    Head h of node i is node :math:`iH + h` of a graph of :math:`nH` nodes, in which all heads are one.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)
        From source to target; an edge may be there twice.
    n_nodes, n_heads : int
    """

    def __init__(self, edges: Tensor, n_nodes: int, n_heads: int) -> None:
        heads = torch.arange(n_heads, device=edges.device)
        sources, targets = ((ends[:, None] * n_heads + heads).flatten() for ends in edges)
        order = targets.argsort(stable=True)
        self.rows = targets[order]
        self.pattern = SparsePattern(
            offsets_of(self.rows, n_nodes * n_heads), sources[order], n_nodes * n_heads
        )
        self.message = order // n_heads

    def attention(self, of_source: Tensor, of_target: Tensor, slope: float) -> Tensor:
        r"""Return the weight of each entry.

        .. math:: \alpha_{ij} = \mathrm{softmax}_{j \in N(i)}(\mathrm{LeakyReLU}(s_j + t_i))

        Parameters
        ----------
        of_source, of_target : float tensors of shape (n_nodes, n_heads)
            s and t.
        slope : float
            Of the leaky unit below 0.
        """
        weights: Tensor = _RowSoftmax.apply(of_source.flatten(), of_target.flatten(), self, slope)
        return weights

    def times(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return the sums of what the sources send, shape (n_nodes, n_heads, n_channels) as that of x."""
        n_channels = x.shape[-1]
        flat = x.reshape(-1, n_channels)
        if n_channels % _WIDTH:
            flat = torch.nn.functional.pad(flat, (0, -n_channels % _WIDTH))
        return pattern_matmul(self.pattern, weights, flat)[:, :n_channels].reshape(x.shape)


def score_heads(channels: Tensor, vectors: Tensor) -> Tensor:
    """Return the product of the channels of each head with its vector, shape (n_nodes, n_heads).

    Parameters
    ----------
    channels : float tensor of shape (n_nodes, n_heads * n_channels)
    vectors : float tensor of shape (n_heads, n_channels)
    """
    of_head = torch.eye(len(vectors), dtype=vectors.dtype, device=vectors.device)
    return channels @ (vectors[:, :, None] * of_head[:, None]).flatten(0, 1)


class _RowSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of_source: Tensor, of_target: Tensor, graph: AttentionRows, slope: float) -> Tensor:
        rows, columns = graph.rows, graph.pattern.columns
        logits = of_source.index_select(0, columns) + of_target.index_select(0, rows)
        weights = torch.nn.functional.leaky_relu(logits, slope)
        largest = torch.segment_reduce(weights, "max", offsets=graph.pattern.offsets)
        weights.sub_(largest.index_select(0, rows)).exp_()
        weights /= _sums(weights, rows, of_target).index_select(0, rows)
        ctx.graph, ctx.slope = graph, slope
        ctx.save_for_backward(weights, logits, of_source)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        weights, logits, node_values = ctx.saved_tensors
        rows = ctx.graph.rows
        weighted = weights * gradient
        mean = _sums(weighted, rows, node_values).index_select(0, rows)
        of_logits = torch.addcmul(weighted, weights, mean, value=-1)
        of_logits = torch.ops.aten.leaky_relu_backward(of_logits, logits, ctx.slope, False)
        of_source = _sums(of_logits, ctx.graph.pattern.columns, node_values)
        return of_source, _sums(of_logits, rows, node_values), None, None


def _sums(values: Tensor, nodes: Tensor, like: Tensor) -> Tensor:
    """Return the sum of the values of each node."""
    return torch.zeros_like(like).scatter_add_(0, nodes, values)
