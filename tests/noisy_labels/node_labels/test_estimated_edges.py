"""Pieces of NRGNN and RTGNN: candidate edges, their estimator, and what a label is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisy_labels.node_labels.candidate_edges import nearest_anchors, new_pairs
from noisy_labels.node_labels.edge_estimator import EdgeEstimator, reconstruction_loss
from noisy_labels.node_labels.label_governance import govern_labels, neighbour_divergence


def test_nearest_anchors_by_a_slow_loop():
    x = torch.randn(30, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    anchors, nodes = torch.arange(0, 30, 3), torch.arange(2, 25)
    found = nearest_anchors(x, nodes, anchors, k=4)
    assert found.shape == (2, 4 * len(nodes))
    for node in nodes.tolist():
        cosine = {
            a: float(torch.dot(x[node], x[a]) / x[node].norm() / x[a].norm())
            for a in anchors.tolist()
            if a != node
        }
        best = sorted(cosine, key=lambda a: -cosine[a])[:4]
        assert found[1, found[0] == node].tolist() == best
    assert nearest_anchors(x, nodes, anchors[:0], k=4).shape == (2, 0)
    every = nearest_anchors(x, anchors, anchors, k=100)
    assert every.shape[1] == 10 * 9
    assert (every[0] != every[1]).all()


def test_new_pairs_are_unordered_unique_and_no_edges():
    pairs = torch.tensor([[3, 1, 1, 0, 2], [1, 3, 2, 4, 1]])
    assert new_pairs(pairs, torch.tensor([[2], [1]]), n_nodes=5).T.tolist() == [[0, 4], [1, 3]]


def test_edges_are_extended_by_weight_and_carry_gradients():
    estimator = EdgeEstimator(n_features=2, hidden=4, threshold=0.3, unit_length=True)
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [0.2, 0.1]], requires_grad=True)
    pairs = torch.tensor([[0, 0, 0], [1, 2, 3]])
    edges, weights = estimator.extended(z, torch.tensor([[2], [3]]), pairs)
    assert edges.T.tolist() == [[2, 3], [0, 1], [1, 0]]
    np.testing.assert_allclose(weights.detach(), [1, 0.6, 0.6], rtol=1e-6)
    weights.sum().backward()
    assert z.grad[1].tolist() == [2, 0]
    wide = EdgeEstimator(n_features=2, hidden=64, threshold=0.3, unit_length=True)
    embeddings = wide(torch.randn(6, 2), torch.tensor([[0, 1], [1, 0]]))
    np.testing.assert_allclose(embeddings.norm(dim=1).detach(), 1, rtol=1e-5)


def test_reconstruction_loss_by_hand():
    """Of two nodes joined in both directions no pair without an edge is left."""
    z = torch.tensor([[1.0, 0.0], [0.25, 3.0]])
    edges = torch.tensor([[0, 1], [1, 0]])
    assert reconstruction_loss(z, edges, n_negatives=7).item() == pytest.approx(2 / 2 * 2 * 0.75**2)
    alone = reconstruction_loss(z, edges[:, :0], n_negatives=500)
    assert alone.item() == pytest.approx(2 * 0.25**2)  # every pair drawn has the product 1/4


def slow_governance(first, second, codes, progress):
    n, n_classes = first.shape
    losses = [-np.log(first[i, codes[i]]) - np.log(second[i, codes[i]]) for i in range(n)]
    n_below = sum(loss < np.mean(losses) for loss in losses)
    n_trusted = max(int(np.ceil((1 - progress / 2) * n - 1e-9)), n_below)
    order = sorted(range(n), key=lambda i: losses[i])
    labels, weights = list(codes), [0.1] * n
    for i in order[:n_trusted]:
        weights[i] = 1.0
    for i in order[n_trusted:]:
        a, b = first[i].argmax(), second[i].argmax()
        certain = first[i, a] * second[i, b]
        if a == b != codes[i] and certain > 1 - (1 - min(0.5, 1 / n_classes)) * progress:
            labels[i], weights[i] = a, certain ** (0.5 - 0.5 * progress)
    return labels, weights


@pytest.mark.parametrize("seed", range(8))
def test_governance_by_a_slow_loop(seed):
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 3, 40)
    shared = generator.normal(size=(40, 3)) * 3
    first, second = (np.exp(shared + generator.normal(size=(40, 3))) for _ in range(2))
    first, second = first / first.sum(1, keepdims=True), second / second.sum(1, keepdims=True)
    progress = [0.0, 0.3, 0.7, 1.0][seed % 4]
    tensors = [torch.from_numpy(values) for values in (first, second, codes)]
    labels, weights = govern_labels(*tensors, progress=progress)
    slow_labels, slow_weights = slow_governance(first, second, codes, progress)
    assert labels.tolist() == slow_labels
    np.testing.assert_allclose(weights, slow_weights)
    if progress == 1.0:
        assert (labels != tensors[2]).any()


def test_neighbour_divergence_by_a_slow_loop():
    p = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    edges, weights = np.array([[0, 2, 1], [1, 1, 0]]), np.array([1.0, 0.5, 2.0])
    terms = [w * (p[i] * np.log(p[i] / p[j])).sum() for (j, i), w in zip(edges.T, weights, strict=True)]
    found = neighbour_divergence(
        torch.from_numpy(p).log(), torch.from_numpy(edges), torch.from_numpy(weights)
    )
    assert found.item() == pytest.approx(sum(terms) / 3.5)
