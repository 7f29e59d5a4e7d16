"""Gowalla check-ins in the split of NGCF and LightGCN."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import scipy.sparse

from sparse_data.datasets.columns import Column
from sparse_data.datasets.download import DataFile, fetch_files
from sparse_data.datasets.histories import read_histories
from sparse_data.datasets.interactions import Interactions

FOLDER = "gowalla-lightgcn"
_URL = (
    "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/"
    "947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data/gowalla/"
)
FILES = tuple(
    DataFile(name, sha256, _URL + name)
    for name, sha256 in (
        ("s_adj_mat.npz", "6ab3ab7aa1278da3717054c60258d88d2d2d78914fa62db2b13da9321e397cab"),
        ("test.txt", "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3"),
        ("user_list.txt", "5344c4d0deef610e1f148f23ad216a0db03b36f88834cd39a06786a672c5f5a1"),
        ("item_list.txt", "6b186f92890cc3f0c15a6dae5d6285f125a302bb8c5ea0cd9a16cf9c16347139"),
    )
)


def fetch_gowalla(
    *, data_home: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[Interactions, Interactions]:
    """Return the places where 29,858 users of Gowalla checked in: 810,128 to train on, 217,242 to test.

    Every user has at least ten check-ins. There are no times, no ratings and no features.

    Parameters
    ----------
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``gowalla-lightgcn`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    train, test : Interactions
        Users 0 to 29,857, items 0 to 40,980. Both side tables hold these ids and the column "original_id",
        the id in Gowalla (int).

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    E. Cho, S. A. Myers and J. Leskovec. Friendship and Mobility. KDD 2011.
    X. He et al. LightGCN. SIGIR 2020, arXiv:2002.02126.
    """
    paths = fetch_files(FOLDER, FILES, data_home=data_home, download=download)
    users = _id_table(paths["user_list.txt"], "user_id")
    items = _id_table(paths["item_list.txt"], "item_id")
    n_users = len(users["user_id"])
    # The adjacency of the bipartite graph is [[0, R], [R^T, 0]]; the log is R, (n_users, n_items).
    adjacency = scipy.sparse.load_npz(paths["s_adj_mat.npz"]).tocsr()
    pairs = adjacency[:n_users, n_users:].tocoo()
    user_ids, item_ids, _ = read_histories(paths["test.txt"])
    train = Interactions(pairs.row.astype(np.int64), pairs.col.astype(np.int64), users=users, items=items)
    return train, Interactions(user_ids, item_ids, users=users, items=items)


def _id_table(path: Path, key: str) -> dict[str, Column]:
    """Return the table of a file with the header ``org_id remap_id`` and rows of two integers."""
    rows = np.loadtxt(path, dtype=np.int64, skiprows=1, ndmin=2)
    return {key: rows[:, 1], "original_id": rows[:, 0]}
