import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl import LazyAdam, SparseEmbedding, SparseModel, SparseSGD
from recsys_ssl.embeddings.table_initialization import BLOCK, blocks_of_rows, can_be_made_in_blocks
from sparse_data import Bags, ops_numpy

TABLE = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")


def made(combiner=None, **settings):
    layer = SparseEmbedding(9, 3, combiner, **settings)
    layer.set_weights([TABLE])
    return layer


@st.composite
def ragged(draw):
    lists = draw(st.lists(st.lists(st.integers(0, 8), max_size=5), min_size=1, max_size=6))
    weights = [[draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.75, 4.0])) for _ in bag] for bag in lists]
    return lists, weights


@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
@given(bags=ragged(), weighted=st.booleans())
@settings(deadline=None, max_examples=25)
def test_bags_padded_and_ragged_agree_with_the_definition(combiner, bags, weighted):
    lists, weights = bags
    own = Bags.from_lists(lists, weights if weighted else None, dtype=np.int64)
    expected = ops_numpy.pooled_lookup(TABLE, own.values, own.offsets, own.weights, combiner)
    layer = made(combiner)
    np.testing.assert_allclose(layer(own), expected, rtol=2e-5, atol=1e-5)
    rows = [np.array(bag, dtype="int32") for bag in lists]
    ids = tf.RaggedTensor.from_row_lengths(np.concatenate(rows).astype("int32"), [len(row) for row in rows])
    flat = np.concatenate([np.array(bag, dtype="float32") for bag in weights]).astype("float32")
    with_weights = [ids.with_values(tf.constant(flat))] if weighted else []
    np.testing.assert_allclose(layer(ids, *with_weights), expected, rtol=2e-5, atol=1e-5)
    # Padded by an id that stands for nothing: row 9 of a table of ten.
    padded_layer = SparseEmbedding(10, 3, combiner, padding_id=9)
    padded_layer.set_weights([np.vstack([TABLE, np.full((1, 3), 1e6, dtype="float32")])])
    length = max(map(len, lists), default=0) + 1
    padded = np.full((len(lists), length), 9, dtype="int32")
    factors = np.ones((len(lists), length), dtype="float32")
    for place, (bag, weight) in enumerate(zip(lists, weights, strict=True)):
        padded[place, : len(bag)], factors[place, : len(bag)] = bag, weight
    found = padded_layer(padded, factors) if weighted else padded_layer(padded)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


def test_rows_of_any_shape():
    ids = np.array([[[0, 8], [3, 3]]])
    np.testing.assert_array_equal(made()(ids), TABLE[ids])
    np.testing.assert_array_equal(made()(4), TABLE[4])
    np.testing.assert_array_equal(made()(np.zeros((0,), dtype=np.int64)), np.zeros((0, 3)))
    found = made(padding_id=3)(ids)
    np.testing.assert_array_equal(found, np.where((ids == 3)[..., None], 0, TABLE[ids]))


def test_every_id_is_a_bag_of_its_own_where_there_is_one_axis():
    np.testing.assert_allclose(made("sum")(np.array([1, 4])), TABLE[[1, 4]])
    weighted = made("sum")(np.array([1, 4]), np.array([2.0, 0.5], dtype="float32"))
    np.testing.assert_allclose(weighted, TABLE[[1, 4]] * [[2.0], [0.5]])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"num_rows": 0, "dim": 2}, ValueError, "`num_rows`"),
        ({"num_rows": 3, "dim": -1}, ValueError, "`dim`"),
        ({"num_rows": 3, "dim": 2, "combiner": "max"}, ValueError, "`combiner`"),
        ({"num_rows": 3, "dim": 2, "padding_id": 3}, ValueError, "`padding_id`"),
        ({"num_rows": 3.5, "dim": 2}, TypeError, "`num_rows`"),
    ],
)
def test_constructor_refuses(arguments, error, said):
    with pytest.raises(error, match=said):
        SparseEmbedding(**arguments)


def test_calls_that_are_refused():
    ids = np.array([[1, 2]])
    with pytest.raises(ValueError, match="`weights` must come with a combiner"):
        made()(ids, np.ones((1, 2), dtype="float32"))
    with pytest.raises(ValueError, match="`weights` must be of the shape of ids"):
        made("sum")(ids, np.ones((1, 3), dtype="float32"))
    with pytest.raises(ValueError, match="must not be bags without a combiner"):
        made()(Bags.from_lists([[1]]))
    with pytest.raises(ValueError, match="must be those of the bags"):
        made("sum")(Bags.from_lists([[1]]), np.ones(1))
    with pytest.raises(TypeError, match=r"`ids` must be integers; got float32. Declare keras.Input"):
        SparseModel(inputs := keras.Input((2,)), made()(inputs))
    with pytest.raises(TypeError, match="integer dtype"):
        made()(np.array([True]))


def test_config_round_trip_and_shapes():
    layer = SparseEmbedding(
        9, 3, "sqrtn", padding_id=4, embeddings_initializer=keras.initializers.Constant(2.0), name="mine"
    )
    config = layer.get_config()
    again = SparseEmbedding.from_config(config)
    assert again.get_config() == config
    assert (again.get_weights()[0] == 2.0).all()
    assert layer(keras.Input((None, 5), dtype="int64")).shape == (None, None, 3)
    assert made()(keras.Input((), dtype="int32")).shape == (None, 3)


# Keras goes on to look for other places of the weights before it raises.
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_size_are_refused(tmp_path):
    def model(rows):
        ids = keras.Input((), dtype="int32")
        return SparseModel(ids, SparseEmbedding(rows, 3, name="table")(ids))

    model(9).save_weights(tmp_path / "small.weights.h5")
    larger = model(12)
    before = larger.get_weights()[0]
    with pytest.raises(ValueError, match=r"must be of shape \(12, 3\); got \(9, 3\)"):
        larger.load_weights(tmp_path / "small.weights.h5")
    np.testing.assert_array_equal(larger.get_weights()[0], before)


def test_what_shall_not_be_overwritten_is_left(tmp_path, monkeypatch):
    ids = keras.Input((), dtype="int32")
    model = SparseModel(ids, SparseEmbedding(9, 3)(ids))
    model.save(tmp_path / "model.keras")
    before = (tmp_path / "model.keras").read_bytes()
    monkeypatch.setattr("builtins.input", lambda prompt="": "n")
    model.save(tmp_path / "model.keras", overwrite=False)
    assert (tmp_path / "model.keras").read_bytes() == before


def test_a_gradient_of_fixed_shape_for_xla():
    from recsys_ssl.sparse_training.tensorflow import _sorted_row_gradient

    ids = np.array([4, 1, 4, 8, 1, 4], dtype="int32")
    gradients = np.arange(12, dtype="float32").reshape(6, 2)
    compiled = tf.function(lambda i, g: _sorted_row_gradient(i, g, 9), jit_compile=True)
    rows, values = (np.asarray(part) for part in compiled(tf.constant(ids), tf.constant(gradients)))
    assert rows[:3].tolist() == [1, 4, 8]
    assert (rows[3:] >= 9).all()
    assert len(np.unique(rows)) == 6
    np.testing.assert_array_equal(values[:3], [[10, 12], [14, 17], [6, 7]])
    assert not values[3:].any()


def test_an_interrupted_save_leaves_the_earlier_file(tmp_path, monkeypatch):
    ids = keras.Input((), dtype="int32")
    model = SparseModel(ids, SparseEmbedding(9, 3)(ids))
    for suffix, save in (("keras", model.save), ("weights.h5", model.save_weights)):
        path = tmp_path / f"model.{suffix}"
        save(path)
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(SparseEmbedding, "save_own_variables", interrupted)
            with pytest.raises(KeyboardInterrupt):
                save(path)
        assert path.read_bytes() == before
        assert sorted(os.listdir(tmp_path)) == [path.name]
        path.unlink()


def test_an_interrupted_save_leaves_the_earlier_folder(tmp_path, monkeypatch):
    ids = keras.Input((), dtype="int32")
    model = SparseModel(ids, SparseEmbedding(9, 3)(ids))
    path = tmp_path / "model"
    model.save(path, zipped=False)
    before = model.get_weights()[0]
    model.set_weights([before + 1])
    with monkeypatch.context() as patch:
        patch.setattr(SparseEmbedding, "save_own_variables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.save(path, zipped=False)
    np.testing.assert_array_equal(keras.saving.load_model(path).get_weights()[0], before)
    model.save(path, zipped=False)
    np.testing.assert_array_equal(keras.saving.load_model(path).get_weights()[0], before + 1)
    assert os.listdir(tmp_path) == ["model"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    ids = keras.Input((), dtype="int32")
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(FileExistsError, match="`filepath` must be a new folder"):
        SparseModel(ids, SparseEmbedding(9, 3)(ids)).save(tmp_path, zipped=False)
    assert os.listdir(tmp_path) == ["diary.txt"]


def interrupted(self, store):
    store["0"] = np.zeros(3)
    raise KeyboardInterrupt


def test_reset_rows_draw_anew_each_time():
    layer = SparseEmbedding(6, 4, embeddings_initializer=keras.initializers.RandomNormal(seed=1))
    before = layer.get_weights()[0]
    layer.reset_rows([2])
    layer.reset_rows([3])
    after = layer.get_weights()[0]
    np.testing.assert_array_equal(after[[0, 1, 4, 5]], before[[0, 1, 4, 5]])
    assert len(np.unique(np.vstack([before, after[2:4]]), axis=0)) == 8
    with pytest.raises(ValueError, match="`rows`"):
        layer.reset_rows([6])


def test_large_tables_are_made_in_blocks_that_differ():
    initializer = keras.initializers.RandomUniform(-2.0, 2.0, seed=3)
    assert not can_be_made_in_blocks(initializer, BLOCK // 4, 4)
    assert can_be_made_in_blocks(initializer, BLOCK // 4 + 1, 4)
    assert not can_be_made_in_blocks(keras.initializers.GlorotUniform(), BLOCK, 4)
    rows = BLOCK // 64
    blocks = list(blocks_of_rows(initializer, 2 * rows + 5, 64))
    assert [(start, tuple(values.shape)) for start, values in blocks] == [
        (0, (rows, 64)),
        (rows, (rows, 64)),
        (2 * rows, (5, 64)),
    ]
    assert (np.asarray(blocks[0][1])[:5] != np.asarray(blocks[1][1])[:5]).all()
    layer = SparseEmbedding(2 * rows + 5, 64, embeddings_initializer=initializer)
    table = layer.get_weights()[0]
    for start, values in blocks:
        np.testing.assert_array_equal(table[start : start + len(values)], values)
    # Rows that are drawn later are no rows of any block.
    for number in range(3):
        layer.reset_rows([7])
        drawn = layer.get_weights()[0][7]
        assert not (table == drawn).all(axis=1).any(), number
    assert table.std() == pytest.approx(4 / np.sqrt(12), rel=0.01)


def test_a_stock_optimizer_is_refused_with_what_to_use():
    ids = keras.Input((), dtype="int32")
    model = SparseModel(ids, keras.layers.Dense(1)(SparseEmbedding(9, 3)(ids)))
    model.compile(optimizer="adam", loss="mse")
    with pytest.raises(ValueError, match=r"must be one that updates touched rows; got Adam.* LazyAdam"):
        model.fit(np.arange(4), np.ones((4, 1)), verbose=0)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [(LazyAdam, {"amsgrad": True}), (LazyAdam, {"use_ema": True}), (SparseSGD, {"momentum": 0.9})],
)
def test_what_would_touch_every_row_is_refused(optimizer, settings):
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must be off"):
        optimizer(0.1, **settings)


@pytest.mark.parametrize(("table_beta_1", "share"), [(0.0, 1.0), (0.9, 0.1)])
def test_a_rare_row_gets_the_whole_step_of_adam(table_beta_1, share):
    optimizer = LazyAdam(0.01, table_beta_1=table_beta_1)
    table = SparseEmbedding(5, 2)
    model = keras.Sequential([keras.Input((), dtype="int32"), table])
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(10_000)
    before = keras.ops.convert_to_numpy(table.embeddings)
    model.compile(optimizer, loss=lambda y, vectors: keras.ops.sum(vectors), run_eagerly=True)
    model.train_on_batch(np.array([3]), np.zeros((1, 2)))
    moved = before - keras.ops.convert_to_numpy(table.embeddings)
    # Dense Adam long after its start: a gradient of 1, then a hundred batches without the row.
    m, v, whole = 0.1, 0.001, 0.0
    for _ in range(101):
        whole += 0.01 * m / np.sqrt(v)
        m, v = 0.9 * m, 0.999 * v
    np.testing.assert_allclose(moved[3], share * whole, rtol=0.01)
    assert not moved[[0, 1, 2, 4]].any()


def test_optimizers_round_trip():
    for optimizer in (
        LazyAdam(0.3, beta_1=0.5, table_beta_1=0.4, clipnorm=2.0),
        SparseSGD(0.2, weight_decay=0.1),
    ):
        config = optimizer.get_config()
        assert type(optimizer).from_config(config).get_config() == config


def test_a_functional_model_leaves_the_class_fit_for_subclassing():
    ids = keras.Input((), dtype="int32")
    SparseModel(inputs=ids, outputs=SparseEmbedding(9, 3)(ids))

    class Own(SparseModel):
        def call(self, x):
            return x

    assert Own(name="own").name == "own"
