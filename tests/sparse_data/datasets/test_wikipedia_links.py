from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparse_data.datasets
from sparse_data.datasets import fetch_wikipedia_links

BUNDLED = Path(sparse_data.datasets.__file__).parent / "bundled"


@pytest.fixture(scope="module")
def links():
    return fetch_wikipedia_links()


def test_every_link_from_either_end(links):
    with np.load(BUNDLED / "squirrel_filtered.npz") as arrays:
        edges = {tuple(edge) for edge in arrays["edges"].tolist()}
    expected = edges | {(v, u) for u, v in edges}
    pairs = list(zip(links.user_ids.tolist(), links.item_ids.tolist(), strict=True))
    assert len(pairs) == 2 * 46_998
    assert set(pairs) == expected
    assert pairs == sorted(pairs)
    assert all(user != item for user, item in pairs)


def test_nouns(links):
    with np.load(BUNDLED / "squirrel_filtered.npz") as arrays:
        features = arrays["node_features"]
    assert set(np.unique(features)) == {0.0, 1.0}
    for page in (0, 17, 2222):
        expected = [noun for noun in range(2089) if features[page, noun]]
        assert links.users["nouns"][page].tolist() == expected
        assert links.items["nouns"][page].tolist() == expected
    assert (links.items["nouns"].lengths == 0).sum() == 113
    assert links.users["user_id"].tolist() == links.items["item_id"].tolist() == list(range(2223))


def test_loops_and_doubles_are_dropped(monkeypatch):
    class Arrays(dict):
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

    edges = np.array([[0, 1], [1, 0], [2, 2], [1, 2]])
    arrays = Arrays(edges=edges, node_features=np.array([[0, 1], [0, 0], [1, 1]], dtype=np.float32))
    monkeypatch.setattr(np, "load", lambda path: arrays)
    small = fetch_wikipedia_links()
    assert list(zip(small.user_ids.tolist(), small.item_ids.tolist(), strict=True)) == [
        (0, 1),
        (1, 0),
        (1, 2),
        (2, 1),
    ]
    assert [bag.tolist() for bag in small.items["nouns"]] == [[1], [], [0, 1]]


def test_licence_lies_beside_the_data():
    assert "MIT License" in (BUNDLED / "LICENCE-heterophilous-graphs.txt").read_text()
