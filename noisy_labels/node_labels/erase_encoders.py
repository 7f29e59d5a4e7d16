"""Encoders of ERASE: two layers of attention, of a GCN or of GraphSAGE, with rows of L1 norm 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import leaky_relu
from torch.nn.init import xavier_uniform_

from noisy_labels.node_labels.neighbour_sampling import Block
from noisy_labels.node_labels.unit_rows import positive_unit_rows, unit_rows
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.sparse_attention import attention_weights
from sparse_data.sparse_features import Features, SparseRows, drop, project
from sparse_data.sparse_pattern import pattern_matmul

LayerName = Literal["gat", "gcn", "sage"]


class AttentionLayer(Module):
    r"""The layer of Velickovic et al. (2018), with as many heads side by side.

    .. math:: h_i = \Big\Vert_k \sum_{j \in N(i) \cup i} \mathrm{softmax}_j\big(
              \mathrm{LeakyReLU}(a_k^\top W_k x_j + b_k^\top W_k x_i)\big) W_k x_j

    Where the output of a head is wider than its input, inputs are averaged and then multiplied by W: the same
    numbers from less work.

    Parameters
    ----------
    n_inputs, n_outputs : int
        `n_outputs` of all heads together.
    heads : int

    References
    ----------
    Velickovic et al., "Graph Attention Networks", 2018, arXiv:1710.10903.
    """

    def __init__(self, n_inputs: int, n_outputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = Parameter(xavier_uniform_(torch.empty(n_outputs, n_inputs)))
        self.of_source = Parameter(xavier_uniform_(torch.empty(heads, n_outputs // heads)))
        self.of_target = Parameter(xavier_uniform_(torch.empty(heads, n_outputs // heads)))
        self.bias = Parameter(torch.zeros(n_outputs))

    def forward(self, x: Features, block: Block) -> Tensor:
        """Return the rows of the targets, shape (n_targets, n_outputs)."""
        width = len(self.bias) // self.heads
        per_head = self.weight.view(self.heads, width, -1)
        vectors = self.of_source, self.of_target
        if average_inputs := isinstance(x, Tensor) and x.shape[1] < width:
            maps = [torch.einsum("hw,hwf->fh", vector, per_head) for vector in vectors]
            values = x
        else:
            maps = [torch.block_diag(*vector[:, :, None]) for vector in vectors]
            values = project(x, self.weight)
        source, target = (values @ torch.cat(maps, dim=1)).split(self.heads, dim=1)
        if average_inputs:
            values = values[:, None].expand(-1, self.heads, -1)
        pattern = block.of_heads(self.heads)
        weights = attention_weights(pattern, source.flatten(), block.of_targets(target).flatten())
        averages = pattern_matmul(pattern, weights, values.reshape(x.shape[0] * self.heads, -1))
        if not average_inputs:
            return averages.view(-1, self.heads * width) + self.bias
        of_heads = averages.view(-1, self.heads, x.shape[1]).transpose(0, 1)
        outputs = torch.baddbmm(self.bias.view(self.heads, 1, width), of_heads, per_head.transpose(1, 2))
        return outputs.transpose(0, 1).reshape(-1, self.heads * width)


class ConvolutionLayer(Module):
    r"""The layer of Kipf and Welling (2017), :math:`h_i = \sum_{j \in N(i) \cup i} W x_j / \sqrt{d_i d_j}`.

    Degrees d are those of the whole graph; sums over sampled neighbours are scaled to all of them.

    References
    ----------
    Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", 2017,
    arXiv:1609.02907.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = Parameter(xavier_uniform_(torch.empty(n_outputs, n_inputs)))
        self.bias = Parameter(torch.zeros(n_outputs))

    def forward(self, x: Features, block: Block) -> Tensor:
        """Return the rows of the targets, shape (n_targets, n_outputs)."""
        rows, columns = block.pattern.rows, block.pattern.columns
        own = block.of_targets(block.degrees)
        scale = own / block.pattern.counts
        weights = (scale[rows] / (own[rows] * block.degrees[columns]).sqrt()).to(self.weight.dtype)
        return pattern_matmul(block.pattern, weights, project(x, self.weight)) + self.bias


class SampleAndAggregateLayer(Module):
    r"""The layer of Hamilton et al. (2017) with means of neighbours.

    .. math:: h_i = W x_i + V \frac{1}{|N(i)|} \sum_{j \in N(i)} x_j

    References
    ----------
    Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs", 2017, arXiv:1706.02216.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = Parameter(xavier_uniform_(torch.empty(n_outputs, n_inputs)))
        self.of_neighbours = Parameter(xavier_uniform_(torch.empty(n_outputs, n_inputs)))
        self.bias = Parameter(torch.zeros(n_outputs))

    def forward(self, x: Features, block: Block) -> Tensor:
        """Return the rows of the targets, shape (n_targets, n_outputs)."""
        rows, columns = block.pattern.rows, block.pattern.columns
        others = (block.pattern.counts - 1).clamp(min=1)
        weights = (rows != columns).to(self.weight.dtype) / others[rows]
        neighbours = pattern_matmul(block.pattern, weights, project(x, self.of_neighbours))
        return block.of_targets(project(x, self.weight)) + neighbours + self.bias


class GraphEncoder(Module):
    r"""The encoder of ERASE: dropout, layer, LeakyReLU, L1 norm, layer, L1 norm, ReLU.

    Rows are non-negative with sums of at most 1; :math:`\epsilon` of the coding rates is meant for this.

    Parameters
    ----------
    n_features : int
    layer : {"gat", "gcn", "sage"}, default="gat"
    hidden : int, default=256
        Of all heads together.
    n_outputs : int, default=512
    heads : int, default=8
        Of the first layer of "gat"; the second has one.
    dropout : float, default=0.5
        Of the features.

    References
    ----------
    Chen et al., 2024, arXiv:2312.08852.

    Examples
    --------
    >>> from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph
    >>> graph = NeighbourGraph(torch.tensor([[0, 1], [1, 0]]), 3)
    >>> encoder = GraphEncoder(4, hidden=8, n_outputs=6, heads=2)
    >>> encoder(torch.ones(3, 4), [graph.whole()] * 2).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        n_features: int,
        *,
        layer: LayerName = "gat",
        hidden: int = 256,
        n_outputs: int = 512,
        heads: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_one_of("layer", layer, ("gat", "gcn", "sage"))
        check_in_range("dropout", dropout, 0, 1, closed="left")
        check_count("heads", heads)
        if check_count("hidden", hidden) % heads:
            raise ValueError(f"`hidden` must be a multiple of `heads`, {heads}; got {hidden}. Change one.")
        self.dropout = dropout
        self.first: Module
        self.second: Module
        if layer == "gat":
            self.first = AttentionLayer(n_features, hidden, heads)
            self.second = AttentionLayer(hidden, check_count("n_outputs", n_outputs), 1)
        else:
            kind = ConvolutionLayer if layer == "gcn" else SampleAndAggregateLayer
            self.first = kind(n_features, hidden)
            self.second = kind(hidden, check_count("n_outputs", n_outputs))

    def forward(self, x: Features, blocks: Sequence[Block]) -> Tensor:
        """Return embeddings of the targets of the last block, from features of the sources of the first."""
        x = drop(x, self.dropout, self.training)
        hidden = unit_rows(leaky_relu(self.first(x, blocks[0]), inplace=True))
        return positive_unit_rows(self.second(hidden, blocks[1]))


class EdgeIndexEncoder(Module):
    """Any network of ``module(x, edge_index)``, given the edges of the first block.

    Parameters
    ----------
    module : Module
        With as many layers as there are blocks.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Features, blocks: Sequence[Block]) -> Tensor:
        """Return the embeddings of the targets of the last block."""
        dense = x.dense() if isinstance(x, SparseRows) else x
        embeddings: Tensor = self.module(dense, blocks[0].edge_index())
        return embeddings[: blocks[-1].pattern.n_rows]
