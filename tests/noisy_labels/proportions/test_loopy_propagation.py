"""Belief propagation against enumeration: exact on trees, and honest about convergence elsewhere."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from noisy_labels.proportions.bag_labels import read_bags
from noisy_labels.proportions.count_messages import count_factor, count_posterior
from noisy_labels.proportions.count_potentials import ExactCount, QuadraticCount
from noisy_labels.proportions.edge_kernels import update_edges
from noisy_labels.proportions.loopy_propagation import belief_propagation
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.pairwise_counts import pairwise_counts


def graph_of(edges, n):
    matrix = np.zeros((n, n))
    for i, j, weight in edges:
        matrix[i, j] = matrix[j, i] = weight
    return csr_array(matrix)


def enumerated(logits, edges, bags, energy_of_counts):
    """Marginals and log Z of exp(Σ r y - Σ J 1[y_i ≠ y_j] + Σ_b energy(b, count)), from all labellings."""
    labellings = np.array(list(product([0, 1], repeat=len(logits))))
    weights = labellings @ np.asarray(logits, dtype=float)
    for i, j, coupling in edges:
        weights = weights - coupling * (labellings[:, i] != labellings[:, j])
    for b in set(bags):
        weights = weights + energy_of_counts(b, labellings[:, np.array(bags) == b].sum(axis=1))
    log_z = logsumexp(weights)
    return np.exp(weights - log_z) @ labellings, log_z


def test_golden_tree():
    factor = count_factor([0, 0, 0, 1, 1, 1], QuadraticCount([1, 2], 1.0), 6)
    beliefs = belief_propagation(
        [0.3, -0.2, 0.1, 0.4, -0.5, 0.2],
        graph=graph_of([(2, 3, 0.8)], 6),
        factor=factor,
        tol=1e-10,
        max_iter=300,
    )
    expected = [0.44398716, 0.29921102, 0.48898265, 0.69023652, 0.45439302, 0.67527719]
    np.testing.assert_allclose(beliefs.probabilities, expected, atol=5e-9)
    assert beliefs.log_partition == pytest.approx(2.87772645, abs=5e-9)
    assert beliefs.converged
    assert beliefs.residuals[-1] <= 1e-10 < beliefs.residuals[-2]
    assert beliefs.n_iter == len(beliefs.residuals)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 10), scale=st.sampled_from([0.3, 3.0]))
def test_trees_of_edges_against_enumeration(seed, n, scale):
    rng = np.random.default_rng(seed)
    edges = [(int(rng.integers(i)), i, rng.normal(0, scale)) for i in range(1, n) if rng.random() < 0.9]
    logits = rng.normal(0, scale, n)
    beliefs = belief_propagation(logits, graph=graph_of(edges, n), tol=1e-12, max_iter=1000, damping=0.0)
    expected, log_z = enumerated(logits, edges, [], None)
    np.testing.assert_allclose(beliefs.probabilities, expected, atol=1e-9)
    assert beliefs.log_partition == pytest.approx(log_z, abs=1e-8)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), hard=st.booleans())
def test_bags_joined_in_a_tree_against_enumeration(seed, hard):
    rng = np.random.default_rng(seed)
    bags = np.repeat([0, 1, 2], [3, 4, 4])
    counts = [int(rng.integers(4)), int(rng.integers(1, 4)), int(rng.integers(1, 4))]
    edges = [(0, 4, rng.exponential()), (6, 9, rng.exponential())]
    logits = rng.normal(0, 1, 11)
    potential = ExactCount(counts) if hard else QuadraticCount(counts, 0.7)
    factor = count_factor(bags, potential, 11)
    beliefs = belief_propagation(logits, graph=graph_of(edges, 11), factor=factor, tol=1e-11, max_iter=2000)

    def energy(b, c):
        with np.errstate(divide="ignore"):
            return np.log(c == counts[b]) if hard else -0.7 * (c - counts[b]) ** 2

    expected, log_z = enumerated(logits, edges, bags.tolist(), energy)
    # Messages of certainty end at log odds of 30.
    np.testing.assert_allclose(beliefs.probabilities, expected, atol=1e-7)
    assert beliefs.log_partition == pytest.approx(log_z, abs=1e-6)


def test_without_a_graph_it_is_the_count_posterior():
    rng = np.random.default_rng(0)
    logits, bags, counts = rng.normal(size=30), np.arange(30) // 6, [0, 2, 6, 3, 1]
    beliefs = belief_propagation(logits, factor=count_factor(bags, ExactCount(counts), 30))
    assert beliefs.n_iter == 1
    np.testing.assert_allclose(
        beliefs.probabilities, count_posterior(logits, bags, ExactCount(counts)), atol=1e-12
    )


@pytest.mark.parametrize(
    ("cavity", "coupling", "expected"),
    [(1, 0.5, 0.22733629), (-2, 1, -0.73532566), (0, 3, 0.0), (5, 1, 0.98432576), (-1, -0.5, 0.22733629)],
)
def test_golden_edge(cavity, coupling, expected):
    to_lower, to_upper = np.ones((2, 1))
    pair = (np.zeros(1, np.int32), np.ones(1, np.int32), np.exp([-float(coupling)]))
    sums, change = update_edges(np.array([float(cavity), 0.0]), *pair, to_lower, to_upper, damping=0.0)
    np.testing.assert_allclose([np.log(to_lower[0]), np.log(to_upper[0])], [0.0, expected], atol=5e-9)
    np.testing.assert_allclose(sums, [0.0, expected], atol=5e-9)
    assert change == pytest.approx(abs(expected), abs=5e-9)


def in_log_odds(totals, lower, upper, coupling, to_lower, to_upper, damping):
    """One pass by the definition, for messages in log odds: what the odds of `update_edges` stand for."""

    def passed(cavity):
        return np.logaddexp(cavity, -coupling) - np.logaddexp(0, cavity - coupling)

    new_lower = damping * to_lower + (1 - damping) * passed(totals[upper] - to_upper)
    new_upper = damping * to_upper + (1 - damping) * passed(totals[lower] - to_lower)
    n = totals.size
    return new_lower, new_upper, np.bincount(lower, new_lower, n) + np.bincount(upper, new_upper, n)


@pytest.mark.parametrize("damping", [0.0, 0.3, 0.5, 0.9375])
@pytest.mark.parametrize(
    ("scale", "known"), [(0.1, True), (1.5, True), (0.1, False), (4.0, False), (60.0, True)]
)
def test_one_pass_against_the_formula(damping, scale, known):
    rng = np.random.default_rng(0)
    n, n_pairs = 90, 1300  # more than two blocks
    lower = rng.integers(0, n - 1, n_pairs).astype(np.int32)
    upper = rng.integers(lower + 1, n).astype(np.int32)
    coupling = np.clip(rng.normal(0, scale, n_pairs), -150, 150)
    messages = np.clip(rng.normal(0, scale, (2, n_pairs)), -np.abs(coupling), np.abs(coupling))
    totals = rng.normal(0, 10 * scale, n)  # beyond what odds can be written as
    *expected, sums = in_log_odds(totals, lower, upper, coupling, *messages, damping)
    odds = np.exp(messages)
    sizes = np.bincount(lower, np.abs(coupling), n) + np.bincount(upper, np.abs(coupling), n)
    bounds = {"strongest": sizes.max()} if known else {}
    found, change = update_edges(totals, lower, upper, np.exp(-coupling), *odds, damping=damping, **bounds)
    np.testing.assert_allclose(np.log(odds), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, sums, rtol=1e-12, atol=1e-10 * scale)
    assert change == pytest.approx(np.abs(expected - messages).max(), rel=1e-12)


def test_passes_near_the_end_are_exact():
    """Roots of factors near 1 are taken by a series."""
    rng = np.random.default_rng(0)
    n, n_pairs = 90, 700
    lower = rng.integers(0, n - 1, n_pairs).astype(np.int32)
    upper = rng.integers(lower + 1, n).astype(np.int32)
    coupling, totals = rng.normal(0, 0.3, n_pairs), rng.normal(size=n)
    messages = np.zeros((2, n_pairs))
    odds = np.ones((2, n_pairs))
    changes = []
    for _ in range(14):
        *messages, sums = in_log_odds(totals, lower, upper, coupling, *messages, 0.5)
        pairs = (lower, upper, np.exp(-coupling), *odds)
        found, change = update_edges(totals, *pairs, damping=0.5, strongest=80.0)
        changes.append(change)
        np.testing.assert_allclose(np.log(odds), messages, rtol=0, atol=1e-14)
        np.testing.assert_allclose(found, sums, rtol=0, atol=1e-12)
    assert changes[-1] < 0.5 / 32 < changes[0]


@pytest.mark.parametrize(("scale", "known"), [(1.0, False), (0.1, True)])
def test_a_pass_in_threads_is_a_pass(scale, known):
    rng = np.random.default_rng(0)
    n, n_pairs = 2000, 1 << 18  # enough for threads
    lower = np.sort(rng.integers(0, n - 1, n_pairs)).astype(np.int32)
    upper = rng.integers(lower + 1, n).astype(np.int32)
    coupling, totals = rng.normal(0, scale, n_pairs), rng.normal(size=n)
    *expected, sums = in_log_odds(totals, lower, upper, coupling, 0.0, 0.0, 0.0)
    odds = np.ones((2, n_pairs))
    bounds = {"strongest": 299.0} if known else {}
    assert np.abs(sums).max() < 299 or not known
    found, change = update_edges(totals, lower, upper, np.exp(-coupling), *odds, damping=0.0, **bounds)
    np.testing.assert_allclose(np.log(odds), expected, atol=1e-12)
    np.testing.assert_allclose(found, sums, atol=1e-10)
    assert change == pytest.approx(np.abs(expected).max(), rel=1e-12)


def test_many_strong_neighbours_do_not_overflow():
    n = 40
    star = graph_of([(0, i, 100.0) for i in range(1, n)], n)
    logits = np.full(n, 90.0)
    logits[0] = -3000.0
    beliefs = belief_propagation(logits, graph=star, damping=0.0, tol=1e-9)
    # The neighbours say 39 times nearly 90 for 1, the hub itself 3000 against it.
    told = np.logaddexp(90, -100) - np.logaddexp(0, -10)
    assert beliefs.logits[0] == pytest.approx(39 * told - 3000, rel=1e-9)


def test_graphs_with_zeros_and_duplicates_are_read_and_not_altered():
    untidy = csr_array(([0.5, 0.3, 0.0, 0.5, 0.3, 7.0], [1, 1, 0, 0, 0, 2], [0, 3, 5, 6]), shape=(3, 3))
    before = untidy.data.copy(), untidy.indices.copy()
    found = belief_propagation([1.0, -2.0, 0.5], graph=untidy, tol=1e-12).probabilities
    np.testing.assert_array_equal(untidy.data, before[0])
    np.testing.assert_array_equal(untidy.indices, before[1])
    expected, _ = enumerated([1.0, -2.0, 0.5], [(0, 1, 0.8)], [], None)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_pairs_of_a_bag_are_its_quadratic_penalty():
    rng = np.random.default_rng(0)
    bags, counts, strength = [0, 1, 0, 1, 0, 1, 1], np.array([1.0, 2.5]), 0.3
    logits, graph = pairwise_counts(read_bags(bags, 7), counts, strength)
    edges = [(i, j, graph[i, j]) for i in range(7) for j in range(i) if graph[i, j]]
    assert len(edges) == 3 + 6
    own = rng.normal(size=7)
    by_pairs, _ = enumerated(own + logits, edges, [], None)
    by_count, _ = enumerated(own, [], bags, lambda b, c: -strength * (c - counts[b]) ** 2)
    np.testing.assert_allclose(by_pairs, by_count, atol=1e-12)
    with pytest.raises(ValueError, match=r"at most 64 rows .* got one of 65"):
        pairwise_counts(read_bags([0] * 65, 65), np.array([1.0]), 1.0)


def test_pairwise_belief_propagation_is_told_not_to_converge():
    index = read_bags([0] * 32, 32)
    logits, graph = pairwise_counts(index, np.array([8.0]), 10.0)
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning, match="did not converge in 60 passes: messages still change by"):
        beliefs = belief_propagation(logits + rng.normal(0, 1, 32), graph=graph, max_iter=60)
    assert not beliefs.converged
    assert abs(beliefs.probabilities.sum() - 8) > 2  # one count factor gives 8 exactly


def test_damping_rises_until_messages_settle():
    # Three nodes that repel each other strongly swing for ever under light damping.
    graph = graph_of([(i, j, -3.0) for i in range(6) for j in range(i)], 6)
    beliefs = belief_propagation(np.full(6, 0.1), graph=graph, damping=0.1, tol=1e-6, max_iter=400)
    assert beliefs.converged
    assert beliefs.residuals[12] > 0.5
    with pytest.warns(ConvergenceWarning):
        belief_propagation(np.full(6, 0.1), graph=graph, damping=0.1, tol=1e-6, max_iter=11)


def test_neighbour_graph_against_loops():
    rng = np.random.default_rng(1)
    X, k, n = rng.normal(size=(30, 4)), 3, 30
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :k]
    median = np.median(np.take_along_axis(distances, nearest, axis=1))
    joined, raw = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in nearest[i]:
            joined[i, j] = joined[j, i] = np.exp(-distances[i, j] / median)
            raw[i, j] = raw[j, i] = np.exp(-np.linalg.norm(X[i] - X[j]))
    degree = joined.sum(axis=1)
    expected = joined / np.sqrt(np.outer(degree, degree)) * degree.mean()
    np.testing.assert_allclose(neighbour_graph(X, n_neighbors=k).toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(neighbour_graph(X, n_neighbors=k, weights="raw").toarray(), raw, atol=1e-12)


def test_approximate_search_finds_nearly_all_neighbours():
    pytest.importorskip("usearch")
    rows = np.random.default_rng(0).normal(size=(600, 5))
    exact, near = (neighbour_graph(rows, n_neighbors=6, search=how) for how in ("exact", "approximate"))
    common = (exact != 0).multiply(near != 0).sum()
    assert common > 0.97 * max(exact.nnz, near.nnz)
    assert near.diagonal().sum() == 0
    same = (exact != 0).multiply(near != 0)
    assert abs((exact - near).multiply(same)).max() < 0.05 * exact.max()
    assert neighbour_graph(np.ones((4, 2)), n_neighbors=9, search="approximate").nnz == 12
    np.testing.assert_allclose((near - near.T).data, 0)


def test_neighbour_graph_of_few_and_equal_rows():
    assert neighbour_graph([[1.0, 2.0]]).nnz == 0
    graph = neighbour_graph(np.ones((4, 2)), n_neighbors=9)
    np.testing.assert_allclose(graph.toarray(), 3 * (1 - np.eye(4)) / 3, atol=1e-12)


ASYMMETRIC = csr_array([[0.0, 1.0], [0.0, 0.0]])
UNEVEN = csr_array([[0.0, 1.0], [2.0, 0.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": [np.inf, 0]}, "`logits` must be finite"),
        ({"graph": np.zeros((2, 2))}, r"`graph` must be a sparse matrix of shape \(2, 2\); got ndarray"),
        ({"graph": csr_array((3, 3))}, r"got shape \(3, 3\)"),
        ({"graph": csr_array([[0.0, np.nan], [np.nan, 0.0]])}, "`graph` must be finite"),
        ({"graph": ASYMMETRIC}, "`graph` must be symmetric"),
        ({"graph": UNEVEN}, "`graph` must be symmetric"),
        ({"factor": count_factor([0] * 3, ExactCount([1]), 3)}, "`factor` must be over 2 rows; got 3"),
        ({"damping": 1.0}, "`damping` must be in"),
        ({"max_iter": 0}, "`max_iter` must be at least 1"),
        ({"tol": -1.0}, "`tol` must be in"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        belief_propagation(**{"logits": [0.0, 0.0], **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": [[np.nan], [0.0]]}, "`X` must be finite"),
        ({"X": [1.0, 2.0]}, "`X` must be 2-dimensional"),
        ({"n_neighbors": 0}, "`n_neighbors` must be at least 1"),
        ({"metric": "dot"}, "`metric` must be one of"),
        ({"weights": "none"}, "`weights` must be one of"),
    ],
)
def test_bad_input_of_the_neighbour_graph(arguments, message):
    with pytest.raises(ValueError, match=message):
        neighbour_graph(**{"X": [[0.0], [1.0]], **arguments})
