"""Files with one user a line, ``user item item ...``, as several public data sets write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def read_histories(path: Path) -> tuple[Ids, Ids, Ids]:
    """Return users, items and ranks of a file with lines ``user item item ...``.

    Parameters
    ----------
    path : Path
        Integers parted by blanks; blank lines are skipped.

    Returns
    -------
    user_ids, item_ids, ranks : ndarray of shape (n,)
        The rank of an item is its position in the line, from 0.

    Raises
    ------
    ValueError
        If something else than an integer stands in the file.
    """
    try:
        rows = [
            np.array(line.split(), dtype=np.int64) for line in path.read_text().splitlines() if line.strip()
        ]
    except ValueError as error:
        raise ValueError(
            f"`{path.name}` must hold integers only; got {error} in {path}. Delete it and fetch it again."
        ) from None
    lengths = np.array([len(row) - 1 for row in rows], dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    user_ids = np.repeat(np.array([row[0] for row in rows], dtype=np.int64), lengths)
    item_ids = np.concatenate([none, *(row[1:] for row in rows)])
    ranks = np.concatenate([none, *map(np.arange, lengths)])
    return user_ids, item_ids, ranks
