"""Files in the layout of Criteo's click logs: labels, 13 counts and 26 hashed categories."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sparse_data.datasets.impression_files import ImpressionFiles

DENSE = tuple(f"I{place}" for place in range(1, 14))
CATEGORIES = tuple(f"C{place}" for place in range(1, 27))


def criteo_files(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    click: str = "label",
    conversion: str | None = None,
    group: str | None = None,
    block_rows: int = 50_000,
) -> ImpressionFiles:
    """Return the impressions of files with the columns I1 to I13 and C1 to C26.

    Parameters
    ----------
    paths : path or sequence of paths
        .csv, .tsv or .parquet, with column names.
    click : str, default="label"
    conversion : str, optional
        Column with the conversions; None where there are none, as in the Display Advertising Challenge.
    group : str, optional
    block_rows : int, default=50000

    Returns
    -------
    ImpressionFiles
        Columns: I1 to I13 (float, NaN where missing) and C1 to C26 (str, empty where missing). ``.read()``
        returns all rows as `Impressions`.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `ImpressionFiles`.

    References
    ----------
    Criteo Labs. Display Advertising Challenge. 2014, https://www.kaggle.com/c/criteo-display-ad-challenge
    """
    return ImpressionFiles(
        paths,
        click=click,
        conversion=conversion,
        columns=DENSE + CATEGORIES,
        group=group,
        text=CATEGORIES,
        numbers=DENSE,
        block_rows=block_rows,
    )
