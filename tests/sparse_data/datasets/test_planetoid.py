from __future__ import annotations

import hashlib
import os
import pickle
from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse

from sparse_data.datasets import planetoid
from sparse_data.datasets.download import CorruptedFileError, DataFile, DownloadError
from sparse_data.datasets.planetoid import fetch_planetoid

SIZES = {
    "cora": (2_708, 5_278, 1_433, 7, 140),
    "citeseer": (3_327, 4_552, 3_703, 6, 120),
    "pubmed": (19_717, 44_324, 500, 3, 60),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_sizes(real_data, name):
    n_nodes, n_edges, n_features, n_classes, n_train = SIZES[name]
    graph = fetch_planetoid(name, download=False)
    assert graph.features.shape == (n_nodes, n_features)
    assert graph.adjacency.shape == (n_nodes, n_nodes)
    assert graph.adjacency.nnz == 2 * n_edges
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert set(graph.labels[graph.labels >= 0]) == set(range(n_classes))
    assert (graph.labels < 0).sum() == (15 if name == "citeseer" else 0)
    assert [int(mask.sum()) for mask in (graph.train_mask, graph.val_mask, graph.test_mask)] == [
        n_train,
        500,
        1000,
    ]
    assert np.bincount(graph.labels[graph.train_mask]).tolist() == [20] * n_classes


def test_same_as_pyg(real_data, tmp_path):
    name = "citeseer"  # the one with nodes that the files say nothing about
    Planetoid = pytest.importorskip("torch_geometric.datasets").Planetoid
    raw = tmp_path / name / "raw"
    raw.mkdir(parents=True)
    for file in (real_data / "planetoid").glob(f"ind.{name}.*"):
        os.symlink(file, raw / file.name)
    theirs = Planetoid(str(tmp_path), name)[0]
    ours = fetch_planetoid(name, download=False).to_pyg()
    known = ours.y >= 0
    assert (ours.x == theirs.x).all()
    assert (ours.edge_index == theirs.edge_index).all()
    assert (ours.y[known] == theirs.y[known]).all()
    for mask in ("train_mask", "val_mask", "test_mask"):
        assert (ours[mask] == theirs[mask]).all()
    assert ours.x.dtype == theirs.x.dtype


def contents() -> dict[str, bytes]:
    """Nodes 0 and 1 train, 2 is known, 3 says nothing, 4 and 5 are tested; the index has them reversed."""
    edges = defaultdict(list, {0: [1, 1], 1: [0], 2: [2, 4], 3: [], 4: [2, 5], 5: []})
    known = scipy.sparse.csr_matrix(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))
    one_hot = np.array([[1, 0], [0, 1], [1, 0]])
    parts = {
        "x": known[:2],
        "y": one_hot[:2],
        "allx": known,
        "ally": one_hot,
        "tx": scipy.sparse.csr_matrix(np.array([[0.0, 5.0], [4.0, 0.0]])),
        "ty": np.array([[0, 1], [1, 0]]),
        "graph": edges,
    }
    return {name: pickle.dumps(part, protocol=2) for name, part in parts.items()} | {"test.index": b"5\n4\n"}


@pytest.fixture
def small(site, monkeypatch):
    def serve(**changes: bytes) -> None:
        files = []
        for part, content in {**contents(), **changes}.items():
            name = f"ind.cora.{part}"
            site.pages[f"/{name}"] = content
            files.append(DataFile(name, hashlib.sha256(content).hexdigest(), f"{site.url}/{name}"))
        monkeypatch.setattr(planetoid, "FILES", {"cora": tuple(files)})

    monkeypatch.setattr(planetoid, "N_VALIDATION", 1)
    return serve


def test_small(small, tmp_path):
    small()
    graph = fetch_planetoid("cora", data_home=tmp_path)
    rows, columns = graph.adjacency.nonzero()
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (0, 1),
        (1, 0),
        (2, 4),
        (4, 2),
        (4, 5),
        (5, 4),
    ]
    assert (graph.adjacency.data == 1).all()
    assert graph.features.toarray().tolist() == [[1, 0], [0, 2], [3, 0], [0, 0], [4, 0], [0, 5]]
    assert graph.labels.tolist() == [0, 1, 0, -1, 0, 1]
    assert graph.train_mask.nonzero()[0].tolist() == [0, 1]
    assert graph.val_mask.nonzero()[0].tolist() == [2]
    assert graph.test_mask.nonzero()[0].tolist() == [4, 5]
    assert repr(graph) == "GraphDataset(n_nodes=6, n_edges=6, n_features=2)"


class Harmful:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_nothing_is_run(small, tmp_path):
    small(graph=pickle.dumps(Harmful(str(tmp_path / "made")), protocol=2))
    with pytest.raises(CorruptedFileError, match=r"got the name \w+\.mkdir"):
        fetch_planetoid("cora", data_home=tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": b"no pickle"},
        {"allx": contents()["allx"][:-20]},
        {"graph": pickle.dumps({0: [1], 1: [0]})},
        {"ty": pickle.dumps(np.array([["a"], ["b"]], dtype=object))},
    ],
)
def test_files_that_do_not_fit(small, tmp_path, changes):
    small(**changes)
    with pytest.raises(CorruptedFileError, match=r"`ind.cora.\*` must be the files of one graph"):
        fetch_planetoid("cora", data_home=tmp_path)


def test_names_and_absence(tmp_path):
    with pytest.raises(ValueError, match=r"`name` must be one of 'cora', 'citeseer', 'pubmed'; got 'nell'"):
        fetch_planetoid("nell")
    with pytest.raises(DownloadError, match=r"`ind.cora.\w+` must be in the cache because download=False"):
        fetch_planetoid("cora", data_home=tmp_path, download=False)
