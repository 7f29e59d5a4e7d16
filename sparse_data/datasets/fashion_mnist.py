"""Fashion-MNIST: 70,000 small grey pictures of clothes in ten classes."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_one_of
from sparse_data.datasets.download import CorruptedFileError, DataFile, fetch_files, find_data_home

FOLDER, SMALL_FOLDER = "fashion-mnist", "fashion-mnist-small"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_TEST = (
    DataFile(
        "t10k-images-idx3-ubyte.gz",
        "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        f"{_URL}t10k-images-idx3-ubyte.gz",
    ),
    DataFile(
        "t10k-labels-idx1-ubyte.gz",
        "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        f"{_URL}t10k-labels-idx1-ubyte.gz",
    ),
)
FILES = {
    "full": (
        DataFile(
            "train-images-idx3-ubyte.gz",
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            f"{_URL}train-images-idx3-ubyte.gz",
        ),
        DataFile(
            "train-labels-idx1-ubyte.gz",
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            f"{_URL}train-labels-idx1-ubyte.gz",
        ),
        *_TEST,
    ),
    # The first 20,000 training pictures, which nobody publishes: they are read where they lie.
    "small": (
        DataFile(
            "train20k-images-idx3-ubyte.gz",
            "6833bf9e158da70ee91a28ef3fd3f53f5543627b2eacf7adc5136a0f72d4543a",
        ),
        DataFile(
            "train20k-labels-idx1-ubyte.gz",
            "8c92c2e07b232e86cb328eb4c0209b958aeb078a7d12ffbc8ff42df96953b73e",
        ),
        *_TEST,
    ),
}


class LabelledImages(NamedTuple):
    """Pictures for training and for the test.

    Attributes
    ----------
    X_train, X_test : uint8 arrays of shape (n, height, width) or (n, height, width, channels)
    y_train, y_test : int64 arrays of shape (n,)
    class_names : tuple of str
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]


def fetch_fashion_mnist(
    version: Literal["full", "small"] = "full",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> LabelledImages:
    """Return Fashion-MNIST: 60,000 pictures of 28 by 28 pixels for training, 10,000 for the test.

    Parameters
    ----------
    version : {"full", "small"}, default="full"
        ``"small"`` has the first 20,000 of the training pictures, in ``fashion-mnist-small`` below the data
        home; where the folder is absent they are cut from the full files.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``fashion-mnist`` below it.
    download : bool, default=True
        Whether absent files may be downloaded (30 MB).

    Returns
    -------
    LabelledImages

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", 2017, arXiv:1708.07747. MIT licence.
    """
    check_one_of("version", version, tuple(FILES))
    if version == "small" and (find_data_home(data_home) / SMALL_FOLDER).is_dir():
        paths = fetch_files(SMALL_FOLDER, FILES["small"], data_home=data_home, download=False)
        return _read(list(paths.values()))
    paths = fetch_files(FOLDER, FILES["full"], data_home=data_home, download=download)
    images = _read(list(paths.values()))
    if version == "full":
        return images
    return images._replace(X_train=images.X_train[:20_000], y_train=images.y_train[:20_000])


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Return the array of a gzipped IDX file of bytes.

    Parameters
    ----------
    path : path

    Returns
    -------
    uint8 array
        Of the shape that the file declares.

    Raises
    ------
    ValueError
        If it is no such file, or holds another number of values than it declares.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"`path` must be a whole gzip file; got {error} in {path}. Fetch it again."
        ) from error
    n_axes = content[3] if len(content) > 3 else 0
    header = 4 + 4 * n_axes
    if content[:3] != b"\0\0\x08" or n_axes < 1 or len(content) < header:
        raise ValueError(
            f"`path` must be an IDX file of bytes; got {content[:4]!r} in {path}. Fetch it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", n_axes, 4))
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"`path` must hold as many values as its shape {shape} says; got {values.size} in {path}. "
            "Fetch it again."
        )
    return values.reshape(shape)


def _read(paths: list[Path]) -> LabelledImages:
    try:
        X_train, y_train, X_test, y_test = (read_idx(path) for path in paths)
        labels: list[Any] = [y_train.astype(np.int64), y_test.astype(np.int64)]
        for images, given in zip((X_train, X_test), labels, strict=True):
            if (
                images.ndim != 3
                or given.shape != images.shape[:1]
                or given.max(initial=0) >= len(CLASS_NAMES)
            ):
                raise ValueError(f"images of shape {images.shape} with labels of shape {given.shape}")
    except ValueError as error:
        raise CorruptedFileError(
            f"the files of Fashion-MNIST must fit together; got {error}. Delete {paths[0].parent} and "
            "fetch it again."
        ) from error
    return LabelledImages(X_train, labels[0], X_test, labels[1], CLASS_NAMES)
