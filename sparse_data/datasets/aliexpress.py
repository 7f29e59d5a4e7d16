"""AliExpress: impressions of a shop's search in five countries, with clicks and conversions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from sparse_data.checks import check_one_of
from sparse_data.datasets.download import VARIABLE, DownloadError, find_data_home
from sparse_data.datasets.impression_files import ImpressionFiles

PAGE = "https://tianchi.aliyun.com/dataset/74690"
COUNTRIES = ("ES", "FR", "NL", "RU", "US")


def fetch_aliexpress(
    country: Literal["ES", "FR", "NL", "RU", "US"] = "NL",
    split: Literal["train", "test"] = "train",
    *,
    data_home: str | os.PathLike[str] | None = None,
) -> ImpressionFiles:
    """Return the searches of one country, millions of impressions, to be read block by block.

    The data may be used for research and not be passed on (terms of Tianchi), and need a login there: they
    cannot be downloaded for you.

    Parameters
    ----------
    country : {"ES", "FR", "NL", "RU", "US"}, default="NL"
    split : {"train", "test"}, default="train"
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files train.csv and
        test.csv lie in ``AliExpress_<country>`` below it.

    Returns
    -------
    ImpressionFiles
        As `aliexpress_files` returns them.

    Raises
    ------
    DownloadError
        If the file is absent.
    """
    check_one_of("country", country, COUNTRIES)
    check_one_of("split", split, ("train", "test"))
    path: Path = find_data_home(data_home) / f"AliExpress_{country}" / f"{split}.csv"
    if not path.is_file():
        raise DownloadError(
            f"`{path.name}` must be in the cache; got no file {path}. Log in at {PAGE}, download the set, "
            "bring it into one table a split with the columns search_id, categorical_1 to categorical_16, "
            "numerical_1 to numerical_63, click and conversion, and put it there, or set "
            f"{VARIABLE} to the folder that holds {path.parent.name}/{path.name}."
        )
    return aliexpress_files(path)


def aliexpress_files(path: str | os.PathLike[str], *, block_rows: int = 50_000) -> ImpressionFiles:
    """Return the impressions of a file of AliExpress.

    Parameters
    ----------
    path : path
        CSV with the columns search_id, categorical_1 to _16, numerical_1 to _63, click and conversion.
    block_rows : int, default=50000

    Returns
    -------
    ImpressionFiles
        Columns: categorical_* (int) and numerical_* (float); `group` is the search. ``.read()`` returns all
        rows as `Impressions`.

    References
    ----------
    P. Li et al. Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task Relationships in
    the Label Space. CIKM 2020.
    """
    return ImpressionFiles(
        path,
        click="click",
        conversion="conversion",
        group="search_id",
        # Some hold nothing but 0 for many rows and look like whole numbers.
        numbers=[f"numerical_{place}" for place in range(1, 64)],
        block_rows=block_rows,
    )
