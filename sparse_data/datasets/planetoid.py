"""Cora, CiteSeer and PubMed: citation graphs with words as features, in the split of Planetoid."""

from __future__ import annotations

import collections
import os
import pickle
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparse_data.checks import check_one_of
from sparse_data.datasets.download import CorruptedFileError, DataFile, fetch_files
from sparse_data.datasets.matrix_pickle import Array, MatrixUnpickler, to_csr

if TYPE_CHECKING:
    from torch_geometric.data import Data

FOLDER = "planetoid"
_URL = "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/"
N_VALIDATION = 500
SHA256 = {
    "cora": {
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    },
    "citeseer": {
        "allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
        "tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    },
    "pubmed": {
        "allx": "508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e",
        "ally": "0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e",
        "graph": "5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9",
        "test.index": "b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5",
        "tx": "4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d",
        "ty": "ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd",
        "x": "fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33",
        "y": "e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3",
    },
}
FILES = {
    graph: tuple(
        DataFile(f"ind.{graph}.{part}", sha256, f"{_URL}ind.{graph}.{part}") for part, sha256 in parts.items()
    )
    for graph, parts in SHA256.items()
}


@dataclass(frozen=True, eq=False)
class GraphDataset:
    """A graph with features and labels of its nodes.

    Parameters
    ----------
    adjacency : scipy.sparse.csr_array of shape (n_nodes, n_nodes)
        Float32 ones, symmetric, without self-loops.
    features : scipy.sparse.csr_array of shape (n_nodes, n_features)
        Float32.
    labels : int64 array of shape (n_nodes,)
        From 0; -1 where the label is not known.
    train_mask, val_mask, test_mask : bool arrays of shape (n_nodes,)
    """

    adjacency: scipy.sparse.csr_array
    features: scipy.sparse.csr_array
    labels: NDArray[np.int64]
    train_mask: NDArray[np.bool_]
    val_mask: NDArray[np.bool_]
    test_mask: NDArray[np.bool_]

    def __repr__(self) -> str:
        n_nodes, n_features = self.features.shape
        return f"GraphDataset(n_nodes={n_nodes}, n_edges={self.adjacency.nnz}, n_features={n_features})"

    def to_pyg(self) -> Data:
        """Return the graph as `torch_geometric.data.Data`: dense features, edges sorted by their target."""
        try:
            import torch
            from torch_geometric.data import Data
        except ImportError as error:
            raise ImportError("to_pyg needs torch-geometric: pip install 'sparselabels[torch]'") from error
        edges = self.adjacency.tocoo()
        masks = {name: getattr(self, name) for name in ("train_mask", "val_mask", "test_mask")}
        return Data(
            x=torch.from_numpy(self.features.toarray()),
            edge_index=torch.from_numpy(np.stack([edges.col, edges.row]).astype(np.int64)),
            y=torch.from_numpy(self.labels.copy()),
            **{name: torch.from_numpy(mask.copy()) for name, mask in masks.items()},
        )


def fetch_planetoid(
    name: Literal["cora", "citeseer", "pubmed"],
    *,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> GraphDataset:
    """Return one of three citation graphs in the public split.

    20 nodes a class are for training, 500 for validation, 1000 for the test. Self-loops and repeated edges
    of the files are dropped. The originals are pickles; they are read without running anything.

    Parameters
    ----------
    name : {"cora", "citeseer", "pubmed"}
        2,708 nodes, 5,278 undirected edges, 1,433 features, 7 classes; 3,327, 4,552, 3,703, 6; 19,717,
        44,324, 500, 3.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``planetoid`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    GraphDataset
        In CiteSeer 15 nodes have no features and the label -1: the files say nothing about them.

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    Yang, Cohen and Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", 2016,
    arXiv:1603.08861.
    """
    check_one_of("name", name, tuple(FILES))
    paths = fetch_files(FOLDER, FILES[name], data_home=data_home, download=download)
    parts = {path.name.rsplit(".", 1)[1]: path for path in paths.values()}  # test.index ends up as "index"
    try:
        return _read_graph(parts)
    # On bytes that are no pickle the unpickler raises exceptions of almost any class.
    except Exception as error:
        raise CorruptedFileError(
            f"`ind.{name}.*` must be the files of one graph; got {error} in {parts['graph'].parent}. "
            "Delete them and fetch them again."
        ) from error


class _LatinArray(Array):
    """Stands for an array whose bytes Python 2 wrote as text."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *described, data = state
        super().__setstate__((*described, data.encode("latin1") if isinstance(data, str) else data))


class _GraphUnpickler(MatrixUnpickler):
    names = types.MappingProxyType(
        {
            **MatrixUnpickler.names,
            ("numpy", "ndarray"): _LatinArray,
            ("numpy.core.multiarray", "_reconstruct"): _LatinArray,
            ("collections", "defaultdict"): collections.defaultdict,
            ("__builtin__", "list"): list,
        }
    )


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return _GraphUnpickler(file, encoding="latin1").load()


def _read_graph(parts: dict[str, Path]) -> GraphDataset:
    test_index = np.loadtxt(parts["index"], dtype=np.int64, ndmin=1)
    neighbours = _load(parts["graph"])
    n_train, n_known = len(_one_hot(parts["y"])), len(_one_hot(parts["ally"]))
    # The files of the test nodes are in the order of the index; some ids of its range may be missing.
    n_nodes = int(test_index.max()) + 1
    if len(neighbours) != n_nodes:
        raise pickle.UnpicklingError(f"{len(neighbours)} lists of neighbours for {n_nodes} nodes")
    labels = np.full(n_nodes, -1, dtype=np.int64)
    labels[:n_known] = _one_hot(parts["ally"]).argmax(axis=1)
    labels[test_index] = _one_hot(parts["ty"]).argmax(axis=1)
    nodes = np.arange(n_nodes)
    return GraphDataset(
        adjacency=_adjacency(neighbours, n_nodes),
        features=_features(parts, test_index, n_nodes),
        labels=labels,
        train_mask=nodes < n_train,
        val_mask=(nodes >= n_train) & (nodes < n_train + N_VALIDATION),
        test_mask=np.isin(nodes, test_index),
    )


def _one_hot(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = _load(path).values
    return values


def _features(parts: dict[str, Path], test_index: NDArray[np.int64], n_nodes: int) -> scipy.sparse.csr_array:
    known, test = (to_csr(_load(parts[part])).tocoo() for part in ("allx", "tx"))
    rows = np.concatenate([known.row, test_index[test.row]])
    columns = np.concatenate([known.col, test.col])
    values = np.concatenate([known.data, test.data]).astype(np.float32)
    return scipy.sparse.csr_array((values, (rows, columns)), shape=(n_nodes, known.shape[1]))


def _adjacency(neighbours: dict[int, list[int]], n_nodes: int) -> scipy.sparse.csr_array:
    counts = [len(ends) for ends in neighbours.values()]
    rows = np.repeat(np.fromiter(neighbours, dtype=np.int64), counts)
    columns = np.fromiter((end for ends in neighbours.values() for end in ends), np.int64, sum(counts))
    keep = rows != columns
    ones = np.ones(int(keep.sum()), dtype=np.float32)
    half = scipy.sparse.csr_array((ones, (rows[keep], columns[keep])), shape=(n_nodes, n_nodes))
    adjacency = scipy.sparse.csr_array(half + half.T)
    adjacency.data[:] = 1  # an edge may stand in the list of both ends, and more than once
    adjacency.sort_indices()
    return adjacency
