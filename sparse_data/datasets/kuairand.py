"""KuaiRand-Pure: videos shown to users of Kuaishou, by its recommenders and by lot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sparse_data.checks import check_one_of
from sparse_data.datasets.columns import Column, to_columns
from sparse_data.datasets.download import VARIABLE, DownloadError, find_data_home
from sparse_data.datasets.impressions import Impressions, errors_of
from sparse_data.datasets.side_columns import side_columns
from sparse_data.datasets.tables import read_table

FOLDER = "KuaiRand-Pure/data"
PAGE = "https://zenodo.org/records/10439422"
LOGS = {
    "standard": ("log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv"),
    "standard_first": ("log_standard_4_08_to_4_21_pure.csv",),
    "standard_second": ("log_standard_4_22_to_5_08_pure.csv",),
    "random": ("log_random_4_22_to_5_08_pure.csv",),
}
USERS, VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
CONVERSIONS = ("long_view", "is_like", "is_follow", "is_comment", "is_forward", "is_profile_enter")
_LOG_COLUMNS = ("user_id", "video_id", "hourmin", "tab", "is_click")


def fetch_kuairand(
    log: Literal["standard", "standard_first", "standard_second", "random"] = "standard",
    *,
    conversion: str = "long_view",
    data_home: str | os.PathLike[str] | None = None,
) -> Impressions:
    """Return KuaiRand-Pure: 1,436,609 impressions chosen by recommenders, or 1,186,059 drawn by lot.

    The licence of the data is CC BY-SA 4.0. They are not downloaded for you: the archive is large and its
    checksum is not known here.

    Parameters
    ----------
    log : {"standard", "standard_first", "standard_second", "random"}, default="standard"
        Chosen by recommenders (all, 8 to 21 April 2022, 22 April to 8 May), or drawn by lot, which shows
        what models learn without the bias of selection.
    conversion : str, default="long_view"
        What counts as a conversion when it follows a click: "long_view", "is_like", "is_follow",
        "is_comment", "is_forward" or "is_profile_enter".
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``KuaiRand-Pure/data`` below it, as in the archive.

    Returns
    -------
    Impressions
        Columns: user_id, video_id, hour, tab (int), all columns of users (ranges are str) and of videos
        (tag is Bags of str). What came after the impression, such as the time of play, is left out. `group`
        is the user. A like without a click is no conversion, as in y & z of the funnel.

    Raises
    ------
    DownloadError
        If a file is absent.
    ValueError
        If a file is unreadable or lacks a column or an id; the message names it.

    References
    ----------
    C. Gao et al. KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos. CIKM
    2022, arXiv:2208.08696.
    """
    check_one_of("log", log, tuple(LOGS))
    check_one_of("conversion", conversion, CONVERSIONS)
    home = find_data_home(data_home) / FOLDER
    for name in (*LOGS[log], USERS, VIDEOS):
        if not (home / name).is_file():
            raise DownloadError(
                f"`{name}` must be in the cache; got no file {home / name}. Download KuaiRand-Pure.tar.gz "
                f"from {PAGE} and unpack it in {home.parent.parent}, or set {VARIABLE} to the folder that "
                f"holds {FOLDER}/{name}."
            )
    shown = _read_logs([home / name for name in LOGS[log]], conversion)
    with errors_of(home / VIDEOS):
        videos = to_columns(read_table(home / VIDEOS))
        videos = to_columns({**videos, "tag": _as_text(videos["tag"])}, multi_valued=["tag"], separator=",")
    users = to_columns(read_table(home / USERS))
    columns: dict[str, Column] = {
        "user_id": shown["user_id"],
        "video_id": shown["video_id"],
        "hour": shown["hourmin"] // 100,
        "tab": shown["tab"],
        **side_columns(shown["user_id"], users, "user_id", path=home / USERS),
        **side_columns(shown["video_id"], videos, "video_id", path=home / VIDEOS),
    }
    made = Impressions(columns, shown["is_click"], shown[conversion], shown["user_id"])
    return made.replace(conversions=made.clicks & made.conversions)


def _read_logs(paths: list[Path], conversion: str) -> dict[str, Any]:
    wanted = (*_LOG_COLUMNS, conversion)
    parts = []
    for path in paths:
        with errors_of(path):
            table = to_columns(read_table(path))
            for name in wanted:
                if name not in table or np.asarray(table[name]).dtype.kind != "i":
                    raise ValueError(f"it must have the column {name!r} of whole numbers; got {list(table)}.")
        parts.append(table)
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _as_text(column: Column) -> Column:
    """Return tags as text: a file whose videos have one tag each holds numbers."""
    values = np.asarray(column)
    if values.dtype.kind == "f":
        return np.array(
            ["" if np.isnan(value) else str(int(value)) for value in values.tolist()], dtype=np.str_
        )
    return values.astype(np.str_)
