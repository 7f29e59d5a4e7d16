"""Neighbours among the rows of near cells, against exact search."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from noisy_labels.proportions import nearest_cells, nearest_neighbours
from noisy_labels.proportions.nearest_cells import nearest_in_cells
from noisy_labels.proportions.nearest_neighbours import neighbour_graph


def test_cells_hold_most_neighbours(monkeypatch):
    monkeypatch.setattr(nearest_cells, "_SHARE", 700)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 12)).repeat(100, axis=0) + 0.3 * rng.normal(size=(3000, 12))
    found = nearest_in_cells(rows, 6)
    assert (found != np.arange(3000)[:, None]).all()
    assert (np.diff(np.sort(found, axis=1), axis=1) > 0).all()
    distances = np.linalg.norm(rows[:, None] - rows[found], axis=2)
    assert (np.diff(distances, axis=1) > -1e-5).all()
    nearest = NearestNeighbors(n_neighbors=6).fit(rows).kneighbors()[0]
    assert np.mean(distances <= nearest[:, -1:] + 1e-6) > 0.95
    # What is found does not depend on where the origin is.
    np.testing.assert_array_equal(nearest_in_cells(rows + 8.0, 6), found)
    graph = neighbour_graph(rows, n_neighbors=6, metric="euclidean", weights="raw", search="cells")
    joined = np.zeros((3000, 3000))
    joined[np.arange(3000)[:, None], found] = np.exp(-distances)
    np.testing.assert_allclose(graph.toarray(), np.maximum(joined, joined.T), atol=1e-12)


@pytest.mark.parametrize("n_rows", [2, 9, 700])
def test_cells_of_few_and_equal_rows(n_rows):
    k = min(8, n_rows - 1)
    for rows in (np.ones((n_rows, 2)), np.arange(2 * n_rows).reshape(-1, 2) % 3.0):
        found = nearest_in_cells(rows, k)
        assert (np.diff(np.sort(np.c_[np.arange(n_rows), found], axis=1), axis=1) > 0).all()
        if n_rows == 700:
            np.testing.assert_array_equal(rows[found], np.broadcast_to(rows[:, None], (700, k, 2)))


def test_search_is_exact_until_there_are_many_rows(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(400, 20))
    exact, cells = (neighbour_graph(rows, search=how) for how in ("exact", "cells"))
    assert (exact != cells).nnz > 0
    assert (neighbour_graph(rows) != exact).nnz == 0
    monkeypatch.setattr(nearest_neighbours, "_MANY", 399)
    assert (neighbour_graph(rows) != cells).nnz == 0
