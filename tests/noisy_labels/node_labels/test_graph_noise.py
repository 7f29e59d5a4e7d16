"""Label noise on graphs: shares, places, what is kept and what is left alone."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import Compose, ToUndirected

from noisy_labels.node_labels.erase_protocol import erase_protocol_labels
from noisy_labels.node_labels.graph_noise import GraphLabelNoise
from noisy_labels.node_labels.topology_noise import diffused_labels, topology_noise
from sparse_data.datasets.planetoid import fetch_planetoid

N = 6000
KINDS = ("symmetric", "pair", "asymmetric", "instance", "topology")


def graph_of(n_nodes=N, n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, n_classes, (n_nodes,), generator=generator)
    pairs = torch.randint(0, n_nodes, (2, 12 * n_nodes), generator=generator)
    keep = (y[pairs[0]] == y[pairs[1]]) | (torch.rand(pairs.shape[1], generator=generator) < 0.1)
    pairs = pairs[:, keep & (pairs[0] != pairs[1])]
    part = torch.rand(n_nodes, generator=generator)
    masks = {"train_mask": part < 0.5, "val_mask": (part >= 0.5) & (part < 0.8), "test_mask": part >= 0.8}
    x = torch.randn(n_nodes, 6, generator=generator)
    return Data(x=x, y=y, edge_index=torch.cat([pairs, pairs.flip(0)], dim=1), **masks)


@pytest.mark.parametrize("kind", KINDS)
def test_share_places_and_the_graph_given(kind):
    data = graph_of()
    before = copy.deepcopy(data)
    noisy = GraphLabelNoise(0.3, kind, random_state=3)(data)
    assert sorted(data.keys()) == sorted(before.keys())
    for name in before.keys():  # noqa: SIM118 - Data is no dict
        assert torch.equal(data[name], before[name])
    assert torch.equal(noisy.y_clean, before.y)
    assert torch.equal(noisy.noise_mask, noisy.y != before.y)
    assert not noisy.noise_mask[data.test_mask].any()
    assert noisy.y.dtype == torch.int64
    known = data.train_mask | data.val_mask
    assert noisy.noise_mask[known].float().mean() == pytest.approx(0.3, abs=0.04)
    again = GraphLabelNoise(0.3, kind, random_state=3)(data)
    assert torch.equal(noisy.y, again.y)
    assert not torch.equal(noisy.y, GraphLabelNoise(0.3, kind, random_state=4)(data).y)


def test_pair_noise_goes_to_the_next_class():
    data = graph_of()
    noisy = GraphLabelNoise(0.4, "pair", masks=None, random_state=0)(data)
    wrong = noisy.noise_mask
    assert torch.equal(noisy.y[wrong], (data.y[wrong] + 1) % 4)
    assert wrong[data.test_mask].any()


def test_symmetric_noise_goes_everywhere_alike():
    data = graph_of(n_nodes=30_000)
    noisy = GraphLabelNoise(0.6, masks=["train_mask"], random_state=0)(data)
    assert not noisy.noise_mask[data.val_mask].any()
    shift = torch.bincount((noisy.y - data.y)[data.train_mask] % 4, minlength=4) / data.train_mask.sum()
    np.testing.assert_allclose(shift, [0.4, 0.2, 0.2, 0.2], atol=0.015)


def test_a_class_that_the_training_nodes_lack_is_still_a_target():
    data = Data(y=torch.arange(3).repeat(400), train_mask=torch.arange(1200) % 3 != 2)
    noisy = GraphLabelNoise(0.5, masks=["train_mask"], random_state=0)(data)
    assert (noisy.y[data.train_mask] == 2).any()


def test_unknown_labels_stay():
    data = graph_of()
    data.y[::2] = -1
    for kind in KINDS:
        noisy = GraphLabelNoise(0.5, kind, masks=None, random_state=0)(data)
        assert (noisy.y[::2] == -1).all()
        assert (noisy.y[1::2] >= 0).all()
        assert noisy.noise_mask.any()


def test_hetero_data_and_compose():
    plain = graph_of(300)
    data = HeteroData()
    data["paper"].x, data["paper"].y = plain.x, plain.y
    data["paper"].train_mask = plain.train_mask
    data["author"].num_nodes = 5
    data["paper", "cites", "paper"].edge_index = plain.edge_index
    data["author", "wrote", "paper"].edge_index = torch.tensor([[0], [1]])
    noise = GraphLabelNoise(
        0.4, "topology", masks=["train_mask"], node_type="paper", edge_type=("paper", "cites", "paper")
    )
    noisy = Compose([ToUndirected(), noise])(data)
    assert noisy["paper"].noise_mask.any()
    assert torch.equal(noisy["paper"].y_clean, plain.y)
    assert "y_clean" not in data["paper"]
    with pytest.raises(ValueError, match=r"`node_type` must be one of \['paper', 'author'\]"):
        GraphLabelNoise(0.4)(data)
    with pytest.raises(ValueError, match="`edge_type` must be edges between nodes of 'paper'"):
        GraphLabelNoise(
            0.4, "topology", node_type="paper", edge_type=("author", "wrote", "paper"), masks=None
        )(data)


def test_repr():
    assert repr(GraphLabelNoise(0.2, "pair", masks=None)) == (
        "GraphLabelNoise(rate=0.2, kind='pair', masks=None)"
    )


@pytest.mark.parametrize(
    ("change", "noise", "message"),
    [
        ({"y": torch.zeros(4, 2, dtype=torch.int64)}, {}, r"`y` must be an integer label a node"),
        ({"y": torch.zeros(4)}, {}, r"got torch.float32"),
        ({"y": None}, {}, "`data` must have `y`"),
        ({"train_mask": torch.ones(3, dtype=torch.bool)}, {}, r"`train_mask` must be a bool a node"),
        ({"train_mask": torch.ones(4)}, {}, r"`train_mask` must be a bool a node"),
        ({"train_mask": None}, {}, "`data` must have `train_mask`"),
        ({"x": torch.full((4, 2), torch.nan)}, {"kind": "instance"}, "`X` must be finite"),
        ({}, {"kind": "instance"}, "`data` must have `x`"),
        ({}, {"kind": "topology"}, "`data` must have `edge_index`"),
        ({"edge_index": torch.tensor([[0], [9]])}, {"kind": "topology"}, r"`edge_index` must be in \[0, 4\)"),
        ({"y": torch.zeros(4, dtype=torch.int64)}, {}, "`y` must be of at least two classes"),
    ],
)
def test_bad_graphs(change, noise, message):
    given_data = {"y": torch.tensor([0, 1, 0, 1]), "train_mask": torch.ones(4, dtype=torch.bool), **change}
    with pytest.raises(ValueError, match=message):
        GraphLabelNoise(0.5, **noise, masks=["train_mask"])(Data(num_nodes=4, **given_data))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\]"):
        GraphLabelNoise(1.1)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        GraphLabelNoise(0.1, "pairs")
    with pytest.raises(TypeError, match="`masks` must be a sequence of names"):
        GraphLabelNoise(0.1, masks="train_mask")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.9, 1.0]))
def test_diffusion_solves_the_linear_system(seed, restart):
    generator = np.random.default_rng(seed)
    n_nodes = int(generator.integers(2, 9))
    edges = generator.integers(0, n_nodes, (2, int(generator.integers(0, 20))))
    codes = generator.integers(-1, 3, n_nodes)
    adjacency = np.zeros((n_nodes, n_nodes))
    for source, target in edges.T:
        if source != target:
            adjacency[target, source] += 1
    steps = adjacency / np.maximum(adjacency.sum(axis=1, keepdims=True), 1)
    labels = np.zeros((n_nodes, 3))
    labels[codes >= 0, codes[codes >= 0]] = 1
    whole = restart * np.linalg.inv(np.eye(n_nodes) - (1 - restart) * steps) @ labels
    found = diffused_labels(codes, edges, n_classes=3, restart=restart)
    np.testing.assert_allclose(found, whole - restart * labels, atol=1e-6)


def test_topology_noise_is_exact_and_where_classes_meet():
    data = graph_of()
    y, edges = data.y.numpy(), data.edge_index.numpy()
    noisy = topology_noise(y, edges, 0.29, random_state=0)
    wrong = noisy != y
    assert wrong.sum() == 1740
    seen = diffused_labels(y, edges, n_classes=4)
    own = seen[np.arange(N), y] / np.maximum(seen.sum(axis=1), 1e-9)
    assert own[wrong].mean() < own[~wrong].mean() - 0.03
    others = seen.copy()
    others[np.arange(N), y] = -1
    # Far more often than the third of the cases in which a uniform draw would hit it.
    assert (noisy[wrong] == others[wrong].argmax(axis=1)).mean() > 0.6
    assert (topology_noise(y, edges, 1.0, random_state=0) != y).all()
    assert np.array_equal(topology_noise(y, edges, 0.0), y)


def test_nodes_without_other_classes_around_them_are_corrupted_last():
    """Class 0 is a clique of its own; of the bipartite rest each node sees other classes alone."""
    clique = np.array([(i, j) for i in range(20) for j in range(20) if i != j]).T
    rest = np.array([(20 + i, 40 + j) for i in range(20) for j in range(20)]).T
    edges = np.concatenate([clique, rest, rest[::-1]], axis=1)
    y = np.repeat([0, 1, 2], 20)
    noisy = topology_noise(y, edges, 0.5, random_state=0)
    assert not (noisy != y)[:20].any()
    assert np.array_equal(noisy != y, (noisy == 3 - y) & (y > 0))


def test_erase_protocol_by_hand():
    """The draws written out with the legacy generator itself."""
    y = np.array([2, 0, 1, 1, 2, 0, 2])
    mask = np.array([True, True, False, True, True, True, False])
    generator = np.random.RandomState(123)
    targets = [[1, 2], [0, 2], [0, 1]]
    targets = [options[generator.randint(0, 2)] for options in targets]
    expected = y.copy()
    for node in np.flatnonzero(mask):
        row = np.zeros(3)
        row[y[node]], row[targets[y[node]]] = 0.5, 0.5
        expected[node] = np.searchsorted(row.cumsum(), generator.random_sample(), side="right")
    assert np.array_equal(erase_protocol_labels(y, mask, 0.5, "asymm"), expected)


@pytest.mark.parametrize("kind", ["symm", "asymm"])
def test_erase_protocol_on_cora(kind):
    if not os.environ.get("SPARSELABELS_DATA"):
        pytest.skip("needs real data: set SPARSELABELS_DATA to the folder that holds them")
    graph = fetch_planetoid("cora", download=False)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    noisy = erase_protocol_labels(graph.labels, graph.train_mask, 0.3, kind)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    wrong = noisy != graph.labels
    assert not wrong[~graph.train_mask].any()
    assert wrong.sum() == pytest.approx(42, abs=3 * np.sqrt(140 * 0.3 * 0.7))
    targets = {(int(a), int(b)) for a, b in zip(graph.labels[wrong], noisy[wrong], strict=True)}
    assert (len(targets) == len({a for a, _ in targets})) == (kind == "asymm")


def test_erase_protocol_refuses():
    with pytest.raises(ValueError, match="`y of the training nodes` must be in"):
        erase_protocol_labels([0, 1, -1], [True, True, True], 0.1)
    with pytest.raises(ValueError, match="`train_mask` must be a bool a label"):
        erase_protocol_labels([0, 1], [1, 0], 0.1)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        erase_protocol_labels([0, 1], [True, True], 0.1, "pair")
