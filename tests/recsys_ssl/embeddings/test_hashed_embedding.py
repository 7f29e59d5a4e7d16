import json

import keras
import numpy as np
import pytest

import recsys_ssl
from recsys_ssl.embeddings.hashed_embedding import HashedEmbedding
from recsys_ssl.embeddings.id_hashing import hash_ids, id_words

IDS = np.array([0, 7, -7, 2**31, -(2**31) - 1, 2**40 + 3, -(2**63), 2**63 - 1])


def by_the_formula(layer, ids):
    table, *importance = layer.get_weights()
    rows = hash_ids(ids, layer.num_rows, layer.num_hashes + 1, seed=layer.seed)
    vectors = []
    for place in range(len(ids)):
        weights = np.ones(layer.num_hashes)
        if importance:
            last = hash_ids(ids, layer.importance_rows, layer.num_hashes + 1, seed=layer.seed)[place, -1]
            weights = importance[0][last]
        vectors.append(sum(weights[j] * table[rows[place, j]] for j in range(layer.num_hashes)))
    return np.array(vectors)


@pytest.mark.parametrize("importance_rows", [None, 7])
@pytest.mark.parametrize("num_hashes", [1, 3])
def test_vectors_by_the_formula(importance_rows, num_hashes):
    layer = HashedEmbedding(20, 4, num_hashes, importance_rows=importance_rows, seed=1)
    if importance_rows:
        layer.importance.set_weights([np.random.default_rng(0).normal(size=(7, num_hashes))])
    expected = by_the_formula(layer, IDS)
    np.testing.assert_allclose(layer(IDS), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(layer(IDS.reshape(2, 4)), expected.reshape(2, 4, 4), rtol=1e-5, atol=1e-7)


def test_the_three_forms_of_an_id_give_one_vector():
    layers = {
        inputs: HashedEmbedding(20, 4, inputs=inputs, importance_rows=5)
        for inputs in ("ids", "words", "rows")
    }
    for layer in layers.values():
        layer.set_weights(layers["ids"].get_weights())
    vectors = layers["ids"](IDS)
    np.testing.assert_array_equal(layers["words"](id_words(IDS)), vectors)
    np.testing.assert_array_equal(layers["rows"](layers["rows"].hash_ids(IDS)), vectors)
    strings = ["teapot", "kettle"]
    np.testing.assert_array_equal(
        layers["words"](id_words(strings)), layers["rows"](layers["rows"].hash_ids(strings))
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_the_width_of_an_integer_does_not_matter(dtype):
    layer = HashedEmbedding(50, 2)
    np.testing.assert_array_equal(layer(np.array([3, 100], dtype)), layer([3, 100]))


def test_the_largest_unsigned_ids():
    ids = np.array([2**63, 2**64 - 1], dtype=np.uint64)
    layer = HashedEmbedding(10**6, 2)
    np.testing.assert_allclose(layer(ids), by_the_formula(layer, ids), rtol=1e-6)


def test_only_the_rows_of_the_batch_are_trained():
    layer = HashedEmbedding(50, 2, inputs="words", importance_rows=30)
    inputs = keras.Input((2,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile(recsys_ssl.LazyAdam(0.1), "mse", run_eagerly=True)
    before = layer.get_weights()
    ids = ["a", "b", "a"]
    model.train_on_batch(id_words(ids), np.ones((3, 1)))
    touched = layer.hash_ids(ids)
    for values, old, columns in zip(
        layer.get_weights(), before, (touched[:, :2], touched[:, 2:]), strict=True
    ):
        changed = np.flatnonzero((values != old).any(axis=1))
        np.testing.assert_array_equal(changed, np.unique(columns))


def test_importance_tells_ids_apart_that_share_all_rows():
    plain, weighted = HashedEmbedding(1, 2), HashedEmbedding(1, 2, importance_rows=1000)
    weighted.importance.set_weights([np.random.default_rng(0).normal(size=(1000, 2))])
    assert np.ptp(np.asarray(plain([1, 2, 3])), axis=0).max() == 0
    assert len(np.unique(np.asarray(weighted([1, 2, 3])), axis=0)) == 3


def test_the_layer_reports_its_collisions():
    layer = HashedEmbedding(300, 2, 3, seed=8)
    found = layer.collision_statistics(range(2000))
    rows = np.sort(layer.hash_ids(np.arange(2000)), axis=1)
    same = np.unique(rows, axis=0, return_counts=True)[1]
    assert found.sharing_all_rows == same[same > 1].sum()
    assert (found.num_rows, found.num_hashes) == (300, 3)


def test_configuration_saving_and_mixed_precision(tmp_path):
    layer = HashedEmbedding(
        40,
        3,
        4,
        inputs="words",
        importance_rows=9,
        embeddings_initializer="ones",
        seed=6,
        dtype="mixed_bfloat16",
    )
    again = HashedEmbedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    inputs = keras.Input((2,), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    layer.table.set_weights([np.random.default_rng(0).normal(size=(40, 3))])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    words = id_words(["a", "b"])
    assert keras.backend.standardize_dtype(loaded(words).dtype) == "bfloat16"
    np.testing.assert_array_equal(np.float32(loaded(words)), np.float32(model(words)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_rows": 0}, ValueError, "num_rows"),
        ({"num_rows": 2**31}, ValueError, "num_rows"),
        ({"dim": -1}, ValueError, "dim"),
        ({"dim": 2.0}, TypeError, "dim"),
        ({"num_hashes": 0}, ValueError, "num_hashes"),
        ({"inputs": "strings"}, ValueError, "inputs"),
        ({"importance_rows": 0}, ValueError, "importance_rows"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        HashedEmbedding(**{"num_rows": 10, "dim": 2, **arguments})


@pytest.mark.parametrize(
    ("inputs", "ids", "error", "message"),
    [
        ("ids", np.array([1.0]), TypeError, "integer dtype; got float64"),
        ("ids", np.array([np.nan], np.float32), TypeError, "integer dtype; got float32"),
        ("ids", np.array(["a"]), TypeError, "id_words"),
        ("ids", [None], TypeError, "integer dtype; got object"),
        ("ids", [True], TypeError, "integer dtype; got bool"),
        ("words", np.array([[1, 2]]), TypeError, "int32 where the inputs are words; got int64"),
        ("words", np.array([[1, 2, 3]], np.int32), ValueError, "2 columns"),
        ("words", np.array(4, np.int32), ValueError, "2 columns"),
        ("rows", np.array([[1]], np.int32), ValueError, "hash_ids"),
        ("rows", np.array([[1, 10]], np.int32), ValueError, "10"),
        ("rows", np.array([[1, -1]], np.int32), ValueError, "-1"),
    ],
)
def test_bad_ids(inputs, ids, error, message):
    with pytest.raises(error, match=message):
        HashedEmbedding(10, 2, inputs=inputs)(ids)


def test_no_ids():
    assert tuple(HashedEmbedding(10, 2)(np.zeros(0, np.int64)).shape) == (0, 2)


def test_an_integer_input_of_a_compiled_model():
    layer = HashedEmbedding(50, 2)
    inputs = keras.Input((), dtype="int64")
    vectors = keras.Model(inputs, layer(inputs)).predict(IDS, verbose=0)
    np.testing.assert_allclose(vectors, by_the_formula(layer, IDS), rtol=1e-6)
    with pytest.raises(TypeError, match="float32"):
        layer(keras.Input((2,)))
