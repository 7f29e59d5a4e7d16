"""Convolutions computed as products of matrices, while a network trains on graphs given as lists of edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Linear, Module, Sequential
from torch_geometric.nn import MLP, GATConv, GCNConv, GINConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.dense import Linear as PyGLinear
from torch_geometric.utils import add_self_loops, remove_self_loops

from graph.attention_rows import AttentionRows, score_heads
from graph.fixed_matrix import FixedMatrix
from graph.known_features import KnownFeatures
from graph.message_masks import EdgeFactors
from sparse_data.sparse_pattern import SparsePattern, pattern_matmul

Matrix = TypeVar("Matrix")
_N_KEPT = 4  # matrices, the graphs of training and validation for two kinds of layer
_HOOKS = (
    "_propagate_forward_pre_hooks",
    "_propagate_forward_hooks",
    "_message_forward_pre_hooks",
    "_aggregate_forward_pre_hooks",
    "_aggregate_forward_hooks",
    "_edge_update_forward_pre_hooks",
    "_edge_update_forward_hooks",
)


@contextmanager
def matrix_layers(model: Module, features: Iterable[Tensor]) -> Iterator[KnownFeatures]:
    r"""Let graph convolutions compute :math:`M (X W)` inside, M being a sparse matrix of the graph.

    That is what `GCNConv`, `GINConv`, `SAGEConv` and `GATConv`, whose M is its attention, compute message by
    message, with the linear map first: no message is written out.  Layers with options or hooks that a
    product does not cover, and all other layers, are as ever; masks of `masked_messages` are covered.

    What it yields is to surround the calls of the network, and no more, since it costs some time at every
    call of a function.

    Parameters
    ----------
    model : Module
    features : iterable of tensors of shape (n_nodes, n_features)
        What the network is called with.
    """
    matrices = _Matrices()
    changed = [layer for layer in model.modules() if type(layer) in _FORMS and "forward" not in vars(layer)]
    for layer in changed:
        vars(layer)["forward"] = partial(_FORMS[type(layer)], layer, matrices)
    try:
        yield KnownFeatures(features)
    finally:
        for layer in changed:
            del vars(layer)["forward"]


class _GraphMatrix:
    """A weight for each message, in the order of the messages, as a sparse matrix of targets and sources."""

    def __init__(self, edges: Tensor, weights: Tensor, n_nodes: int) -> None:
        self.weights = weights
        targets, sources = edges[1], edges[0]
        self.pattern = SparsePattern.from_entries(torch.stack([targets, sources]), (n_nodes, n_nodes))
        keys = self.pattern.rows * n_nodes + self.pattern.columns
        self.entry_of_message = torch.searchsorted(keys, targets * n_nodes + sources)
        self._fixed = FixedMatrix(self.pattern, self._collect(weights))
        self._ahead: tuple[Tensor, Tensor] | None = None

    def times(self, layer: Any, x: Tensor) -> Tensor:
        """Return the product with x, messages multiplied by the factors that a layer has been given.

        What a prediction multiplies, if a step may need it, is not multiplied again by the step that follows.
        """
        if layer._message_forward_hooks:
            (mask,) = layer._message_forward_hooks.values()
            values = self._collect(self.weights * mask.factors(layer, len(self.weights)).to(x.dtype))
            return pattern_matmul(self.pattern, values, x)
        if self._ahead is not None and self._ahead[0] is x:
            product, self._ahead = self._ahead[1], None
            return product
        with torch.enable_grad():
            product = self._fixed.times(x)
        if product.requires_grad and not torch.is_grad_enabled():
            self._ahead = x, product
        return product

    def _collect(self, weights: Tensor) -> Tensor:
        """Return the sum of the weights of each entry: edges may be there twice."""
        return weights.new_zeros(len(self.pattern.columns)).index_add(0, self.entry_of_message, weights)


class _Matrices:
    """The matrices of the latest graphs, told apart by the identity of their edges."""

    def __init__(self) -> None:
        self._made: dict[Any, tuple[Tensor, Any]] = {}

    def of(self, edges: Tensor, kind: Any, make: Callable[[], Matrix]) -> Matrix:
        """Return the matrix of a kind; a graph that is kept cannot lend its identity to another."""
        key = (id(edges), kind)
        if key not in self._made:
            while len(self._made) >= _N_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = edges, make()
        made: Matrix = self._made[key][1]
        return made


def _gcn(
    layer: GCNConv, matrices: _Matrices, x: Any, edge_index: Any, edge_weight: Tensor | None = None
) -> Tensor:
    if edge_weight is not None or layer.cached or not _is_covered(layer, x, edge_index, ("add", "sum")):
        messages: Tensor = GCNConv.forward(layer, x, edge_index, edge_weight)
        return messages
    n_nodes, norm = len(x), (layer.improved, layer.add_self_loops)

    def make() -> _GraphMatrix:
        edges, weights = edge_index, x.new_ones(edge_index.shape[1])
        if layer.normalize:
            edges, weights = gcn_norm(edge_index, None, n_nodes, *norm, layer.flow, x.dtype)
        return _GraphMatrix(edges, weights, n_nodes)

    kind = (layer.normalize, *norm, n_nodes, x.dtype)
    out = matrices.of(edge_index, kind, make).times(layer, layer.lin(x))
    return out if layer.bias is None else out + layer.bias


def _gin(layer: GINConv, matrices: _Matrices, x: Any, edge_index: Any, size: Any = None) -> Tensor:
    first = _first_linear(layer.nn)
    if first is None or size is not None or not _is_covered(layer, x, edge_index, ("add", "sum")):
        messages: Tensor = GINConv.forward(layer, x, edge_index, size)
        return messages
    mapped = torch.nn.functional.linear(x, first.weight)
    summed = _sums(matrices, x, edge_index).times(layer, mapped) + (1 + layer.eps) * mapped
    answer = summed if first.bias is None else summed + first.bias
    vars(first)["forward"] = lambda _: answer
    try:
        out: Tensor = layer.nn(x)
    finally:
        del vars(first)["forward"]
    return out


def _sage(layer: SAGEConv, matrices: _Matrices, x: Any, edge_index: Any, size: Any = None) -> Tensor:
    plain = size is None and not layer.project and not layer.normalize
    if not plain or not _is_covered(layer, x, edge_index, ("mean",)):
        messages: Tensor = SAGEConv.forward(layer, x, edge_index, size)
        return messages
    n_nodes = len(x)

    def make() -> _GraphMatrix:
        counts = torch.bincount(edge_index[1], minlength=n_nodes).to(x.dtype)
        return _GraphMatrix(edge_index, counts[edge_index[1]].reciprocal(), n_nodes)

    mapped = torch.nn.functional.linear(x, layer.lin_l.weight)
    out = matrices.of(edge_index, ("mean", n_nodes, x.dtype), make).times(layer, mapped)
    if layer.lin_l.bias is not None:
        out = out + layer.lin_l.bias
    return out + layer.lin_r(x) if layer.root_weight else out


def _sums(matrices: _Matrices, x: Tensor, edge_index: Tensor) -> _GraphMatrix:
    def make() -> _GraphMatrix:
        return _GraphMatrix(edge_index, x.new_ones(edge_index.shape[1]), len(x))

    return matrices.of(edge_index, ("sum", len(x), x.dtype), make)


def _gat(
    layer: GATConv,
    matrices: _Matrices,
    x: Any,
    edge_index: Any,
    edge_attr: Any = None,
    *rest: Any,
    **named: Any,
) -> Tensor:
    plain = edge_attr is None and not rest and not named and layer.lin is not None
    if not plain or not _is_covered(layer, x, edge_index, ("add", "sum")):
        messages: Tensor = GATConv.forward(layer, x, edge_index, edge_attr, *rest, **named)
        return messages
    n_nodes, n_heads = len(x), layer.heads

    def make() -> AttentionRows:
        edges = edge_index
        if layer.add_self_loops:
            edges, _ = add_self_loops(remove_self_loops(edges)[0], num_nodes=n_nodes)
        return AttentionRows(edges, n_nodes, n_heads)

    graph = matrices.of(edge_index, ("attention", n_heads, layer.add_self_loops, n_nodes), make)
    mapped = layer.lin(x)
    of_source, of_target = (score_heads(mapped, vectors[0]) for vectors in (layer.att_src, layer.att_dst))
    weights = graph.attention(of_source, of_target, layer.negative_slope)
    weights = torch.nn.functional.dropout(weights, layer.dropout, layer.training)
    if layer._message_forward_hooks:
        (mask,) = layer._message_forward_hooks.values()
        factors = mask.factors(layer, len(graph.message) // n_heads).to(weights.dtype)
        weights = weights * factors.index_select(0, graph.message)
    sums = graph.times(weights, mapped.view(n_nodes, n_heads, layer.out_channels))
    out = sums.flatten(1) if layer.concat else sums.mean(1)
    if layer.res is not None:
        out = out + layer.res(x)
    return out if layer.bias is None else out + layer.bias


_FORMS: dict[type[Module], Callable[..., Tensor]] = {
    GCNConv: _gcn,
    GINConv: _gin,
    SAGEConv: _sage,
    GATConv: _gat,
}


def _is_covered(layer: Any, x: Any, edge_index: Any, aggregations: tuple[str, ...]) -> bool:
    """Return whether a product of matrices is what the layer would compute."""
    tensors = type(x) is Tensor and x.ndim == 2 and type(edge_index) is Tensor
    return (
        tensors
        and edge_index.layout == torch.strided
        and layer.aggr in aggregations
        and layer.flow == "source_to_target"
        and not layer.explain
        and layer.decomposed_layers == 1
        and not any(getattr(layer, name) for name in _HOOKS)
        and len(layer._message_forward_hooks) <= 1
        and all(isinstance(hook, EdgeFactors) for hook in layer._message_forward_hooks.values())
    )


def _first_linear(network: Any) -> Linear | PyGLinear | None:
    """Return the linear map that a network begins with, None if it begins otherwise or is watched."""
    first = network
    if type(network) is Sequential and len(network):
        first = network[0]
    elif type(network) is MLP and len(network.lins):
        first = network.lins[0]
    known = type(first) in (Linear, PyGLinear) and not first._forward_hooks and not first._forward_pre_hooks
    return first if known else None
