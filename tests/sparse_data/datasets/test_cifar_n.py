from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest

from sparse_data.datasets.cifar_n import load_cifar_n, read_human_labels
from sparse_data.datasets.download import CorruptedFileError, DownloadError

KEYS = ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3")


def pictures(n: int, seed: int, labels: list[int]) -> bytes:
    """Return a batch as Python 2 pickled it: a dict of bytes-keyed rows, planes of colour."""
    data = np.random.default_rng(seed).integers(256, size=(n, 3072), dtype=np.uint8)
    return pickle.dumps({"data": data, "labels": labels, "batch_label": "made"}, protocol=2)


def make(home, *, suffix: str = ".npz", clean: list[int] | None = None):
    clean = [i % 10 for i in range(10)] if clean is None else clean
    (home / "cifar-10n-100n").mkdir()
    arrays = {key: np.roll(np.array(clean, dtype=np.int64), place) for place, key in enumerate(KEYS, start=1)}
    arrays["clean_label"] = np.array(clean, dtype=np.int64)
    path = home / "cifar-10n-100n" / f"CIFAR-10_human{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("CIFAR-10_human/data.pkl", pickle.dumps(arrays, protocol=2))
    folder = home / "cifar-10-batches-py"
    folder.mkdir()
    for i in range(5):
        labels = [(2 * i) % 10, (2 * i + 1) % 10]
        (folder / f"data_batch_{i + 1}").write_bytes(pictures(2, i, labels))
    (folder / "test_batch").write_bytes(pictures(3, 9, [7, 8, 9]))
    return folder


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_pictures_and_labels(tmp_path, suffix):
    make(tmp_path, suffix=suffix)
    images = load_cifar_n("cifar10", "worst", data_home=tmp_path)
    assert images.X_train.shape == (10, 32, 32, 3)
    assert images.X_test.shape == (3, 32, 32, 3)
    assert images.y_train_clean.tolist() == list(range(10))
    assert images.y_train.tolist() == np.roll(np.arange(10), 2).tolist()
    assert images.y_test.tolist() == [7, 8, 9]
    rows = np.random.default_rng(1).integers(256, size=(2, 3072), dtype=np.uint8)  # of data_batch_2
    red, green, blue = rows[0, :1024], rows[0, 1024:2048], rows[0, 2048:]
    # Pixel of line 3, column 5 of picture 2.
    assert images.X_train[2, 3, 5].tolist() == [plane[3 * 32 + 5] for plane in (red, green, blue)]
    assert images.X_train.dtype == np.uint8


def test_another_order_is_noticed(tmp_path):
    make(tmp_path, clean=[9, *range(1, 9), 0])
    with pytest.raises(CorruptedFileError, match="must be in the order of CIFAR-10_human"):
        load_cifar_n(data_home=tmp_path)


class Harmful:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_nothing_is_run(tmp_path):
    folder = make(tmp_path)
    harmful = {"data": Harmful(str(tmp_path / "made")), "labels": [0, 1]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(harmful, protocol=2))
    with pytest.raises(CorruptedFileError, match=r"data_batch_1"):
        load_cifar_n(data_home=tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps({"labels": [1, 2]}, protocol=2),
        pickle.dumps({"data": np.zeros((2, 3072)), "labels": [1, 2]}, protocol=2),  # no bytes
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, protocol=2),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}, protocol=2),
        pickle.dumps({"data": np.zeros((2, 99), np.uint8), "labels": [1, 2]}, protocol=2),
    ],
)
def test_batches_refused(tmp_path, content):
    folder = make(tmp_path)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(CorruptedFileError, match="`data_batch_3` must be a file of CIFAR"):
        load_cifar_n(data_home=tmp_path)


def test_absent_files(tmp_path):
    with pytest.raises(DownloadError, match=r"CIFAR-10_human.pt` must be in"):
        read_human_labels(data_home=tmp_path)
    folder = make(tmp_path)
    (folder / "test_batch").unlink()
    with pytest.raises(DownloadError, match="`test_batch` must be in"):
        load_cifar_n(data_home=tmp_path)
    with pytest.raises(ValueError, match="`kind` must be one of 'aggregate'"):
        load_cifar_n(kind="clean", data_home=tmp_path)
    with pytest.raises(ValueError, match="`name`"):
        read_human_labels("cifar1000", data_home=tmp_path)


def test_the_published_labels(real_data, tmp_path):
    labels = read_human_labels()
    rates = {kind: float(np.mean(values != labels.clean)) for kind, values in labels.human.items()}
    # Wei et al. 2022: 9.03, 17.23, 18.12, 17.64 and 40.21 %.
    expected = {"aggregate": 0.0903, "random1": 0.1723, "random2": 0.1812, "random3": 0.1764, "worst": 0.4021}
    for kind, rate in expected.items():
        assert abs(rates[kind] - rate) < 1e-3
    hundred = read_human_labels("cifar100")
    assert abs(np.mean(hundred.human["noisy"] != hundred.clean) - 0.402) < 1e-3
    # The published pickle says the same as the safe copy.
    (tmp_path / "cifar-10n-100n").mkdir()
    published = real_data / "cifar-10n-100n" / "CIFAR-10_human.pt"
    os.symlink(published, tmp_path / "cifar-10n-100n" / "CIFAR-10_human.pt")
    other = read_human_labels(data_home=tmp_path)
    for kind, values in labels.human.items():
        np.testing.assert_array_equal(other.human[kind], values)
