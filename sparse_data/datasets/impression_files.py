"""Impressions in Parquet or CSV files larger than memory, read block by block."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_count, check_nonempty, check_one_of
from sparse_data.datasets.byte_tokens import line_block
from sparse_data.datasets.impressions import Impressions, errors_of
from sparse_data.datasets.joined_impressions import concatenate_impressions
from sparse_data.type_checks import check_names, check_path, check_type

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".parquet": ""}


@dataclass(frozen=True)
class _Block:
    """A row group of a Parquet file, or the lines from `start` to `stop` (in bytes) of a text file."""

    path: Path
    first_row: int
    length: int
    start: int
    stop: int


class ImpressionFiles:
    r"""Impressions of .parquet, .csv or .tsv files, one block in memory at a time.

    A block of a Parquet file is one of its row groups; a block of a text file is `block_rows` of its lines,
    which are found by a first pass. Iterate over it as often as needed, or read single blocks.

    Parameters
    ----------
    paths : path or sequence of paths
        Files with the same columns. Text files are UTF-8, hold their column names in the first line and no
        line break inside quotes.
    click : str
        Column with the clicks.
    conversion : str or None
        Column with the conversions; None where there are none, which makes all of them 0.
    columns : sequence of str, optional
        Columns that are features; all others when None. Parquet files are read only where needed.
    group : str, optional
        Column with groups.
    text : collection of str, default=()
        Columns of text files that are text whatever stands in them, such as codes of which some are all
        digits.
    numbers : collection of str, default=()
        Columns of text files that are floating point, NaN where empty. Types of all other columns are found
        from the first block of the first file.
    multi_valued : collection of str, default=()
        Text columns to split into bags, as in `to_columns`.
    separator : str, default="|"
        What stands between their values.
    block_rows : int, default=50000
        Rows of a block of a text file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        At once if an ending is another; at reading, if a file is empty, ragged or otherwise unreadable, or a
        block has values of another type than the first. The message names the file.
    ImportError
        If pyarrow is not installed.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        click: str,
        conversion: str | None,
        columns: Sequence[str] | None = None,
        group: str | None = None,
        text: Collection[str] = (),
        numbers: Collection[str] = (),
        multi_valued: Collection[str] = (),
        separator: str = "|",
        block_rows: int = 50_000,
    ) -> None:
        given = list(paths) if isinstance(paths, (list, tuple)) else [paths]
        check_nonempty("paths", np.arange(len(given)), hint="Pass at least one file.")
        self.paths = [check_path("paths", path) for path in given]
        for path in self.paths:
            check_one_of("path", path.suffix.lower(), tuple(_SEPARATORS), hint=f"Rename or convert {path}.")
            if not path.is_file():
                raise FileNotFoundError(f"`paths` must be files; got {path}, which does not exist.")
        self.multi_valued = check_names("multi_valued", multi_valued)
        self.text = (*check_names("text", text), *self.multi_valued)
        self.numbers = check_names("numbers", numbers)
        check_type("separator", separator, str, "Pass a text.")
        self.block_rows = check_count("block_rows", block_rows)
        self.click, self.conversion, self.group, self.columns = click, conversion, group, columns
        self.separator = separator
        self._types: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Impressions]:
        for place in range(len(self._blocks)):
            yield self.read_block(place)

    @property
    def block_lengths(self) -> NDArray[np.int64]:
        """Number of impressions of each block, shape (n_blocks,)."""
        return np.array([block.length for block in self._blocks], dtype=np.int64)

    def read_block(self, place: int) -> Impressions:
        """Return the impressions of one block."""
        block = self._blocks[check_count("place", place, 0, maximum=len(self._blocks) - 1)]
        with errors_of(block.path):
            table = self._read_row_group(block) if _is_parquet(block.path) else self._read_lines(block)
            if len(table) != block.length:
                raise ValueError(
                    f"rows {block.first_row} to {block.first_row + block.length - 1} must be a line each; "
                    f"got {len(table)} rows. Take out line breaks inside quotes, and empty lines."
                )
            return Impressions.from_frame(
                table,
                click=self.click,
                conversion=self.conversion,
                group=self.group,
                columns=self.columns,
                multi_valued=self.multi_valued,
                separator=self.separator,
            )

    def read(self) -> Impressions:
        """Return all impressions, where they fit into memory."""
        return concatenate_impressions(list(self))

    @cached_property
    def _blocks(self) -> list[_Block]:
        blocks: list[_Block] = []
        for path in self.paths:
            with errors_of(path):
                found = _row_groups(path) if _is_parquet(path) else _line_ranges(path, self.block_rows)
                if not found:
                    raise ValueError("it must hold rows; got none. Write the file again.")
            blocks += found
        return blocks

    def _read_row_group(self, block: _Block) -> Any:
        roles = [name for name in (self.click, self.conversion, self.group) if name is not None]
        columns = None if self.columns is None else [*self.columns, *roles]
        with _parquet(block.path) as file:
            absent = set(columns or ()) - set(file.schema_arrow.names)
            if absent:
                raise ValueError(
                    f"it must have the columns {sorted(absent)}; got {file.schema_arrow.names}. "
                    "Choose from these."
                )
            return file.read_row_group(block.start, columns=columns)

    def _read_lines(self, block: _Block) -> Any:
        import pyarrow
        import pyarrow.csv

        if self._types is None:
            types = {name: pyarrow.string() for name in self.text}
            types |= {name: pyarrow.float64() for name in self.numbers}
            first = next(other for other in self._blocks if not _is_parquet(other.path))
            schema = _parse_lines(first, types).schema
            self._types = dict(zip(schema.names, schema.types, strict=True))
        return _parse_lines(block, self._types)


def _parse_lines(block: _Block, types: dict[str, Any]) -> Any:
    import pyarrow
    import pyarrow.csv

    with block.path.open("rb") as file:
        header = file.readline()
    lines = line_block(block.path, start=block.start, stop=block.stop)[8:]
    absent = set(types) - set(_names(header, block.path))
    if absent:
        raise ValueError(f"it must have the columns {sorted(absent)}; got {header[:200]!r}. Add them.")
    try:
        return pyarrow.csv.read_csv(
            io.BytesIO((header if header.endswith(b"\n") else header + b"\n") + lines.tobytes()),
            parse_options=pyarrow.csv.ParseOptions(delimiter=_SEPARATORS[block.path.suffix.lower()]),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pyarrow.ArrowInvalid as error:
        raise ValueError(
            f"rows from {block.first_row} on cannot be read: {' '.join(str(error).split())} Give every row "
            "as many fields as the header, and name columns of mixed values in `text`, those of numbers in "
            "`numbers`."
        ) from error


def _names(header: bytes, path: Path) -> list[str]:
    import csv

    separator = _SEPARATORS[path.suffix.lower()]
    return next(csv.reader([header.decode("utf-8-sig").rstrip("\r\n")], delimiter=separator))


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parquet(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError("reading in blocks needs pyarrow: pip install 'sparselabels[recsys]'") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"it must be a Parquet file: {error} Write it again.") from error


def _row_groups(path: Path) -> list[_Block]:
    with _parquet(path) as file:
        lengths = [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)]
    firsts = np.cumsum([1, *lengths]).tolist()
    blocks = [_Block(path, firsts[i], length, i, i + 1) for i, length in enumerate(lengths)]
    return [block for block in blocks if block.length]


def _line_ranges(path: Path, block_rows: int) -> list[_Block]:
    """Cut the lines after the header into ranges of `block_rows` lines."""
    ends: list[int] = []  # of every block_rows-th line, in bytes
    n_lines, position, last = 0, 0, b"\n"
    with path.open("rb") as file:
        start = position = len(file.readline())
        while read := file.read(1 << 24):
            places = np.flatnonzero(np.frombuffer(read, dtype=np.uint8) == ord("\n"))
            numbers = n_lines + 1 + np.arange(len(places))
            ends += (position + 1 + places[numbers % block_rows == 0]).tolist()
            n_lines += len(places)
            position += len(read)
            last = read[-1:]
    n_lines += last != b"\n"
    cuts = [start, *ends]
    if cuts[-1] < position:
        cuts.append(position)
    lengths = [min(block_rows, n_lines - place * block_rows) for place in range(len(cuts) - 1)]
    return [
        _Block(path, 1 + place * block_rows, lengths[place], cuts[place], cuts[place + 1])
        for place in range(len(lengths))
    ]
