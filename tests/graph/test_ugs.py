from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GCN, GIN

from graph.ticket_tasks import NodeTask
from graph.ugs import UGSTicket
from graph.ugs_masks import MaskedNetwork, UGSMasks


def test_masks_of_the_whole_graph():
    edges = torch.tensor([[0, 2, 1, 1, 2], [1, 1, 2, 0, 2]])
    pairs = UGSMasks.whole(torch.nn.Linear(2, 1), edges, by_pair=True)
    assert pairs.unit_of_edge.tolist() == [0, 1, 1, 0, 2]
    single = UGSMasks.whole(torch.nn.Linear(2, 1), edges, by_pair=False)
    assert single.unit_of_edge.tolist() == [0, 1, 2, 3, 4]
    directed = UGSMasks.whole(torch.nn.Linear(2, 1), edges[:, :2], by_pair=True)
    assert directed.unit_of_edge.tolist() == [0, 1]
    assert pairs.edge_mask().all()
    assert pairs.weight_share() == 1


@pytest.mark.parametrize("published", [False, True])
def test_what_a_round_removes(communities, published):
    model = GCN(8, 8, 2, out_channels=2)
    masks = UGSMasks.whole(model, communities.edge_index, by_pair=not published)
    n_units, n_weights = len(masks.units), sum(weight.numel() for weight in model.parameters())
    learned = MaskedNetwork(model, NodeTask(), masks)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        with torch.no_grad():  # distinct magnitudes of both signs
            for value in (learned.edge_values, *learned.weight_values):
                order = torch.randperm(value.numel(), generator=generator) + 1.0
                value.copy_((order * (-1) ** order).reshape(value.shape))
            for number, value in enumerate(learned.weight_values):
                value.mul_(1 + number / 7)
        sizes = torch.cat([value.detach().flatten() for value in learned.weight_values]).abs()
        left = torch.cat([mask.flatten() for mask in masks.weights.values()])
        fewer = masks.without_smallest(learned, 0.1, 0.2, published)
        # floor(n p) go as intended; the published rule takes everything up to the element at that place.
        n_edges_gone = int(0.1 * int(masks.units.sum())) + published
        assert int(fewer.units.sum()) == int(masks.units.sum()) - n_edges_gone
        kept = torch.cat([mask.flatten() for mask in fewer.weights.values()])
        threshold = sizes[left].sort().values[int(0.2 * int(left.sum()))]
        if published:
            assert torch.equal(kept, left & (sizes > threshold))
        else:
            assert int(kept.sum()) == int(left.sum()) - int(0.2 * int(left.sum()))
            assert sizes[kept].min() >= threshold
        assert (fewer.units <= masks.units).all()
        masks = fewer
        learned = MaskedNetwork(model, NodeTask(), masks)
    assert n_units == int(communities.num_edges / (1 if published else 2))
    assert int(kept.sum()) < 0.55 * n_weights


def test_published_rule_removes_all_ties(communities):
    model = GCN(8, 4, 1, out_channels=2)
    masks = UGSMasks.whole(model, communities.edge_index, by_pair=True)
    learned = MaskedNetwork(model, NodeTask(), masks)
    with torch.no_grad():
        learned.edge_values.fill_(1.0)
        learned.edge_values[:3] = 2.0
    assert masks.without_smallest(learned, 0.1, 0.0, True).units.nonzero()[:, 0].tolist() == [0, 1, 2]
    n_units = len(masks.units)
    assert int(masks.without_smallest(learned, 0.1, 0.0, False).units.sum()) == n_units - n_units // 10


def test_masked_network_is_the_product(communities):
    model = GIN(8, 8, 2, out_channels=2).eval()
    masks = UGSMasks.whole(model, communities.edge_index, by_pair=True)
    network = MaskedNetwork(model, NodeTask(), masks).eval()
    with torch.no_grad():
        for value in (network.edge_values, *network.weight_values):
            value.fill_(1.0)
    expected = model(communities.x, communities.edge_index)
    torch.testing.assert_close(network(communities), expected)
    with torch.no_grad():
        for value in network.weight_values:
            value.fill_(0.5)
        halved = GIN(8, 8, 2, out_channels=2).eval()
        halved.load_state_dict({key: value * 0.5 for key, value in model.state_dict().items()})
    torch.testing.assert_close(network(communities), halved(communities.x, communities.edge_index))
    network(communities).sum().backward()
    assert network.edge_values.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in network.outputs.parameters())


@pytest.mark.parametrize("variant", ["intended", "published"])
def test_rounds(communities, variant):
    model = GCN(8, 8, 2, out_channels=2)
    options = {"edge_sparsity": 1 - 0.9**3, "weight_sparsity": 0.6, "edge_rate": 0.1, "variant": variant}
    ticket = UGSTicket(model, epochs=4, **options).fit(communities)
    n_units = communities.num_edges // (2 if variant == "intended" else 1)
    for _ in range(3):
        n_units -= int(0.1 * n_units) + (variant == "published")
    if variant == "intended":
        assert int(ticket.edge_mask_.sum()) == 2 * n_units
    else:  # ties go together
        assert n_units - 5 <= int(ticket.edge_mask_.sum()) <= n_units
    share = sum(int(mask.sum()) for mask in ticket.weight_mask_.values()) / sum(
        weight.numel() for weight in model.parameters()
    )
    assert share == pytest.approx(0.4, abs=0.05)
    symmetric = {tuple(edge) for edge in ticket.graph_.edge_index.T.tolist()}
    assert ({(v, u) for u, v in symmetric} == symmetric) == (variant == "intended")


def test_the_penalty_shrinks_the_masks(communities, monkeypatch):
    sizes = {}
    drop = UGSMasks.without_smallest

    def spy(self, learned, *rest):
        sizes[penalty] = float(learned.edge_values.detach().abs().mean())
        return drop(self, learned, *rest)

    monkeypatch.setattr(UGSMasks, "without_smallest", spy)
    for penalty in (0.0, 0.1):
        ticket = UGSTicket(GCN(8, 8, 2, out_channels=2), edge_sparsity=0.05, edge_penalty=penalty, epochs=20)
        ticket.fit(communities)
    assert sizes[0.1] < sizes[0.0] - 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inductive": True}, "`task` must be 'node' and transductive"),
        ({"task": "link"}, "`task` must be 'node' and transductive"),
        ({"edge_rate": 0.0}, r"`edge_rate` must be in \(0, 1\); got 0.0"),
        ({"edge_penalty": -1.0}, "`edge_penalty` must be in"),
        ({"weight_penalty": -1.0}, "`weight_penalty` must be in"),
        ({"variant": "fixed"}, "`variant` must be one of 'intended', 'published'; got 'fixed'"),
    ],
)
def test_refused(communities, options, message):
    with pytest.raises(ValueError, match=message):
        UGSTicket(GCN(8, 4, 1, out_channels=2), **options).fit(communities)
