import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recsys_ssl
from recsys_ssl.embeddings.compositional_embedding import CompositionalEmbedding, quotient_and_remainder


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_distinct_ids_have_distinct_pairs(num_ids, num_remainders):
    pairs = quotient_and_remainder(np.arange(num_ids), num_ids, num_remainders)
    assert len(np.unique(pairs, axis=0)) == num_ids
    assert pairs[:, 0].max() < -(-num_ids // num_remainders)
    assert pairs[:, 1].max() < num_remainders


@given(
    st.integers(2, 2**31 - 1).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(0, n - 1), st.integers(0, n - 1))
    )
)
@settings(max_examples=200, deadline=None)
def test_pairs_of_large_ids(case):
    num_ids, num_remainders, one, other = case
    pairs = quotient_and_remainder([one, other], num_ids, num_remainders).tolist()
    assert (pairs[0] == pairs[1]) == (one == other)
    assert [quotient * num_remainders + rest for quotient, rest in pairs] == [one, other]


@pytest.mark.parametrize("operation", ["multiply", "add", "concatenate"])
@pytest.mark.parametrize("num_remainders", [None, 1, 4, 23])
def test_vectors_by_a_slow_loop(operation, num_remainders):
    layer = CompositionalEmbedding(23, 5, num_remainders, operation)
    quotients, remainders = layer.get_weights()
    divisor = 5 if num_remainders is None else num_remainders  # the root of 23, rounded up
    expected = []
    for number in range(23):
        q, r = quotients[number // divisor], remainders[number % divisor]
        join = {"multiply": np.multiply, "add": np.add, "concatenate": np.append}[operation]
        expected.append(join(q, r))
    np.testing.assert_allclose(layer(np.arange(23)), expected, rtol=1e-6)
    assert len(np.unique(np.float32(expected), axis=0)) == 23
    assert tuple(layer(np.arange(20).reshape(4, 5)).shape) == (4, 5, 5)


def test_memory_is_that_of_the_root():
    layer = CompositionalEmbedding(10_000_000, 4)
    assert sum(table.num_rows for table in (layer.quotients, layer.remainders)) <= 2 * 3163
    assert layer.count_params() <= 2 * 3163 * 4


@pytest.mark.parametrize("operation", ["multiply", "add", "concatenate"])
@pytest.mark.parametrize("initializer", ["uniform", keras.initializers.RandomNormal(seed=3)])
def test_all_ids_start_with_different_vectors(operation, initializer):
    # With the same numbers in both square tables, the sums of (i, j) and (j, i) would be equal.
    layer = CompositionalEmbedding(900, 4, operation=operation, embeddings_initializer=initializer)
    vectors = np.asarray(layer(np.arange(900)))
    assert len(np.unique(vectors.round(7), axis=0)) == 900


def test_a_product_starts_at_the_size_of_a_plain_table():
    vectors = np.asarray(CompositionalEmbedding(10_000, 8)(np.arange(10_000)))
    # Uniform in [-0.05, 0.05] times uniform in [0.5, 1.5]: variance (0.05^2 / 3) (1 + 1 / 12).
    assert vectors.std() == pytest.approx(np.sqrt(0.05**2 / 3 * 13 / 12), rel=0.1)


def test_only_the_rows_of_the_batch_are_trained():
    layer = CompositionalEmbedding(100, 4)
    inputs = keras.Input((), dtype="int32")
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile(recsys_ssl.RowwiseAdagrad(0.1), "mse", run_eagerly=True)
    before = layer.get_weights()
    model.train_on_batch(np.array([3, 57, 3]), np.ones((3, 1)))
    changed = [
        np.flatnonzero((new != old).any(axis=1)).tolist()
        for new, old in zip(layer.get_weights(), before, strict=True)
    ]
    assert changed == [[0, 5], [3, 7]]


def test_configuration_and_saving(tmp_path):
    layer = CompositionalEmbedding(30, 5, 7, "concatenate", embeddings_initializer="ones", name="composed")
    again = CompositionalEmbedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    inputs = keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in layer.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.arange(30)), model(np.arange(30)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_ids": 0}, ValueError, "num_ids"),
        ({"num_ids": 2**31}, ValueError, "num_ids"),
        ({"num_ids": 5.0}, TypeError, "num_ids"),
        ({"dim": 0}, ValueError, "dim"),
        ({"dim": 1, "operation": "concatenate"}, ValueError, "dim"),
        ({"num_remainders": 0}, ValueError, "num_remainders"),
        ({"num_remainders": 11}, ValueError, "num_remainders"),
        ({"operation": "max"}, ValueError, "operation"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        CompositionalEmbedding(**{"num_ids": 10, "dim": 4, **arguments})


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([10], ValueError),
        ([-1], ValueError),
        (np.array([2**32 + 5]), ValueError),
        (np.array([2**64 - 1], np.uint64), ValueError),
        ([1.0], TypeError),
        ([None], TypeError),
        (["a"], TypeError),
    ],
)
def test_bad_ids(ids, error):
    with pytest.raises(error, match="ids"):
        CompositionalEmbedding(10, 4)(ids)
    with pytest.raises(error, match="ids"):
        quotient_and_remainder(ids, 10, 4)


@pytest.mark.parametrize("number", [10, 11, -1, 2**32 + 5])
def test_an_id_out_of_range_inside_a_compiled_model_is_no_other_id(number):
    # 10 and 11 would be rows of both tables; 2**32 + 5 is 5 in 32 bits.
    layer = CompositionalEmbedding(10, 4, 4)
    inputs = keras.Input((), dtype="int64")
    model = keras.Model(inputs, layer(inputs))
    with pytest.raises(Exception, match="indices"):
        model.predict(np.array([number]), verbose=0)


def test_no_ids():
    assert tuple(CompositionalEmbedding(10, 4)(np.zeros(0, np.int32)).shape) == (0, 4)
