from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv, TransformerConv

from graph.message_masks import masked_messages

LAYERS = {
    "GCN": lambda: GCNConv(3, 4),
    "GAT": lambda: GATConv(3, 4, heads=2),
    "GATv2": lambda: GATv2Conv(3, 4, heads=2),
    "GIN": lambda: GINConv(torch.nn.Linear(3, 4)),
    "SAGE": lambda: SAGEConv(3, 4),
    "Transformer": lambda: TransformerConv(3, 4, heads=2),
}


@pytest.mark.parametrize("loops", [0, 2, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_ones_change_nothing_and_every_edge_has_a_gradient(graph_of, name, loops):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), torch.randn(8, 3)
    edges = torch.cat([torch.arange(8)[:loops].repeat(2, 1), graph_of(8, 14, 0)], dim=1)
    mask = torch.ones(edges.shape[1], requires_grad=True)
    with masked_messages(layer, mask, edges):
        outputs = layer(x, edges)
    torch.testing.assert_close(outputs, layer(x, edges))
    outputs.square().sum().backward()
    assert (mask.grad[loops:] != 0).all()
    assert (mask.grad[:loops] == 0).all()


@pytest.mark.parametrize("loops", [0, 2, 8])
@pytest.mark.parametrize("name", ["GCN", "SAGE"])
def test_masked_sum(graph_of, name, loops):
    """With A masked after its normalisation, from the dense matrices."""
    torch.manual_seed(0)
    x = torch.randn(8, 3)
    edges = torch.cat([torch.arange(8)[:loops].repeat(2, 1), graph_of(8, 14, 0)], dim=1)
    mask = torch.rand(edges.shape[1])
    adjacency, masked = torch.zeros(8, 8), torch.zeros(8, 8)
    for (u, v), value in zip(edges.T, mask, strict=True):
        adjacency[v, u] = 1
        masked[v, u] = 1 if u == v else value
    if name == "GCN":
        layer = GCNConv(3, 4, bias=False)
        adjacency.fill_diagonal_(1)
        masked.fill_diagonal_(1)
        scale = adjacency.sum(1).rsqrt()
        expected = (scale[:, None] * masked * scale) @ x @ layer.lin.weight.T
    else:
        layer = SAGEConv(3, 4, aggr="sum", root_weight=False, bias=False)
        expected = masked @ x @ layer.lin_l.weight.T
    with masked_messages(layer, mask, edges):
        torch.testing.assert_close(layer(x, edges), expected)


def test_hooks_are_taken_away(graph_of):
    layer, edges = LAYERS["SAGE"](), graph_of(8, 14, 0)
    x = torch.randn(8, 3)
    expected = layer(x, edges)
    with pytest.raises(RuntimeError, match="stop"), masked_messages(layer, torch.zeros(28), edges):
        raise RuntimeError("stop")
    assert torch.equal(layer(x, edges), expected)
