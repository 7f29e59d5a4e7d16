from __future__ import annotations

import numpy as np
import pytest

from sparse_data import Bags
from sparse_data.datasets.impressions import Impressions
from sparse_data.datasets.joined_impressions import concatenate_impressions

TAGS = Bags.from_lists([["a"], [], ["b", "a"], ["c"]], weights=[[1.0], [], [2.0, 0.5], [3.0]])


@pytest.fixture
def shown():
    columns = {"ad": [4, 5, 6, 7], "price": [1.0, None, 3.0, 4.0], "tags": TAGS, "vector": np.eye(4)}
    return Impressions(columns, [1, 0, 1, 1], [True, False, False, True], group=["x", "y", "x", "y"])


def test_fields(shown):
    assert len(shown) == 4
    assert shown.clicks.dtype == shown.conversions.dtype == np.int8
    assert shown.conversions.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(shown.columns["price"], [1.0, np.nan, 3.0, 4.0])
    assert repr(shown) == "Impressions(4 rows; 3 clicks; 2 conversions; ad, price, tags, vector)"


@pytest.mark.parametrize("index", [[2, 0], np.array([True, False, True, False]), slice(0, 3, 2)])
def test_take(shown, index):
    rows = np.arange(4)[index].tolist()
    some = shown.take(index)
    assert some.columns["ad"].tolist() == [4 + row for row in rows]
    assert [bag.tolist() for bag in some.columns["tags"]] == [TAGS[row].tolist() for row in rows]
    assert some.columns["tags"].weights is not None
    np.testing.assert_array_equal(some.columns["vector"], np.eye(4)[rows])
    assert some.clicks.tolist() == [[1, 0, 1, 1][row] for row in rows]
    assert some.conversions.tolist() == [[1, 0, 0, 1][row] for row in rows]
    assert some.group.tolist() == [["x", "y", "x", "y"][row] for row in rows]


def test_nothing_is_altered():
    clicks = np.array([1, 0])
    columns = {"ad": np.array([1, 2])}
    made = Impressions(columns, clicks, [0, 0])
    made.clicks[:] = 0
    made.columns["ad"][:] = 0
    assert clicks.tolist() == [1, 0]
    assert columns["ad"].tolist() == [1, 2]


def test_empty_and_without_columns():
    assert len(Impressions({}, [], [])) == 0
    assert repr(Impressions({}, [1], [0])) == "Impressions(1 rows; 1 clicks; 0 conversions)"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"clicks": [1, 2, 0]}, "`clicks` must be 0 or 1; got 2 at position 1"),
        ({"conversions": [0, float("nan"), 0]}, "`conversions` must be 0 or 1; got nan at position 1"),
        ({"conversions": [0, 0.5, 0]}, "`conversions` must be 0 or 1; got 0.5"),
        ({"clicks": [1, 0]}, "must be of the same length; got 2 and 3"),
        ({"columns": {"ad": [1, 2]}}, "`clicks` and `ad` must be of the same length; got 3 and 2"),
        ({"group": [1, 2]}, "must be of the same length"),
        ({"clicks": [[1], [0], [1]]}, "`clicks` must be 1-dimensional"),
        ({"group": ["a", "", "b"]}, "`group` must be without missing values"),
    ],
)
def test_refused(arguments, match):
    good = {"columns": {"ad": [1, 2, 3]}, "clicks": [1, 0, 1], "conversions": [0, 0, 1]}
    with pytest.raises(ValueError, match=match):
        Impressions(**{**good, **arguments})


def test_refused_text():
    with pytest.raises(TypeError, match="`clicks` must be numeric"):
        Impressions({"ad": [1]}, ["yes"], [0])


def test_conversions_without_a_click_can_be_dropped():
    shown = Impressions({"ad": [1, 2, 3, 4]}, [1, 0, 0, 1], [1, 1, 0, 0])
    assert shown.drop_unclicked_conversions().columns["ad"].tolist() == [1, 3, 4]


def test_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("ad,tags,seen,bought,user,paid\n1,a|b,1,1,7,3.5\n2,,0,0,8,0\n")
    made = Impressions.read(path, click="seen", conversion="bought", group="user", multi_valued=["tags"])
    assert list(made.columns) == ["ad", "tags", "paid"]
    assert [bag.tolist() for bag in made.columns["tags"]] == [["a", "b"], []]
    assert made.group.tolist() == [7, 8]
    some = Impressions.read(path, click="seen", conversion=None, columns=["ad"])
    assert list(some.columns) == ["ad"]
    assert some.conversions.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"click": "clicks"}, r"log\.csv: `click` must name a column of the table; got 'clicks'"),
        ({"conversion": "buy"}, r"log\.csv: `conversion` must name a column"),
        ({"columns": ["ad", "age"]}, r"log\.csv: `columns` must name a column of the table; got 'age'"),
        ({"conversion": "paid"}, r"log\.csv: `paid` must be 0 or 1; got 3.5"),
    ],
)
def test_read_refused(tmp_path, arguments, match):
    path = tmp_path / "log.csv"
    path.write_text("ad,seen,bought,paid\n1,1,1,3.5\n")
    with pytest.raises(ValueError, match=match):
        Impressions.read(path, **{"click": "seen", "conversion": "bought", **arguments})


def test_concatenate(shown):
    both = concatenate_impressions([shown.take([3, 1]), shown.take([0]), shown.take([2])])
    straight = shown.take([3, 1, 0, 2])
    assert both.columns["tags"] == straight.columns["tags"]
    for name in ("ad", "price", "vector"):
        np.testing.assert_array_equal(both.columns[name], straight.columns[name])
    for name in ("clicks", "conversions", "group"):
        np.testing.assert_array_equal(getattr(both, name), getattr(straight, name))


def test_concatenate_refused(shown):
    with pytest.raises(ValueError, match="`parts` must be non-empty"):
        concatenate_impressions([])
    with pytest.raises(ValueError, match="`parts` must have the same columns"):
        concatenate_impressions([shown, shown.replace(columns={"ad": [1, 2, 3, 4]})])
    with pytest.raises(ValueError, match="a group all or none"):
        concatenate_impressions([shown, shown.replace(group=None)])
    text = Impressions({"ad": ["1"]}, [0], [0])
    with pytest.raises(ValueError, match="`ad` must hold values of one kind in all parts"):
        concatenate_impressions([text, Impressions({"ad": [1]}, [0], [0])])


def test_sample_of_torch_rechub(real_data):
    path = real_data / "ctr-cvr-tiny-samples" / "ali-ccp" / "ali_ccp_train_sample.csv"
    made = Impressions.read(path, click="click", conversion="purchase")
    lines = path.read_text().split("\n")
    assert len(made) == 100
    assert len(made.columns) == 31 - 2 + 2  # 23 fields and 8 numbers
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:] if line]
    assert made.clicks.tolist() == [int(row["click"]) for row in rows]
    assert made.conversions.tolist() == [int(row["purchase"]) for row in rows]
    for name, column in made.columns.items():
        assert column.tolist() == [float(row[name]) for row in rows]
