"""A mask on the messages of any network of message-passing layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import MessagePassing

from graph.edge_list import read_edge_list
from sparse_data.tensor_checks import check_length, check_module, check_tensor


@contextmanager
def masked_messages(model: Module, mask: Tensor, edge_index: Tensor) -> Iterator[None]:
    r"""Multiply every message by the mask of its edge inside, :math:`\tilde m_{uv} = g_{uv} m_{uv}`.

    Works for every layer, also for those that take no edge weights (GIN, GAT, SAGE).  It is not the same as
    masking the adjacency matrix: GCN's degrees and the attention of GAT are those of the whole graph.
    Self-loops, those of the graph and those that a layer adds, are not masked.

    Parameters
    ----------
    model : Module
        Called with `edge_index` as a tensor; a sparse matrix would be multiplied without messages.
    mask : float tensor of shape (n_edges,)
    edge_index : int64 tensor of shape (2, n_edges)

    Raises
    ------
    TypeError, ValueError
        If the edges are no edges, or the mask is not one float an edge.

    Examples
    --------
    >>> from torch_geometric.nn import SAGEConv
    >>> conv, edges = SAGEConv(1, 1), torch.tensor([[0, 1], [1, 0]])
    >>> with masked_messages(conv, torch.zeros(2), edges):
    ...     silent = conv(torch.ones(2, 1), edges)
    >>> bool((silent == conv.lin_r(torch.ones(2, 1)) + conv.lin_l.bias).all())
    True
    """
    edges, _ = read_edge_list(edge_index)
    mask = check_length("mask", check_tensor("mask", mask), "edges", edges.shape[1])
    if not mask.is_floating_point():
        raise TypeError(f"`mask` must be of a float dtype; got {mask.dtype}. Convert it with .float().")
    check_module("model", model)
    factors = EdgeFactors(mask, edges)
    layers = [module for module in model.modules() if isinstance(module, MessagePassing)]
    handles = [layer.register_message_forward_hook(factors) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class EdgeFactors:
    """What the messages of a layer are multiplied by, as a hook of the layer.

    Parameters
    ----------
    mask : float tensor of shape (n_edges,)
    edges : int64 tensor of shape (2, n_edges)
    """

    def __init__(self, mask: Tensor, edges: Tensor) -> None:
        loops = edges[0] == edges[1]
        self._proper = mask[~loops]
        self._whole = mask.masked_fill(loops, 1)

    def __call__(self, module: Module, _: Any, messages: Tensor) -> Tensor:
        """Return the messages multiplied."""
        factors = self.factors(module, len(messages)).to(messages.dtype)
        return messages * factors.view(-1, *[1] * (messages.ndim - 1))

    def factors(self, module: Module, n_messages: int) -> Tensor:
        """Return the factor of each message, of shape (n_messages,)."""
        # Layers that add self-loops take away those of the graph and put one a node at the end.
        if getattr(module, "add_self_loops", False) or n_messages != len(self._whole):
            return torch.cat([self._proper, self._proper.new_ones(n_messages - len(self._proper))])
        return self._whole
