"""Features that many impressions share, held compactly and found by the index that names them."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.datasets.byte_tokens import line_blocks
from sparse_data.datasets.columns import Column
from sparse_data.datasets.feature_lists import FeatureLists, parse_feature_lists
from sparse_data.type_checks import check_names, check_path

ABSENT = -1
_WIDTH = 32  # of an index: the hexadecimal digits of an MD5
_BLOCK_BYTES = 1 << 23


@dataclass(frozen=True, eq=False)
class CommonFeatures:
    """A table with one row an index.

    Attributes
    ----------
    path : str
        Where it was read from.
    keys : bytes ndarray of shape (n_rows,)
        The indices, sorted.
    rows : int64 ndarray of shape (n_rows,)
        The row of each of them, in the order of the file.
    columns : dict of str to (ndarray or Bags)
        By field: int32 (int64 where needed) ids, one a row or as Bags with float32 weights.
    """

    path: str
    keys: NDArray[np.bytes_]
    rows: NDArray[np.int64]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.keys)

    def rows_of(self, lines: FeatureLists, *, column: int) -> NDArray[np.int64]:
        """Return the row that each line's head at `column` names, or raise the first one that names none."""
        wanted = lines.head(column, width=_WIDTH + 1)
        # Impressions of one user mostly follow one another: each run is looked up once.
        new = np.concatenate([np.ones(1, dtype=np.bool_), wanted[1:] != wanted[:-1]])[: len(wanted)]
        runs = wanted[new]
        found = np.minimum(np.searchsorted(self.keys, runs), len(self.keys) - 1)
        bad = np.flatnonzero(self.keys[found] != runs)
        if len(bad):
            line = int(np.flatnonzero(new)[bad[0]])
            lines.fail(line, f"its index must be in {self.path}; got {runs[bad[0]].decode('latin-1')!r}")
        return np.asarray(self.rows[found][np.cumsum(new) - 1])


def read_common_features(
    path: str | os.PathLike[str],
    *,
    fields: Collection[str] | None = None,
    single_valued: Collection[str] = (),
) -> CommonFeatures:
    r"""Read a file with the lines ``index,n_features,list``.

    Parameters
    ----------
    path : path
    fields : collection of str, optional
        Fields to keep; all when None.
    single_valued : collection of str, default=()
        Fields of which a row has at most one value, -1 where it has none.

    Returns
    -------
    CommonFeatures

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, a line is cut short or has another number of entries than it says, an id is not
        a number, or an index occurs twice. The message names file and line.
    """
    place = os.fspath(check_path("path", path))
    fields = None if fields is None else check_names("fields", fields)
    single_valued = check_names("single_valued", single_valued)
    keys: list[NDArray[np.bytes_]] = []
    parts: dict[str, list[tuple[int, Any]]] = {}
    line = 1
    for block in line_blocks(path, block_bytes=_BLOCK_BYTES):
        lines = parse_feature_lists(block, n_heads=2, path=place, first_line=line)
        keys.append(lines.head(0, width=_WIDTH + 1))
        for field in [name for name in lines.fields if fields is None or name in fields]:
            bags = lines.bags(field)
            column = single_values(field, bags, lines) if field in single_valued else bags
            parts.setdefault(field, []).append((line - 1, _compact(column)))
        line += len(lines)
    if not keys:
        raise ValueError(f"{place}: it must hold lines; got an empty file. Download it again.")
    index = np.concatenate(keys)
    order = np.argsort(index, kind="stable")
    index = index[order]
    _check_keys(index, order, place)
    # One field after the other, so that no more than one of them is held twice.
    columns: dict[str, Column] = {}
    for field in list(parts):
        columns[field] = _whole(parts.pop(field), len(index))
    return CommonFeatures(place, index, order, columns)


def single_values(field: str, bags: Bags, lines: FeatureLists) -> NDArray[np.int64]:
    """Return the one id of every line, -1 where it has none; several are an error."""
    several = np.flatnonzero(bags.lengths > 1)
    if len(several):
        told = f"field {field} must have at most one value; got {bags[int(several[0])].tolist()}, name it not"
        lines.fail(int(several[0]), f"{told} among `single_valued` to keep all of them")
    values = np.full(len(bags), ABSENT, dtype=np.int64)
    values[bags.lengths == 1] = bags.values
    return values


def _check_keys(index: NDArray[np.bytes_], order: NDArray[np.int64], place: str) -> None:
    lengths = np.char.str_len(index)
    wrong = np.flatnonzero((lengths == 0) | (lengths > _WIDTH))
    if len(wrong):
        raise ValueError(
            f"{place}, line {order[wrong].min() + 1}: its index must have 1 to {_WIDTH} characters; got "
            "another number. Download the file again."
        )
    same = np.flatnonzero(index[1:] == index[:-1])
    if len(same):
        at = int(same[np.argmin(order[same + 1])])
        raise ValueError(
            f"{place}, line {order[at + 1] + 1}: its index must occur once; got "
            f"{index[at].decode('latin-1')!r} in line {order[at] + 1} as well. Remove one of the lines."
        )


def _compact(column: Any) -> Any:
    """Return ids as int32 where they fit."""
    ids = column.values if isinstance(column, Bags) else column
    if ids.size and ids.max() > np.iinfo(np.int32).max:
        return column
    ids = ids.astype(np.int32)
    return column.map_values(ids) if isinstance(column, Bags) else ids


def _whole(parts: list[tuple[int, Any]], n_rows: int) -> Any:
    """Join the parts of one field, each with the row that it begins at; rows between them have no value."""
    if not isinstance(parts[0][1], Bags):
        values = np.full(n_rows, ABSENT, dtype=np.result_type(*[part for _, part in parts]))
        for start, part in parts:
            values[start : start + len(part)] = part
        return values
    lengths = np.zeros(n_rows, dtype=np.int64)
    for start, part in parts:
        lengths[start : start + len(part)] = part.lengths
    return Bags(
        np.concatenate([part.values for _, part in parts]),
        np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        np.concatenate([part.weights for _, part in parts]),
    )
