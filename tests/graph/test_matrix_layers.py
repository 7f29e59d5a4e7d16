"""Layers as products of matrices, against the layers of PyG sending messages, and against dense features."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn import BatchNorm1d, Linear, Module, ReLU, Sequential
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    GATConv,
    GCNConv,
    GINConv,
    GraphSAGE,
    MessagePassing,
    SAGEConv,
    TransformerConv,
)

from graph import ticket_training
from graph.matrix_layers import matrix_layers
from graph.message_masks import masked_messages
from graph.ticket_tasks import Graphs, NodeTask
from graph.ticket_training import Optimization, train_network

N_NODES, N_FEATURES = 30, 60


class Front(Module):
    """A network that maps its features before any message, after they were dropped in training."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.conv = Linear(N_FEATURES, 8), GCNConv(8, 3)

    def forward(self, x, edge_index):
        x = torch.nn.functional.dropout(x, 0.5, self.training)
        return self.conv(self.map(x).relu(), edge_index)


NETWORKS = {
    "GCN": lambda: GCN(N_FEATURES, 8, 2, 3),
    "GCN of sums": lambda: GCNConv(N_FEATURES, 3, normalize=False),
    "GCN that keeps its graph": lambda: GCNConv(N_FEATURES, 3, cached=True),
    "GCN against the edges": lambda: GCNConv(N_FEATURES, 3, flow="target_to_source"),
    "GIN": lambda: GIN(N_FEATURES, 8, 2, 3, train_eps=True, norm=None),
    "GIN of a sequence": lambda: GINConv(
        Sequential(Linear(N_FEATURES, 8, bias=False), BatchNorm1d(8), ReLU(), Linear(8, 3)), eps=0.3
    ),
    "SAGE": lambda: GraphSAGE(N_FEATURES, 8, 2, 3),
    "SAGE of maxima": lambda: SAGEConv(N_FEATURES, 3, aggr="max"),
    "SAGE of unit length": lambda: SAGEConv(N_FEATURES, 3, normalize=True),
    "GAT": lambda: GAT(N_FEATURES, 8, 2, 3, heads=2),
    "GAT of single heads": lambda: GATConv(N_FEATURES, 3, add_self_loops=False, bias=False),
    "GAT that looks at edges": lambda: GATConv(N_FEATURES, 3, edge_dim=2),
    "GAT with a shortcut": lambda: GATConv(N_FEATURES, 3, heads=3, concat=False, residual=True),
    "Transformer": lambda: TransformerConv(N_FEATURES, 3),
    "map first": Front,
}


@pytest.fixture(params=["sparse", "dense"])
def features(request):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N_NODES, N_FEATURES, generator=generator, dtype=torch.float64)
    share = 0.04 if request.param == "sparse" else 0.9
    return x * (torch.rand(x.shape, generator=generator) < share)


@pytest.fixture
def edges():
    """Return a directed graph with self-loops, edges that are there twice, and nodes without any."""
    generator = torch.Generator().manual_seed(2)
    ends = torch.randint(0, N_NODES - 3, (2, 80), generator=generator)
    return torch.cat([ends, ends[:, :5], torch.tensor([[4, 7], [4, 7]])], dim=1)


def outputs_and_gradients(model, *arguments):
    model = copy.deepcopy(model)
    products = matrix_layers(model, [arguments[0]]) if arguments[2] else nullcontext(nullcontext())
    with products as known, known:
        for _ in range(2):  # the second time with what the first has kept
            with torch.no_grad():
                seen = model.eval()(*arguments[:2])
            model.zero_grad()
            # In evaluation mode still: dropout has other draws.
            outputs = model(*arguments[:2])
            (outputs**2).sum().backward()
    assert torch.equal(seen, outputs)
    return outputs.detach(), {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_messages(name, features, edges):
    torch.manual_seed(0)
    model = NETWORKS[name]().double()
    expected, expected_gradients = outputs_and_gradients(model, features, edges, False)
    got, gradients = outputs_and_gradients(model, features, edges, True)
    torch.testing.assert_close(got, expected)
    for key, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[key], gradient)


@pytest.mark.parametrize("name", ["GCN", "GIN", "SAGE", "GAT", "GAT with a shortcut"])
def test_no_message_is_sent(name, features, edges, monkeypatch):
    model = NETWORKS[name]().double()
    sent = []
    for layer in model.modules():
        if isinstance(layer, MessagePassing):
            monkeypatch.setattr(layer, "propagate", lambda *_, **__: sent.append(1))
    with matrix_layers(model, [features]):
        model(features, edges)
    assert not sent


@pytest.mark.parametrize("name", ["GCN", "GIN", "SAGE", "GAT"])
def test_masks_of_messages_act_and_learn(name, features, edges):
    torch.manual_seed(0)
    model = NETWORKS[name]().double().eval()
    found = []
    for context in (nullcontext(nullcontext()), matrix_layers(model, [features])):
        mask = torch.linspace(-1, 2, edges.shape[1], dtype=torch.float64).requires_grad_()
        with context as known, known, masked_messages(model, mask, edges):
            outputs = model(features, edges)
        (outputs**2).sum().backward()
        found.append((outputs.detach(), mask.grad))
    torch.testing.assert_close(found[1], found[0])


def test_training_is_that_of_messages(communities, monkeypatch):
    x = communities.x * (torch.arange(40) % 4 == 0)[:, None] * (torch.arange(8) < 1)
    assert 0 < int((x != 0).sum()) <= 0.05 * x.numel()
    communities.x = x
    graphs = Graphs(communities, communities, communities)
    trained = []
    for name in ("products", "messages"):
        if name == "messages":
            monkeypatch.setattr(ticket_training, "matrix_layers", lambda *_: nullcontext(nullcontext()))
        torch.manual_seed(0)
        model = GCN(8, 8, 2, 2)
        trained.append(train_network(model, NodeTask(), graphs, Optimization(20, 0.05, 1e-3, 0)))
    assert trained[0].val_score == trained[1].val_score
    for one, other in zip(trained[0].model.parameters(), trained[1].model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_layers_and_hooks_are_as_before(features, edges):
    model = GCN(N_FEATURES, 8, 2, 3).double()
    calls = []
    handle = model.convs[1].register_propagate_forward_hook(lambda *_: calls.append(1))
    with matrix_layers(model, [features]):
        model(features, edges)
        assert "forward" in vars(model.convs[0])
    assert len(calls) == 1  # a layer that is watched sends messages
    handle.remove()
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_a_layer_that_keeps_its_first_graph_keeps_it(features, edges):
    model = GCNConv(N_FEATURES, 3, cached=True).double()
    expected = copy.deepcopy(model)(features, edges)
    with matrix_layers(model, [features]):
        model(features, edges)
        torch.testing.assert_close(model(features, edges[:, :40].clone()), expected)


def test_a_changed_graph_has_a_matrix_of_its_own(features, edges):
    model = GCNConv(N_FEATURES, 3).double()
    graphs = [edges[:, : 80 - 3 * number].clone() for number in range(8)]
    expected = [model(features, graph) for graph in graphs]
    with matrix_layers(model, [features]):
        for graph, outputs in zip([*graphs, *graphs], [*expected, *expected], strict=True):
            torch.testing.assert_close(model(features, graph), outputs)
