import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys_ssl.encoding.feature_embedding import FeatureEmbedding
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.feature_tower import FeatureTower
from recsys_ssl.encoding.features import Category, Dense, MultiCategory

SPECIFICATION = [
    {"name": "id", "kind": "category", "num_rows": 6},
    {"name": "tags", "kind": "multi", "num_rows": 5, "combiner": "mean"},
    {"name": "price", "kind": "dense", "num_rows": 3},
]
INPUTS = {
    "id": np.array([4, 0, 1], dtype="int32"),
    "tags": np.array([[3, 4, 0], [0, 0, 0], [1, 0, 4]], dtype="int32"),
    "price": np.array([[0.5, -1.0, 0.0], [0.0, 0.0, 1.0], [2.0, 0.0, 0.0]], dtype="float32"),
}


def tables_of(layer):
    """Fill the tables with numbers that differ everywhere, the reserved rows included."""
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return [np.asarray(weight) for weight in layer.get_weights()]


def rows_by_hand(table, entries):
    """Cut the table: row 0 is common, the others follow feature by feature."""
    rows, first = [], 1
    for entry in entries:
        rows.append(np.concatenate([table[:1], table[first : first + entry["num_rows"] - 1]]))
        first += entry["num_rows"] - 1
    assert first == len(table)
    return rows


@pytest.mark.parametrize(
    ("combiner", "divisor"), [("sum", lambda n: 1), ("mean", lambda n: n), ("sqrtn", math.sqrt)]
)
def test_vectors_by_hand(combiner, divisor):
    specification = [entry | {"combiner": combiner} for entry in SPECIFICATION]
    embedding = FeatureEmbedding(specification, 2)
    price, mask, table = tables_of(embedding)
    ids, tags = rows_by_hand(table, SPECIFICATION[:2])
    vectors = embedding(INPUTS)
    np.testing.assert_allclose(vectors["id"], [ids[4], [0, 0], ids[1]], rtol=1e-6)
    expected = [(tags[3] + tags[4]) / divisor(2), [0, 0], (tags[1] + tags[4]) / divisor(2)]
    np.testing.assert_allclose(vectors["tags"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        vectors["price"], [0.5 * price[0] - price[1], price[2], 2 * price[0]], rtol=1e-6
    )
    hidden = {**INPUTS, "price": np.full((3, 3), np.nan, dtype="float32")}
    np.testing.assert_allclose(embedding(hidden)["price"], np.tile(mask, (3, 1)), rtol=1e-6)


def test_without_hidden_layers_the_vectors_are_added_up():
    tower = FeatureTower(SPECIFICATION, 2)
    tables_of(tower)
    fields = tower.embedding(INPUTS)
    np.testing.assert_allclose(tower(INPUTS), sum(np.asarray(v) for v in fields.values()), rtol=1e-6)


def test_hidden_layers_by_hand():
    tower = FeatureTower(SPECIFICATION, 2, hidden_units=[4, 3])
    tables_of(tower)
    vector = np.concatenate(
        [np.asarray(tower.embedding(INPUTS)[name]) for name in ("id", "tags", "price")], 1
    )
    kernels = [np.asarray(layer.kernel) for layer in tower.hidden]
    biases = [np.asarray(layer.bias) for layer in tower.hidden]
    assert [kernel.shape for kernel in kernels] == [(6, 4), (4, 3), (3, 2)]
    for place, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        vector = vector @ kernel + bias
        if place < 2:
            vector = np.maximum(vector, 0)
    np.testing.assert_allclose(tower(INPUTS), vector, rtol=1e-5)


def test_reserved_rows_start_at_zero_and_others_at_the_scale():
    tower = FeatureTower([{"name": "id", "kind": "category", "num_rows": 5003}], 4, initial_scale=0.2, seed=1)
    table = tower.get_weights()[0]
    assert (table[:3] == 0).all()
    assert table[3:].std() == pytest.approx(0.2, rel=0.02)
    assert (tower({"id": np.array([0, 1, 2])}).numpy() == 0).all()


def test_the_missing_row_is_not_trained_and_the_others_are():
    embedding = FeatureEmbedding(SPECIFICATION, 2, seed=0)
    with tf.GradientTape() as tape:
        total = sum(tf.reduce_sum(vector) for vector in embedding(INPUTS).values())
    gradient = tape.gradient(total, embedding.table.embeddings.value)
    ids, tags = rows_by_hand(tf.convert_to_tensor(gradient).numpy(), SPECIFICATION[:2])
    assert np.flatnonzero(ids.any(axis=1)).tolist() == [1, 4]
    assert np.flatnonzero(tags.any(axis=1)).tolist() == [1, 3, 4]


def test_rows_of_a_feature():
    embedding = FeatureEmbedding(SPECIFICATION, 2)
    assert embedding.rows_of("id").tolist() == [0, 1, 2, 3, 4, 5]
    assert embedding.rows_of("tags").tolist() == [0, 6, 7, 8, 9]


@pytest.mark.parametrize(("name", "bad"), [("id", 6), ("id", -1), ("tags", 5)])
def test_an_id_of_the_next_feature_is_refused(name, bad):
    wrong = INPUTS[name].copy()
    wrong.flat[0] = bad
    with pytest.raises(ValueError, match="`ids` must be in"):
        FeatureEmbedding(SPECIFICATION, 2)({**INPUTS, name: wrong})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"id": INPUTS["id"][:, None]}, ValueError, r"`id` must be of shape \(batch,\); got \(3, 1\)"),
        ({"tags": INPUTS["tags"][:, 0]}, ValueError, r"`tags` must be of shape \(batch, n\); got \(3,\)"),
        ({"price": INPUTS["price"][:, :2]}, ValueError, r"`price` must be of shape \(batch, 3\)"),
        ({"id": INPUTS["id"].astype("float32")}, TypeError, "`id` must be integers; got float32"),
    ],
)
def test_columns_of_another_kind_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        FeatureEmbedding(SPECIFICATION, 2)({**INPUTS, **changes})


def test_a_width_that_only_the_step_knows():
    embedding = FeatureEmbedding(SPECIFICATION, 2, seed=0)
    signature = {name: tf.TensorSpec((None, *[None] * (a.ndim - 1)), a.dtype) for name, a in INPUTS.items()}
    signature["price"] = tf.TensorSpec((None, 3), tf.float32)
    step = tf.function(embedding, input_signature=[signature])
    for name, vectors in step({name: tf.constant(a) for name, a in INPUTS.items()}).items():
        np.testing.assert_array_equal(vectors, embedding(INPUTS)[name])


def test_l2_by_hand_and_only_in_training():
    tower = FeatureTower(SPECIFICATION, 2, l2=0.3, dropout=0.5, seed=0)
    tables_of(tower)
    vectors = np.asarray(tower(INPUTS))
    assert not tower.losses
    for _ in range(2):  # a second call replaces the loss of the first
        tower(INPUTS, training=True)
        assert len(tower.losses) == 1
        # Of the vectors before dropout.
        assert float(tower.losses[0]) == pytest.approx(0.3 * (vectors**2).sum(axis=1).mean(), rel=1e-5)


def test_dropout_is_for_training():
    tower = FeatureTower([{"name": "id", "kind": "category", "num_rows": 4}], 1000, dropout=0.25, seed=3)
    inputs = {"id": np.array([3])}
    served, trained = tower(inputs).numpy(), tower(inputs, training=True).numpy()
    assert (served != 0).all()
    assert (trained == 0).mean() == pytest.approx(0.25, abs=0.05)
    np.testing.assert_allclose(trained[trained != 0], served[trained != 0] / 0.75, rtol=1e-5)


def test_same_seed_same_weights():
    first, second, other = (FeatureTower(SPECIFICATION, 4, hidden_units=[3], seed=seed) for seed in (5, 5, 6))
    for left, right in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (first.get_weights()[0] != other.get_weights()[0]).any()


NON_DEFAULT = {
    "specification": SPECIFICATION,
    "dim": 3,
    "hidden_units": [4],
    "dropout": 0.2,
    "l2": 0.1,
    "initial_scale": 0.5,
    "seed": 9,
    "name": "my_tower",
}


def test_config_round_trip():
    tower = FeatureTower(**NON_DEFAULT)
    config = tower.get_config()
    assert {key: config[key] for key in NON_DEFAULT} == NON_DEFAULT
    again = FeatureTower.from_config(config)
    assert again.get_config() == config
    np.testing.assert_array_equal(again(INPUTS), tower(INPUTS))
    embedding = FeatureEmbedding(SPECIFICATION, 3, initial_scale=0.5, seed=9)
    np.testing.assert_array_equal(
        FeatureEmbedding.from_config(embedding.get_config())(INPUTS)["id"], embedding(INPUTS)["id"]
    )


# Keras copies TensorFlow's variables in a way that NumPy deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_save_and_load(tmp_path):
    inputs = {
        "id": keras.Input((), dtype="int32", name="id"),
        "tags": keras.Input((3,), dtype="int32", name="tags"),
        "price": keras.Input((3,), name="price"),
    }
    model = keras.Model(inputs, FeatureTower(**NON_DEFAULT)(inputs))
    tables_of(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))
    assert again.get_layer("my_tower").get_config() == model.get_layer("my_tower").get_config()


def test_the_dtype_reaches_every_part():
    tower = FeatureTower(SPECIFICATION, 2, hidden_units=[3], dtype="float64")
    assert {str(weight.dtype) for weight in tower.weights} == {"float64"}
    assert tower(INPUTS).dtype == tf.float64


def test_any_name_of_a_column():
    columns = {"a/b": ["x", "y"], "c d": [[1], [2]], "": [0.5, 1.0]}
    encoder = FeatureEncoder([Category("a/b"), MultiCategory("c d"), Dense("")]).fit(columns)
    tower = FeatureTower(encoder.specification(), 4)
    assert tuple(tower(encoder.transform(columns)).shape) == (2, 4)


def test_bags_longer_than_in_training_and_no_rows():
    tower = FeatureTower(SPECIFICATION, 2, hidden_units=[3], seed=0)
    longer = INPUTS | {"tags": np.pad(INPUTS["tags"], ((0, 0), (0, 5)))}
    np.testing.assert_allclose(tower(longer), tower(INPUTS), rtol=1e-6)
    assert tuple(tower({name: column[:0] for name, column in INPUTS.items()}).shape) == (0, 2)


def test_an_absent_feature_is_named():
    with pytest.raises(ValueError, match="`inputs` must hold every feature; got none called 'tags', 'price'"):
        FeatureTower(SPECIFICATION, 2)({"id": INPUTS["id"]})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"specification": []}, ValueError, "`specification` must be non-empty"),
        ({"specification": [SPECIFICATION[0]] * 2}, ValueError, "`specification` must have different names"),
        (
            {"specification": [{"name": "a", "kind": "text", "num_rows": 4}]},
            ValueError,
            "`kind` must be one of",
        ),
        (
            {"specification": [{"name": "a", "kind": "category", "num_rows": 0}]},
            ValueError,
            "`num_rows` must be at least 1",
        ),
        (
            {"specification": [{"name": "a", "kind": "multi", "num_rows": 4}]},
            ValueError,
            "`combiner` must be one of",
        ),
        ({"dim": 0}, ValueError, "`dim` must be at least 1"),
        ({"hidden_units": [4, 0]}, ValueError, "`hidden_units` must be at least 1"),
        ({"hidden_units": [4.0]}, TypeError, "`hidden_units` must be an integer"),
        ({"dropout": 1.0}, ValueError, r"`dropout` must be in \[0, 1\)"),
        ({"l2": -0.1}, ValueError, "`l2` must be in"),
        ({"initial_scale": -1}, ValueError, "`initial_scale` must be in"),
    ],
)
def test_arguments_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        FeatureTower(**{"specification": SPECIFICATION, "dim": 2, **changes})
