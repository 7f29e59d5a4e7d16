"""Beside `keras.layers.Embedding` and, where it is installed, `keras_rs`."""

import keras
import numpy as np
import pytest

from recsys_ssl import SampledSoftmax
from recsys_ssl.embeddings.replaced_embeddings import sparse_embedding_from, sparse_embeddings_from

COMBINERS = ("sum", "mean", "sqrtn")
IDS = np.array([[1, 1, 4], [0, 2, 3]], dtype="int32")
WEIGHTS = np.array([[0.5, 2.0, 1.0], [3.0, 0.0, 0.25]], dtype="float32")


def close(ours, theirs):
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs), rtol=1e-5, atol=1e-6
    )


def built_embedding(**arguments):
    layer = keras.layers.Embedding(5, 3, name="table", **arguments)
    layer.build()
    return layer


def test_an_embedding():
    layer = built_embedding(embeddings_initializer=keras.initializers.RandomNormal(seed=1))
    sparse = sparse_embedding_from(layer)
    assert (sparse.name, sparse.combiner, sparse.padding_id) == ("table", None, None)
    close(sparse(IDS), layer(IDS))
    # A copy: training one leaves the other as it is.
    sparse.embeddings.assign(sparse.embeddings + 1)
    close(sparse(IDS), layer(IDS) + 1)


def test_mixed_precision_is_kept():
    sparse = sparse_embedding_from(built_embedding(dtype="mixed_float16"))
    assert keras.backend.standardize_dtype(sparse(IDS).dtype) == "float16"
    assert sparse.embeddings.dtype == "float32"


def test_a_mask_needs_a_padding():
    layer = built_embedding(mask_zero=True)
    with pytest.raises(ValueError, match="`padding_id` must be given for a layer with mask_zero=True"):
        sparse_embedding_from(layer)
    vectors = keras.ops.convert_to_numpy(sparse_embedding_from(layer, padding_id=0)(IDS))
    assert not vectors[1, 0].any()
    close(vectors[1, 1:], layer(IDS)[1, 1:])


@pytest.mark.parametrize(
    "arguments", [{"embeddings_regularizer": "l2"}, {"embeddings_constraint": "non_neg"}]
)
def test_what_acts_on_the_whole_table_is_refused(arguments):
    with pytest.raises(ValueError, match=f"`layer` must have no {next(iter(arguments))}, which acts on"):
        sparse_embedding_from(built_embedding(**arguments))


def test_a_layer_without_rows():
    with pytest.raises(ValueError, match="`layer` must be built; got 'table'"):
        sparse_embedding_from(keras.layers.Embedding(5, 3, name="table"))


@pytest.fixture(scope="module")
def keras_rs():
    return pytest.importorskip("keras_rs")


@pytest.mark.parametrize("combiner", COMBINERS)
def test_embed_reduce(keras_rs, combiner):
    layer = keras_rs.layers.EmbedReduce(5, 3, combiner=combiner)
    layer.build((None, 3))
    sparse = sparse_embedding_from(layer)
    close(sparse(IDS), layer(IDS))
    close(sparse(IDS, WEIGHTS), layer(IDS, WEIGHTS))
    nothing = np.zeros_like(WEIGHTS)
    close(sparse(IDS, nothing), layer(IDS, nothing))
    # One id a row, which their layer takes without an axis.
    close(sparse(IDS[:, :1]), layer(IDS[:, 0]))


@pytest.mark.parametrize("combiner", COMBINERS)
def test_embed_reduce_of_ragged_and_sparse_input(keras_rs, combiner):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("ragged tensors are TensorFlow's")
    tensorflow = pytest.importorskip("tensorflow")
    layer = keras_rs.layers.EmbedReduce(5, 3, combiner=combiner)
    layer.build((None, None))
    sparse = sparse_embedding_from(layer)
    ids = tensorflow.ragged.constant([[1, 1, 4], [], [2]], dtype="int32")
    weights = tensorflow.ragged.constant([[0.5, 2.0, 1.0], [], [3.0]], dtype="float32")
    close(sparse(ids), layer(ids))
    close(sparse(ids, weights), layer(ids, weights))
    # A sparse tensor as a ragged one.
    close(sparse(tensorflow.RaggedTensor.from_sparse(ids.to_sparse())), layer(ids.to_sparse()))


def test_distributed_embedding(keras_rs):
    layers = keras_rs.layers
    shared = layers.TableConfig("words", 5, 3, combiner="sqrtn", placement="default_device")
    other = layers.TableConfig("users", 4, 2, placement="default_device")
    configs = {
        "title": layers.FeatureConfig("title", shared, (2, 3), (2, 3)),
        "query": layers.FeatureConfig("query", shared, (2, 3), (2, 3)),
        "user": layers.FeatureConfig("user", other, (2, 1), (2, 2)),
    }
    layer = layers.DistributedEmbedding(configs, name="distributed")
    inputs = {"title": IDS, "query": IDS[::-1].copy(), "user": np.array([[3], [0]], dtype="int32")}
    weights = {"title": WEIGHTS, "query": WEIGHTS, "user": WEIGHTS[:, :1]}
    with pytest.raises(ValueError, match="`layer` must be built; got 'distributed'"):
        sparse_embeddings_from(layer)
    plain, weighted = layer(inputs), layer(inputs, weights)
    tables = sparse_embeddings_from(layer)
    assert {name: table.combiner for name, table in tables.items()} == {"words": "sqrtn", "users": "mean"}
    for name, config in configs.items():
        close(tables[config.table.name](inputs[name]), plain[name])
        close(tables[config.table.name](inputs[name], weights[name]), weighted[name])


def test_accidental_hits_are_removed():
    # Of three candidates the first and the last are one item, and the logits are 1 apart:
    # row 0 has one negative left, and its loss is log(1 + e^-1).
    queries, items = (
        np.array([[1.0, 0.0]] * 3, dtype="float32"),
        np.array([[1, 0], [0, 0], [1, 0]], dtype="float32"),
    )
    loss = SampledSoftmax(correction="none")
    rows = keras.ops.convert_to_numpy(loss(queries, items, item_ids=np.array([7, 8, 7])))
    np.testing.assert_allclose(
        rows, [np.log1p(np.exp(-1)), np.log(1 + 2 * np.e), np.log1p(np.exp(-1))], rtol=1e-5
    )


def test_keras_rs_leaves_accidental_hits_in(keras_rs):
    if keras_rs.__version__ != "0.4.0":
        pytest.skip("a defect of 0.4.0")
    logits = np.array([[1.0, 0.0, 1.0]] * 3, dtype="float32")
    left = keras_rs.layers.RemoveAccidentalHits()(logits, np.eye(3, dtype="float32"), np.array([7, 8, 7]))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(left), logits)
