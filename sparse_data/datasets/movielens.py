"""MovieLens 100K and 1M: films rated from 1 to 5 by users of whom age, gender and occupation are known."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.checks import check_one_of
from sparse_data.datasets.columns import Column
from sparse_data.datasets.download import Archive, DataFile, fetch_files
from sparse_data.datasets.interactions import Interactions

ARCHIVES = {
    "100k": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "ml-100k/",
    ),
    "1m": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "ml-1m/",
    ),
}
FILES = {
    "100k": (
        DataFile("u.data", "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"),
        DataFile("u.user", "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c"),
        DataFile("u.item", "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701"),
        DataFile("u.genre", "9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb"),
    ),
    "1m": (
        DataFile("ratings.dat", "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f"),
        DataFile("users.dat", "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3"),
        DataFile("movies.dat", "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9"),
    ),
}
# The 1M set writes occupations as numbers; its README names them.
OCCUPATIONS_1M = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)


def fetch_movielens(
    name: Literal["100k", "1m"] = "100k",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Interactions:
    """Return one of the MovieLens sets: 100,000 or 1,000,209 ratings.

    The data may be used for research and not be passed on; see the terms at
    https://grouplens.org/datasets/movielens/.

    Parameters
    ----------
    name : {"100k", "1m"}, default="100k"
        943 users and 1,682 films, or 6,040 users and 3,883 films.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``movielens-100k`` (u.data, u.user, u.item, u.genre) or ``movielens-1m`` (ratings.dat, users.dat,
        movies.dat) below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    Interactions
        In the order of the file; `timestamps` are seconds since 1970, `ratings` 1 to 5. Columns of `users`:
        user_id (int), age (float; in 1M the lower end of a bracket), gender, occupation, zip_code (str).
        Columns of `items`: item_id (int), title (str), genres (Bags of str; empty for the two films of 100K
        whose genre is "unknown"), year (float, read off the title; NaN if unknown).

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.

    References
    ----------
    F. M. Harper and J. A. Konstan. The MovieLens Datasets: History and Context. ACM TiiS 5(4), 2015.
    """
    check_one_of("name", name, tuple(ARCHIVES))
    paths = fetch_files(
        f"movielens-{name}", FILES[name], archive=ARCHIVES[name], data_home=data_home, download=download
    )
    return _read_100k(paths) if name == "100k" else _read_1m(paths)


def _read_100k(paths: dict[str, Path]) -> Interactions:
    log = np.array(_rows(paths["u.data"], "\t", 4), dtype=np.int64)
    users = _rows(paths["u.user"], "|", 5)
    items = _rows(paths["u.item"], "|", 24)
    genre_names = np.array([row[0] for row in _rows(paths["u.genre"], "|", 2)])
    # Columns 5 to 23 of u.item are one flag a genre; the first genre is "unknown" and says nothing.
    flags = np.array([row[5:] for row in items]) == "1"
    genres = Bags.from_lists([genre_names[1:][row[1:]] for row in flags], dtype=genre_names.dtype)
    user_table: dict[str, Column] = {
        "user_id": np.array([int(row[0]) for row in users]),
        "age": np.array([float(row[1]) for row in users]),
        "gender": np.array([row[2] for row in users]),
        "occupation": np.array([row[3] for row in users]),
        "zip_code": np.array([row[4] for row in users]),
    }
    item_table = _item_table([row[0] for row in items], [row[1] for row in items], genres)
    return _interactions(log, user_table, item_table)


def _read_1m(paths: dict[str, Path]) -> Interactions:
    log = np.array(_rows(paths["ratings.dat"], "::", 4), dtype=np.int64)
    users = _rows(paths["users.dat"], "::", 5)
    items = _rows(paths["movies.dat"], "::", 3)
    user_table: dict[str, Column] = {
        "user_id": np.array([int(row[0]) for row in users]),
        "age": np.array([float(row[2]) for row in users]),
        "gender": np.array([row[1] for row in users]),
        "occupation": np.array([OCCUPATIONS_1M[int(row[3])] for row in users]),
        "zip_code": np.array([row[4] for row in users]),
    }
    genres = Bags.from_lists([row[2].split("|") for row in items], dtype=np.str_)
    return _interactions(
        log, user_table, _item_table([row[0] for row in items], [row[1] for row in items], genres)
    )


def _item_table(ids: list[str], titles: list[str], genres: Bags) -> dict[str, Column]:
    years = [re.findall(r"\((\d{4})\)", title) for title in titles]
    return {
        "item_id": np.array([int(item) for item in ids]),
        "title": np.array([title.strip() for title in titles]),
        "genres": genres,
        "year": np.array([float(found[-1]) if found else np.nan for found in years]),
    }


def _interactions(log: NDArray[np.int64], users: dict[str, Column], items: dict[str, Column]) -> Interactions:
    return Interactions(
        log[:, 0], log[:, 1], timestamps=log[:, 3], ratings=log[:, 2], users=users, items=items
    )


def _rows(path: Path, separator: str, n_fields: int) -> list[list[str]]:
    """Return the fields of each line; a line with another number of fields is an error."""
    rows = [line.split(separator) for line in path.read_text(encoding="latin-1").split("\n") if line]
    for number, row in enumerate(rows, start=1):
        if len(row) != n_fields:
            raise ValueError(
                f"`{path.name}` must have {n_fields} fields a line; got {len(row)} in line {number}, {path}. "
                "Delete the file and fetch it again."
            )
    return rows
