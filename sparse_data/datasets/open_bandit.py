"""Open Bandit, small version: fashion items shown on ZOZOTOWN with known propensities; clicks only."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from sparse_data.checks import check_one_of
from sparse_data.datasets.columns import Column, as_seconds, to_columns
from sparse_data.datasets.download import DataFile, fetch_files
from sparse_data.datasets.impressions import Impressions, errors_of
from sparse_data.datasets.side_columns import side_columns
from sparse_data.datasets.tables import read_table

FOLDER = "open-bandit-small"
_URL = "https://raw.githubusercontent.com/st-tech/zr-obp/8cbd5fa4558b7ad2ba4781546d6604e4cc3e07c4/obd/"
_LOGS = {
    ("bts", "all"): "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
    ("bts", "men"): "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
    ("bts", "women"): "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
    ("random", "all"): "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
    ("random", "men"): "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
    ("random", "women"): "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
}
_ITEMS = {
    ("bts", "all"): "5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153",
    ("bts", "men"): "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d",
    ("bts", "women"): "a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4",
    ("random", "all"): "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358",
    ("random", "men"): "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09",
    ("random", "women"): "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147",
}
_USER_FEATURES = tuple(f"user_feature_{place}" for place in range(4))


def fetch_open_bandit(
    policy: Literal["random", "bts"] = "random",
    campaign: Literal["all", "men", "women"] = "all",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Impressions:
    """Return 10,000 impressions of one campaign, items chosen by lot or by Bernoulli Thompson sampling.

    The log has 38 to 69 clicks and no purchases: all conversions are 0.

    Parameters
    ----------
    policy : {"random", "bts"}, default="random"
    campaign : {"all", "men", "women"}, default="all"
        80, 34 or 46 items.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files lie in
        ``open-bandit-small/<policy>/<campaign>`` below it.
    download : bool, default=True
        Whether absent files may be downloaded.

    Returns
    -------
    Impressions
        Columns: timestamp (float64 seconds since 1970), item_id, position (int), propensity_score (float: the
        probability with which the policy chose the item; no feature to learn from), user_feature_0 to 3
        (str), affinity (float, shape (n, n_items)), item_feature_0 (float) and item_feature_1 to 3 (str).

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had; CorruptedFileError if it has another content than the known.
    ImportError
        If neither pyarrow nor polars nor pandas is installed.

    References
    ----------
    Y. Saito et al. Open Bandit Dataset and Pipeline. NeurIPS Datasets and Benchmarks 2021, arXiv:2008.07146.
    """
    check_one_of("policy", policy, ("random", "bts"))
    check_one_of("campaign", campaign, ("all", "men", "women"))
    place = f"{policy}/{campaign}/"
    log = DataFile(f"{campaign}.csv", _LOGS[policy, campaign], f"{_URL}{place}{campaign}.csv")
    items = DataFile("item_context.csv", _ITEMS[policy, campaign], f"{_URL}{place}item_context.csv")
    paths = fetch_files(f"{FOLDER}/{policy}/{campaign}", [log, items], data_home=data_home, download=download)
    with errors_of(paths[log.name]):
        shown: dict[str, Any] = to_columns(read_table(paths[log.name]))
    affinities = [name for name in shown if name.startswith("user-item_affinity_")]
    context = to_columns(read_table(paths[items.name]))
    of_items = {name: column for name, column in context.items() if name.startswith("item_")}
    columns: dict[str, Column] = {
        "timestamp": as_seconds("timestamp", shown["timestamp"]),
        "item_id": shown["item_id"],
        "position": shown["position"],
        "propensity_score": shown["propensity_score"],
        **{name: shown[name] for name in _USER_FEATURES},
        "affinity": np.stack([shown[name] for name in affinities], axis=1),
        **side_columns(shown["item_id"], of_items, "item_id", path=paths[items.name]),
    }
    return Impressions(columns, shown["click"], np.zeros(len(shown["click"]), dtype=np.int8))
