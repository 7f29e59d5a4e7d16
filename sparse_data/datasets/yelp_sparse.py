"""Yelp as split by SSLRec for its sparse setting: three matrices, published as pickles and kept as npz."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse

from sparse_data.datasets.download import downloaded, failed_download, find_data_home, make_room, place
from sparse_data.datasets.interactions import Interactions
from sparse_data.datasets.matrix_pickle import load_matrix_pickle

FOLDER = "yelp-sparse-sslrec"
_URL = (
    "https://raw.githubusercontent.com/HKUDS/SSLRec/"
    "7597c31ce3f78c7497918d886b90df6d4d02cad5/datasets/general_cf/sparse_yelp/"
)
URLS = {split: f"{_URL}{split}_mat.pkl" for split in ("train", "valid", "test")}
# Of the matrix and not of the file (see `matrix_digest`): how zlib packs an npz differs between versions.
DIGESTS = {
    "train": "c7aae492e399214458b1315f5ddee15cc059f33b1295bdc4d5999a8aac36540f",
    "valid": "20e6768a70d2855dbf0216ad0ee705e9583ec03d631ff12b3a94c447eccbafcf",
    "test": "8c1a79998cd5fb69e1bf60880dfbdc602b9132c4c0d1204a9f951300ee94f09d",
}


def fetch_yelp_sparse(
    *, data_home: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[Interactions, Interactions, Interactions]:
    """Return Yelp with few interactions a user: 182,357 to train on, 13,025 to validate, 65,128 to test.

    42,712 users and 26,822 businesses, without times, ratings and features. The originals are pickles; they
    are read without running anything and kept as npz. The data may be used for research and not be passed on
    (Yelp's terms).

    Parameters
    ----------
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files train.npz,
        valid.npz and test.npz lie in ``yelp-sparse-sslrec`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    train, valid, test : Interactions
        Ids count from 0. Both side tables hold nothing but all ids.

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    X. Ren et al. SSLRec: A Self-Supervised Learning Framework for Recommendation. WSDM 2024,
    arXiv:2308.05697.
    """
    home = find_data_home(data_home) / FOLDER
    train, valid, test = (_fetch_split(home / f"{split}.npz", split, download) for split in URLS)
    return train, valid, test


def matrix_digest(matrix: scipy.sparse.csr_matrix) -> str:
    """Return the SHA-256 of a sorted 0/1 CSR matrix: of shape, indptr and indices as little-endian int64."""
    digest = hashlib.sha256()
    for part in (matrix.shape, matrix.indptr, matrix.indices):
        digest.update(np.asarray(part, dtype="<i8").tobytes())
    return digest.hexdigest()


def _fetch_split(path: Path, split: str, download: bool) -> Interactions:
    problem = _find_problem(path, split)
    if problem is not None:
        make_room(path, problem, URLS[split], download)
        with downloaded(URLS[split], None, path) as source:
            try:
                matrix = load_matrix_pickle(source) != 0
            except ValueError as error:
                raise failed_download(URLS[split], path, error) from error
            converted = source.with_suffix(".npz")
            scipy.sparse.save_npz(converted, matrix.astype(np.float32))
            problem = _find_problem(converted, split)
            if problem is not None:
                raise failed_download(URLS[split], path, ValueError(problem))
            place(converted, path)
    pairs = scipy.sparse.load_npz(path).tocoo()
    users, items = (np.arange(size, dtype=np.int64) for size in pairs.shape)
    return Interactions(
        pairs.row.astype(np.int64),
        pairs.col.astype(np.int64),
        users={"user_id": users},
        items={"item_id": items},
    )


def _find_problem(path: Path, split: str) -> str | None:
    """Return None for a good file, else "absent" or what is wrong with it."""
    if not path.is_file():
        return "absent"
    try:
        with path.open("rb") as file:
            found = matrix_digest(scipy.sparse.load_npz(file).tocsr())
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return f"it cannot be read ({error})"
    wanted = DIGESTS[split]
    return None if found == wanted else f"the SHA-256 of its matrix must be {wanted}; got {found}"
