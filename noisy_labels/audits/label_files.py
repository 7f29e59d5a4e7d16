"""Labels and predicted probabilities from .npy, .csv, .tsv and .parquet files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_ndim, check_no_missing, check_same_length
from sparse_data.datasets.columns import as_column, raw_columns
from sparse_data.datasets.tables import read_table


class LabelFiles(NamedTuple):
    """What two files say together.

    Attributes
    ----------
    labels : array of shape (n,)
        Values of `classes`.
    pred_probs : array of shape (n, n_classes)
        A memory map where the file is .npy.
    classes : array of shape (n_classes,)
    ids, texts : array of shape (n,) or None
    """

    labels: NDArray[Any]
    pred_probs: NDArray[Any]
    classes: NDArray[Any]
    ids: NDArray[Any] | None
    texts: NDArray[Any] | None


def read_label_files(
    labels: str | os.PathLike[str],
    pred_probs: str | os.PathLike[str],
    *,
    label_column: str = "label",
    probability_columns: Sequence[str] | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    classes: Sequence[str] | None = None,
) -> LabelFiles:
    """Read the labels from one file and the probabilities from another one, or from the same.

    Parameters
    ----------
    labels : path
        .npy with one dimension, or a table with a header.
    pred_probs : path
        .npy with a row an example and a column a class, or a table; its rows are those of `labels`.
    label_column : str, default="label"
        Where the labels are a table; a table of one column needs no name.
    probability_columns : sequence of str, optional
        One a class, or one of lists; by default all columns of the table of probabilities.
    id_column, text_column : str, optional
        Columns of the table of labels: what rows are called, and what was labelled.
    classes : sequence of str, optional
        The label of each column.  By default the names of the columns, where all labels are among them;
        otherwise the numbers of the columns, or the distinct labels in sorted order if there are as many.

    Returns
    -------
    LabelFiles

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    TypeError, ValueError
        If a file is unreadable, lacks a column or is of another length, or the labels are no classes.
    """
    table = None if Path(labels).suffix.lower() == ".npy" else raw_columns(read_table(labels))
    if table is None:
        if id_column is not None or text_column is not None:
            raise ValueError(
                f"`labels` must be a table where columns of ids or texts are named; got {labels}. "
                "Write a .csv or .parquet file."
            )
        given = read_array(labels)
    else:
        name = next(iter(table)) if len(table) == 1 else label_column
        given = _column("labels", table, name)
    given = check_no_missing("labels", check_ndim("labels", given, 1))
    probabilities, names = _probabilities(pred_probs, probability_columns)
    check_same_length(labels=given, pred_probs=probabilities)
    given, known = _classes(given, names, probabilities.shape[1], classes)
    ids = None if table is None or id_column is None else _column("labels", table, id_column)
    texts = None if table is None or text_column is None else _column("labels", table, text_column)
    return LabelFiles(given, probabilities, known, ids, texts)


def read_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of a .npy file as a memory map.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no whole .npy file, or holds Python objects.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"`path` must be a whole .npy file of numbers or text; got {path}, of which NumPy says: {error}. "
            "Write it again with numpy.save."
        ) from error
    return array


def _column(name: str, table: dict[str, Any], column: str) -> NDArray[Any]:
    if column not in table:
        raise ValueError(f"`{name}` must have the column {column!r}; got {list(table)}. Name another column.")
    values = np.asarray(table[column])
    if values.dtype != object or not len(values) or not isinstance(values[0], (list, np.ndarray)):
        return np.asarray(as_column(column, values))
    lengths = {np.size(row) for row in values}
    if len(lengths) > 1:
        raise ValueError(
            f"`{name}` must have lists of one length in {column!r}; got {min(lengths)} to {max(lengths)} "
            "values. Write one probability a class."
        )
    return np.array(values.tolist(), dtype=np.float64)


def _probabilities(
    path: str | os.PathLike[str], names: Sequence[str] | None
) -> tuple[NDArray[Any], list[str] | None]:
    """Return the matrix and the names of its columns, if they have any."""
    if Path(path).suffix.lower() == ".npy":
        return check_ndim("pred_probs", read_array(path), 2), None
    table = raw_columns(read_table(path))
    columns = list(table) if names is None else list(names)
    arrays = [_column("pred_probs", table, column) for column in columns]
    text = [column for column, array in zip(columns, arrays, strict=True) if array.dtype.kind not in "biuf"]
    if text:
        raise TypeError(
            f"`pred_probs` must be columns of numbers; got text in {text}. Name the columns of probabilities."
        )
    matrix = np.column_stack(arrays)
    # One column of lists has no names for its values.
    return matrix, columns if matrix.shape[1] == len(columns) else None


def _classes(
    labels: NDArray[Any], names: list[str] | None, n_classes: int, classes: Sequence[str] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return labels and classes in one type, that of the labels or text."""
    as_text = labels.astype(str)
    listed = names if classes is None else [str(value) for value in classes]
    if listed is not None and (classes is not None or set(as_text.tolist()) <= set(listed)):
        return as_text, np.array(listed)
    if labels.dtype.kind in "iu":
        return labels, np.arange(n_classes)
    distinct = np.unique(as_text)
    if len(distinct) != n_classes:
        raise ValueError(
            f"`classes` must be named where {len(distinct)} different labels meet {n_classes} columns of "
            "probabilities; got none. Name the class of each column, in their order."
        )
    return as_text, distinct
