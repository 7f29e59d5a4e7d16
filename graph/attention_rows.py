"""Graph attention along the rows of a sparse matrix, with no message written out."""

from __future__ import annotations

import torch
from torch import Tensor

from sparse_data.sparse_attention import attention_weights, pattern_of_heads
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
        order = edges[1].argsort(stable=True)
        offsets = offsets_of(edges[1][order], n_nodes)
        of_nodes = SparsePattern(offsets, edges[0][order], n_nodes)
        self.pattern, entries = pattern_of_heads(of_nodes, n_heads)
        self.message = order[entries]

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
        return attention_weights(self.pattern, of_source.flatten(), of_target.flatten(), slope)

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
