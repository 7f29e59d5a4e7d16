import keras
import numpy as np
import pytest

from recsys_ssl import SparseEmbedding
from recsys_ssl.embeddings.grown_table import grown


@pytest.mark.parametrize("initializer", ["uniform", keras.initializers.RandomNormal(seed=5)])
def test_old_rows_are_equal_and_new_ones_are_fresh(initializer):
    layer = SparseEmbedding(50, 4, "mean", embeddings_initializer=initializer, padding_id=0, name="items")
    old = layer.get_weights()[0]
    larger = grown(layer, 120)
    new = larger.get_weights()[0]
    np.testing.assert_array_equal(new[:50], old)
    np.testing.assert_array_equal(layer.get_weights()[0], old)
    # All rows differ: an initializer of fixed seed must not repeat the old rows' first values.
    assert len(np.unique(new, axis=0)) == 120
    assert 0.5 < new[50:].std() / old.std() < 2
    assert larger.get_config() == {**layer.get_config(), "num_rows": 120}
    assert larger.embeddings.sparse_rows


def test_a_table_of_several_blocks(monkeypatch):
    monkeypatch.setattr("recsys_ssl.embeddings.grown_table.BLOCK", 7)
    layer = SparseEmbedding(23, 3)
    np.testing.assert_array_equal(grown(layer, 30).get_weights()[0][:23], layer.get_weights()[0])


def test_a_frozen_table_stays_frozen():
    layer = SparseEmbedding(5, 2, trainable=False)
    assert not grown(layer, 6).trainable
    layer = SparseEmbedding(5, 2)
    layer.trainable = False
    assert not grown(layer, 6).trainable


@pytest.mark.parametrize("num_rows", [5, 4, 0, -1])
def test_a_table_does_not_shrink(num_rows):
    with pytest.raises(ValueError, match="`num_rows` must be at least 6"):
        grown(SparseEmbedding(5, 2), num_rows)


def test_wrong_types():
    with pytest.raises(TypeError, match="num_rows"):
        grown(SparseEmbedding(5, 2), 8.0)
    with pytest.raises(TypeError, match="SparseEmbedding; got Embedding"):
        grown(keras.layers.Embedding(5, 2), 8)
