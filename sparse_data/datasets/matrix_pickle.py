"""SciPy sparse matrices out of pickles, without running anything that a pickle may ask for."""

from __future__ import annotations

import os
import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

_NUMERIC = "biuf"


def load_matrix_pickle(path: str | os.PathLike[str]) -> scipy.sparse.csr_matrix:
    """Return the sparse matrix of a pickle as CSR, sorted, with duplicates summed.

    Only plain data, NumPy arrays and SciPy's COO, CSR and CSC matrices are read. Of a matrix nothing but its
    attributes is taken: the CSR matrix is built anew from them and checked.

    Parameters
    ----------
    path : path

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_rows, n_columns)

    Raises
    ------
    ValueError
        If the file is no pickle, asks for any other name, or holds no consistent matrix.
    """
    try:
        with open(path, "rb") as file:
            held = MatrixUnpickler(file).load()
        matrix = to_csr(held)
    # On bytes that are no pickle the unpickler raises exceptions of almost any class.
    except Exception as error:
        raise ValueError(
            f"`path` must be the pickle of a sparse matrix; got {error} in {path}. "
            "Get the file from a source that you trust."
        ) from error
    return matrix


class _Parts:
    """Stands for a matrix class while unpickling: keeps the attributes and does nothing else."""

    layout = ""


class _CooParts(_Parts):
    layout = "coo"


class _CsrParts(_Parts):
    layout = "csr"


class _CscParts(_Parts):
    layout = "csc"


class _Dtype:
    """Stands for a NumPy dtype: a pickle may set flags on the real one that break the process."""

    def __init__(self, name: str, *_: Any) -> None:
        self.dtype = np.dtype(str(name))
        if self.dtype.kind not in _NUMERIC:
            raise pickle.UnpicklingError(f"the dtype {name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """Stands for an array: built from its bytes."""

    def __init__(self, *_: Any) -> None:
        self.values: np.ndarray[Any, np.dtype[Any]] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, column_major, data = state
        self.values = _frombuffer(data, dtype, shape, "F" if column_major else "C")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    """Return a NumPy number from its bytes; NumPy's own function would also take objects."""
    return np.frombuffer(data, dtype=dtype.dtype)[0]


def _frombuffer(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Any:
    return np.frombuffer(data, dtype=dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """Return the bytes that protocol 2 writes as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Callable[..., Any] | type]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _latin1,
    }
    for core in ("numpy.core", "numpy._core"):  # its names before and after NumPy 2
        names[f"{core}.multiarray", "_reconstruct"] = Array
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _frombuffer
    for parts in (_CooParts, _CsrParts, _CscParts):
        for module in (f"scipy.sparse.{parts.layout}", f"scipy.sparse._{parts.layout}"):
            names[module, f"{parts.layout}_matrix"] = parts
            names[module, f"{parts.layout}_array"] = parts
    return names


class MatrixUnpickler(pickle.Unpickler):
    """Load arrays and sparse matrices as plain parts; any other name in the file is an error."""

    names = types.MappingProxyType(_allowed())

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for an allowed name, and refuse every other."""
        if (module, name) not in self.names:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which is no part of a sparse matrix")
        return self.names[module, name]


def to_csr(held: object) -> scipy.sparse.csr_matrix:
    """Return the matrix that unpickled parts describe, or raise ValueError."""
    if not isinstance(held, _Parts):
        raise ValueError(f"a {type(held).__name__}")
    state = dict(vars(held))
    n_rows, n_columns = (int(size) for size in state["_shape"])
    if "coords" in state:  # SciPy 1.13 and later
        state["row"], state["col"] = state["coords"]
    keys = ("row", "col") if held.layout == "coo" else ("indices", "indptr")
    data, first, second = (_numeric(name, state[name]) for name in ("data", *keys))
    if held.layout == "coo":
        matrix = scipy.sparse.coo_matrix((data, (first, second)), shape=(n_rows, n_columns))
    else:
        make = scipy.sparse.csr_matrix if held.layout == "csr" else scipy.sparse.csc_matrix
        matrix = make((data, first, second), shape=(n_rows, n_columns))
        matrix.check_format(full_check=True)
    csr = scipy.sparse.csr_matrix(matrix, copy=True)  # arrays out of a pickle may be read-only
    csr.sum_duplicates()
    return csr


def _numeric(name: str, value: object) -> np.ndarray[Any, np.dtype[Any]]:
    value = value.values if isinstance(value, Array) else value
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _NUMERIC:
        raise ValueError(f"the attribute {name!r} without numbers")
    return value
