from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.utils import prune
from torch_geometric.nn import GCN, GCNConv, GINConv, SAGEConv

from graph.sparse_export import cache_normalization, to_csr, to_sorted_edge_index
from graph.torch_prune import make_permanent, to_torch_prune

LAYERS = {
    "GCN": lambda: GCNConv(3, 4),
    "GIN": lambda: GINConv(torch.nn.Linear(3, 4)),
    "SAGE": lambda: SAGEConv(3, 4),
}


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_the_same(graph_of, name, directed):
    torch.manual_seed(0)
    layer, x, edges = LAYERS[name](), torch.randn(9, 3), graph_of(9, 14, 0)
    edges = edges[:, :11] if directed else edges
    expected = layer(x, edges)
    torch.testing.assert_close(layer(x, to_csr(edges, num_nodes=9)), expected)
    index = to_sorted_edge_index(edges, num_nodes=9)
    index.validate()
    assert index.sort_order == "col"
    torch.testing.assert_close(layer(x, index), expected)


def test_csr_of_bipartite_edges_with_weights():
    edges, weights = torch.tensor([[0, 3, 1], [1, 0, 1]]), torch.tensor([1.0, 2.0, 3.0])
    matrix = to_csr(edges, num_nodes=(4, 2), values=weights)
    assert matrix.to_dense().tolist() == [[0, 0, 0, 2], [1, 3, 0, 0]]
    assert to_csr(edges, num_nodes=(4, 2), dtype=torch.float64).dtype == torch.float64
    assert to_csr(edges[:, :0], num_nodes=3).to_dense().tolist() == [[0, 0, 0]] * 3


def masked_gcn():
    torch.manual_seed(0)
    model = GCN(8, 8, 2, out_channels=2).eval()
    masks = {name: torch.rand_like(weight) < 0.5 for name, weight in model.named_parameters()}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(masks[name])
    return model, masks


def test_to_torch_prune_and_back(communities):
    model, masks = masked_gcn()
    pruned = to_torch_prune(model, masks)
    assert prune.is_pruned(pruned)
    assert not prune.is_pruned(model)
    assert torch.equal(pruned.convs[0].lin.weight_mask.bool(), masks["convs.0.lin.weight"])
    outputs = pruned(communities.x, communities.edge_index)
    assert torch.equal(outputs, model(communities.x, communities.edge_index))
    with torch.no_grad():
        pruned.convs[0].lin.weight_orig.fill_(9.0)
    pruned(communities.x, communities.edge_index)  # the hook makes the product anew
    plain, found = make_permanent(pruned)
    assert prune.is_pruned(pruned)
    assert found.keys() == masks.keys()
    assert all(torch.equal(found[name], mask) for name, mask in masks.items())
    assert torch.equal(plain.convs[0].lin.weight, masks["convs.0.lin.weight"] * 9.0)
    assert not prune.is_pruned(copy.deepcopy(plain))
    assert plain.state_dict().keys() == model.state_dict().keys()


def test_masks_must_fit():
    model, masks = masked_gcn()
    for wrong in ({"no_such": torch.ones(1)}, {"convs.0.lin.weight": torch.ones(2, 2)}):
        with pytest.raises(ValueError, match="`weight_mask` must have the names and shapes"):
            to_torch_prune(model, {**masks, **wrong})


def test_cached_normalization_predicts_the_same_and_leaves_the_network(communities):
    network = GCN(8, 4, 2, 3, dropout=0.5).train()
    copied = cache_normalization(network)
    expected = copy.deepcopy(network).eval()(communities.x, communities.edge_index)
    csr = to_csr(communities.edge_index, num_nodes=40)
    for form in (csr, csr):
        torch.testing.assert_close(copied(communities.x, form), expected, rtol=1e-4, atol=1e-5)
    assert network.training
    assert not network.convs[0].cached
    again = cache_normalization(copied)  # forgets the graph of the copy
    assert not torch.allclose(again(communities.x, communities.edge_index[:, :0]), expected)
