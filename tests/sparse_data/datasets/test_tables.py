from __future__ import annotations

import importlib.util

import pytest

from sparse_data.datasets import Interactions, tables
from sparse_data.datasets.columns import raw_columns
from sparse_data.datasets.tables import read_table


@pytest.fixture(params=["pyarrow", "polars", "pandas"])
def engine(request, monkeypatch) -> str:
    pytest.importorskip(request.param)
    monkeypatch.setattr(tables, "ENGINES", (request.param,))
    return request.param


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ","), (".tsv", "\t"), (".CSV", ",")])
def test_text(engine, tmp_path, ending, separator):
    path = tmp_path / f"log{ending}"
    rows = [["user_id", "item_id", "note"], ["1", "a", '"one, two\t."'], ["2", "b", "x"]]
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8-sig")
    frame = read_table(path)
    assert type(frame).__module__.startswith(engine)
    columns = raw_columns(frame)
    assert list(columns) == ["user_id", "item_id", "note"]
    assert columns["user_id"].tolist() == [1, 2]
    assert columns["note"].tolist() == ["one, two\t.", "x"]


def test_parquet(engine, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"user_id": [1, 2], "item_id": ["a", "b"]}), tmp_path / "log.parquet")
    made = Interactions.read(tmp_path / "log.parquet")
    assert made.item_ids.tolist() == ["a", "b"]


def test_kind_of_a_column_is_found_from_all_rows(engine, tmp_path):
    path = tmp_path / "log.csv"
    body = "".join(f"{row},{row}\n" for row in range(300_000))
    path.write_text(f"user_id,item_id\n{body}guest,1\n")
    made = Interactions.read(path)
    assert made.user_ids[0] == "0"
    assert made.user_ids[-1] == "guest"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"must hold a header and rows; got an empty file, .*log\.csv"),
        (b"user_id,item_id\n", "must hold a header and rows; got a file without rows"),
        (b"user_id,item_id\n1,2\n1,2,3\n", r"must be a readable \.csv file.*as many fields as the header"),
    ],
)
def test_refused(engine, tmp_path, content, match):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_table(tmp_path / "log.csv")


def test_short_row_is_refused(engine, tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2\n1\n")
    with pytest.raises(ValueError, match=r"must be a readable|without missing values"):
        Interactions.read(tmp_path / "log.csv")


def test_broken_parquet(engine, tmp_path):
    (tmp_path / "log.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ValueError, match=rf"must be a readable \.parquet file.*{engine} says"):
        read_table(tmp_path / "log.parquet")


def test_every_row_too_long_is_refused(engine, tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2,3\n1,2,3\n")
    with pytest.raises(ValueError, match="must be a readable"):
        read_table(tmp_path / "log.csv")


def test_path(tmp_path):
    with pytest.raises(
        ValueError, match=r"`path` must be one of '\.csv', '\.tsv', '\.parquet'; got '\.xlsx'"
    ):
        read_table(tmp_path / "log.xlsx")
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        read_table(tmp_path / "log.csv")


def test_without_a_reader(tmp_path, monkeypatch):
    (tmp_path / "log.csv").write_text("a\n1\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sparselabels\[recsys\]'"):
        read_table(tmp_path / "log.csv")
