"""Text files with the lines ``id,click,conversion,field:id,field:id,...`` (Ali-CCP as samples hold it)."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.datasets.columns import Column
from sparse_data.datasets.impressions import Impressions
from sparse_data.type_checks import check_names, check_path

_HEADS = 3


def read_field_pairs(
    path: str | os.PathLike[str], *, single_valued: Collection[str] = (), group: bool = False
) -> Impressions:
    r"""Read impressions whose features are (field, id) pairs, any number a line.

    Parameters
    ----------
    path : path
        Without a header. A field may occur several times in a line; all its ids are kept, in their order.
    single_valued : collection of str, default=()
        Fields of which a line has at most one id. They become int64 columns, -1 where a line has none; all
        others become Bags of int64.
    group : bool, default=False
        Whether the first value of a line is a group; else it is left out.

    Returns
    -------
    Impressions
        With all lines, also those that converted but were not clicked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, or a line has fewer than three values, a label that is not 0 or 1, or what is
        no pair of a field and a whole number. The message names file and line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.txt"
    >>> _ = path.write_text("1,1,0,205:8,210:1,210:3\n2,0,0,205:7\n")
    >>> read_field_pairs(path, single_valued=["205"]).columns
    {'205': array([8, 7]), '210': Bags(n_bags=2, n_values=2, dtype=<i8): [1 3], []}
    """
    single_valued = check_names("single_valued", single_valued)
    lines = check_path("path", path).read_text(encoding="utf-8").splitlines()
    if not lines:
        raise ValueError(f"{os.fspath(path)}: it must hold lines; got an empty file. Write it again.")
    rows: dict[str, list[int]] = {}
    ids: dict[str, list[int]] = {}
    heads = []
    for number, line in enumerate(lines):
        values = line.split(",")
        head = values[:_HEADS]
        if len(head) < _HEADS or not {*head[1:]} <= {"0", "1"}:
            told = f"it must begin with an id, a click and a conversion, 0 or 1; got {line[:40]!r}"
            _fail(path, number, told)
        heads.append(head)
        for pair in values[_HEADS:]:
            field, _, text = pair.partition(":")
            if not field or not text.isdecimal() or len(text) > 18:
                _fail(path, number, f"a feature must be a field, a colon and a whole number; got {pair!r}")
            rows.setdefault(field, []).append(number)
            ids.setdefault(field, []).append(int(text))
    columns: dict[str, Column] = {}
    for field in ids:
        columns[field] = _column(path, field, rows[field], ids[field], len(lines), field in single_valued)
    table = np.array(heads)
    labels = (table[:, 1:] == "1").astype(np.int8)
    return Impressions(columns, labels[:, 0], labels[:, 1], table[:, 0] if group else None)


def _column(
    path: str | os.PathLike[str], field: str, rows: list[int], ids: list[int], n_rows: int, single: bool
) -> NDArray[np.int64] | Bags:
    lengths = np.bincount(rows, minlength=n_rows)
    if not single:
        return Bags(np.array(ids), np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]))
    if lengths.max() > 1:
        told = f"field {field} must have at most one id; got several. Name it not among `single_valued`"
        _fail(path, int(lengths.argmax()), told)
    values = np.full(n_rows, -1, dtype=np.int64)
    values[rows] = ids
    return values


def _fail(path: str | os.PathLike[str], row: int, what: str) -> NoReturn:
    raise ValueError(f"{os.fspath(path)}, line {row + 1}: {what}. Correct or drop the line.")
