"""Layers against those of PyTorch Geometric with the same weights; blocks against the whole graph."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from noisy_labels.node_labels.erase_encoders import (
    AttentionLayer,
    ConvolutionLayer,
    EdgeIndexEncoder,
    GraphEncoder,
    SampleAndAggregateLayer,
)
from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph
from sparse_data.sparse_features import SparseRows, drop, read_features

N_NODES = 30


@pytest.fixture(scope="module")
def graph() -> tuple[torch.Tensor, torch.Tensor]:
    """Edges in both directions, an isolated node; features of which nine in ten are 0."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, N_NODES - 1, (2, 70), generator=generator)
    pairs = pairs[:, pairs[0] < pairs[1]].unique(dim=1)
    x = torch.randn(N_NODES, 40, generator=generator)
    return x * (torch.rand(x.shape, generator=generator) < 0.04), torch.cat([pairs, pairs.flip(0)], 1)


def gradients(layer, outputs):
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(outputs.shape, generator=generator)
    return torch.autograd.grad((outputs * weights).sum(), list(layer.parameters()))


# Outputs of a head narrower and wider than its inputs: both orders of averaging and multiplying.
@pytest.mark.parametrize(("n_outputs", "heads"), [(12, 3), (90, 1), (92, 2)])
@pytest.mark.parametrize("sparse", [False, True])
def test_attention_is_that_of_pyg(graph, n_outputs, heads, sparse):
    x, edge_index = graph
    layer = AttentionLayer(40, n_outputs, heads)
    peer = GATConv(40, n_outputs // heads, heads=heads)
    with torch.no_grad():
        peer.lin.weight.copy_(layer.weight)
        peer.att_src.copy_(layer.of_source[None])
        peer.att_dst.copy_(layer.of_target[None])
        layer.bias.normal_()
        peer.bias.copy_(layer.bias)
    features = read_features(x) if sparse else x
    assert isinstance(features, SparseRows) == sparse
    found = layer(features, NeighbourGraph(edge_index, N_NODES).whole())
    wanted = peer(x, edge_index)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    own = dict(zip(("weight", "of_source", "of_target", "bias"), gradients(layer, found), strict=True))
    theirs = dict(zip([name for name, _ in peer.named_parameters()], gradients(peer, wanted), strict=True))
    torch.testing.assert_close(own["weight"], theirs["lin.weight"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(own["of_source"], theirs["att_src"][0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(own["of_target"], theirs["att_dst"][0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(own["bias"], theirs["bias"], rtol=1e-4, atol=1e-5)


def test_large_logits_do_not_overflow(graph):
    x, edge_index = graph
    layer = AttentionLayer(40, 8, 2)
    with torch.no_grad():
        layer.weight.mul_(1000)
    assert layer(x, NeighbourGraph(edge_index, N_NODES).whole()).isfinite().all()


def test_initial_weights_are_spread_as_those_of_pyg():
    torch.manual_seed(0)
    layer, peer = AttentionLayer(300, 400, 4), GATConv(300, 100, heads=4)
    for own, theirs in ((layer.weight, peer.lin.weight), (layer.of_source, peer.att_src)):
        assert own.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
        assert own.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.02)


def test_convolution_is_that_of_pyg(graph):
    x, edge_index = graph
    layer, peer = ConvolutionLayer(40, 7), GCNConv(40, 7)
    with torch.no_grad():
        peer.lin.weight.copy_(layer.weight)
    block = NeighbourGraph(edge_index, N_NODES).whole()
    torch.testing.assert_close(layer(read_features(x), block), peer(x, edge_index), rtol=1e-4, atol=1e-5)


def test_means_are_those_of_pyg(graph):
    x, edge_index = graph
    layer, peer = SampleAndAggregateLayer(40, 7), SAGEConv(40, 7)
    with torch.no_grad():
        peer.lin_r.weight.copy_(layer.weight)
        peer.lin_l.weight.copy_(layer.of_neighbours)
        peer.lin_l.bias.zero_()
    block = NeighbourGraph(edge_index, N_NODES).whole()
    torch.testing.assert_close(layer(x, block), peer(x, edge_index), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["gat", "gcn", "sage"])
def test_exact_blocks_give_the_rows_of_the_whole_graph(graph, layer):
    x, edge_index = graph
    encoder = GraphEncoder(40, layer=layer, hidden=16, n_outputs=24, heads=4).eval()
    neighbours, seeds = NeighbourGraph(edge_index, N_NODES), torch.tensor([29, 3, 14])
    whole = encoder(x, [neighbours.whole()] * 2)
    nodes, blocks = neighbours.blocks(seeds, (None, None))
    for features in (x, read_features(x)):
        torch.testing.assert_close(encoder(features[nodes], blocks), whole[seeds], rtol=1e-4, atol=1e-6)
    assert (whole >= 0).all()
    assert (whole.sum(1) <= 1 + 1e-5).all()


def test_sampled_convolution_is_right_on_average(graph):
    _, edge_index = graph
    layer, neighbours = ConvolutionLayer(1, 1), NeighbourGraph(edge_index, N_NODES)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    busiest = neighbours.degrees.argmax()[None]
    x = torch.ones(N_NODES, 1)
    wanted = layer(x, neighbours.whole())[busiest].item()
    generator, total = torch.Generator().manual_seed(0), 0.0
    for _ in range(300):
        nodes, blocks = neighbours.blocks(busiest, (3,), generator)
        total += layer(x[nodes], blocks[0]).item() / 300
    assert total == pytest.approx(wanted, rel=0.1)


def test_dropout_of_sparse_features_leaves_zeros(graph):
    x, _ = graph
    dropped = drop(read_features(x), 0.5, True).dense()
    assert (dropped[x == 0] == 0).all()
    kept = (dropped != 0) & (x != 0)
    torch.testing.assert_close(dropped[kept], 2 * x[kept])
    assert 0 < kept.sum() < (x != 0).sum()


def test_any_module_gets_edges_of_the_nodes_it_sees(graph):
    x, edge_index = graph
    convolution = SAGEConv(40, 6)
    encoder = EdgeIndexEncoder(convolution)
    neighbours = NeighbourGraph(edge_index, N_NODES)
    wanted = convolution(x, edge_index)
    torch.testing.assert_close(encoder(x, [neighbours.whole()]), wanted, rtol=1e-4, atol=1e-5)
    nodes, blocks = neighbours.blocks(torch.tensor([4, 9]), (None,))
    torch.testing.assert_close(encoder(x[nodes], blocks), wanted[[4, 9]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "gin"}, "`layer` must be one of 'gat', 'gcn', 'sage'"),
        ({"hidden": 10, "heads": 4}, "`hidden` must be a multiple of `heads`, 4; got 10"),
        ({"dropout": 1.0}, "`dropout` must be in"),
        ({"n_outputs": 0}, "`n_outputs` must be at least 1"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(ValueError, match=message):
        GraphEncoder(5, **arguments)
