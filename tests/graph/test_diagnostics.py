from __future__ import annotations

import math

import networkx
import pytest
import torch

from graph.diagnostics import graph_diagnostics


@pytest.mark.parametrize("seed", range(3))
def test_beside_networkx(graph_of, seed):
    edges = graph_of(20, 15, seed)
    looped = torch.cat([edges, torch.tensor([[0], [0]])], dim=1)
    facts = graph_diagnostics(looped, num_nodes=20)
    theirs = networkx.Graph(list(map(tuple, edges.T.tolist())))
    theirs.add_nodes_from(range(20))
    components = list(networkx.connected_components(theirs))
    assert (facts.n_nodes, facts.n_edges) == (20, 30)
    assert facts.n_isolated == networkx.number_of_isolates(theirs)
    assert (facts.n_components, facts.largest_component) == (len(components), max(map(len, components)))
    assert facts.degree_histogram.tolist() == networkx.degree_histogram(theirs)
    assert math.isnan(facts.homophily)


def test_homophily_of_known_nodes():
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    labels = torch.tensor([0, 0, 1, -1])
    assert graph_diagnostics(edges, labels=labels).homophily == 0.5
    with pytest.raises(ValueError, match="`labels` and `nodes` must be of the same length"):
        graph_diagnostics(edges, labels=labels[:2])


def test_empty_and_bipartite():
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    facts = graph_diagnostics(nothing, num_nodes=3)
    assert (facts.n_isolated, facts.n_components, facts.largest_component) == (3, 3, 1)
    assert graph_diagnostics(nothing).n_components == 0
    with pytest.raises(ValueError, match="`edge_index` must join nodes of one kind; got 2 sources"):
        graph_diagnostics(nothing, num_nodes=(2, 3))
