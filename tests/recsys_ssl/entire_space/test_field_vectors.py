import keras
import numpy as np
import pytest

from recsys_ssl.entire_space.field_vectors import FieldVectors, field_width

SPECIFICATION = [
    {"name": "user", "kind": "category", "num_rows": 6},
    {"name": "tags", "kind": "multi", "num_rows": 5, "combiner": "mean"},
    {"name": "item", "kind": "category", "num_rows": 4},
    {"name": "only missing", "kind": "category", "num_rows": 1},
    {"name": "price", "kind": "dense", "num_rows": 2},
]
INPUTS = {
    "user": np.array([0, 1, 5, 3], dtype="int32"),
    "item": np.array([3, 0, 1, 2], dtype="int64"),
    "only missing": np.zeros(4, dtype="int32"),
    "tags": np.array([[3, 0], [0, 0], [4, 3], [1, 2]], dtype="int32"),
    "price": np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [-1.0, 0.0]], dtype="float32"),
}


def make(**changes):
    return FieldVectors(SPECIFICATION, **{"dim": 3, "seed": 1, **changes})


def test_every_field_finds_its_own_rows():
    layer = make()
    table = np.arange(13 * 3, dtype="float32").reshape(13, 3)  # 1 + 5 + 4 + 3 + 0 rows
    layer.embedding.table.set_weights([table])
    found = np.asarray(layer(INPUTS))
    assert found.shape == (4, field_width(SPECIFICATION, 3))
    rows = {"user": [None, 1, 5, 3], "item": [12, None, 10, 11], "only missing": [None] * 4}
    for name, place in (("user", 0), ("item", 2), ("only missing", 3)):
        expected = [np.zeros(3) if row is None else table[row] for row in rows[name]]
        np.testing.assert_array_equal(found[:, 3 * place : 3 * place + 3], expected)
    tags = [table[8], np.zeros(3), (table[9] + table[8]) / 2, (table[6] + table[7]) / 2]
    np.testing.assert_allclose(found[:, 3:6], tags, rtol=1e-6)
    kernel = np.asarray(layer.embedding.dense_kernels["price"])
    np.testing.assert_allclose(found[:, 12:], INPUTS["price"] @ kernel, rtol=1e-6)


@pytest.mark.parametrize("bad", [6, -1, 8])
def test_an_id_behind_its_field_is_no_row_of_the_next(bad):
    user = np.array([1, 2, bad, 3], dtype="int32")
    with pytest.raises(ValueError, match=r"`user` must be in \[0, 6\)"):
        make().embedding.check_arrays({"user": user})
    with pytest.raises((ValueError, IndexError), match="ids"):
        make()({**INPUTS, "user": user})


@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        ("user", np.zeros((4, 1), "int32"), ValueError, r"`user` must be of shape \(batch,\); got \(4, 1\)"),
        ("tags", np.zeros(4, "int32"), ValueError, r"`tags` must be of shape \(batch, n\)"),
        ("price", np.zeros((4, 3), "float32"), ValueError, r"`price` must be of shape \(batch, 2\)"),
        ("item", np.zeros(4, "float32"), TypeError, "`item` must be integers; got float32"),
    ],
)
def test_what_no_encoder_gives_is_named(name, values, error, message):
    with pytest.raises(error, match=message):
        make()({**INPUTS, name: values})


def test_absent_and_double_fields():
    with pytest.raises(ValueError, match="none called 'item'"):
        make()({name: values for name, values in INPUTS.items() if name != "item"})
    with pytest.raises(ValueError, match="different names"):
        FieldVectors([SPECIFICATION[0]] * 2, 3)
    with pytest.raises(ValueError, match="`specification` must be non-empty"):
        FieldVectors([], 3)
    with pytest.raises(ValueError, match="kind"):
        FieldVectors([{"name": "x", "kind": "number", "num_rows": 3}], 3)


def test_l2_is_the_mean_squared_length_in_training():
    layer = make(l2=0.5)
    vectors = np.asarray(layer(INPUTS, training=True))
    assert float(layer.losses[0]) == pytest.approx(0.5 * (vectors**2).sum(axis=1).mean(), rel=1e-5)
    layer(INPUTS)
    assert not layer.losses


def test_config_round_trip():
    layer = make(l2=0.1, initial_scale=0.3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(INPUTS), layer(INPUTS))
