"""Nested dropout draws what the paper says, masks a prefix, and keeps its number of features."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import chisquare

from noisy_labels.compression.compression_dropout import CompressionDropout
from noisy_labels.compression.nested_dropout import NestedDropout, prefix_probabilities
from noisy_labels.compression.trained_size import trained_size


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(
    ("sigma", "mean", "median", "first", "q95", "q9999"),
    [(10, 5.97, 5, 0.118, 14, 28), (100, 56.7, 48, 0.0113, 139, 275)],
)
def test_measured_facts_of_the_law(sigma, mean, median, first, q95, q9999):
    chances = prefix_probabilities(512, sigma)
    sizes, levels = np.arange(1, 513), np.cumsum(chances)
    assert chances @ sizes == pytest.approx(mean, rel=1e-3)
    assert chances[0] == pytest.approx(first, rel=5e-3)
    found = [int(sizes[np.searchsorted(levels, level)]) for level in (0.5, 0.95, 0.9999)]
    assert found == [median, q95, q9999]
    assert [trained_size(chances, share=share) for share in (0.5, 0.95, 0.9999)] == found


def test_law_by_hand():
    weights = [np.exp(-(((i - 2) / 3) ** 2)) for i in (1, 2, 3, 4)]
    np.testing.assert_allclose(prefix_probabilities(4, 3, mu=2), np.array(weights) / sum(weights))
    np.testing.assert_allclose(prefix_probabilities(3, 2, distribution="geometric"), np.array([4, 2, 1]) / 7)
    assert prefix_probabilities(3, 1, distribution="geometric").tolist() == [1, 0, 0]
    assert prefix_probabilities(2, 1, distribution=[1, 3]).tolist() == [0.25, 0.75]
    assert [trained_size([0.25, 0.25, 0.5], share=share) for share in (0.2, 0.25, 0.3, 1.0)] == [1, 1, 2, 3]
    assert trained_size(np.full(1000, 0.001), share=1.0) == 1000
    # A mean far away must not make all weights 0.
    assert prefix_probabilities(3, 0.01, mu=1000).tolist() == [0, 0, 1]


@pytest.mark.parametrize("sigma", [3.0])
def test_drawn_sizes_follow_the_law(sigma):
    layer = NestedDropout(sigma, seed=5)
    ones = np.ones((2, 40), dtype="float32")
    masks = np.stack([array(layer(ones, training=True)) for _ in range(600)])
    assert (masks[:, 0] == masks[:, 1]).all()  # one k a batch
    assert (np.diff(masks[:, 0]) <= 0).all()  # the first ones
    assert set(np.unique(masks)) <= {0.0, 1.0}  # nothing is rescaled
    counts = np.bincount(masks[:, 0].sum(axis=1).astype(int), minlength=41)[1:]
    expected = prefix_probabilities(40, sigma) * 600
    cut = int(np.flatnonzero(expected >= 5)[-1])
    observed = np.append(counts[:cut], counts[cut:].sum())
    assert chisquare(observed, np.append(expected[:cut], expected[cut:].sum())).pvalue > 1e-3


def test_the_weight_k_counts_outside_training():
    layer = NestedDropout(4.0)
    z = np.arange(12, dtype="float32").reshape(2, 6)
    np.testing.assert_array_equal(array(layer(z)), z)
    layer.k.assign(2)
    np.testing.assert_array_equal(array(layer(z)), z * [1, 1, 0, 0, 0, 0])
    assert not layer.k.trainable
    assert layer.k.dtype == "int32"
    assert layer.compute_output_shape((None, 6)) == (None, 6)


def test_two_layers_take_turns():
    first, second = (NestedDropout(2.0, turn=turn, seed=3) for turn in (0, 1))
    ones = np.ones((1, 30), dtype="float32")
    masked = []
    for _ in range(60):
        z = array(first(ones, training=True)), array(second(ones, training=True))
        masked.append([bool((values == 0).any()) for values in z])
    assert (np.sum(masked, axis=1) == 1).all()  # sigma 2 never keeps all of 30
    assert 15 < np.sum(masked, axis=0)[0] < 45
    np.testing.assert_array_equal(array(first(ones)), ones)


@pytest.mark.parametrize(
    "layer",
    [
        NestedDropout(7.0, 2.0, distribution="geometric", turn=1, seed=4, name="n"),
        NestedDropout(7.0, distribution=[1.0, 2.0, 0.5]),
        CompressionDropout(0.3, seed=4, name="c"),
    ],
)
def test_config_round_trip(layer):
    stored = keras.saving.serialize_keras_object(layer)
    for other in (keras.saving.deserialize_keras_object(stored), copy.deepcopy(layer)):
        assert type(other) is type(layer)
        assert other.get_config() == layer.get_config()


def test_k_is_saved(tmp_path):
    layers = [keras.Input((5,)), NestedDropout(3.0), keras.layers.Dense(2, use_bias=False)]
    model = keras.Sequential(layers)
    model.layers[0].k.assign(3)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert int(loaded.layers[0].k) == 3
    x = np.ones((2, 5), dtype="float32")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


def test_plain_form_rescales():
    layer = CompressionDropout(0.75, seed=1)
    z = array(layer(np.ones((100, 100), dtype="float32"), training=True))
    assert set(np.unique(z)) == {0.0, 4.0}
    assert abs(z.mean() - 1) < 0.05
    np.testing.assert_array_equal(array(layer(np.ones((2, 3), dtype="float32"))), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: NestedDropout(0.0), ValueError, "`sigma` must be in"),
        (lambda: NestedDropout(float("nan")), ValueError, "`sigma`"),
        (lambda: NestedDropout("3"), TypeError, "`sigma`"),
        (lambda: NestedDropout(0.5, distribution="geometric"), ValueError, "`sigma` must be in"),
        (lambda: NestedDropout(1.0, distribution="gauss"), ValueError, "`distribution` must be one of"),
        (lambda: NestedDropout(1.0, distribution=[0.0, 0.0]), ValueError, "`distribution` must hold 2"),
        (
            lambda: NestedDropout(1.0, distribution=[1.0, -1.0]),
            ValueError,
            "`distribution` must be non-negative",
        ),
        (lambda: NestedDropout(1.0, distribution=[1.0, 2.0]).build((None, 3)), ValueError, "must hold 3"),
        (lambda: NestedDropout(1.0, turn=0), ValueError, "`seed` must be given"),
        (lambda: NestedDropout(1.0, turn=2, seed=1), ValueError, "`turn` must be one of"),
        (lambda: NestedDropout(1.0).build((3, None)), ValueError, "of known length"),
        (lambda: CompressionDropout(1.0), ValueError, "`rate` must be in"),
        (lambda: prefix_probabilities(0, 1.0), ValueError, "`n_features`"),
        (lambda: trained_size([0.5, 0.4]), ValueError, "`probabilities` must sum to 1; got 0.9"),
        (lambda: trained_size([]), ValueError, "`probabilities`"),
        (lambda: trained_size([1.0], share=0.0), ValueError, "`share` must be in"),
    ],
)
def test_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()
