"""Spreading of labels and semantic labels, against dense matrices and the equations written out."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.node_labels.semantic_labels import class_prototypes, prototype_similarity, semantic_scores
from noisy_labels.node_labels.structural_denoising import denoise_labels, propagate
from sparse_data.datasets.planetoid import fetch_planetoid
from sparse_data.sparse_pattern import SparsePattern


def random_graph(n_nodes, seed):
    generator = torch.Generator().manual_seed(seed)
    upper = torch.rand(n_nodes, n_nodes, generator=generator).triu(1) > 0.7
    adjacency = (upper | upper.T).double()
    return adjacency, SparsePattern.from_entries(adjacency.nonzero().T, (n_nodes, n_nodes))


def column_stochastic(adjacency):
    degrees = adjacency.sum(0)
    return torch.where(degrees > 0, adjacency / degrees.clamp(min=1), 0.0)


@settings(deadline=None, max_examples=25)
@given(n_nodes=st.integers(1, 12), seed=st.integers(0, 999), alpha=st.floats(0, 1), steps=st.integers(0, 4))
def test_propagation_is_that_of_the_dense_matrix(n_nodes, seed, alpha, steps):
    adjacency, neighbours = random_graph(n_nodes, seed)
    matrix = column_stochastic(adjacency)
    sums = matrix.sum(0)
    assert torch.equal(sums.round(decimals=9), (adjacency.sum(0) > 0).double())
    start = torch.rand(n_nodes, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    kept = start.clone()
    plain, restarted = start, start
    for _ in range(steps):
        plain = alpha * plain + (1 - alpha) * matrix @ plain
        restarted = alpha * start + (1 - alpha) * matrix @ restarted
    found = propagate(start, neighbours, alpha=alpha, steps=steps)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(
        propagate(start, neighbours, alpha=alpha, steps=steps, restart=True), restarted
    )
    assert torch.equal(start, kept)
    if (adjacency.sum(0) > 0).all():  # mass is neither made nor lost
        torch.testing.assert_close(found.sum(0), start.sum(0))


def test_denoising_without_edges_between_labelled_nodes_shrinks_the_mass():
    # A path of four nodes whose ends are labelled.
    _, neighbours = random_graph(2, 0)
    path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    neighbours = SparsePattern.from_entries(path, (4, 4))
    labels = torch.tensor([1, -1, -1, 0])
    mass = denoise_labels(labels, neighbours, n_classes=2, alpha=0.6, steps=5)
    assert mass[0].tolist() == pytest.approx([0, 0.6**5])
    assert mass[3].tolist() == pytest.approx([0.6**5, 0])
    assert mass[1:3].abs().sum() == 0
    untouched = denoise_labels(labels, neighbours, n_classes=2, alpha=0.6, steps=0)
    assert untouched.tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


def test_denoising_uses_edges_between_labelled_nodes_alone():
    # 0, 1 and 2 are acquainted and labelled; 3 is not labelled and knows 0.
    edges = torch.tensor([[0, 0, 1, 0], [1, 2, 2, 3]])
    neighbours = SparsePattern.from_entries(torch.cat([edges, edges.flip(0)], 1), (4, 4))
    mass = denoise_labels(torch.tensor([0, 1, 1, -1]), neighbours, n_classes=2, alpha=0.2, steps=1)
    assert mass[0].tolist() == pytest.approx([0.2, 0.8])
    assert mass[1].tolist() == pytest.approx([0.4, 0.2 + 0.4])
    assert mass[3].tolist() == [0, 0]


# Edges between training nodes, in both directions, and nodes that have one; alpha and T as published.
@pytest.mark.parametrize(
    ("name", "n_edges", "n_nodes", "alpha_to_the_t"),
    [("cora", 42, 31, 0.6**5), ("citeseer", 16, 15, 0.6**4), ("pubmed", 0, 0, 0.6**3)],
)
def test_denoising_of_real_graphs_reaches_few_labels(name, n_edges, n_nodes, alpha_to_the_t):
    if not os.environ.get("SPARSELABELS_DATA"):
        pytest.skip("needs real data: set SPARSELABELS_DATA to the folder that holds them")
    graph = fetch_planetoid(name, download=False)
    train = torch.from_numpy(graph.train_mask)
    entries = torch.from_numpy(np.stack(graph.adjacency.nonzero()).astype(np.int64))
    between = entries[:, train[entries[0]] & train[entries[1]]]
    assert between.shape[1] == n_edges
    assert len(between[0].unique()) == n_nodes
    labels = torch.where(train, torch.from_numpy(graph.labels), -1)
    neighbours = SparsePattern.from_entries(entries, graph.adjacency.shape)
    steps = round(math.log(alpha_to_the_t) / math.log(0.6))
    mass = denoise_labels(labels, neighbours, n_classes=int(labels.max()) + 1, alpha=0.6, steps=steps)
    lonely = train.clone()
    lonely[between[0]] = False
    assert torch.equal(mass[lonely].argmax(1), labels[lonely])
    torch.testing.assert_close(mass[lonely].sum(1), torch.full((int(lonely.sum()),), alpha_to_the_t))


def test_denoising_over_the_whole_graph():
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    neighbours = SparsePattern.from_entries(path, (3, 3))
    labels = torch.tensor([0, -1, 1])
    # Y1 = a Y0 + (1 - a) P Y0 and so on, by hand with a = 1/2.
    mass = denoise_labels(labels, neighbours, n_classes=2, alpha=0.5, steps=2, whole_graph=True)
    assert mass.tolist() == [[0.625, 0.125], [0, 0], [0.125, 0.625]]
    shares = denoise_labels(
        labels, neighbours, n_classes=2, alpha=0.5, steps=2, whole_graph=True, normalize=True
    )
    assert shares[0].tolist() == pytest.approx([5 / 6, 1 / 6])
    alone = denoise_labels(
        torch.tensor([0, 1, -1]), SparsePattern.from_entries(path[:, :0], (3, 3)), n_classes=2, normalize=True
    )
    assert alone.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_prototypes_and_similarity():
    Z = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, -2.0], [0.0, 0.0]])
    prototypes = class_prototypes(Z[:3], torch.tensor([0, 0, 2]), n_classes=3)
    assert prototypes.tolist() == [[2.0, 2.0], [0.0, 0.0], [0.0, -2.0]]
    found = prototype_similarity(Z, prototypes)
    half = math.sqrt(0.5)
    wanted = [[half, 0, 0], [7 / 5 * half, 0, 0.8], [half, 0, 1], [0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_semantic_scores_are_the_equations():
    adjacency, neighbours = random_graph(9, 3)
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    denoised = torch.zeros(9, 3, dtype=torch.float64)
    denoised[:5] = torch.rand(5, 3, generator=generator, dtype=torch.float64)
    similarity = torch.zeros(9, 3, dtype=torch.float64)
    hard = denoised[:5].argmax(1)
    for label in range(3):
        members = [i for i in range(5) if hard[i] == label]
        if members:
            mean = sum(Z[i] for i in members) / len(members)
            similarity[:, label] = (Z @ mean / Z.norm(dim=1) / mean.norm()).abs()
    exponentials = (0.7 * denoised + 0.3 * similarity).exp()
    wanted = exponentials / exponentials.sum(1, keepdim=True)
    for _ in range(2):
        wanted = 0.6 * wanted + 0.4 * column_stochastic(adjacency) @ wanted
    found = semantic_scores(Z, denoised, torch.arange(5), neighbours, alpha=0.6, beta=0.7, steps=2)
    torch.testing.assert_close(found, wanted)


def refined_by_loop(Z, denoised, labelled, adjacency, *, beta, alpha, steps, refinements):
    """Make prototypes class by class, of nodes that agree; one without such a node stays as it was."""
    labels = denoised.argmax(1)
    means = torch.zeros(denoised.shape[1], Z.shape[1], dtype=Z.dtype)
    for _ in range(refinements + 1):
        for label in range(len(means)):
            own = [i for i in labelled.tolist() if labels[i] == label == denoised[i].argmax()]
            if own:
                means[label] = Z[own].mean(0)
        scores = (beta * denoised + (1 - beta) * prototype_similarity(Z, means)).softmax(1)
        for _ in range(steps):
            scores = alpha * scores + (1 - alpha) * column_stochastic(adjacency) @ scores
        labels = scores.argmax(1)
    return scores


@pytest.mark.parametrize("refinements", [1, 3])
def test_refined_prototypes_are_means_of_nodes_that_agree(refinements):
    adjacency, neighbours = random_graph(9, 2)
    generator = torch.Generator().manual_seed(3)
    Z = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    denoised = torch.zeros(9, 3, dtype=torch.float64)
    denoised[:5] = torch.rand(5, 3, generator=generator, dtype=torch.float64)
    given = {"alpha": 0.6, "beta": 0.7, "steps": 2}
    found = semantic_scores(Z, denoised, torch.arange(5), neighbours, refinements=refinements, **given)
    wanted = refined_by_loop(Z, denoised, torch.arange(5), adjacency, refinements=refinements, **given)
    torch.testing.assert_close(found, wanted)
    plain = semantic_scores(Z, denoised, torch.arange(5), neighbours, **given)
    assert not torch.allclose(found, plain)


def test_a_class_that_no_node_has_keeps_its_prototype():
    # A hub with three leaves, of which one alone is given class 1: after a step all are of class 0.
    spokes = torch.tensor([[1, 1, 1, 0, 2, 3], [0, 2, 3, 1, 1, 1]])
    neighbours = SparsePattern.from_entries(spokes, (4, 4))
    adjacency = neighbours.with_values(torch.ones(6, dtype=torch.float64)).to_dense()
    Z = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.1]], dtype=torch.float64)
    denoised = torch.tensor([[0.0, 0.1], [0.0, 0.0], [0.1, 0.0], [0.1, 0.0]], dtype=torch.float64)
    given = {"alpha": 0.0, "beta": 0.5, "steps": 1}
    labelled = torch.tensor([0, 2, 3])
    plain = semantic_scores(Z, denoised, labelled, neighbours, **given)
    assert plain.argmax(1).tolist() == [0, 0, 0, 0]
    found = semantic_scores(Z, denoised, labelled, neighbours, refinements=1, **given)
    torch.testing.assert_close(
        found, refined_by_loop(Z, denoised, labelled, adjacency, refinements=1, **given)
    )


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 1.5), ("beta", -0.1), ("steps", -1), ("refinements", -1)]
)
def test_messages(name, value):
    _, neighbours = random_graph(3, 0)
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        semantic_scores(torch.ones(3, 2), torch.ones(3, 2), torch.arange(2), neighbours, **{name: value})
