"""Tables from CSV, TSV and Parquet files, read by whichever of pyarrow, polars or pandas is installed."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any

from sparse_data.checks import check_one_of

# pyarrow first: it alone refuses every row of the wrong length.
ENGINES = ("pyarrow", "polars", "pandas")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_table(path: str | os.PathLike[str]) -> Any:
    """Return the rows of a .csv, .tsv or .parquet file as a frame of the library that read it.

    Parameters
    ----------
    path : path
        Text files hold their column names in the first line and are UTF-8.

    Returns
    -------
    pyarrow.Table, polars.DataFrame or pandas.DataFrame

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the ending is another, or the file is empty, ragged or otherwise unreadable.
    ImportError
        If none of the three libraries is installed.
    """
    path = Path(path)
    check_one_of("path", path.suffix.lower(), (*_SEPARATORS, ".parquet"), hint=f"Rename or convert {path}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"`path` must be a file; got {path}, which does not exist. Check the spelling."
        )
    if path.stat().st_size == 0:
        raise ValueError(
            f"`path` must hold a header and rows; got an empty file, {path}. Write the data again."
        )
    engine = _engine()
    try:
        frame = _read_with(engine, path)
    except Exception as error:  # each library has its own exceptions; all of them mean an unreadable file
        told = " ".join(str(error).split())
        raise ValueError(
            f"`path` must be a readable {path.suffix} file; got {path}, of which {engine} says: {told} "
            "Give every row as many fields as the header, in UTF-8."
        ) from error
    if len(frame) == 0:
        raise ValueError(
            f"`path` must hold a header and rows; got a file without rows, {path}. Write it again."
        )
    return frame


def _engine() -> str:
    for name in ENGINES:
        if importlib.util.find_spec(name) is not None:
            return name
    raise ImportError("reading files needs pyarrow, polars or pandas: pip install 'sparselabels[recsys]'")


def _read_with(engine: str, path: Path) -> Any:
    separator = _SEPARATORS.get(path.suffix.lower())
    if engine == "pyarrow":
        import pyarrow.csv
        import pyarrow.parquet

        if separator is None:
            return pyarrow.parquet.read_table(path)
        return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=separator))
    if engine == "polars":
        import polars

        if separator is None:
            return polars.read_parquet(path)
        return polars.read_csv(path, separator=separator, infer_schema_length=None)
    import pandas

    if separator is None:
        return pandas.read_parquet(path)
    with warnings.catch_warnings():
        # pandas cuts rows that are too long and only warns.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        return pandas.read_csv(path, sep=separator, index_col=False, low_memory=False)
