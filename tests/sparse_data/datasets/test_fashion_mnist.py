from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest

from sparse_data.datasets import fashion_mnist
from sparse_data.datasets.download import CorruptedFileError, DataFile, DownloadError
from sparse_data.datasets.fashion_mnist import fetch_fashion_mnist, read_idx


def idx(array: np.ndarray) -> bytes:
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes(), mtime=0)


def contents(n_labels: int = 3) -> dict[str, bytes]:
    pictures = np.arange(24).reshape(3, 2, 4)
    return {
        "train-images-idx3-ubyte.gz": idx(pictures),
        "train-labels-idx1-ubyte.gz": idx(np.arange(9, 9 - n_labels, -1)),
        "t10k-images-idx3-ubyte.gz": idx(pictures[:1] + 100),
        "t10k-labels-idx1-ubyte.gz": idx(np.array([4])),
    }


@pytest.fixture
def served(site, monkeypatch):
    def serve(**changes: int) -> None:
        files = []
        for name, content in contents(**changes).items():
            site.pages[f"/{name}"] = content
            files.append(DataFile(name, hashlib.sha256(content).hexdigest(), f"{site.url}/{name}"))
        monkeypatch.setattr(fashion_mnist, "FILES", {"full": tuple(files), "small": ()})

    return serve


def test_what_the_files_hold(served, tmp_path):
    served()
    images = fetch_fashion_mnist(data_home=tmp_path)
    assert images.X_train.tolist() == np.arange(24).reshape(3, 2, 4).tolist()
    assert images.y_train.tolist() == [9, 8, 7]
    assert images.X_test[0, 1, 3] == 107
    assert images.y_test.tolist() == [4]
    assert images.class_names[7] == "Sneaker"
    assert images.y_train.dtype == np.int64
    cut = fetch_fashion_mnist("small", data_home=tmp_path, download=False)  # from the full files
    assert len(cut.X_train) == 3


def test_files_that_do_not_fit(served, tmp_path):
    served(n_labels=2)
    with pytest.raises(CorruptedFileError, match="must fit together"):
        fetch_fashion_mnist(data_home=tmp_path)
    with pytest.raises(DownloadError, match="train-images-idx3-ubyte"):
        fetch_fashion_mnist(data_home=tmp_path / "empty", download=False)
    with pytest.raises(ValueError, match="`version` must be one of"):
        fetch_fashion_mnist("tiny", data_home=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no gzip", "whole gzip file"),
        (idx(np.zeros((2, 3)))[:-9], "whole gzip file"),
        (gzip.compress(b"", mtime=0), "IDX file of bytes"),
        (gzip.compress(b"\0\0\x0d\1\0\0\0\1\0\0\0\0", mtime=0), "IDX file of bytes"),  # floats
        (gzip.compress(b"\0\0\x08\2\0\0\0\1", mtime=0), "IDX file of bytes"),  # a header cut off
        (gzip.compress(b"\0\0\x08\1\0\0\0\3\1\2", mtime=0), "as many values as its shape"),
    ],
)
def test_files_refused(tmp_path, content, said):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_idx(tmp_path / "x.gz")


def test_real_sizes(real_data):
    images = fetch_fashion_mnist("small", download=False)
    assert images.X_train.shape == (20_000, 28, 28)
    assert images.X_test.shape == (10_000, 28, 28)
    assert np.bincount(images.y_test).tolist() == [1000] * 10
    # The first training pictures are an ankle boot, two T-shirts and a dress.
    assert [images.class_names[code] for code in images.y_train[[0, 1, 2, 3]]] == [
        "Ankle boot",
        "T-shirt/top",
        "T-shirt/top",
        "Dress",
    ]
