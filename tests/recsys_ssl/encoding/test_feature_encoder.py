import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import MASK, Category, Dense, MultiCategory
from sparse_data import Bags

GENRES = [["war", "love"], [], ["war"]]
TABLE = {"sex": ["F", "M", "F"], "genres": GENRES, "age": [20.0, 30.0, 40.0]}
ALL = [Category("sex"), MultiCategory("genres"), Dense("age")]


@pytest.fixture
def encoder():
    return FeatureEncoder(ALL).fit(TABLE)


def test_the_training_table_by_hand(encoder):
    encoded = encoder.transform(TABLE)
    assert encoded["sex"].tolist() == [3, 4, 3]
    assert encoded["genres"].tolist() == [[4, 3], [0, 0], [4, 0]]
    # Mean 30, variance (100 + 0 + 100) / 3.
    spread = np.sqrt(200 / 3)
    np.testing.assert_allclose(encoded["age"], [[-10 / spread, 0], [0, 0], [10 / spread, 0]], rtol=1e-6)
    assert [encoded[name].dtype for name in ("sex", "genres", "age")] == [np.int32, np.int32, np.float32]


def test_missing_unknown_and_known_are_three_things(encoder):
    new = {"sex": ["", "X", "M"], "genres": [[], ["sand"], ["love"]], "age": [np.nan, 0.0, 30.0]}
    encoded = encoder.transform(new)
    assert encoded["sex"].tolist() == [0, 1, 4]
    assert encoded["genres"].tolist() == [[0], [1], [3]]
    assert encoded["age"][:, 1].tolist() == [1.0, 0.0, 0.0]
    assert encoded["age"][0, 0] == 0.0


@pytest.mark.parametrize("ids", [["b", "a", "b"], [7, 3, 7], [True, False, True]], ids=["str", "int", "bool"])
def test_kinds_of_category(ids):
    assert FeatureEncoder([Category("x")]).fit({"x": ids}).transform({"x": ids})["x"].tolist() == [4, 3, 4]


def test_none_among_whole_numbers_and_strings():
    encoder = FeatureEncoder([Category("year"), Category("sex")])
    encoder.fit({"year": [1990, None, 1980], "sex": [None, "F", "M"]})
    assert encoder.vocabularies_["year"].tolist() == [1980, 1990]
    assert encoder.vocabularies_["sex"].tolist() == ["F", "M"]
    rows = encoder.transform({"year": [1980.0, np.nan, 1985.0], "sex": ["M", None, "X"]})
    assert rows["year"].tolist() == [3, 0, 1]
    assert rows["sex"].tolist() == [4, 0, 1]


def test_longer_strings_and_bags_than_in_training(encoder):
    longer = {"sex": ["Female"] * 2, "genres": [["war", "war", "sand", "love"], []], "age": [1.0, 2.0]}
    encoded = encoder.transform(longer)
    assert encoded["sex"].tolist() == [1, 1]
    assert encoded["genres"].tolist() == [[4, 4, 1, 3], [0, 0, 0, 0]]


def test_integer_bags():
    bags = Bags.from_lists([[10, 20], [], [20]])
    encoder = FeatureEncoder([MultiCategory("tags")]).fit({"tags": bags})
    assert encoder.transform({"tags": Bags.from_lists([[20, 30], [10]])})["tags"].tolist() == [[4, 1], [3, 0]]


def test_vectors_a_row():
    vectors = np.array([[1.0, 10.0], [3.0, np.nan], [5.0, 30.0]])
    encoder = FeatureEncoder([Dense("v")]).fit({"v": vectors})
    encoded = encoder.transform({"v": vectors})["v"]
    low = -2 / np.sqrt(8 / 3)
    np.testing.assert_allclose(encoded, [[low, -1, 0], [0, 0, 1], [-low, 1, 0]], rtol=1e-6)
    assert encoder.specification() == [{"name": "v", "kind": "dense", "num_rows": 3}]
    with pytest.raises(ValueError, match="`v` must have 2 numbers a row, as in the data of `fit`; got 1"):
        encoder.transform({"v": [1.0]})


@pytest.mark.parametrize(
    "column", [[0.1] * 7, [5, 5, 5], [np.nan, np.nan, 2.0], [0.1 * 3, 0.3, 0.3]], ids=str
)
def test_a_constant_column_is_only_shifted(column):
    encoder = FeatureEncoder([Dense("x")]).fit({"x": column})
    known = column[-1]
    np.testing.assert_allclose(encoder.transform({"x": [known, known + 2]})["x"][:, 0], [0, 2], atol=1e-6)


def test_a_column_without_a_number():
    encoder = FeatureEncoder([Dense("x"), Category("y")]).fit({"x": [np.nan, np.nan], "y": ["", ""]})
    encoded = encoder.transform({"x": [np.nan, 4.0], "y": ["", "new"]})
    assert encoded["x"].tolist() == [[0, 1], [4, 0]]
    assert encoded["y"].tolist() == [0, 1]


def test_extreme_numbers_stay_finite():
    encoder = FeatureEncoder([Dense("x")]).fit({"x": [1e-30, 2e-30]})
    assert np.isfinite(encoder.transform({"x": [3e38, -3e38]})["x"]).all()
    wide = FeatureEncoder([Dense("x")]).fit({"x": [-3e38, 3e38]})
    np.testing.assert_allclose(wide.transform({"x": [3e38]})["x"], [[1, 0]], rtol=1e-6)


def test_no_rows():
    empty = {"sex": np.array([], dtype=str), "genres": Bags.from_lists([]), "age": np.array([])}
    encoded = FeatureEncoder(ALL).fit(TABLE).transform(empty)
    assert {name: column.shape for name, column in encoded.items()} == {
        "sex": (0,),
        "genres": (0, 1),
        "age": (0, 2),
    }
    assert FeatureEncoder(ALL).fit(empty).transform(TABLE)["sex"].tolist() == [1, 1, 1]


def test_rows_of_which_nothing_is_known(encoder):
    nothing = encoder.transform_missing(2)
    same = encoder.transform({"sex": ["", ""], "genres": Bags.from_lists([[], []]), "age": [None, None]})
    for name in nothing:
        np.testing.assert_array_equal(nothing[name], same[name])
        assert nothing[name].dtype == same[name].dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": ["a", "b", "c"]}, "`age` must hold numbers; got <U1"),
        ({"age": GENRES}, "`age` must hold numbers; got Bags"),
        ({"age": [1.0, np.inf, 2.0]}, "`age` must be finite in float32, or NaN; got inf"),
        ({"age": [1.0, -1e300, 2.0]}, "`age` must be finite in float32"),
        ({"sex": GENRES}, "`sex` must hold one value a row; got Bags"),
        ({"sex": np.zeros((3, 2))}, r"`sex` must hold one value a row; got float64 of shape \(3, 2\)"),
        ({"sex": [1.5, 2.0, 3.0]}, "`sex` must hold strings or whole numbers; got fractions"),
        ({"sex": [np.inf, 2.0, 3.0]}, "`sex` must hold strings or whole numbers; got fractions or infinity"),
        ({"genres": ["a", "b", "c"]}, "`genres` must hold a list of values a row"),
        ({"genres": Bags.from_lists(GENRES, weights=[[1, 2], [], [3]])}, "without weights; got Bags"),
    ],
)
def test_columns_of_another_kind_are_refused(encoder, changes, message):
    with pytest.raises(ValueError, match=message):
        FeatureEncoder(ALL).fit({**TABLE, **changes})
    with pytest.raises(ValueError, match=message):
        encoder.transform({**TABLE, **changes})


@pytest.mark.parametrize("name", ["sex", "genres", "age"])
def test_an_absent_column_is_named(encoder, name):
    without = {key: column for key, column in TABLE.items() if key != name}
    for call in (FeatureEncoder(ALL).fit, encoder.transform):
        with pytest.raises(ValueError, match=f"`{name}` must be among the columns"):
            call(without)


def test_integers_where_strings_were_learned(encoder):
    with pytest.raises(ValueError, match="`sex` must be strings, as in the data of `fit`; got integers"):
        encoder.transform({**TABLE, "sex": [1, 2, 3]})
    with pytest.raises(ValueError, match="`genres` must be strings"):
        encoder.transform({**TABLE, "genres": [[1], [], [2]]})


def test_a_fit_that_fails_leaves_what_was_learned(encoder):
    before = encoder.vocabularies_["sex"]
    with pytest.raises(ValueError, match="age"):
        encoder.fit({**TABLE, "sex": ["A", "B", "C"], "age": ["x", "y", "z"]})
    assert encoder.vocabularies_["sex"] is before


def test_not_fitted():
    for call in (lambda e: e.transform(TABLE), lambda e: e.transform_missing(1), lambda e: e.specification()):
        with pytest.raises(NotFittedError, match="Call `fit`"):
            call(FeatureEncoder(ALL))


def test_declarations_are_checked():
    with pytest.raises(ValueError, match=r"different names; got \['a', 'a'\]"):
        FeatureEncoder([Category("a"), Dense("a")])
    with pytest.raises(TypeError, match="must be Category, MultiCategory or Dense; got 'a'"):
        FeatureEncoder(["a"])


def test_specification(encoder):
    assert encoder.specification() == [
        {"name": "sex", "kind": "category", "num_rows": 5},
        {"name": "genres", "kind": "multi", "num_rows": 5, "combiner": "mean"},
        {"name": "age", "kind": "dense", "num_rows": 2},
    ]


def test_state_survives_json_and_arrays(encoder):
    declaration, arrays = encoder.to_state()
    again = FeatureEncoder.from_state(json.loads(json.dumps(declaration)), arrays)
    assert again.features == encoder.features
    new = {"sex": ["X", ""], "genres": [["war"], ["?"]], "age": [1.0, np.nan]}
    for name, column in encoder.transform(new).items():
        np.testing.assert_array_equal(again.transform(new)[name], column)


def test_frames_and_inputs_are_left_alone(encoder):
    frame = pd.DataFrame(TABLE)
    copy = frame.copy(deep=True)
    for name, column in encoder.transform(TABLE).items():
        np.testing.assert_array_equal(FeatureEncoder(ALL).fit(frame).transform(frame)[name], column)
    pd.testing.assert_frame_equal(frame, copy)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(words), st.lists(words))
def test_every_word_finds_its_row_and_none_the_row_of_masks(learned, asked):
    encoder = FeatureEncoder([Category("w")]).fit({"w": np.array(learned, dtype=np.str_)})
    rows = encoder.transform({"w": np.array(asked, dtype=np.str_)})["w"].tolist()
    known = sorted(set(learned) - {""})
    expected = {word: 3 + known.index(word) if word in known else 1 for word in asked} | {"": 0}
    assert rows == [expected[word] for word in asked]
    assert MASK not in rows
