"""CIFAR-10N and CIFAR-100N: the training pictures of CIFAR with the labels that people gave them."""

from __future__ import annotations

import io
import os
import pickle
import types
import zipfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_one_of
from sparse_data.datasets.download import CorruptedFileError, DownloadError, find_data_home
from sparse_data.datasets.matrix_pickle import Array, MatrixUnpickler

LABEL_FOLDER = "cifar-10n-100n"
IMAGE_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
LABEL_FILES = {"cifar10": "CIFAR-10_human", "cifar100": "CIFAR-100_human"}
TRAIN_FILES = {"cifar10": tuple(f"data_batch_{i}" for i in range(1, 6)), "cifar100": ("train",)}
TEST_FILES = {"cifar10": "test_batch", "cifar100": "test"}
LABEL_KEYS = {"cifar10": "labels", "cifar100": "fine_labels"}
N_CLASSES = {"cifar10": 10, "cifar100": 100}
CLEAN = "clean_label"
HUMAN = {
    "cifar10": {
        "aggregate": "aggre_label",
        "worst": "worse_label",
        "random1": "random_label1",
        "random2": "random_label2",
        "random3": "random_label3",
    },
    "cifar100": {"noisy": "noisy_label"},
}
SIDE = 32


class HumanLabels(NamedTuple):
    """Labels of the training pictures, in the order of the python version of CIFAR.

    Attributes
    ----------
    clean : int64 array of shape (n,)
    human : dict of str to int64 array of shape (n,)
        By "aggregate", "worst", "random1" to "random3" (CIFAR-10N) or "noisy" (CIFAR-100N).
    """

    clean: NDArray[np.int64]
    human: dict[str, NDArray[np.int64]]


class NoisyImages(NamedTuple):
    """Pictures with labels that people gave them, and a test set with right ones.

    Attributes
    ----------
    X_train, X_test : uint8 arrays of shape (n, 32, 32, 3)
    y_train : int64 array of shape (n,)
        Noisy.
    y_train_clean, y_test : int64 arrays of shape (n,)
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    y_train_clean: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def read_human_labels(
    name: Literal["cifar10", "cifar100"] = "cifar10",
    *,
    data_home: str | os.PathLike[str] | None = None,
) -> HumanLabels:
    """Return the human labels of CIFAR-10N or CIFAR-100N, without the pictures.

    Read are ``CIFAR-10_human.npz``, or ``CIFAR-10_human.pt`` as it was published (a pickle, of which nothing
    is run), in ``cifar-10n-100n`` below the data home.

    Parameters
    ----------
    name : {"cifar10", "cifar100"}, default="cifar10"
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None.

    Returns
    -------
    HumanLabels

    Raises
    ------
    DownloadError
        If there is neither file: they are for non-commercial use and not downloaded.
    CorruptedFileError
        If a file is not readable, or holds other labels than expected.

    References
    ----------
    Wei et al., "Learning with noisy labels revisited: a study using real-world human annotations", 2022,
    arXiv:2110.12088. Labels: CC BY-NC 4.0, http://noisylabels.com.
    """
    check_one_of("name", name, tuple(HUMAN))
    folder, stem = find_data_home(data_home) / LABEL_FOLDER, LABEL_FILES[name]
    found = [folder / f"{stem}{suffix}" for suffix in LOADERS if (folder / f"{stem}{suffix}").is_file()]
    if not found:
        raise DownloadError(
            f"`{stem}.pt` must be in {folder}; got no such file, and no .npz. Get it from "
            "https://github.com/UCSC-REAL/cifar-10-100n and put it there."
        )
    path = found[0]
    try:
        held = LOADERS[path.suffix](path)
        kinds = {kind: _codes(held[key], N_CLASSES[name]) for kind, key in HUMAN[name].items()}
        labels = HumanLabels(_codes(held[CLEAN], N_CLASSES[name]), kinds)
        if len({len(values) for values in (labels.clean, *labels.human.values())}) != 1:
            raise ValueError("labels of different lengths")
    # On bytes that are no pickle the unpickler raises exceptions of almost any class.
    except Exception as error:
        raise _corrupted(path, error) from error
    return labels


def load_cifar_n(
    name: Literal["cifar10", "cifar100"] = "cifar10",
    kind: str = "worst",
    *,
    data_home: str | os.PathLike[str] | None = None,
) -> NoisyImages:
    """Return the pictures of CIFAR with human labels.

    Parameters
    ----------
    name : {"cifar10", "cifar100"}, default="cifar10"
    kind : str, default="worst"
        ``"aggregate"`` (9 % wrong), ``"random1"``, ``"random2"``, ``"random3"`` (18 %) or ``"worst"`` (40 %);
        of CIFAR-100 ``"noisy"`` (40 %).
    data_home : path, optional
        Pictures lie in ``cifar-10-batches-py`` or ``cifar-100-python`` below it, the unpacked python version
        from https://www.cs.toronto.edu/~kriz/cifar.html; labels as :func:`read_human_labels` says.

    Returns
    -------
    NoisyImages

    Raises
    ------
    DownloadError
        If files are absent.
    CorruptedFileError
        If a file is not readable, or the true labels of pictures and of label file differ: they are then not
        in the same order.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009.  Wei et al., 2022,
    arXiv:2110.12088.
    """
    check_one_of("name", name, tuple(HUMAN))
    check_one_of("kind", kind, tuple(HUMAN[name]))
    labels = read_human_labels(name, data_home=data_home)
    folder = find_data_home(data_home) / IMAGE_FOLDERS[name]
    parts = [_read_pictures(folder / file, LABEL_KEYS[name], N_CLASSES[name]) for file in TRAIN_FILES[name]]
    X_train, y_true = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    X_test, y_test = _read_pictures(folder / TEST_FILES[name], LABEL_KEYS[name], N_CLASSES[name])
    if not np.array_equal(y_true, labels.clean):
        raise CorruptedFileError(
            f"pictures in {folder} must be in the order of {LABEL_FILES[name]}; got other true labels. Take "
            "the python version of CIFAR, all batches in their order."
        )
    return NoisyImages(X_train, labels.human[kind], labels.clean, X_test, y_test)


class _CifarArray(Array):
    """Stands for an array whose bytes Python 2 wrote as text."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *described, data = state
        super().__setstate__((*described, data.encode("latin1") if isinstance(data, str) else data))


class _CifarUnpickler(MatrixUnpickler):
    names = types.MappingProxyType(
        {
            **MatrixUnpickler.names,
            ("numpy", "ndarray"): _CifarArray,
            ("numpy.core.multiarray", "_reconstruct"): _CifarArray,
            ("numpy._core.multiarray", "_reconstruct"): _CifarArray,
        }
    )


def _read_pictures(path: Path, key: str, n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not path.is_file():
        raise DownloadError(
            f"`{path.name}` must be in {path.parent}; got no such file. Get the python version from "
            "https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there."
        )
    try:
        with path.open("rb") as file:
            held = _CifarUnpickler(file, encoding="latin1").load()
        values, codes = held["data"].values, _codes(held[key], n_classes)
        if values.dtype != np.uint8 or values.shape != (len(codes), 3 * SIDE * SIDE):
            raise ValueError(f"pictures of {values.dtype} of shape {values.shape} for {len(codes)} labels")
    # On bytes that are no pickle the unpickler raises exceptions of almost any class.
    except Exception as error:
        raise _corrupted(path, error) from error
    # A row is the red plane, the green one, the blue one.
    return np.ascontiguousarray(values.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), codes


def _load_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _load_pt(path: Path) -> dict[str, Any]:
    """Read what torch.save wrote of a dict of arrays: a zip archive with one pickle."""
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return dict(_CifarUnpickler(io.BytesIO(archive.read(member)), encoding="latin1").load())


LOADERS = {".npz": _load_npz, ".pt": _load_pt}


def _codes(values: Any, n_classes: int) -> NDArray[np.int64]:
    array = np.asarray(values.values if isinstance(values, Array) else values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(f"labels of {array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= n_classes:
        raise ValueError(f"labels from {array.min()} to {array.max()}")
    return array.astype(np.int64)


def _corrupted(path: Path, error: Exception) -> CorruptedFileError:
    kind = "a pickle error" if isinstance(error, pickle.UnpicklingError) else type(error).__name__
    return CorruptedFileError(
        f"`{path.name}` must be a file of CIFAR as published; got {error or kind} in {path}. Get it again."
    )
