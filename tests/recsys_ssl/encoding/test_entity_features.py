import numpy as np
import pytest

from recsys_ssl.encoding.entity_features import EntityFeatures
from recsys_ssl.encoding.features import MASK, Category, Dense, MultiCategory
from sparse_data import Bags

TABLE = {
    "item_id": ["c", "a", "b"],
    "genre": ["war", "love", "war"],
    "tags": [["x"], ["y", "x"], []],
    "price": [1.0, 3.0, np.nan],
}
FEATURES = [Category("genre"), MultiCategory("tags"), Dense("price")]
KNOWN = np.array(["a", "c", "z"])


@pytest.fixture
def entities():
    return EntityFeatures.learn("item_id", KNOWN, TABLE, FEATURES)


def test_rows_follow_the_ids_and_not_the_table(entities):
    encoded = entities.encode(np.array(["a", "b", "c", "a"]), TABLE)
    # "b" has no interactions: its id is out of vocabulary, its features are known.
    assert encoded["item_id"].tolist() == [3, 1, 4, 3]
    assert encoded["genre"].tolist() == [3, 4, 4, 3]
    assert encoded["tags"].tolist() == [[4, 3], [0, 0], [3, 0], [4, 3]]
    np.testing.assert_allclose(encoded["price"], [[1, 0], [0, 1], [-1, 0], [1, 0]])


def test_an_entity_that_the_table_does_not_describe(entities):
    encoded = entities.encode(np.array(["z", "never"]), TABLE)
    assert encoded["item_id"].tolist() == [5, 1]
    assert encoded["genre"].tolist() == [0, 0]
    assert encoded["tags"].tolist() == [[0, 0], [0, 0]]
    assert encoded["price"].tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    "table",
    [None, {"item_id": np.array([], dtype=str), "genre": [], "tags": Bags.from_lists([]), "price": []}],
    ids=["none", "empty"],
)
def test_without_rows_nothing_is_known(entities, table):
    encoded = entities.encode(np.array(["a", "b"]), table)
    assert encoded["item_id"].tolist() == [3, 1]
    assert encoded["genre"].tolist() == [0, 0]
    assert encoded["tags"].tolist() == [[0], [0]]
    assert encoded["price"].tolist() == [[0, 1], [0, 1]]


def test_no_row_of_masks(entities):
    encoded = entities.encode(np.array(["a", "b", "c", "z", "never", "x"]), TABLE)
    for name in ("item_id", "genre", "tags"):
        assert MASK not in encoded[name]


def test_integer_ids():
    table = {"user_id": [30, 10], "sex": ["F", "M"]}
    entities = EntityFeatures.learn("user_id", np.array([10, 20]), table, [Category("sex")])
    encoded = entities.encode(np.array([20, 10, 30, 5]), table)
    assert encoded["user_id"].tolist() == [4, 3, 1, 1]
    # "F" belongs to user 30 alone, who is not in the log: no training has touched its vector.
    assert encoded["sex"].tolist() == [0, 3, 1, 0]


def test_no_table_at_all():
    entities = EntityFeatures.learn("user_id", np.array([1, 2]), None)
    assert entities.encode(np.array([2, 3]), None)["user_id"].tolist() == [4, 1]
    assert entities.specification() == [{"name": "user_id", "kind": "category", "num_rows": 5}]


def test_features_are_inferred_without_the_id():
    table = {"item_id": [1, 1, 2, 2], "genre": ["a", "a", "b", "b"]}
    assert EntityFeatures.learn("item_id", np.array([1]), table).encoder.features == [Category("genre")]


def test_specification_begins_with_the_id(entities):
    assert [entry["name"] for entry in entities.specification()] == ["item_id", "genre", "tags", "price"]
    assert entities.specification()[0] == {"name": "item_id", "kind": "category", "num_rows": 6}


def test_state(entities):
    declaration, arrays = entities.to_state()
    again = EntityFeatures.from_state("item_id", declaration, arrays)
    ids = np.array(["a", "q", "z"])
    for name, column in entities.encode(ids, TABLE).items():
        np.testing.assert_array_equal(again.encode(ids, TABLE)[name], column)
    assert again.specification() == entities.specification()


def test_what_is_refused(entities):
    with pytest.raises(ValueError, match="`features` must be in a side table; got 1 features and no table"):
        EntityFeatures.learn("item_id", KNOWN, None, [Category("genre")])
    with pytest.raises(ValueError, match="`features` must not name 'item_id'"):
        EntityFeatures.learn("item_id", KNOWN, TABLE, [Category("item_id")])
    with pytest.raises(ValueError, match="`genre` must be among the columns"):
        entities.encode(np.array(["a"]), {"item_id": ["a"], "tags": [["x"]], "price": [1.0]})
    with pytest.raises(ValueError, match="`item_id` must be a column of the side table"):
        entities.encode(np.array(["a"]), {name: TABLE[name] for name in ("genre", "tags", "price")})
    with pytest.raises(ValueError, match="`item_id` must be of the same type in the side table"):
        entities.encode(np.array(["a"]), {**TABLE, "item_id": [1, 2, 3]})
