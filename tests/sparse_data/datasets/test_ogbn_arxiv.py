from __future__ import annotations

import gzip

import numpy as np
import pytest

from sparse_data.datasets.download import CorruptedFileError, DownloadError
from sparse_data.datasets.ogbn_arxiv import fetch_ogbn_arxiv

FILES = {
    "raw/num-node-list.csv.gz": "5\n",
    "raw/num-edge-list.csv.gz": "5\n",
    "raw/node-feat.csv.gz": "0.5,-1\n0,0\n1e-3,2\n3,4\n5,6\n",
    "raw/node-label.csv.gz": "2\n0\n1\n2\n0\n",
    # An edge twice, its other direction, and a self-loop.
    "raw/edge.csv.gz": "0,1\n1,0\n0,1\n3,3\n4,2\n",
    "split/time/train.csv.gz": "0\n3\n",
    "split/time/valid.csv.gz": "1\n",
    "split/time/test.csv.gz": "4\n2\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        put(tmp_path, name, text)
    return tmp_path


def put(home, name, text):
    path = home / "ogbn_arxiv" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


def test_reads_the_layout(folder):
    graph = fetch_ogbn_arxiv(data_home=folder)
    wanted = np.zeros((5, 5))
    wanted[[0, 1, 4, 2], [1, 0, 2, 4]] = 1
    assert graph.adjacency.toarray().tolist() == wanted.tolist()
    np.testing.assert_allclose(
        graph.features.toarray(), [[0.5, -1], [0, 0], [0.001, 2], [3, 4], [5, 6]], rtol=1e-6
    )
    assert graph.features.dtype == np.float32
    assert graph.labels.tolist() == [2, 0, 1, 2, 0]
    assert [
        np.flatnonzero(mask).tolist() for mask in (graph.train_mask, graph.val_mask, graph.test_mask)
    ] == [
        [0, 3],
        [1],
        [2, 4],
    ]


def test_absent_file(folder):
    (folder / "ogbn_arxiv" / "raw" / "edge.csv.gz").unlink()
    with pytest.raises(DownloadError, match=r"`edge.csv.gz` must be in the cache; .* Unpack http"):
        fetch_ogbn_arxiv(data_home=folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("raw/node-feat.csv.gz", "1,2\n", "1 rows instead of 5"),
        ("raw/node-feat.csv.gz", "1,2\n1,x\n1,2\n1,2\n1,2\n", "`node-feat.csv.gz` must be as published"),
        ("raw/node-feat.csv.gz", "1,2\n1,nan\n1,2\n1,2\n1,2\n", "1 values that are not finite"),
        ("raw/node-label.csv.gz", "1\n", "`node-label.csv.gz` must be as published; got 1 rows"),
        ("raw/edge.csv.gz", "0,1\n0,1\n0,1\n0,1\n0,5\n", r"`edge` must be in \[0, 5\)"),
        ("raw/edge.csv.gz", "0\n1\n2\n3\n4\n", "1 columns instead of 2"),
        ("split/time/valid.csv.gz", "7\n", r"`valid` must be in \[0, 5\)"),
        ("split/time/valid.csv.gz", "3\n", "1 nodes of another split"),
    ],
)
def test_what_does_not_fit(folder, name, text, message):
    put(folder, name, text)
    with pytest.raises(CorruptedFileError, match=message):
        fetch_ogbn_arxiv(data_home=folder)


def test_files_that_are_cut_off_or_no_gzip(folder):
    path = folder / "ogbn_arxiv" / "raw" / "node-feat.csv.gz"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"0,1\n"):
        path.write_bytes(content)
        with pytest.raises(CorruptedFileError, match="must be as published"):
            fetch_ogbn_arxiv(data_home=folder)
