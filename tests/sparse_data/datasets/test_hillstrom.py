from __future__ import annotations

import csv
import hashlib

import numpy as np
import pytest

from sparse_data.datasets import hillstrom
from sparse_data.datasets.download import CorruptedFileError, DataFile, DownloadError


def test_real(real_data):
    shown = hillstrom.fetch_hillstrom()
    # The figures of the campaign as published.
    assert (len(shown), shown.clicks.sum(), shown.conversions.sum()) == (64_000, 9_394, 578)
    assert len(shown.drop_unclicked_conversions()) == 64_000
    assert list(shown.columns) == list(hillstrom.FEATURES)
    assert np.unique(shown.columns["segment"]).tolist() == ["Mens E-Mail", "No E-Mail", "Womens E-Mail"]
    with (real_data / "hillstrom-email" / "hillstrom.csv").open() as file:
        rows = list(csv.DictReader(file))
    for place in (0, 1, 31_415, 63_999):
        for name, column in shown.columns.items():
            value = column[place]
            assert rows[place][name] == str(value) or float(rows[place][name]) == value
        assert shown.clicks[place] == int(rows[place]["visit"])


def test_small(site, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    header = ",".join([*hillstrom.FEATURES, "visit", "conversion", "spend"])
    rows = "1,a,2.5,1,0,Rural,0,Web,No E-Mail,1,1,9.5\n2,b,3.5,0,1,Urban,1,Phone,Mens E-Mail,0,0,0\n"
    content = f"{header}\n{rows}".encode()
    site.pages["/data.csv"] = content
    file = DataFile("hillstrom.csv", hashlib.sha256(content).hexdigest(), f"{site.url}/data.csv")
    monkeypatch.setattr(hillstrom, "FILE", file)
    with pytest.raises(DownloadError, match="hillstrom-email"):
        hillstrom.fetch_hillstrom(data_home=tmp_path, download=False)
    shown = hillstrom.fetch_hillstrom(data_home=tmp_path)
    assert shown.conversions.tolist() == [1, 0]
    assert "spend" not in shown.columns
    assert shown.columns["zip_code"].tolist() == ["Rural", "Urban"]
    (tmp_path / "hillstrom-email" / "hillstrom.csv").write_bytes(content[:-3])
    with pytest.raises(CorruptedFileError, match="SHA-256"):
        hillstrom.fetch_hillstrom(data_home=tmp_path, download=False)
