"""Graphs written out by hand, a small one with two communities, and the folder of real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data


@pytest.fixture(autouse=True, scope="session")
def _one_thread_and_checked_matrices():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.sparse.check_sparse_tensor_invariants(True):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real data sets."""
    if not os.environ.get("SPARSELABELS_DATA"):
        pytest.skip("needs real data: set SPARSELABELS_DATA to the folder that holds them")
    return Path(os.environ["SPARSELABELS_DATA"])


def random_graph(n_nodes: int, n_pairs: int, seed: int) -> torch.Tensor:
    """Return both directions of distinct random pairs, in random order."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(n_nodes)).T
    pairs = pairs[:, torch.randperm(pairs.shape[1], generator=generator)[:n_pairs]]
    edges = torch.cat([pairs, pairs.flip(0)], dim=1)
    return edges[:, torch.randperm(edges.shape[1], generator=generator)]


@pytest.fixture(scope="session")
def graph_of():
    return random_graph


@pytest.fixture
def communities() -> Data:
    """Two communities of 20 nodes, six in seven edges inside; features that tell little by themselves."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    pairs = torch.combinations(torch.arange(40)).T
    same = y[pairs[0]] == y[pairs[1]]
    chance = torch.where(same, 0.2, 0.03)
    pairs = pairs[:, torch.rand(pairs.shape[1], generator=generator) < chance]
    x = torch.randn(40, 8, generator=generator) + y[:, None] * 0.7
    part = torch.arange(40) // 2 % 3
    masks = {f"{name}_mask": part == number for number, name in enumerate(("train", "val", "test"))}
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], dim=1), y=y, **masks)
