"""ogbn-arxiv: papers that cite each other, in the files of the Open Graph Benchmark."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparse_data.checks import check_ids_in_range
from sparse_data.datasets.download import VARIABLE, CorruptedFileError, DownloadError, find_data_home
from sparse_data.datasets.planetoid import GraphDataset

FOLDER = "ogbn_arxiv"
URL = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"
SPLITS = ("train", "valid", "test")


def fetch_ogbn_arxiv(*, data_home: str | os.PathLike[str] | None = None) -> GraphDataset:
    """Return 169,343 papers of 40 subjects, citations as undirected edges, split by the year.

    Nothing is downloaded: unpack the benchmark's archive into the folder of all data sets and rename
    ``arxiv`` to ``ogbn_arxiv``, as its own reader does.

    Parameters
    ----------
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. Below it lie
        ``ogbn_arxiv/raw/{edge,node-feat,node-label,num-node-list,num-edge-list}.csv.gz`` and
        ``ogbn_arxiv/split/time/{train,valid,test}.csv.gz``.

    Returns
    -------
    GraphDataset
        Features are the 128 means of word vectors. Repeated edges and self-loops are dropped.

    Raises
    ------
    DownloadError
        If a file is absent; CorruptedFileError if it is cut off, is no table of numbers, or does not fit the
        others.

    References
    ----------
    Hu et al., "Open Graph Benchmark: Datasets for Machine Learning on Graphs", 2020, arXiv:2005.00687.
    """
    home = find_data_home(data_home) / FOLDER
    n_nodes = int(_read(home / "raw" / "num-node-list.csv.gz", np.int64).sum())
    n_edges = int(_read(home / "raw" / "num-edge-list.csv.gz", np.int64).sum())
    features = _sized(home / "raw" / "node-feat.csv.gz", np.float32, n_nodes)
    labels = _sized(home / "raw" / "node-label.csv.gz", np.int64, n_nodes)[:, 0]
    edges = _sized(home / "raw" / "edge.csv.gz", np.int64, n_edges)
    if edges.shape[1] != 2:
        raise _corrupted(home / "raw" / "edge.csv.gz", f"{edges.shape[1]} columns instead of 2")
    masks = _masks(home / "split" / "time", n_nodes)
    try:
        check_ids_in_range("edge", edges, n_nodes)
    except ValueError as error:
        raise _corrupted(home / "raw" / "edge.csv.gz", str(error)) from error
    return GraphDataset(_adjacency(edges, n_nodes), scipy.sparse.csr_array(features), labels, *masks)


def _adjacency(edges: NDArray[np.int64], n_nodes: int) -> scipy.sparse.csr_array:
    edges = edges[edges[:, 0] != edges[:, 1]]
    ones = np.ones(len(edges), dtype=np.float32)
    half = scipy.sparse.csr_array((ones, (edges[:, 0], edges[:, 1])), shape=(n_nodes, n_nodes))
    adjacency = scipy.sparse.csr_array(half + half.T)
    adjacency.data[:] = 1
    adjacency.sort_indices()
    return adjacency


def _masks(folder: Path, n_nodes: int) -> list[NDArray[np.bool_]]:
    masks, seen = [], np.zeros(n_nodes, dtype=bool)
    for split in SPLITS:
        path = folder / f"{split}.csv.gz"
        nodes = _read(path, np.int64)[:, 0]
        try:
            check_ids_in_range(split, nodes, n_nodes)
        except ValueError as error:
            raise _corrupted(path, str(error)) from error
        mask = np.zeros(n_nodes, dtype=bool)
        mask[nodes] = True
        if (mask & seen).any():
            raise _corrupted(path, f"{int((mask & seen).sum())} nodes of another split")
        seen |= mask
        masks.append(mask)
    return masks


def _sized(path: Path, dtype: type, n_rows: int) -> NDArray[Any]:
    table = _read(path, dtype)
    if len(table) != n_rows:
        raise _corrupted(path, f"{len(table)} rows instead of {n_rows}")
    return table


def _read(path: Path, dtype: type) -> NDArray[Any]:
    if not path.is_file():
        raise DownloadError(
            f"`{path.name}` must be in the cache; got no file {path}. Unpack {URL} and rename its folder to "
            f"{FOLDER}, or set {VARIABLE} to the folder that holds {FOLDER}."
        )
    try:
        table: NDArray[Any] = np.loadtxt(path, dtype=dtype, delimiter=",", ndmin=2)
    # Of a file that is cut off or is none of gzip; text that is no number.
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise _corrupted(path, str(error)) from error
    if table.dtype.kind == "f" and not np.isfinite(table).all():
        raise _corrupted(path, f"{int((~np.isfinite(table)).sum())} values that are not finite")
    return table


def _corrupted(path: Path, found: str) -> CorruptedFileError:
    return CorruptedFileError(
        f"`{path.name}` must be as published; got {found} in {path}. Delete it and get it from {URL}."
    )
