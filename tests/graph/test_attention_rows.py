"""Attention along rows against the sums of its definition, written out edge by edge."""

from __future__ import annotations

import math

import pytest
import torch

from graph.attention_rows import AttentionRows

SLOPE = 0.2


@pytest.fixture
def edges():
    """Return edges in no order, one of them twice; nobody sends to node 4."""
    return torch.tensor([[0, 3, 1, 2, 4, 0, 1, 3], [1, 0, 1, 3, 2, 1, 0, 0]])


def test_sums_of_the_definition(edges):
    torch.manual_seed(0)
    s, t, x = torch.randn(5, 2), torch.randn(5, 2), torch.randn(5, 2, 3)
    graph = AttentionRows(edges, 5, 2)
    got = graph.times(graph.attention(s, t, SLOPE), x)
    for i in range(5):
        senders = [j for j, target in edges.T.tolist() if target == i]
        for head in range(2):
            logits = [float(s[j, head] + t[i, head]) for j in senders]
            terms = [math.exp(value if value > 0 else SLOPE * value) for value in logits]
            expected = torch.zeros(3)
            for j, term in zip(senders, terms, strict=True):
                expected += term / sum(terms) * x[j, head]
            torch.testing.assert_close(got[i, head], expected)


def test_gradients_are_those_of_differences(edges):
    torch.manual_seed(1)
    graph = AttentionRows(edges, 5, 2)
    shapes = ((5, 2), (5, 2), (5, 2, 3))
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def sums(s, t, x):
        return graph.times(graph.attention(s, t, SLOPE), x)

    assert torch.autograd.gradcheck(sums, given)


def test_large_scores_do_not_overflow(edges):
    graph = AttentionRows(edges, 5, 1)
    weights = graph.attention(torch.full((5, 1), 300.0), torch.full((5, 1), 300.0), SLOPE)
    # Three messages to node 0, three to node 1, one to each of 2 and 3.
    assert weights.tolist() == pytest.approx([1 / 3] * 6 + [1, 1])


def test_messages_in_their_order(edges):
    graph = AttentionRows(edges, 5, 2)
    assert edges[1, graph.message].tolist() == (graph.pattern.rows // 2).tolist()
    assert edges[0, graph.message].tolist() == (graph.pattern.columns // 2).tolist()
