from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.edge_pairs import is_symmetric, pair_edges

EDGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=10)


@settings(max_examples=200, deadline=None)
@given(EDGES, st.booleans())
def test_symmetry_is_that_of_the_multiset(pairs, mirrored):
    edges = pairs + [(v, u) for u, v in pairs] if mirrored else pairs
    counts = Counter(edges)
    expected = all(counts[v, u] == count for (u, v), count in counts.items())
    assert is_symmetric(torch.tensor(edges).T) == expected


@settings(max_examples=100, deadline=None)
@given(EDGES, st.randoms(use_true_random=False))
def test_pairs(pairs, random):
    edges = pairs + [(v, u) for u, v in pairs]
    random.shuffle(edges)
    first, second = pair_edges(torch.tensor(edges).T)
    assert (first < second).all()
    assert (first.diff() > 0).all()
    assert all(edges[a] == edges[b][::-1] for a, b in zip(first, second, strict=True))
    loops = [position for position, (u, v) in enumerate(edges) if u == v]
    assert sorted(first.tolist() + second.tolist() + loops) == list(range(len(edges)))


def test_chunks_add_up():
    nodes = torch.arange(200_000)
    path = torch.stack([nodes[:-1], nodes[1:]])
    both = torch.cat([path, path.flip(0)], dim=1)
    assert is_symmetric(both)
    assert not is_symmetric(both[:, 1:])


def test_no_pair():
    with pytest.raises(ValueError, match="`edge_index` must hold both directions"):
        pair_edges(torch.tensor([[0, 1], [1, 2]]))
