from __future__ import annotations

import numpy as np
import pytest

from sparse_data.datasets.impression_files import ImpressionFiles
from sparse_data.datasets.impressions import Impressions

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N = 23


def table():
    return {
        "ad": np.arange(N) + 100,
        "code": np.array([f"{row:04d}" for row in range(N)]),
        "tags": np.array(["|".join("abc"[: row % 4]) for row in range(N)]),
        "price": np.arange(N) + 0.5,
        "click": np.arange(N) % 2,
        "buy": (np.arange(N) % 4 == 1).astype(int),
        "user": np.arange(N) // 5,
    }


def write_csv(path, columns=None, end="\n", separator=","):
    columns = columns or table()
    rows = [
        separator.join(map(str, row)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    path.write_text("\n".join([separator.join(columns), *rows]) + end)
    return path


def check(made, rows=slice(None)):
    wanted = Impressions.from_frame(
        table(), click="click", conversion="buy", group="user", multi_valued=["tags"]
    )
    wanted = wanted.take(rows)
    assert list(made.columns) == list(wanted.columns) == ["ad", "code", "tags", "price"]
    for name in ("ad", "code", "price"):
        assert made.columns[name].tolist() == wanted.columns[name].tolist()
    assert [bag.tolist() for bag in made.columns["tags"]] == [bag.tolist() for bag in wanted.columns["tags"]]
    for name in ("clicks", "conversions", "group"):
        assert getattr(made, name).tolist() == getattr(wanted, name).tolist()


def files(paths, **arguments):
    given = {
        "click": "click",
        "conversion": "buy",
        "group": "user",
        "multi_valued": ["tags"],
        "text": ["code"],
    }
    return ImpressionFiles(paths, **{**given, **arguments})


@pytest.mark.parametrize("block_rows", [1, 5, 22, 23, 24])
@pytest.mark.parametrize(
    ("ending", "separator", "end"), [(".csv", ",", "\n"), (".csv", ",", ""), (".TSV", "\t", "\n")]
)
def test_text(tmp_path, block_rows, ending, separator, end):
    path = write_csv(tmp_path / f"log{ending}", end=end, separator=separator)
    made = files(path, block_rows=block_rows)
    full, rest = divmod(N, block_rows)
    assert made.block_lengths.tolist() == [block_rows] * full + [rest] * (rest > 0)
    check(made.read())
    starts = np.cumsum([0, *made.block_lengths])
    for place in reversed(range(len(made.block_lengths))):
        check(made.read_block(place), slice(starts[place], starts[place + 1]))


def test_windows_line_ends(tmp_path):
    path = write_csv(tmp_path / "log.csv")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    check(files(path, block_rows=7).read())


def test_parquet(tmp_path):
    half = pyarrow.table(table())
    parquet.write_table(half.slice(0, 15), tmp_path / "one.parquet", row_group_size=6)
    parquet.write_table(half.slice(15), tmp_path / "two.parquet", row_group_size=100)
    made = files([tmp_path / "one.parquet", tmp_path / "two.parquet"])
    assert made.block_lengths.tolist() == [6, 6, 3, 8]
    check(made.read())
    check(made.read_block(2), slice(12, 15))
    some = files(tmp_path / "one.parquet", columns=["price", "ad"], multi_valued=()).read_block(1)
    assert list(some.columns) == ["price", "ad"]
    assert some.group.tolist() == [1, 1, 1, 1, 2, 2]


def test_lists_in_parquet(tmp_path):
    lists = pyarrow.table({"tags": [[1, 2], [], None, [3]], "click": [0, 1, 1, 0]})
    parquet.write_table(lists, tmp_path / "log.parquet", row_group_size=2)
    made = ImpressionFiles(tmp_path / "log.parquet", click="click", conversion=None).read()
    assert [bag.tolist() for bag in made.columns["tags"]] == [[1, 2], [], [], [3]]
    assert made.conversions.tolist() == [0, 0, 0, 0]


def test_types_are_those_of_the_first_block(tmp_path):
    columns = {
        "x": np.array(["1", "2", "3", "x"]),
        "y": np.array(["", "7", "", "0.5"]),
        "click": np.zeros(4, int),
    }
    path = write_csv(tmp_path / "log.csv", columns)
    plain = ImpressionFiles(path, click="click", conversion=None, block_rows=2, numbers=["y"])
    assert plain.read_block(0).columns["x"].tolist() == [1, 2]
    with pytest.raises(
        ValueError, match=r"log\.csv: rows from 3 on cannot be read: .*name columns of mixed values"
    ):
        plain.read_block(1)
    told = ImpressionFiles(
        path, click="click", conversion=None, block_rows=2, text=["x"], numbers=["y"]
    ).read()
    assert told.columns["x"].tolist() == ["1", "2", "3", "x"]
    np.testing.assert_array_equal(told.columns["y"], [np.nan, 7, np.nan, 0.5])


@pytest.mark.parametrize(
    ("content", "arguments", "match"),
    [
        ("", {}, r"log\.csv: it must hold rows; got none"),
        ("ad,click\n", {}, r"log\.csv: it must hold rows; got none"),
        (
            "ad,click\n1,0\n1,0,5\n",
            {},
            r"log\.csv: rows from 1 on cannot be read.*Give every row as many fields",
        ),
        ("ad,click\n1,0\n1\n", {}, r"log\.csv: rows from 1 on cannot be read"),
        ("ad,click\n1,0\n\n2,1\n", {}, r"log\.csv: rows 1 to 3 must be a line each; got 2 rows"),
        ('ad,click\n"1\n2",0\n3,0\n', {}, r"log\.csv: rows 1 to 3 must be a line each; got 2 rows"),
        ("ad,click\n1,3\n", {}, r"log\.csv: `click` must be 0 or 1; got 3"),
        ("ad,click\n1,0\n", {"click": "seen"}, r"log\.csv: `click` must name a column"),
        ("ad,click\n1,0\n", {"text": ["code"]}, r"log\.csv: it must have the columns \['code'\]"),
    ],
)
def test_refused(tmp_path, content, arguments, match):
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(ValueError, match=match):
        ImpressionFiles(tmp_path / "log.csv", **{"click": "click", "conversion": None, **arguments}).read()


def test_refused_parquet(tmp_path):
    path = tmp_path / "log.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"log\.parquet: it must be a Parquet file"):
        files(path).read()
    parquet.write_table(pyarrow.table(table()), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"log\.parquet: it must be a Parquet file"):
        files(path).read()
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"log\.parquet: it must have the columns \['age'\]"):
        files(path, columns=["age"]).read()


def test_refused_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`paths` must be files; got .*absent\.csv"):
        files(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match=r"`path` must be one of '.csv', '.tsv', '.parquet'"):
        files(tmp_path / "log.txt")
    with pytest.raises(ValueError, match="`paths` must be non-empty"):
        files([])
    with pytest.raises(ValueError, match="`block_rows` must be at least 1"):
        files(write_csv(tmp_path / "log.csv"), block_rows=0)
