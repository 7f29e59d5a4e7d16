from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import scipy.sparse

from sparse_data.datasets import CorruptedFileError, DownloadError, fetch_yelp_sparse, yelp_sparse

# Published as float64 COO with ones; a stored zero is no interaction.
ROWS = {"train": [[0, 0, 1], [2, 0, 1]], "valid": [[1], [2]], "test": [[0], [1]]}


def test_real(real_data):
    train, valid, test = fetch_yelp_sparse(download=False)
    assert [len(log) for log in (train, valid, test)] == [182_357, 13_025, 65_128]
    assert len(train.users["user_id"]) == 42_712
    assert len(train.items["item_id"]) == 26_822
    matrix = scipy.sparse.load_npz(real_data / "yelp-sparse-sslrec" / "valid.npz")
    assert all(
        matrix[user, item] == 1 for user, item in zip(valid.user_ids[:50], valid.item_ids[:50], strict=True)
    )


@pytest.fixture
def small(site, monkeypatch):
    for split, (rows, columns) in ROWS.items():
        data = np.array([1.0] * len(rows) + [0.0])
        matrix = scipy.sparse.coo_matrix((data, ([*rows, 1], [*columns, 0])), shape=(2, 3))
        site.pages[f"/{split}_mat.pkl"] = pickle.dumps(matrix)
        monkeypatch.setitem(yelp_sparse.URLS, split, f"{site.url}/{split}_mat.pkl")
        # shape, indptr, sorted indices as int64
        pairs = sorted(zip(rows, columns, strict=True))
        starts = [0, sum(row < 1 for row in rows), len(rows)]
        numbers = [2, 3, *starts, *(column for _, column in pairs)]
        digest = hashlib.sha256(np.array(numbers, dtype="<i8").tobytes()).hexdigest()
        monkeypatch.setitem(yelp_sparse.DIGESTS, split, digest)
    return site


def test_pickles_become_npz(small, tmp_path):
    train, valid, test = fetch_yelp_sparse(data_home=tmp_path)
    assert list(zip(train.user_ids.tolist(), train.item_ids.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 1),
    ]
    assert (valid.user_ids.tolist(), valid.item_ids.tolist()) == ([1], [2])
    assert (test.user_ids.tolist(), test.item_ids.tolist()) == ([0], [1])
    assert train.items["item_id"].tolist() == [0, 1, 2]
    folder = tmp_path / "yelp-sparse-sslrec"
    assert sorted(path.name for path in folder.iterdir()) == ["test.npz", "train.npz", "valid.npz"]
    assert scipy.sparse.load_npz(folder / "train.npz").dtype == np.float32
    fetch_yelp_sparse(data_home=tmp_path, download=False)
    assert len(small.requests) == 3


class Harmful:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "content", [pickle.dumps(Harmful()), b"no pickle", pickle.dumps(scipy.sparse.eye(2, 3))]
)
def test_another_download(small, tmp_path, content, capsys):
    small.pages["/valid_mat.pkl"] = content
    with pytest.raises(CorruptedFileError, match=r"could not download valid\.npz from .*valid_mat\.pkl"):
        fetch_yelp_sparse(data_home=tmp_path)
    assert sorted(path.name for path in (tmp_path / "yelp-sparse-sslrec").iterdir()) == ["train.npz"]
    assert capsys.readouterr().out == ""


def test_corrupted_cache(small, tmp_path):
    fetch_yelp_sparse(data_home=tmp_path)
    path = tmp_path / "yelp-sparse-sslrec" / "train.npz"
    for content in (path.read_bytes()[:100], (path.parent / "test.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(
            CorruptedFileError, match=r"`train\.npz` must be as published, but (it cannot be read|the)"
        ):
            fetch_yelp_sparse(data_home=tmp_path, download=False)
    with pytest.warns(UserWarning, match=r"train\.npz was corrupted"):
        fetch_yelp_sparse(data_home=tmp_path)
    fetch_yelp_sparse(data_home=tmp_path, download=False)


def test_absent(tmp_path):
    with pytest.raises(DownloadError, match=r"`train\.npz` must be in the cache because download=False"):
        fetch_yelp_sparse(data_home=tmp_path, download=False)
