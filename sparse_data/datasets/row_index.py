"""Which rows of a log to take, as its users name them."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_integers, check_ndim, check_same_length


def read_index(index: ArrayLike | slice, n_rows: int, *, of: str = "rows") -> slice | NDArray[Any]:
    """Return a slice as it is, a bool mask of `n_rows`, or integers in [-n_rows, n_rows); else raise.

    What the rows are `of` is told in the message.

    Raises
    ------
    TypeError
        If `index` is of another type.
    ValueError
        If it has not one dimension, or a mask is of another length.
    IndexError
        If a row does not exist.

    Examples
    --------
    >>> read_index([0, 3], 3)
    Traceback (most recent call last):
    ...
    IndexError: `index` must be in [-3, 3); got positions from 0 to 3. Check how the rows were counted.
    """
    if isinstance(index, slice):
        return index
    rows = check_ndim("index", index, 1)
    if rows.dtype == bool:
        check_same_length(**{"index": rows, of: range(n_rows)})
        return rows
    rows = check_integers("index", rows)
    if rows.size and not (-n_rows <= rows.min() and rows.max() < n_rows):
        raise IndexError(
            f"`index` must be in [{-n_rows}, {n_rows}); got positions from {rows.min()} to {rows.max()}. "
            "Check how the rows were counted."
        )
    return rows
