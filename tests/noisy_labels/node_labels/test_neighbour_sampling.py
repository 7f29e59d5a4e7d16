"""Neighbourhoods against lists made with Python loops, and draws against their distribution."""

from __future__ import annotations

import pytest
import torch

from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph


@pytest.fixture
def star() -> tuple[torch.Tensor, int]:
    """Node 0 hears from 1 to 6, 1 from 0 and 2, the others from 0; 7 is alone. One edge is there twice."""
    sources = [1, 2, 3, 4, 5, 6, 0, 2, 0, 0, 0, 0, 0, 3, 0]
    targets = [0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 3, 1]
    return torch.tensor([sources, targets]), 8


def neighbours_of(edge_index, node):
    return {s for s, t in edge_index.T.tolist() if t == node and s != t}


def entries_of(block):
    return list(zip(block.pattern.rows.tolist(), block.pattern.columns.tolist(), strict=True))


def test_whole_graph_has_loops_and_no_repeats(star):
    edge_index, n_nodes = star
    block = NeighbourGraph(edge_index, n_nodes).whole()
    wanted = {(node, near) for node in range(n_nodes) for near in neighbours_of(edge_index, node) | {node}}
    assert set(entries_of(block)) == wanted
    assert len(entries_of(block)) == len(wanted)
    assert block.degrees.tolist() == [7, 3, 2, 2, 2, 2, 2, 1]
    assert {tuple(edge) for edge in block.edge_index().T.tolist()} == {
        (near, node) for node, near in wanted if near != node
    }


def test_exact_blocks_hold_all_neighbours_of_their_targets(star):
    edge_index, n_nodes = star
    seeds = torch.tensor([3, 7, 1])
    nodes, blocks = NeighbourGraph(edge_index, n_nodes).blocks(seeds, (None, None))
    assert nodes[:3].tolist() == [3, 7, 1]
    assert len(set(nodes.tolist())) == len(nodes)
    assert [block.pattern.n_rows for block in blocks] == [5, 3]
    for block in blocks:
        sources = nodes[: block.pattern.n_columns].tolist()
        for target in range(block.pattern.n_rows):
            found = [sources[column] for row, column in entries_of(block) if row == target]
            assert set(found) == neighbours_of(edge_index, sources[target]) | {sources[target]}
            assert len(found) == len(set(found))
        assert block.degrees.tolist() == [len(neighbours_of(edge_index, node)) + 1 for node in sources]


def test_samples_are_distinct_neighbours_and_uniform(star):
    edge_index, n_nodes = star
    graph = NeighbourGraph(edge_index, n_nodes)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(n_nodes)
    for _ in range(2000):
        nodes, (block,) = graph.blocks(torch.tensor([0, 1, 7]), (4,), generator)
        found = [nodes[column].item() for row, column in entries_of(block) if row == 0]
        assert len(found) == len(set(found)) == 5  # four and the node itself
        counts[found] += 1
        assert {nodes[column].item() for row, column in entries_of(block) if row == 1} == {0, 1, 2}
        assert {nodes[column].item() for row, column in entries_of(block) if row == 2} == {7}
    assert counts[0] == 2000
    assert counts[7] == 0
    # Each of six neighbours in four draws of six; six standard deviations.
    assert (counts[1:7] - 2000 * 4 / 6).abs().max() < 6 * (2000 * 4 / 6 * 2 / 6) ** 0.5


def test_same_generator_same_sample(star):
    graph = NeighbourGraph(*star)
    drawn = [graph.blocks(torch.arange(3), (2, 2), torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(drawn[0][0], drawn[1][0])
    for first, second in zip(drawn[0][1], drawn[1][1], strict=True):
        assert torch.equal(first.pattern.columns, second.pattern.columns)
