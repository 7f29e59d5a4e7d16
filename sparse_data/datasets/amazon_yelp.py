"""Amazon reviews (beauty, sports) and Yelp as prepared for S3-Rec: histories in order, item attributes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import numpy as np

from sparse_data.bags import Bags
from sparse_data.checks import check_one_of
from sparse_data.datasets.download import DataFile, fetch_files
from sparse_data.datasets.histories import read_histories
from sparse_data.datasets.interactions import Interactions

FOLDER = "s3rec-amazon-yelp-lastfm"
_URL = (
    "https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec/2a81540ae18615d88ef88227b0c066e5b74781e5/data/"
)
FILES = {
    name: (
        DataFile(f"{name}.txt", histories, f"{_URL}{name}.txt"),
        DataFile(f"{name}_item2attributes.json", attributes, f"{_URL}{name}_item2attributes.json"),
    )
    for name, histories, attributes in (
        (
            "Beauty",
            "226cce9c3105299ca0db9615d7d3fb32b3175e90da43100ae352599f0f0107b8",
            "129e40f67486f6877eff0f5318cfa8530ee8ac23d8b0d1de04e1bb7a2ba0b2d4",
        ),
        (
            "Sports_and_Outdoors",
            "2a095e0648872beb9982408958290f5d655db5be2911c3756b5446de9f0b8de2",
            "7fb10733ac4f1811384a52144cdefa7fcc7536fa80a7232c5da9bd789155c34b",
        ),
        (
            "Yelp",
            "724b219106b81dd2349027da997334ddb6da9fe2f152ad6e0d97a93170f7caed",
            "f25acd5e1e680e0b22fd4e3f4fb6be4b2a7461e9222610616e3e1ee6702dd58d",
        ),
    )
}


def fetch_amazon(
    name: Literal["beauty", "sports"] = "beauty",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Interactions:
    """Return the reviews of one department of Amazon (1996 to 2014) as implicit feedback.

    Every user and every item has at least five. The data may be used for research.

    Parameters
    ----------
    name : {"beauty", "sports"}, default="beauty"
        22,363 users, 12,101 items, 198,502 reviews; or 35,598 users, 18,357 items, 296,337 reviews.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``s3rec-amazon-yelp-lastfm`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    Interactions
        Ids count from 1. `timestamps` are 0, 1, 2, ... within each user: the order is known, the time is
        not, so a split at one time for all users has no meaning here. `items` has the column "attributes"
        (Bags of int: categories and brands, of which only numbers are known).

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    J. McAuley et al. Image-based Recommendations on Styles and Substitutes. SIGIR 2015, arXiv:1506.04757.
    K. Zhou et al. S3-Rec. CIKM 2020, arXiv:2008.07873.
    """
    check_one_of("name", name, ("beauty", "sports"))
    return _fetch("Beauty" if name == "beauty" else "Sports_and_Outdoors", data_home, download)


def fetch_yelp(*, data_home: str | os.PathLike[str] | None = None, download: bool = True) -> Interactions:
    """Return Yelp reviews as implicit feedback: 30,431 users, 20,033 businesses, 316,354 reviews.

    Every user has at least five reviews; the same pair may occur more than once. The data may be used for
    research and not be passed on (Yelp's terms).

    Parameters
    ----------
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``s3rec-amazon-yelp-lastfm`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    Interactions
        As `fetch_amazon` returns them; the attributes are categories of businesses.

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    K. Zhou et al. S3-Rec. CIKM 2020, arXiv:2008.07873.
    """
    return _fetch("Yelp", data_home, download)


def _fetch(name: str, data_home: str | os.PathLike[str] | None, download: bool) -> Interactions:
    histories, attributes = FILES[name]
    paths = fetch_files(FOLDER, FILES[name], data_home=data_home, download=download)
    user_ids, item_ids, ranks = read_histories(paths[histories.name])
    return Interactions(user_ids, item_ids, timestamps=ranks, items=_read_attributes(paths[attributes.name]))


def _read_attributes(path: Path) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]] | Bags]:
    """Return the item table of a file ``{"item": [attribute, ...], ...}``, sorted by item."""
    attributes = {int(item): bag for item, bag in json.loads(path.read_text()).items()}
    items = sorted(attributes)
    return {
        "item_id": np.array(items, dtype=np.int64),
        "attributes": Bags.from_lists([attributes[item] for item in items], dtype=np.int64),
    }
