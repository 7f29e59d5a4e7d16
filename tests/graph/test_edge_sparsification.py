from __future__ import annotations

from itertools import pairwise

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import RandomNodeLoader
from torch_geometric.transforms import Compose, ToUndirected
from torch_geometric.utils import is_undirected

from graph.diagnostics import graph_diagnostics
from graph.edge_scoring import edge_scores
from graph.edge_sparsification import SparsifyEdges, sparsify_edges
from sparse_data.datasets.planetoid import fetch_planetoid


def slow_kept(edges, scores, ratio, undirected):
    """Sort units by score, the later of equals first, and cut off floor(ratio * n)."""
    units = []
    taken = set()
    for first in range(edges.shape[1]):
        u, v = edges[:, first].tolist()
        if u == v or first in taken:
            continue
        unit = [first]
        if undirected:
            reverse = next(
                i
                for i in range(first + 1, edges.shape[1])
                if i not in taken and edges[:, i].tolist() == [v, u]
            )
            unit.append(reverse)
        taken.update(unit)
        units.append((float(scores[unit].double().mean()), -first, unit))
    kept = [True] * edges.shape[1]
    for _, _, unit in sorted(units)[: int(ratio * len(units) + 1e-9)]:
        for position in unit:
            kept[position] = False
    return kept


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.9, 1.0]),
    st.sampled_from(["teddy", "local_degree", "random", "own"]),
    st.booleans(),
)
def test_slow_loop(graph_of, seed, ratio, score, undirected):
    generator = torch.Generator().manual_seed(seed)
    edges = graph_of(7, int(torch.randint(1, 15, (), generator=generator)), seed)
    loops = torch.arange(7).repeat(2, 1)[:, : seed % 3]
    edges = torch.cat([edges, loops], dim=1)
    if not undirected:
        edges = edges[:, ::2]
    own = torch.randint(0, 3, (edges.shape[1],), generator=generator).float()
    given_scores = own if score == "own" else score
    sparse, mask = sparsify_edges(edges, ratio, score=given_scores, undirected=undirected, num_nodes=7)
    scores = own if score == "own" else edge_scores(edges, score=score, num_nodes=7)
    assert mask.dtype == torch.bool
    assert mask.tolist() == slow_kept(edges, scores, ratio, undirected)
    assert torch.equal(sparse, edges[:, mask])


# Cora: largest component and isolated nodes after 20 levels; measured by an independent implementation.
AFTER_20 = {"cora": (0.838, 671, 303), "citeseer": (0.697, 990, 17), "pubmed": (0.778, 4625, 11796)}


@pytest.mark.parametrize("name", AFTER_20)
def test_planetoid_after_20_levels(real_data, name):
    graph = fetch_planetoid(name, download=False)
    sparse, mask = sparsify_edges(graph.adjacency, 1 - 0.95**20)
    n_pairs = graph.adjacency.nnz // 2
    assert int((~mask).sum()) == 2 * int((1 - 0.95**20) * n_pairs)
    labels = torch.from_numpy(graph.labels).clamp(min=0)  # the figures count unknown labels as class 0
    facts = graph_diagnostics(sparse, labels=labels)
    homophily, n_isolated, largest = AFTER_20[name]
    assert (round(facts.homophily, 3), facts.n_isolated, facts.largest_component) == (
        homophily,
        n_isolated,
        largest,
    )


def test_cora_after_one_level(real_data):
    adjacency = fetch_planetoid("cora", download=False).adjacency
    whole = graph_diagnostics(adjacency)
    assert (whole.n_isolated, whole.largest_component) == (0, 2485)
    assert graph_diagnostics(sparsify_edges(adjacency, 0.05)[0]).n_isolated == 3


@pytest.mark.parametrize("score", ["teddy", "random", "jaccard"])
@pytest.mark.parametrize("guard", [None, "spanning_forest"])
def test_levels_are_nested(graph_of, score, guard):
    edges = graph_of(25, 100, 0)
    masks = [sparsify_edges(edges, ratio, score=score, guard=guard)[1] for ratio in np.linspace(0, 1, 12)]
    assert all((small <= large).all() for large, small in pairwise(masks))
    assert masks[0].all()
    assert bool(masks[-1].any()) == (guard is not None)


def test_ties_go_by_index_whatever_the_labels():
    nodes = torch.arange(10)
    ring = torch.cat([torch.stack([nodes, (nodes + 1) % 10]), torch.stack([(nodes + 1) % 10, nodes])], dim=1)
    mask = sparsify_edges(ring, 0.4)[1]
    assert mask.tolist() == [True] * 6 + [False] * 4 + [True] * 6 + [False] * 4
    relabelled = torch.randperm(10, generator=torch.Generator().manual_seed(1))[ring]
    assert torch.equal(sparsify_edges(relabelled, 0.4)[1], mask)


@pytest.mark.parametrize("score", ["teddy", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_guards(graph_of, score, seed):
    edges = graph_of(30, 45, seed)
    scores = edge_scores(edges, score=score, num_nodes=30)
    whole = graph_diagnostics(edges, num_nodes=30)
    sparse, _ = sparsify_edges(edges, 1.0, score=score, num_nodes=30, guard="spanning_forest")
    assert graph_diagnostics(sparse, num_nodes=30).n_components == whole.n_components
    theirs = networkx.Graph()
    theirs.add_weighted_edges_from(
        (int(u), int(v), float(s)) for (u, v), s in zip(edges.T, scores, strict=True)
    )
    forest = networkx.maximum_spanning_tree(theirs)
    assert sparse.shape[1] == 2 * forest.number_of_edges()
    assert forest.size("weight") == pytest.approx(float(scores[_positions(edges, sparse)].sum()) / 2)
    best, _ = sparsify_edges(edges, 1.0, score=score, num_nodes=30, guard="isolated")
    assert graph_diagnostics(best, num_nodes=30).n_isolated == whole.n_isolated
    assert best.shape[1] < sparse.shape[1]
    for node in edges[0].unique():
        of_node = scores[edges[0] == node]
        assert of_node.max() in scores[_positions(edges, best)][best[0] == node]


def _positions(edges, part):
    keys = {(int(u), int(v)): position for position, (u, v) in enumerate(edges.T)}
    return torch.tensor([keys[int(u), int(v)] for u, v in part.T])


def test_guards_of_bipartite_and_repeated_edges():
    bipartite = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    for guard, n_kept in (("spanning_forest", 3), ("isolated", 2)):
        scores = torch.tensor([3.0, 2.0, 1.0, 4.0])
        sparse, mask = sparsify_edges(bipartite, 1.0, score=scores, num_nodes=(2, 2), guard=guard)
        assert mask.tolist() == [True, n_kept == 3, False, True]
        assert sparse.shape[1] == n_kept
    repeated = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    mask = sparsify_edges(repeated, 1.0, score=torch.tensor([1.0, 2, 1, 2]), guard="spanning_forest")[1]
    assert mask.tolist() == [False, True, False, True]


def test_form_and_attributes_of_the_edges_stay(graph_of):
    edges = graph_of(12, 25, 6)
    edges = edges[:, (edges[0] * 12 + edges[1]).argsort()]
    expected, mask = sparsify_edges(edges, 0.4, num_nodes=12)
    index = EdgeIndex(edges, sparse_size=(12, 12), is_undirected=True, sort_order="row")
    sparse, own = sparsify_edges(index, 0.4)
    assert torch.equal(own, mask)
    assert torch.equal(sparse.as_tensor(), expected)
    assert isinstance(sparse, EdgeIndex)
    assert (sparse.sort_order, sparse.is_undirected, sparse.sparse_size()) == ("row", True, (12, 12))
    sparse.validate()
    values = torch.arange(edges.shape[1]).float() + 1
    matrix = torch.sparse_coo_tensor(edges, values, (12, 12), check_invariants=True).coalesce()
    for form in (matrix, matrix.to_sparse_csr()):
        sparse, own = sparsify_edges(form, 0.4)
        assert sparse.layout == form.layout
        assert torch.equal(own, mask)
        assert torch.equal(sparse.to_sparse_coo().coalesce().values(), values[mask])
    array = scipy.sparse.csc_array((values.numpy(), tuple(edges.numpy())), shape=(12, 12))
    sparse, own = sparsify_edges(array, 0.4)
    assert sparse.format == "csc"
    assert sparse.sum() == values[mask].sum()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratio": 1.1}, ValueError, r"`ratio` must be in \[0, 1\]; got 1.1"),
        ({"ratio": float("nan")}, ValueError, r"`ratio` must be in \[0, 1\]; got nan"),
        ({"score": torch.tensor([1.0])}, ValueError, "`score` and `edge_index` must be of the same length"),
        ({"score": torch.tensor([1.0, torch.nan])}, ValueError, r"`score` must be finite; got 1 NaN"),
        ({"score": "best"}, ValueError, "`score` must be one of"),
        ({"guard": "tree"}, ValueError, "`guard` must be one of 'spanning_forest', 'isolated'; got 'tree'"),
        ({"undirected": True}, ValueError, "`edge_index` must hold both directions"),
    ],
)
def test_refused(options, error, message):
    with pytest.raises(error, match=message):
        sparsify_edges(torch.tensor([[0, 1], [1, 2]]), **{"ratio": 0.5, **options})


def test_transform_of_data(graph_of):
    edges = graph_of(10, 20, 0)
    data = Data(
        x=torch.randn(10, 3),
        edge_index=edges,
        edge_attr=torch.arange(40).float()[:, None],
        edge_weight=torch.arange(40).float(),
        edge_label_index=edges,  # as many as there are edges, and yet none
        edge_label=torch.ones(40),
        y=torch.arange(10),
    )
    sparse = SparsifyEdges(0.5, "teddy")(data)
    assert data.edge_index is edges
    assert data.num_edges == 40
    _, mask = sparsify_edges(edges, 0.5, num_nodes=10)
    assert torch.equal(sparse.edge_index, edges[:, mask])
    assert torch.equal(sparse.edge_weight, data.edge_weight[mask])
    assert torch.equal(sparse.edge_attr, data.edge_attr[mask])
    assert torch.equal(sparse.edge_label_index, edges)
    assert len(sparse.edge_label) == 40
    assert torch.equal(sparse.x, data.x)
    assert is_undirected(sparse.edge_index)
    assert SparsifyEdges(0.5)(Data(x=torch.ones(3, 1))).x.shape == (3, 1)


def test_transform_of_hetero_data(graph_of):
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.randn(10, 2), torch.randn(6, 2)
    data["paper", "cites", "paper"].edge_index = graph_of(10, 20, 0)
    writes = torch.tensor([[0, 0, 1, 2, 3, 4, 5, 5], [0, 1, 1, 4, 9, 9, 9, 3]])
    data["author", "writes", "paper"].edge_index = writes
    data["author", "writes", "paper"].edge_attr = torch.arange(8)
    data = ToUndirected()(data)
    sparse = Compose([SparsifyEdges(0.5, guard="isolated")])(data)
    assert data["author", "writes", "paper"].num_edges == 8
    kept = sparse["author", "writes", "paper"]
    assert torch.equal(writes[:, kept.edge_attr], kept.edge_index)
    assert torch.equal(sparse["paper", "rev_writes", "author"].edge_index, kept.edge_index.flip(0))
    assert set(kept.edge_index[0].tolist()) == set(range(6))
    assert sparse["paper", "cites", "paper"].num_edges == 20


def test_sparse_graph_goes_into_mini_batches(communities):
    sparse = SparsifyEdges(0.5)(communities)
    torch.manual_seed(0)
    batches = list(RandomNodeLoader(sparse, num_parts=3))
    assert sum(batch.num_nodes for batch in batches) == 40
    assert sum(batch.num_edges for batch in batches) < sparse.num_edges
    smaller = SparsifyEdges(0.5)(batches[0])
    assert smaller.num_edges == 2 * (batches[0].num_edges // 2 - batches[0].num_edges // 4)


def test_transform_prints_and_checks():
    assert str(SparsifyEdges(0.4, "jaccard", "isolated")) == (
        "SparsifyEdges(ratio=0.4, score='jaccard', guard='isolated')"
    )
    for options, message in (
        ({"ratio": 2}, "`ratio`"),
        ({"ratio": 0.1, "score": "magnitude"}, "`score`"),
        ({"ratio": 0.1, "guard": "x"}, "`guard`"),
    ):
        with pytest.raises(ValueError, match=message):
            SparsifyEdges(**options)


@pytest.mark.parametrize("seed", range(6))
def test_given_scores_that_both_directions_share(graph_of, seed):
    """Those of a pair are equal here, and many pairs are tied; self-loops have the lowest."""
    edges = torch.cat([graph_of(9, 20, seed), torch.arange(3).repeat(2, 1)], dim=1)
    edges = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(seed))]
    scores = (edges.sum(dim=0) % 4).double()
    scores[edges[0] == edges[1]] = -5.0
    for ratio in (0.0, 0.3, 0.5, 1.0):
        _, mask = sparsify_edges(edges, ratio, score=scores)
        assert mask.tolist() == slow_kept(edges, scores, ratio, undirected=True)
        assert mask[edges[0] == edges[1]].all()
        _, again = sparsify_edges(edges, ratio, score=scores.neg().exp().neg())
        assert torch.equal(mask, again)
    lopsided = scores + 0.1 * (edges[0] < edges[1])
    _, mask = sparsify_edges(edges, 0.5, score=lopsided)
    assert mask.tolist() == slow_kept(edges, lopsided, 0.5, undirected=True)
