import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.losses.contrastive_losses import (
    alignment,
    identical_features,
    info_nce,
    mask_embedding,
    nt_xent,
    spread_out_softmax,
    spread_out_square,
    symmetric_info_nce,
    uniformity,
)

Z, Z_PRIME = [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [[1.0, 0.5], [0.5, 1.0], [-1.0, 1.0]]
EXCLUDED = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1]], dtype=bool)
POSITIVES = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]], dtype=bool)


def make_views(n=4, dim=3, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(2, n, dim)).astype(dtype)


def cosine(one, other):
    return one @ other / np.sqrt((one @ one) * (other @ other))


def slow_info_nce(z, z_prime, tau, excluded=None):
    rows = []
    for i, anchor in enumerate(z):
        powers = [np.exp(cosine(anchor, other) / tau) for other in z_prime]
        kept = [p for j, p in enumerate(powers) if excluded is None or j == i or not excluded[i, j]]
        rows.append(-np.log(powers[i] / sum(kept)))
    return rows


def slow_nt_xent(z, z_prime, tau, excluded=None, positives=None):
    """Eq. 5 of Ouyang et al. 2023, anchor by anchor."""
    n, views = len(z), [*z, *z_prime]
    rows = []
    for i, anchor in enumerate(views):
        partner = (i + n) % (2 * n)
        counted = [
            k
            for k in range(2 * n)
            if k == partner or (k % n != i % n and (excluded is None or not excluded[i % n, k % n]))
        ]
        near = [k for k in counted if k == partner or (positives is not None and positives[i % n, k % n])]
        total = sum(np.exp(cosine(anchor, views[k]) / tau) for k in counted)
        logs = [np.log(np.exp(cosine(anchor, views[q]) / tau) / total) for q in near]
        rows.append(-np.mean(logs))
    return rows


def gradient(function, start):
    point = tf.constant(start)
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = tf.reduce_sum(function(point))
    return tf.convert_to_tensor(tape.gradient(total, point)).numpy()


def test_golden_values():
    np.testing.assert_allclose(info_nce(Z, Z_PRIME, 0.1), [0.011358, 0.152767, 10.180018], atol=1e-5)
    assert float(np.mean(info_nce(Z, Z_PRIME, 0.1))) == pytest.approx(3.448048, abs=1e-5)
    assert float(spread_out_square(Z)) == pytest.approx(0.666667, abs=1e-5)
    assert float(np.mean(spread_out_softmax(Z, 0.1))) == pytest.approx(0.068602, abs=1e-5)


@pytest.mark.parametrize("excluded", [None, EXCLUDED])
def test_info_nce_is_the_loop(excluded):
    z, z_prime = make_views()
    expected = slow_info_nce(z, z_prime, 0.3, excluded)
    np.testing.assert_allclose(info_nce(z, z_prime, 0.3, excluded=excluded), expected, rtol=1e-10)
    both = (np.array(expected) + slow_info_nce(z_prime, z, 0.3, excluded)) / 2
    np.testing.assert_allclose(symmetric_info_nce(z, z_prime, 0.3, excluded=excluded), both, rtol=1e-10)


@pytest.mark.parametrize("positives", [None, POSITIVES])
@pytest.mark.parametrize("excluded", [None, EXCLUDED])
def test_nt_xent_is_the_loop(excluded, positives):
    z, z_prime = make_views()
    found = nt_xent(z, z_prime, 0.3, excluded=excluded, positives=positives)
    np.testing.assert_allclose(found, slow_nt_xent(z, z_prime, 0.3, excluded, positives), rtol=1e-10)


def test_spread_out_softmax_is_its_formula():
    z = make_views()[0]
    expected = []
    for i, one in enumerate(z):
        others = sum(np.exp(cosine(one, other) / 0.3) for j, other in enumerate(z) if j != i)
        expected.append(-np.log(np.exp(1 / 0.3) / (np.exp(1 / 0.3) + others)))
    np.testing.assert_allclose(spread_out_softmax(z, 0.3), expected, rtol=1e-10)


def test_measures_are_their_loops():
    z, z_prime = make_views(n=5)
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    square = sum(cosine(z[i], z[j]) ** 2 for i, j in pairs) / 5
    assert float(spread_out_square(z)) == pytest.approx(square, rel=1e-10)
    unit, unit_prime = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (z, z_prime))
    distance = np.mean([np.sum((one - other) ** 2) for one, other in zip(unit, unit_prime, strict=True)])
    assert float(alignment(z, z_prime)) == pytest.approx(distance, rel=1e-10)
    for t in (2.0, 400.0):  # e^-1600 is 0 in float64
        exponents = [-t * np.sum((unit[i] - unit[j]) ** 2) for i, j in pairs]
        expected = np.logaddexp.reduce(exponents) - np.log(len(pairs))
        assert float(uniformity(z, t)) == pytest.approx(expected, rel=1e-9)


def test_uniformity_of_vectors_that_fell_together_and_of_a_single_one():
    assert float(uniformity([[1.0, 2.0], [2.0, 4.0], [0.5, 1.0]])) == pytest.approx(0.0, abs=1e-5)
    assert float(uniformity([[1.0, 2.0]])) == 0.0


@settings(max_examples=8, deadline=None)
@given(
    scales=st.lists(st.floats(1e-4, 1e4), min_size=8, max_size=8),
    tau=st.floats(0.05, 5.0),
    seed=st.integers(0, 1000),
)
def test_lengths_do_not_matter(scales, tau, seed):
    z, z_prime = make_views(seed=seed)
    longer, longer_prime = z * np.reshape(scales[:4], (4, 1)), z_prime * np.reshape(scales[4:], (4, 1))
    for loss in (info_nce, symmetric_info_nce, nt_xent):
        found = loss(longer, longer_prime, tau).numpy()
        np.testing.assert_allclose(found, loss(z, z_prime, tau), rtol=1e-8, atol=1e-10)
        assert (found >= -1e-12).all()
    for measure in (spread_out_square, uniformity, lambda rows: spread_out_softmax(rows, tau)):
        np.testing.assert_allclose(measure(longer), measure(z), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(alignment(longer, longer_prime), alignment(z, z_prime), rtol=1e-8)


WEIGHTS = np.array([0.5, 2.0, -1.0, 0.3])
LOSSES = {
    "info_nce": lambda z, other: WEIGHTS * info_nce(z, other, 0.3),
    "info_nce, second view": lambda z, other: WEIGHTS * info_nce(other, z, 0.3, excluded=EXCLUDED),
    "symmetric": lambda z, other: WEIGHTS * symmetric_info_nce(z, other, 0.3),
    "nt_xent": lambda z, other: np.tile(WEIGHTS, 2) * nt_xent(z, other, 0.3),
    "nt_xent, all": lambda z, other: (
        np.arange(8.0) * nt_xent(z, other, 0.3, excluded=EXCLUDED, positives=POSITIVES)
    ),
    "spread_out_square": lambda z, _: spread_out_square(z),
    "spread_out_softmax": lambda z, _: WEIGHTS * spread_out_softmax(z, 0.3),
    "alignment": lambda z, other: alignment(z, other),
    "uniformity": lambda z, _: uniformity(z),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    z, z_prime = make_views()
    found = gradient(lambda rows: LOSSES[name](rows, tf.constant(z_prime)), z)
    for i, j in np.ndindex(z.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = z.copy()
            moved[i, j] += step
            ends.append(float(np.sum(LOSSES[name](moved, z_prime))))
        assert found[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_zero_vectors_and_equal_ones(name):
    z, z_prime = make_views(dtype="float32")
    z[0], z[2], z_prime[0] = 0, z[1], 0
    for rows in (z, np.zeros_like(z)):
        assert np.isfinite(LOSSES[name](rows, z_prime)).all()
        found = gradient(lambda moved: LOSSES[name](moved, tf.constant(z_prime)), rows)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[0], 0)


def test_a_low_temperature_does_not_overflow():
    z, z_prime = make_views(dtype="float32")
    for loss in (info_nce, nt_xent):
        assert np.isfinite(loss(z, -z, 1e-4)).all()
        assert np.isfinite(gradient(lambda rows, loss=loss: loss(rows, z_prime, 1e-4), z)).all()


def test_a_single_row_has_nothing_to_tell_apart():
    one = [[3.0, 4.0]]
    for rows in (
        info_nce(one, [[1.0, 0.0]], 0.1),
        nt_xent(one, [[1.0, 0.0]], 0.1),
        spread_out_softmax(one, 0.1),
    ):
        np.testing.assert_allclose(rows, 0, atol=1e-6)
    assert float(spread_out_square(one)) == pytest.approx(0, abs=1e-6)


def test_the_temperature_can_be_learned():
    z, z_prime = make_views()
    found = gradient(lambda tau: info_nce(z, z_prime, tau), np.float32(0.3))
    ends = [np.sum(slow_info_nce(z, z_prime, 0.3 + step)) for step in (1e-6, -1e-6)]
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_half_precision_is_computed_in_single():
    z, z_prime = make_views(n=40, dtype="float16")
    rows = info_nce(z, z_prime, 0.1)
    assert keras.backend.standardize_dtype(rows.dtype) == "float32"
    np.testing.assert_allclose(rows, slow_info_nce(z.astype(float), z_prime.astype(float), 0.1), rtol=1e-4)


def test_traced_with_unknown_sizes():
    signature = [tf.TensorSpec((None, 3), "float64")] * 2
    generator = keras.random.SeedGenerator(0)

    @tf.function(input_signature=signature)
    def traced(z, z_prime):
        ids = tf.cast(tf.round(z), "int32")
        excluded = identical_features(ids)
        losses = (nt_xent(z, z_prime, 0.3, excluded=excluded, positives=excluded), info_nce(z, z_prime, 0.3))
        return (
            *losses,
            uniformity(z),
            spread_out_square(z),
            mask_embedding(z, 0.0, generator),
        )

    z, z_prime = make_views(n=6)
    rows, nce, spread, square, same = traced(z, z_prime)
    np.testing.assert_allclose(
        rows, slow_nt_xent(z, z_prime, 0.3, identical_features(np.round(z).astype(int)).numpy())
    )
    np.testing.assert_allclose(nce, slow_info_nce(z, z_prime, 0.3))
    np.testing.assert_allclose([spread, square], [uniformity(z), spread_out_square(z)])
    np.testing.assert_array_equal(same, z)


def test_identical_features():
    ids = np.random.default_rng(0).integers(2, size=(20, 3))
    expected = [[i != j and (ids[i] == ids[j]).all() for j in range(20)] for i in range(20)]
    np.testing.assert_array_equal(identical_features(ids), expected)
    with pytest.raises(TypeError, match=r"`ids` must be of an integer dtype; got .*float32"):
        identical_features(np.zeros((2, 2), dtype="float32"))
    with pytest.raises(ValueError, match="`ids` must be 2-dimensional; got shape \\(2,\\)"):
        identical_features(np.zeros(2, dtype="int32"))


def test_masked_embeddings():
    x = np.random.default_rng(0).uniform(1, 2, size=(300, 40)).astype("float32")
    generator = keras.random.SeedGenerator(3)
    first, second = (np.asarray(mask_embedding(x, 0.25, generator)) for _ in range(2))
    for view in (first, second):
        # What stays is not scaled; the mean of 12000 draws has a standard deviation of .004.
        np.testing.assert_array_equal(view[view != 0], x[view != 0])
        assert abs((view == 0).mean() - 0.25) < 0.02
        assert abs((view == 0).mean(axis=0) - 0.25).max() < 0.12
    # The two are independent.
    assert abs(((first == 0) & (second == 0)).mean() - 0.0625) < 0.01
    np.testing.assert_array_equal(mask_embedding(x, 0.25, keras.random.SeedGenerator(3)), first)
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\); got 1.0"):
        mask_embedding(x, 1.0, generator)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="`temperature` must be in \\(0, inf\\); got 0"):
        info_nce(Z, Z_PRIME, 0)
    with pytest.raises(ValueError, match="`z` and `z_prime` must be of the same shape \\(N, dim\\)"):
        nt_xent(Z, Z_PRIME[:2], 0.1)
    with pytest.raises(ValueError, match="got \\(2,\\) and \\(2,\\)"):
        alignment(Z[0], Z[0])
    with pytest.raises(ValueError, match="`t` must be in \\(0, inf\\)"):
        uniformity(Z, 0.0)


SCRIPT = r"""
import json, keras, numpy as np
from keras import ops
from recsys_ssl.losses import contrastive_losses as losses

z, z_prime, excluded, positives = (np.array(part, dtype="float32") for part in json.loads(input()))
z[0] = 0
functions = {
    "info_nce": lambda rows: losses.info_nce(rows, z_prime, 0.3, excluded=excluded),
    "symmetric": lambda rows: losses.symmetric_info_nce(rows, z_prime, 0.3),
    "nt_xent": lambda rows: losses.nt_xent(rows, z_prime, 0.3, excluded=excluded, positives=positives),
    "spread_out_square": losses.spread_out_square,
    "spread_out_softmax": lambda rows: losses.spread_out_softmax(rows, 0.3),
    "alignment": lambda rows: losses.alignment(rows, z_prime),
    "uniformity": losses.uniformity,
}


def value_and_gradient(function, start):
    if keras.backend.backend() == "jax":
        import jax

        return function(start), jax.grad(lambda rows: ops.sum(function(rows)))(start)
    import torch

    point = torch.tensor(start, requires_grad=True)
    value = function(point)
    ops.sum(value).backward()
    return value.detach(), point.grad


def everything(start):
    return {name: value_and_gradient(function, start) for name, function in functions.items()}


if keras.backend.backend() == "jax":
    import jax

    everything = jax.jit(everything)
report = {
    name: [np.ravel(np.asarray(part)).tolist() for part in pair] for name, pair in everything(z).items()
}
same = losses.identical_features(np.array([[1, 2], [1, 2], [2, 2]]))
report["identical"] = ops.convert_to_numpy(same).astype(int).tolist()
masked = losses.mask_embedding(np.ones((200, 50), "float32"), 0.3, keras.random.SeedGenerator(0))
report["masked"] = float(np.mean(ops.convert_to_numpy(masked) == 0))
print("REPORT", json.dumps(report))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same(backend, run_under):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    given_parts = [part.tolist() for part in (*make_views(), EXCLUDED, POSITIVES)]
    report = json.loads(run_under(backend, SCRIPT, given=json.dumps(given_parts)).split("REPORT ")[1])
    z, z_prime = make_views(dtype="float32")
    z[0] = 0
    functions = {
        "info_nce": lambda rows: info_nce(rows, z_prime, 0.3, excluded=EXCLUDED),
        "symmetric": lambda rows: symmetric_info_nce(rows, z_prime, 0.3),
        "nt_xent": lambda rows: nt_xent(rows, z_prime, 0.3, excluded=EXCLUDED, positives=POSITIVES),
        "spread_out_square": spread_out_square,
        "spread_out_softmax": lambda rows: spread_out_softmax(rows, 0.3),
        "alignment": lambda rows: alignment(rows, z_prime),
        "uniformity": uniformity,
    }
    for name, function in functions.items():
        values, slopes = report[name]
        np.testing.assert_allclose(values, np.ravel(function(z)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slopes, gradient(function, z).ravel(), rtol=1e-4, atol=1e-5)
    assert report["identical"] == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert 0.27 < report["masked"] < 0.33
