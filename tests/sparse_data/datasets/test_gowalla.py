from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import scipy.sparse

from sparse_data.datasets import fetch_gowalla, gowalla
from sparse_data.datasets.download import DataFile


def test_real(real_data):
    train, test = fetch_gowalla()
    # As published: 29,858 users, 40,981 items, 1,027,370 interactions.
    assert (len(train), len(test)) == (810_128, 217_242)
    assert len(train) + len(test) == 1_027_370
    assert len(train.users["user_id"]) == 29_858
    assert len(train.items["item_id"]) == 40_981
    # The first line of test.txt begins "0 7580 3730 5983"; of user_list.txt, after its header, "343 0".
    assert test.item_ids[:3].tolist() == [7580, 3730, 5983]
    assert (train.users["user_id"][0], train.users["original_id"][0]) == (0, 343)
    pairs = [log.user_ids * 40_981 + log.item_ids for log in (train, test)]
    assert len(np.unique(np.concatenate(pairs))) == 1_027_370


@pytest.fixture
def small(site, monkeypatch):
    # Users 0, 1; items 0, 1, 2. User 0 trains on items 0 and 2, user 1 on item 1.
    adjacency = np.zeros((5, 5), dtype=np.float32)
    for user, item in ((0, 0), (0, 2), (1, 1)):
        adjacency[user, 2 + item] = adjacency[2 + item, user] = 1
    buffer = io.BytesIO()
    scipy.sparse.save_npz(buffer, scipy.sparse.csr_matrix(adjacency))
    contents = {
        "s_adj_mat.npz": buffer.getvalue(),
        "test.txt": b"0 1\n1 2 0\n",
        "user_list.txt": b"org_id remap_id\n343 0\n5258 1\n",
        "item_list.txt": b"org_id remap_id\n8975 0\n9190 1\n15195 2\n",
    }
    files = []
    for name, content in contents.items():
        site.pages[f"/{name}"] = content
        files.append(DataFile(name, hashlib.sha256(content).hexdigest(), f"{site.url}/{name}"))
    monkeypatch.setattr(gowalla, "FILES", tuple(files))
    return site


def test_small(small, tmp_path):
    train, test = fetch_gowalla(data_home=tmp_path)
    assert list(zip(train.user_ids.tolist(), train.item_ids.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 1),
    ]
    assert list(zip(test.user_ids.tolist(), test.item_ids.tolist(), strict=True)) == [(0, 1), (1, 2), (1, 0)]
    assert train.items["original_id"].tolist() == [8975, 9190, 15195]
    assert test.users["original_id"].tolist() == [343, 5258]
    assert train.ratings is None
    assert train.timestamps is None
    fetch_gowalla(data_home=tmp_path, download=False)
    assert len(small.requests) == 4


def test_urls_name_the_published_files():
    assert all(file.url.endswith(f"/data/gowalla/{file.name}") for file in gowalla.FILES)
