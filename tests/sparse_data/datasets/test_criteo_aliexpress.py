from __future__ import annotations

import csv

import numpy as np
import pytest

from sparse_data.datasets import DownloadError
from sparse_data.datasets.aliexpress import aliexpress_files, fetch_aliexpress
from sparse_data.datasets.criteo import CATEGORIES, DENSE, criteo_files

pytest.importorskip("pyarrow")


def test_criteo_sample(real_data, tmp_path):
    content = (real_data / "ctr-cvr-tiny-samples" / "deepctr" / "criteo_sample.txt").read_text()
    (tmp_path / "criteo.csv").write_text(content)
    rows = list(csv.DictReader(content.splitlines()))
    for block_rows in (7, 50_000):
        shown = criteo_files(tmp_path / "criteo.csv", block_rows=block_rows).read()
        assert list(shown.columns) == [*DENSE, *CATEGORIES]
        assert shown.clicks.tolist() == [int(row["label"]) for row in rows]
        assert not shown.conversions.any()
        for name in DENSE:
            wanted = [float(row[name]) if row[name] else np.nan for row in rows]
            np.testing.assert_array_equal(shown.columns[name], wanted)
        for name in CATEGORIES:
            assert shown.columns[name].tolist() == [row[name] for row in rows]


def test_criteo_codes_stay_text(tmp_path):
    path = tmp_path / "log.csv"
    codes = ["05000000", "1e100000"]
    rows = [f"1,{click}," + ",".join(["3"] * 13 + [code] * 26) for click, code in enumerate(codes)]
    path.write_text("\n".join([",".join(["seen", "sold", *DENSE, *CATEGORIES]), *rows]))
    shown = criteo_files(path, click="seen", conversion="sold").read()
    assert shown.columns["C7"].tolist() == codes
    assert shown.conversions.tolist() == [0, 1]


def test_aliexpress_sample(real_data):
    path = real_data / "ctr-cvr-tiny-samples" / "aliexpress" / "aliexpress_train_sample.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for block_rows in (9, 50_000):
        shown = aliexpress_files(path, block_rows=block_rows).read()
        assert shown.clicks.tolist() == [int(row["click"]) for row in rows]
        assert shown.conversions.tolist() == [int(row["conversion"]) for row in rows]
        assert shown.group.tolist() == [int(row["search_id"]) for row in rows]
        assert len(shown.columns) == 16 + 63
        for name, column in shown.columns.items():
            assert column.dtype == (np.int64 if name.startswith("categorical") else np.float64)
            assert column.tolist() == [float(row[name]) for row in rows]


def test_aliexpress_fetch(real_data, tmp_path):
    with pytest.raises(DownloadError, match=r"AliExpress_ES/test\.csv.*Log in at https://tianchi"):
        fetch_aliexpress("ES", "test", data_home=tmp_path)
    with pytest.raises(ValueError, match="`country` must be one of"):
        fetch_aliexpress("DE")
    sample = real_data / "ctr-cvr-tiny-samples" / "aliexpress" / "aliexpress_test_sample.csv"
    (tmp_path / "AliExpress_ES").mkdir()
    (tmp_path / "AliExpress_ES" / "test.csv").write_bytes(sample.read_bytes())
    assert fetch_aliexpress("ES", "test", data_home=tmp_path).block_lengths.tolist() == [20]
