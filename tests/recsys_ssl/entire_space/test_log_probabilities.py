import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from recsys_ssl.entire_space.batch_rows import as_rows, weighted_mean
from recsys_ssl.entire_space.log_probabilities import (
    cross_entropy,
    log_one_minus_product,
    log_product,
    product_cross_entropy,
)

LOGITS = [-60.0, -30.0, -17.0, -8.0, -1.0, -0.1, 0.0, 0.1, 1.0, 8.0, 17.0, 30.0, 60.0]


def complement(a, b):
    """1 - sigma(a) sigma(b) in float64 by a sum of positive terms."""
    return math.exp(-np.logaddexp(0, a)) + math.exp(-np.logaddexp(0, -a) - np.logaddexp(0, b))


@pytest.mark.parametrize("a", LOGITS)
def test_both_logarithms_keep_their_digits_in_float32(a):
    others = np.array(LOGITS, dtype="float32")
    ones = np.full_like(others, a)
    # Below 1e-8 log(1 - p) is -p, which the complement's sum cannot show.
    p = [math.exp(-np.logaddexp(0, -a) - np.logaddexp(0, -b)) for b in LOGITS]
    expected = [-q if q < 1e-8 else math.log(complement(a, b)) for q, b in zip(p, LOGITS, strict=True)]
    np.testing.assert_allclose(log_one_minus_product(ones, others), expected, rtol=2e-6, atol=1e-37)
    logs = [-np.logaddexp(0, -a) - np.logaddexp(0, -b) for b in LOGITS]
    np.testing.assert_allclose(log_product(ones, others), logs, rtol=2e-6, atol=1e-16)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_gradients_of_a_product_in_float32(label):
    mesh = np.stack(np.meshgrid(LOGITS, LOGITS), axis=-1).reshape(-1, 2)
    a, b = (tf.constant(mesh[:, place], tf.float32) for place in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        loss = tf.reduce_sum(product_cross_entropy(a, b, np.full(len(mesh), label)))
    for place, found in enumerate(tape.gradient(loss, [a, b])):
        expected = []
        for pair in mesh:
            p = math.exp(-np.logaddexp(0, -pair[0]) - np.logaddexp(0, -pair[1]))
            share = math.exp(-np.logaddexp(0, pair[place]))  # sigma(-a)
            expected.append(-share if label else p * share / complement(*pair))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-30)


@given(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.sampled_from([0, 1]),
)
def test_finite_wherever_the_logits_are(a, b, label):
    a, b = tf.constant([a]), tf.constant([b])
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        loss = product_cross_entropy(a, b, [label]) + cross_entropy(a, [label])
    assert np.isfinite([*loss, *(one[0] for one in tape.gradient(loss, [a, b]))]).all()
    assert float(loss[0]) >= 0


def test_soft_labels():
    expected = -0.3 * math.log(1 / (1 + math.exp(-2.0))) - 0.7 * math.log(1 / (1 + math.exp(2.0)))
    assert float(cross_entropy([2.0], [0.3])[0]) == pytest.approx(expected, rel=1e-6)


def test_columns_do_not_pair_every_row_with_every_other():
    column = np.zeros((3, 1), dtype="float32")
    assert cross_entropy(column, [1, 0, 1]).shape == (3,)
    assert product_cross_entropy(column, np.zeros(3), [[1], [0], [1]]).shape == (3,)
    with pytest.raises(ValueError, match=r"of the same length; got \[1, 3\]"):
        as_rows(column, [1])


def test_weights_are_repetitions():
    values, weights = np.array([1.0, 5.0, 2.0]), np.array([2, 0, 3])
    assert float(weighted_mean(values, weights)) == pytest.approx(np.repeat(values, weights).mean())
    assert float(weighted_mean(values, weights, 7.0 * weights)) == pytest.approx((4 + 18) / 13)
    assert float(weighted_mean(values, np.zeros(3))) == 0.0
    assert float(weighted_mean(values, None)) == pytest.approx(8 / 3)
