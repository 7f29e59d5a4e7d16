from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from sparse_data.datasets import amazon_yelp, fetch_amazon, fetch_yelp
from sparse_data.datasets.download import DataFile


@pytest.mark.parametrize(
    ("fetch", "file", "users", "items", "rows"),
    [
        (lambda: fetch_amazon("beauty"), "Beauty", 22_363, 12_101, 198_502),
        (lambda: fetch_amazon("sports"), "Sports_and_Outdoors", 35_598, 18_357, 296_337),
        (fetch_yelp, "Yelp", 30_431, 20_033, 316_354),
    ],
)
def test_real(real_data, fetch, file, users, items, rows):
    log = fetch()
    assert (
        len(log) == rows
    )  # this number and those of users and items as counted when the files were published
    assert len(np.unique(log.user_ids)) == users
    assert len(np.unique(log.item_ids)) == len(log.items["item_id"]) == items
    raw = json.loads((real_data / "s3rec-amazon-yelp-lastfm" / f"{file}_item2attributes.json").read_text())
    for item, bag in zip(log.items["item_id"].tolist(), log.items["attributes"], strict=True):
        assert bag.tolist() == raw[str(item)]
    first = (real_data / "s3rec-amazon-yelp-lastfm" / f"{file}.txt").read_text().split("\n")[0].split()
    assert log.item_ids[log.user_ids == 1].tolist() == [int(item) for item in first[1:]]
    assert log.timestamps[log.user_ids == 1].tolist() == list(range(len(first) - 1))


def test_small(site, tmp_path, monkeypatch):
    contents = {"Beauty.txt": b"1 5 4\n2 4\n", "Beauty_item2attributes.json": b'{"5": [2, 1], "4": []}'}
    files = []
    for name, content in contents.items():
        site.pages[f"/{name}"] = content
        files.append(DataFile(name, hashlib.sha256(content).hexdigest(), f"{site.url}/{name}"))
    monkeypatch.setitem(amazon_yelp.FILES, "Beauty", tuple(files))
    log = fetch_amazon(data_home=tmp_path)
    assert log.user_ids.tolist() == [1, 1, 2]
    assert log.item_ids.tolist() == [5, 4, 4]
    assert log.timestamps.tolist() == [0, 1, 0]
    assert log.items["item_id"].tolist() == [4, 5]
    assert [bag.tolist() for bag in log.items["attributes"]] == [[], [2, 1]]


def test_unknown_name():
    with pytest.raises(ValueError, match="`name` must be one of 'beauty', 'sports'; got 'toys'"):
        fetch_amazon("toys")
