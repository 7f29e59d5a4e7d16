from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sparse_data.bags import Bags
from sparse_data.datasets.columns import as_ids, as_numbers, as_seconds, raw_columns, to_columns

FRAMES = ["pandas", "polars", "pyarrow"]


def frame_of(kind: str, columns: dict):
    module = pytest.importorskip(kind)
    return module.table(columns) if kind == "pyarrow" else module.DataFrame(columns)


def same(column, values, dtype_kind: str) -> None:
    assert column.dtype.kind == dtype_kind
    np.testing.assert_array_equal(column, np.array(values))


@pytest.mark.parametrize("kind", FRAMES)
def test_columns_of_frames(kind):
    columns = to_columns(
        frame_of(
            kind,
            {
                "whole": [3, 1, 2],
                "gaps": [1.5, None, 2.0],
                "text": ["b", None, "a"],
                "yes": [True, False, True],
                "lists": [["x", "y"], None, ["x"]],
                "numbers": [[3, 1], [], [2]],
            },
        )
    )
    same(columns["whole"], [3, 1, 2], "i")
    same(columns["gaps"], [1.5, np.nan, 2.0], "f")
    same(columns["text"], ["b", "", "a"], "U")
    same(columns["yes"], [1, 0, 1], "i")
    assert columns["lists"] == Bags(np.array(["x", "y", "x"]), np.array([0, 2, 2, 3]))
    assert columns["numbers"] == Bags(np.array([3, 1, 2]), np.array([0, 2, 2, 3]))
    assert columns["numbers"].values.dtype == np.int64


@pytest.mark.parametrize("kind", FRAMES)
def test_dates_become_seconds(kind):
    utc = dt.timezone(dt.timedelta(hours=2))
    columns = to_columns(
        frame_of(
            kind,
            {
                "naive": [dt.datetime(1970, 1, 2, 0, 0, 0, 500_000), None],
                "aware": [dt.datetime(1970, 1, 1, 2, 0, 1, tzinfo=utc), None],
                "day": [dt.date(1970, 1, 3), None],
            },
        )
    )
    same(columns["naive"], [86400.5, np.nan], "f")
    same(columns["aware"], [1.0, np.nan], "f")
    same(columns["day"], [2 * 86400.0, np.nan], "f")


def test_categories_and_nullable_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "category": pandas.Categorical(["b", None, "a"]),
            "gaps": pandas.array([1, None, 2], dtype="Int64"),
            "objects": pandas.Series(["x", pandas.NA, None], dtype=object),
            "empty": [None, None, None],
        }
    )
    columns = to_columns(frame)
    same(columns["category"], ["b", "", "a"], "U")
    same(columns["gaps"], [1, np.nan, 2], "f")
    same(columns["objects"], ["x", "", ""], "U")
    same(columns["empty"], [np.nan] * 3, "f")


def test_categories_and_vectors_of_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "category": polars.Series(["b", None], dtype=polars.Categorical),
            "vector": polars.Series([[1.0, 2.0], [3.0, 4.0]], dtype=polars.Array(polars.Float32, 2)),
        }
    )
    columns = to_columns(frame)
    same(columns["category"], ["b", ""], "U")
    same(columns["vector"], [[1, 2], [3, 4]], "f")


# NumPy strings end at a NUL character.
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=3)


@given(st.lists(st.one_of(st.none(), st.lists(words, max_size=3)), max_size=5))
@settings(deadline=None, max_examples=30)
def test_lists_survive(lists):
    lists = [["always"], *lists]
    bags = to_columns({"tags": lists})["tags"]
    assert [bag.tolist() for bag in bags] == [bag or [] for bag in lists]


def test_mapping_passes_through():
    bags = Bags.from_lists([[1], []])
    vectors = np.zeros((2, 3), dtype=np.float32)
    given_columns = {
        "bags": bags,
        "vectors": vectors,
        "mixed": [1, 2.5],
        "sets": [{4}, None],
        "price": [Decimal(1), None],
    }
    columns = to_columns(given_columns)
    assert columns["bags"] is bags
    assert columns["vectors"].shape == (2, 3)
    same(columns["mixed"], [1, 2.5], "f")
    assert columns["sets"] == Bags(np.array([4]), np.array([0, 1, 1]))
    same(columns["price"], [1.0, np.nan], "f")
    assert list(given_columns) == list(columns)


def test_numpy_string_dtype():
    strings = np.array(["a", None, "b"], dtype=np.dtypes.StringDType(na_object=None))
    same(to_columns({"s": strings})["s"], ["a", "", "b"], "U")


def test_text_is_split():
    columns = to_columns(
        {"genres": ["war|drama", None, " war | "], "other": ["a|b", "c", "d"]}, multi_valued=["genres"]
    )
    assert columns["genres"] == Bags(np.array(["war", "drama", "war"]), np.array([0, 2, 2, 3]))
    same(columns["other"], ["a|b", "c", "d"], "U")
    again = to_columns(columns, multi_valued=["genres"])
    assert again["genres"] is columns["genres"]
    assert to_columns({"g": ["a,b"]}, multi_valued=["g"], separator=",")["g"][0].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "options", "error", "match"),
    [
        ({"a": [1]}, {"multi_valued": ["b"]}, ValueError, r"got 'b'\. Choose from \['a'\]"),
        ({"a": [1]}, {"multi_valued": ["a"]}, ValueError, "must name text columns; got 'a' of int64"),
        ({"a": [1, 2], "b": [1]}, {}, ValueError, "`a` and `b` must be of the same length; got 2 and 1"),
        ({"a": [1, "x"]}, {}, TypeError, "`a` must hold values of one kind; got int, str"),
        ({"a": [[1], "x"]}, {}, TypeError, "got list, str"),
        ({"a": [["x", None]]}, {}, ValueError, "`a` must be without missing values"),
        ({"a": [[1.5]]}, {}, TypeError, "`a` must hold lists of integers or of strings; got float"),
        ({"a": [["x", 1]]}, {}, TypeError, "got int, str"),
        ({"a": [2**70]}, {}, ValueError, "`a` must fit into int64"),
        ({"a": np.array([2**63], dtype=np.uint64)}, {}, ValueError, "`a` must fit into int64"),
        ({"a": np.array([b"x"])}, {}, TypeError, r"`a` must hold numbers, text, dates or lists; got \|S1"),
        ({"a": "text"}, {}, TypeError, "`a` must be an array or a list; got str"),
        ({"a": 3}, {}, TypeError, "`a` must be an array or a list; got int"),
        ({"a": np.array([["x", "y"]])}, {}, ValueError, "`a` must be 1-dimensional"),
        ([1, 2], {}, TypeError, "`frame` must be a pandas, polars or pyarrow table .* got builtins.list"),
    ],
)
def test_refused(columns, options, error, match):
    with pytest.raises(error, match=match):
        to_columns(columns, **options)


def test_lazy_frame_is_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="Collect a lazy frame first"):
        raw_columns(polars.LazyFrame({"a": [1]}))


def test_ids():
    same(as_ids("u", np.array([3, 1], dtype=np.int32)), [3, 1], "i")
    same(as_ids("u", ["a", "b"]), ["a", "b"], "U")
    assert as_ids("u", []).dtype == np.int64
    assert as_ids("u", np.array([], dtype="U3")).dtype.kind == "U"


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        ([1, None], ValueError, "`u` must be without missing values; got 1 missing, first at position 1"),
        (["a", ""], ValueError, "without missing values"),
        (np.array([1.0, np.nan]), ValueError, "without missing values"),
        (np.array([1.0, 2.0]), TypeError, "`u` must be integers or strings; got float64"),
        ([1.0, 2.0], TypeError, "got float"),
        ([True, False], TypeError, "got bool"),
        (np.array([True]), TypeError, "got bool"),
        ([[1], [2]], TypeError, "got list"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), TypeError, "got datetime64"),
        ([1, "a"], TypeError, "got int, str"),
        (np.zeros((2, 2), dtype=int), ValueError, "1-dimensional"),
        (Bags.from_lists([[1]]), TypeError, "got Bags"),
    ],
)
def test_ids_refused(ids, error, match):
    with pytest.raises(error, match=match):
        as_ids("u", ids)


def test_numbers():
    same(as_numbers("r", [1, 2.5]), [1.0, 2.5], "f")
    assert as_numbers("r", np.array([1], dtype=np.int8)).dtype == np.float64
    with pytest.raises(ValueError, match=r"`r` must be finite; got 1 NaN .* position 1\. Drop these rows"):
        as_numbers("r", [1.0, None])
    with pytest.raises(TypeError, match="`r` must be numeric"):
        as_numbers("r", ["1"])
    with pytest.raises(TypeError, match="`r` must hold one value a row; got lists"):
        as_numbers("r", [[1], [2, 3]])
    with pytest.raises(ValueError, match="`r` must be 1-dimensional"):
        as_numbers("r", np.zeros((2, 2)))


def test_seconds():
    same(as_seconds("t", [5, 3]), [5, 3], "i")
    same(as_seconds("t", [5.5, 3]), [5.5, 3], "f")
    iso = ["1970-01-01", "1970-01-01 00:00:01", "1970-01-01T00:00:02Z", "1970-01-01T02:00:03.5+02:00"]
    same(as_seconds("t", iso), [0, 1, 2, 3.5], "f")
    same(as_seconds("t", np.array(["1970-01-02"], dtype="datetime64[D]")), [86400.0], "f")
    same(as_seconds("t", [np.datetime64("1970-01-01T00:00:01.5")]), [1.5], "f")
    with pytest.raises(ValueError, match=r"`t` must be numbers, dates or ISO 8601 text; got .*yesterday"):
        as_seconds("t", ["yesterday"])
    with pytest.raises(ValueError, match="`t` must be without missing values"):
        as_seconds("t", np.array(["NaT"], dtype="datetime64[s]"))
    with pytest.raises(ValueError, match="`t` must be finite"):
        as_seconds("t", [1.0, np.inf])
    with pytest.raises(TypeError, match="`t` must hold one value a row; got lists"):
        as_seconds("t", [[1], [2]])


def test_a_table_with_two_columns_of_a_name_is_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match="`frame` must be a table that names each column once"):
        to_columns(frame)


def test_a_matrix_as_a_value_is_named():
    column = np.empty(2, dtype=object)
    column[:] = [csr_array(np.eye(2)), 1]
    with pytest.raises(TypeError, match="`a` must"):
        to_columns({"a": column})
