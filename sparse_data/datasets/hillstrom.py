"""Hillstrom's e-mail campaign: 64,000 customers, whether they visited the shop and whether they bought."""

from __future__ import annotations

import os

from sparse_data.datasets.download import DataFile, fetch_files
from sparse_data.datasets.impressions import Impressions

FOLDER = "hillstrom-email"
FILE = DataFile(
    "hillstrom.csv",
    "0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece",
    "https://raw.githubusercontent.com/mlatinov/Hillstrom-marketing-campaign/"
    "38fd5f0cce25d5a85fd1be4813f7cf185494a59a/data/marketing_data.csv",
)
FEATURES = (
    "recency",
    "history_segment",
    "history",
    "mens",
    "womens",
    "zip_code",
    "newbie",
    "channel",
    "segment",
)


def fetch_hillstrom(*, data_home: str | os.PathLike[str] | None = None, download: bool = True) -> Impressions:
    """Return a real funnel of three stages: an e-mail, a visit, a purchase.

    Customers were sent by lot an e-mail about men's or women's merchandise, or none. 9,394 visited the shop
    in the two weeks after (the clicks), 578 of them bought (the conversions); nobody bought without a visit.
    Because the e-mail was drawn by lot, its effect can be checked without bias.

    Parameters
    ----------
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The file hillstrom.csv lies
        in ``hillstrom-email`` below it.
    download : bool, default=True
        Whether an absent file may be downloaded.

    Returns
    -------
    Impressions
        Columns: recency (months, int), history_segment (str), history (dollars in the past year, float),
        mens, womens (0 or 1), zip_code (str), newbie (0 or 1), channel (str) and segment (str: the e-mail).
        What customers spent is left out, because it is an outcome.

    Raises
    ------
    DownloadError
        If the file is absent and cannot be had; CorruptedFileError if it has another content than the known.
    ImportError
        If neither pyarrow nor polars nor pandas is installed.

    References
    ----------
    K. Hillstrom. The MineThatData E-Mail Analytics and Data Mining Challenge. 2008,
    https://blog.minethatdata.com/2008/03/minethatdata-e-mail-analytics-and-data.html
    """
    path = fetch_files(FOLDER, [FILE], data_home=data_home, download=download)[FILE.name]
    return Impressions.read(path, click="visit", conversion="conversion", columns=FEATURES)
