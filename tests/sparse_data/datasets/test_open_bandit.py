from __future__ import annotations

import csv
from datetime import datetime

import numpy as np
import pytest

from sparse_data.datasets import DownloadError
from sparse_data.datasets.open_bandit import fetch_open_bandit


@pytest.mark.parametrize(
    ("policy", "campaign", "n_items", "clicks"),
    [("random", "all", 80, 38), ("bts", "men", 34, 69), ("random", "women", 46, 46)],
)
def test_real(real_data, policy, campaign, n_items, clicks):
    shown = fetch_open_bandit(policy, campaign)
    assert (len(shown), shown.clicks.sum(), shown.conversions.sum()) == (10_000, clicks, 0)
    folder = real_data / "open-bandit-small" / policy / campaign
    with (folder / f"{campaign}.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "item_context.csv").open() as file:
        items = {row["item_id"]: row for row in csv.DictReader(file)}
    columns = shown.columns
    assert columns["affinity"].shape == (10_000, n_items)
    for place in (0, 4_321, 9_999):
        row, item = rows[place], items[rows[place]["item_id"]]
        assert columns["item_id"][place] == int(row["item_id"])
        assert columns["propensity_score"][place] == float(row["propensity_score"])
        assert columns["user_feature_3"][place] == row["user_feature_3"]
        assert columns["item_feature_0"][place] == float(item["item_feature_0"])
        assert columns["item_feature_2"][place] == item["item_feature_2"]
        assert abs(columns["timestamp"][place] - datetime.fromisoformat(row["timestamp"]).timestamp()) < 1e-3
        wanted = [float(row[name]) for name in row if name.startswith("user-item_affinity")]
        assert columns["affinity"][place].tolist() == wanted
    if policy == "random":
        # Drawn by lot: every item with the same probability.
        np.testing.assert_allclose(columns["propensity_score"], 1 / n_items, rtol=1e-9)


def test_refused(tmp_path):
    with pytest.raises(ValueError, match="`policy` must be one of 'random', 'bts'"):
        fetch_open_bandit("uniform")
    with pytest.raises(ValueError, match="`campaign` must be one of 'all', 'men', 'women'"):
        fetch_open_bandit("bts", "kids")
    with pytest.raises(DownloadError, match=r"open-bandit-small/bts/men"):
        fetch_open_bandit("bts", "men", data_home=tmp_path, download=False)
