"""Labels and predicted probabilities out of Parquet files and Arrow tables, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data import checks
from sparse_data.type_checks import check_names, check_type

Batch = tuple[NDArray[Any], NDArray[Any]]


def arrow_batches(
    source: Any, *, labels: str, probabilities: str | Sequence[str], batch_rows: int = 1 << 16
) -> Callable[[], Iterator[Batch]]:
    """Return a function that reads the source anew whenever it is called, for `ConfidentJoint.fit`.

    Parameters
    ----------
    source : path, pyarrow.Table, pyarrow.RecordBatch or pyarrow.dataset.Dataset
        A Parquet file, a folder of them, or data at hand.
    labels : str
        Column of class numbers.
    probabilities : str or sequence of str
        One column of lists of equal length, or one column a class, in the order of the class numbers.
    batch_rows : int, default=65536
        Rows held in memory at a time, at most.

    Returns
    -------
    callable
        Its value yields (labels, pred_probs) of a batch.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If a path does not exist.
    ValueError
        If a column is missing or holds nulls, or lists differ in length.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"label": [0, 1], "p": [[0.9, 0.1], [0.2, 0.8]]})
    >>> [(given.tolist(), p.shape) for given, p in arrow_batches(table, labels="label", probabilities="p")()]
    [([0, 1], (2, 2))]
    """
    checks.check_count("batch_rows", batch_rows)
    check_type("labels", labels, str, "Name the column of class numbers.")
    single = isinstance(probabilities, str)
    names = list(
        check_names("probabilities", [probabilities] if isinstance(probabilities, str) else probabilities)
    )
    checks.check_nonempty("probabilities", names)
    dataset = _dataset(source)
    held, asked = dataset.schema.names, [labels, *names]
    missing = [name for name in asked if held.count(name) != 1 or asked.count(name) != 1]
    if missing:
        raise ValueError(
            f"`source` must have the columns {missing}, once each; got {dataset.schema.names}. "
            "Name other columns."
        )

    def read() -> Iterator[Batch]:
        for batch in dataset.to_batches(columns=[labels, *names], batch_size=batch_rows):
            if batch.num_rows:
                given = _values(batch.column(labels), labels)
                columns = [_values(batch.column(name), name) for name in names]
                matrix = columns[0] if single else np.column_stack(columns)
                yield given, matrix

    return read


def _dataset(source: Any) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError(
            "`arrow_batches` needs pyarrow. Install it with: pip install 'sparselabels[recsys]'"
        ) from error
    if isinstance(source, dataset.Dataset):
        return source
    if isinstance(source, pa.Table | pa.RecordBatch):
        return dataset.dataset(source)
    if isinstance(source, str | PathLike):
        return dataset.dataset(source, format="parquet")
    raise TypeError(
        f"`source` must be a path, a pyarrow Table, RecordBatch or Dataset; got {type(source).__name__}. "
        "Convert it with pyarrow.table(...)."
    )


def _values(column: Any, name: str) -> NDArray[Any]:
    """Return a column as an array, a column of lists as a matrix."""
    if column.null_count:
        raise ValueError(f"`{name}` must be without nulls; got {column.null_count}. Drop or fill these rows.")
    if not hasattr(column, "flatten") or not hasattr(column.type, "value_type"):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values = column.flatten()
    # Both kinds of list arrays know the length of each list.
    lengths = np.asarray(column.value_lengths())
    if values.null_count or len(set(lengths.tolist())) != 1:
        raise ValueError(
            f"`{name}` must be lists of the same length without nulls; got lengths {lengths.min()} to "
            f"{lengths.max()}, {values.null_count} nulls. Write one probability a class."
        )
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(column), -1)
