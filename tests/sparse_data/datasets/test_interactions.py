from __future__ import annotations

import pickle

import numpy as np
import pytest

from sparse_data.bags import Bags
from sparse_data.datasets import Interactions


@pytest.fixture
def log() -> Interactions:
    return Interactions(
        ["ann", "ann", "bob"],
        [3, 5, 3],
        timestamps=[10, 20, 15],
        ratings=[4, 5, 1],
        weights=[1.0, 0.0, 2.0],
        users={"user_id": ["ann", "bob", "eve"], "age": [30, None, 20]},
        items={"item_id": [3, 5], "tags": [["a"], ["a", "b"]]},
    )


def test_fields(log):
    assert len(log) == 3
    assert log.user_ids.tolist() == ["ann", "ann", "bob"]
    assert log.item_ids.dtype == np.int64
    assert log.timestamps.dtype == np.int64
    assert log.ratings.dtype == log.weights.dtype == np.float64
    assert isinstance(log.items["tags"], Bags)
    np.testing.assert_array_equal(log.users["age"], [30, np.nan, 20])
    assert list(log.users) == ["user_id", "age"]


def test_repr(log):
    expected = "Interactions(3 rows; timestamps, ratings, weights; users: user_id, age; items: item_id, tags)"
    assert repr(log) == expected
    assert repr(Interactions([], [])) == "Interactions(0 rows)"


def test_frozen_and_pickled(log):
    with pytest.raises(AttributeError):
        log.ratings = None
    again = pickle.loads(pickle.dumps(log))
    assert again.items["tags"] == log.items["tags"]
    np.testing.assert_array_equal(again.timestamps, log.timestamps)


def test_inputs_are_left_alone():
    users = {"user_id": [1, 2]}
    ids = np.array([1, 1], dtype=np.int16)
    made = Interactions(ids, ids, users=users)
    assert users == {"user_id": [1, 2]}
    assert ids.dtype == np.int16
    assert made.user_ids.dtype == np.int64


@pytest.mark.parametrize(
    ("index", "items"),
    [
        ([2, 0], [3, 3]),
        (np.array([False, True, False]), [5]),
        ([True, True, False], [3, 5]),
        (slice(1, None), [5, 3]),
        ([-1], [3]),
        ([], []),
    ],
)
def test_take(log, index, items):
    taken = log.take(index)
    assert taken.item_ids.tolist() == items
    assert len(taken.ratings) == len(taken.timestamps) == len(taken.weights) == len(items)
    assert len(taken.users["user_id"]) == 3
    assert log.take([2, 0]).ratings.tolist() == [1, 4]


def test_take_refuses(log):
    with pytest.raises(
        ValueError, match="`index` and `interactions` must be of the same length; got 2 and 3"
    ):
        log.take([True, False])
    with pytest.raises(TypeError, match="`index` must be of an integer dtype"):
        log.take([0.5])
    with pytest.raises(IndexError):
        log.take([3])


def test_replace(log):
    assert log.replace(weights=None).weights is None
    with pytest.raises(ValueError, match="same length"):
        log.replace(ratings=[1.0])


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"user_ids": ["ann", None, "bob"]}, ValueError, "`user_ids` must be without missing values"),
        ({"item_ids": [3.0, 5.0, 3.0]}, TypeError, "`item_ids` must be integers or strings"),
        ({"item_ids": [3, 5]}, ValueError, "must be of the same length"),
        ({"ratings": [1, np.nan, 2]}, ValueError, "`ratings` must be finite"),
        ({"weights": [1, -1, 2]}, ValueError, "`weights` must be non-negative; got 1 negative"),
        ({"weights": [1, np.inf, 2]}, ValueError, "`weights` must be finite"),
        ({"timestamps": [1, 2, None]}, ValueError, "`timestamps` must be without missing values"),
        ({"users": {"id": ["ann"]}}, ValueError, r"`users` must have the column 'user_id'; got \['id'\]"),
        ({"users": {"user_id": [1, 2]}}, TypeError, r"`users\['user_id'\]` must be of the type of the ids"),
        (
            {"items": {"item_id": [3, 5, 3]}},
            ValueError,
            r"`items\['item_id'\]` must hold each id once; got .*3",
        ),
        ({"items": {"item_id": [3, None]}}, ValueError, r"`items\['item_id'\]` must be without missing"),
        (
            {"items": {"item_id": [3, 5], "x": [1]}},
            ValueError,
            "`item_id` and `x` must be of the same length",
        ),
    ],
)
def test_refused(log, changes, error, match):
    with pytest.raises(error, match=match):
        log.replace(**changes)


def test_empty_log_takes_any_side_table():
    empty = Interactions([], [], users={"user_id": ["a"]}, items={"item_id": [1]})
    assert len(empty) == 0
    assert len(empty.take([])) == 0


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "mapping"])
def test_from_frame(kind):
    columns = {
        "who": ["ann", "bob"],
        "what": [7, 8],
        "when": ["2020-01-01", "2020-01-02"],
        "stars": [4.5, 3.0],
        "importance": [1, 2],
    }
    side = {"who": ["ann", "bob"], "city": ["Rome", None]}
    make = {"pyarrow": "table", "mapping": None}.get(kind, "DataFrame")
    if make:
        module = pytest.importorskip(kind)
        columns, side = getattr(module, make)(columns), getattr(module, make)(side)
    made = Interactions.from_frame(
        columns, user="who", item="what", timestamp="when", rating="stars", weight="importance", users=side
    )
    assert made.user_ids.tolist() == ["ann", "bob"]
    assert made.item_ids.tolist() == [7, 8]
    # 2020-01-01 is day 18262 since 1970 (50 years and 12 leap days).
    assert made.timestamps.tolist() == [18262 * 86400.0, 18263 * 86400.0]
    assert made.ratings.tolist() == [4.5, 3.0]
    assert made.weights.tolist() == [1.0, 2.0]
    assert made.users["user_id"].tolist() == ["ann", "bob"]
    assert made.users["city"].tolist() == ["Rome", ""]
    assert made.items is None


def test_from_frame_keeps_the_standard_name_of_a_side_table():
    made = Interactions.from_frame({"u": [1], "i": [2]}, user="u", item="i", items={"item_id": [2], "i": [9]})
    assert made.items["item_id"].tolist() == [2]


@pytest.mark.parametrize(
    ("columns", "options", "error", "match"),
    [
        (
            {"user_id": [1]},
            {},
            ValueError,
            r"`item` must name a column .* got 'item_id'\. Choose from \['user_id'\]",
        ),
        ({"user_id": [1], "item_id": [1]}, {"rating": "stars"}, ValueError, "`rating` must name a column"),
        ({"user_id": [1], "item_id": [None]}, {}, ValueError, "`item_id` must be without missing values"),
        ({"user_id": [1], "item_id": [2], "r": [np.nan]}, {"rating": "r"}, ValueError, "`r` must be finite"),
        (
            {"user_id": [1], "item_id": [2], "w": [-1]},
            {"weight": "w"},
            ValueError,
            "`w` must be non-negative",
        ),
        ({"user_id": [1, 2], "item_id": [2]}, {}, ValueError, "same length"),
        (
            {"user_id": [1], "item_id": [2]},
            {"users": {"x": [1]}},
            ValueError,
            "must have the column 'user_id'",
        ),
    ],
)
def test_from_frame_refuses(columns, options, error, match):
    with pytest.raises(error, match=match):
        Interactions.from_frame(columns, **options)


def test_read_with_side_tables(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,rating\nann,1,5\nbob,2,4\n")
    (tmp_path / "items.tsv").write_text("item_id\ttitle\n1\tIvan's Childhood\n2\tSolaris\n")
    made = Interactions.read(tmp_path / "log.csv", rating="rating", items=tmp_path / "items.tsv")
    assert made.user_ids.tolist() == ["ann", "bob"]
    assert made.ratings.tolist() == [5.0, 4.0]
    assert made.items["title"].tolist() == ["Ivan's Childhood", "Solaris"]
