"""Robust losses: their equations row by row, their limits, gradients and known bugs of public versions."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from noisy_labels.robust_losses.bootstrap_loss import HardBootstrap, SoftBootstrap
from noisy_labels.robust_losses.class_label_loss import class_targets
from noisy_labels.robust_losses.corrected_cross_entropy import (
    BackwardCorrectedCrossEntropy,
    ForwardCorrectedCrossEntropy,
)
from noisy_labels.robust_losses.generalized_cross_entropy import (
    GeneralizedCrossEntropy,
    TruncatedGeneralizedCrossEntropy,
    generalized_cross_entropy,
)
from noisy_labels.robust_losses.symmetric_cross_entropy import SymmetricCrossEntropy, reverse_cross_entropy
from noisy_labels.transitions.loss_correction import backward_matrix, forward_probabilities

SHARED = runpy.run_path(str(Path(__file__).parent / "robust_losses_script.py"))
T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])
NAMES = ("gce", "truncated gce", "sce", "soft bootstrap", "hard bootstrap", "forward", "backward")


def softmax(z):
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def make_rows(n=7, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, (n, 3)), generator.integers(0, 3, n)


def slow_row(name, p, y, transition=T):
    """Find the loss of one row of probabilities and a label distribution, as the papers write it."""
    classes = range(len(p))
    if name == "gce":
        return sum(y[k] * (1 - p[k] ** 0.4) / 0.4 for k in classes)
    if name == "truncated gce":
        return sum(y[k] * ((1 - 0.3**0.4) / 0.4 if p[k] <= 0.3 else (1 - p[k] ** 0.4) / 0.4) for k in classes)
    if name == "sce":
        forward = -sum(y[k] * np.log(p[k]) for k in classes)
        return 0.3 * forward + 2.0 * -sum(p[k] * np.log(min(max(y[k], 0.01), 1)) for k in classes)
    if name == "soft bootstrap":
        return -sum((0.7 * y[k] + 0.3 * p[k]) * np.log(p[k]) for k in classes)
    if name == "hard bootstrap":
        return -sum((0.6 * y[k] + 0.4 * (k == np.argmax(p))) * np.log(p[k]) for k in classes)
    if name == "forward":
        return -sum(y[j] * np.log(sum(p[i] * transition[i][j] for i in classes)) for j in classes)
    inverse = np.linalg.inv(0.9 * transition + 0.1 * np.eye(len(p)))
    return -sum(sum(y[j] * inverse[j][k] for j in classes) * np.log(p[k]) for k in classes)


def slow_rows(name, z, targets):
    return np.array([slow_row(name, p, y) for p, y in zip(softmax(z), targets, strict=True)])


def slow_gradient(name, z, targets, step=1e-6):
    slopes = np.empty_like(z)
    for place in np.ndindex(z.shape):
        moved = np.zeros_like(z)
        moved[place] = step
        ends = [slow_rows(name, z + sign * moved, targets).sum() for sign in (1, -1)]
        slopes[place] = (ends[0] - ends[1]) / (2 * step)
    return slopes


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", ["numbers", "column", "one-hot", "soft"])
def test_equation(name, labels):
    z, y = make_rows()
    one_hot = np.eye(3)[y]
    if labels == "soft":
        one_hot = np.random.default_rng(1).dirichlet(np.ones(3), len(y))
    given_labels = {"numbers": y, "column": y[:, None].astype("int64")}.get(labels, one_hot)
    expected = slow_rows(name, z, one_hot)
    for from_logits, y_pred in ((True, z), (False, softmax(z))):
        loss = SHARED["losses"](T, from_logits=from_logits, reduction=None)[name]
        rows = array(loss(given_labels, y_pred))
        assert rows.shape == (7,)
        np.testing.assert_allclose(rows, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(name):
    z, y = make_rows()
    loss = SHARED["losses"](T, from_logits=True, reduction=None, dtype="float64")[name]
    slope = SHARED["gradient"](lambda x: ops.sum(loss(y, x)), z)
    np.testing.assert_allclose(slope, slow_gradient(name, z, np.eye(3)[y]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_the_ends(name):
    z = np.array([[60, -60, -60], [-60, 60, 0], [60, 60, 60], [-60, -60, 60]], "float32")
    p = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]], "float32")
    for kind, from_logits, y_pred in (("logits", True, z), ("probabilities", False, p)):
        for column in range(3):
            y = np.full(4, column)
            loss = SHARED["losses"](T, from_logits=from_logits, reduction=None)[name]
            assert np.isfinite(array(loss(y, y_pred))).all(), kind
            slope = SHARED["gradient"](lambda x, y=y, loss=loss: ops.sum(loss(y, x)), y_pred)
            assert np.isfinite(slope).all(), kind


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_reductions(name):
    z, y = make_rows()
    weight = np.random.default_rng(2).random(7)
    rows = slow_rows(name, z, np.eye(3)[y])
    wanted = {
        "sum_over_batch_size": (rows * weight).mean(),
        "sum": (rows * weight).sum(),
        "mean_with_sample_weight": (rows * weight).sum() / weight.sum(),
        None: rows * weight,
    }
    for reduction, expected in wanted.items():
        loss = SHARED["losses"](T, from_logits=True, reduction=reduction)[name]
        np.testing.assert_allclose(array(loss(y, z, weight)), expected, rtol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_configuration_comes_back(name):
    z, y = make_rows()
    loss = SHARED["losses"](T, from_logits=True, reduction="sum", name="mine", dtype="float64")[name]
    copy = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
    assert (copy.name, copy.reduction, copy.dtype, copy.from_logits) == ("mine", "sum", "float64", True)
    assert float(copy(y, z)) == float(loss(y, z))


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_float32(name):
    z, y = make_rows()
    half = z.astype("float16")
    expected = slow_rows(name, half.astype("float64"), np.eye(3)[y])
    loss = SHARED["losses"](T, from_logits=True, reduction=None, dtype="mixed_float16")[name]
    assert loss.dtype == "float32"
    np.testing.assert_allclose(array(loss(y, half)), expected, rtol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_sequences(name):
    z, y = make_rows(6)
    loss = SHARED["losses"](T, from_logits=True, reduction=None)[name]
    rows = array(loss(y.reshape(2, 3), z.reshape(2, 3, 3)))
    np.testing.assert_allclose(rows.ravel(), slow_rows(name, z, np.eye(3)[y]), rtol=2e-5)


def test_labels_of_many_classes_keep_their_numbers_in_half_precision():
    y = np.array([2049, 4095])  # float16 and bfloat16 have neither
    z = np.zeros((2, 4096))
    z[[0, 1], y] = 50
    for dtype in ("float16", "bfloat16"):
        rows = array(GeneralizedCrossEntropy(from_logits=True, reduction=None, dtype=dtype)(y, z))
        np.testing.assert_allclose(rows, 0, atol=1e-6)


# Limits: each loss becomes cross-entropy, or absolute error.


def test_limits_of_generalized_cross_entropy():
    z, y = make_rows()
    p, targets = softmax(z), np.eye(3)[y]
    p_y = p[np.arange(7), y]
    near = array(generalized_cross_entropy(targets, np.log(p), q=1e-7))
    np.testing.assert_allclose(near, -np.log(p_y), rtol=1e-5)
    absolute = np.abs(targets - p).sum(axis=1)
    np.testing.assert_allclose(array(generalized_cross_entropy(targets, np.log(p), q=1.0)), absolute / 2)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 0.95), st.floats(1e-3, 0.999))
def test_generalized_cross_entropy_lies_between_its_limits(q, p):
    log_p = np.log([1 - p, p])
    value = float(generalized_cross_entropy([0.0, 1.0], log_p, q=q))
    assert 1 - p - 1e-9 <= value <= -np.log(p) + 1e-9


def test_greater_q_trusts_improbable_labels_less():
    z = np.array([[3.0, 0.0]])  # the label is the second class: probably wrong
    slopes = [
        np.abs(SHARED["gradient"](lambda x, q=q: ops.sum(_gce(q)([1], x)), z)).sum() for q in (0.1, 0.5, 0.9)
    ]
    ratios = np.array(slopes) / np.abs(slow_ce_gradient(z, 1)).sum()
    np.testing.assert_allclose(ratios, softmax(z)[0, 1] ** np.array([0.1, 0.5, 0.9]), rtol=1e-6)
    assert (np.diff(ratios) < 0).all()


def _gce(q):
    return GeneralizedCrossEntropy(q, from_logits=True, dtype="float64")


def slow_ce_gradient(z, label):
    return softmax(z) - np.eye(z.shape[1])[label]


@pytest.mark.parametrize(
    "loss",
    [
        SoftBootstrap(1.0, from_logits=True, reduction=None),
        HardBootstrap(1.0, from_logits=True, reduction=None),
        SymmetricCrossEntropy(1.0, 0.0, from_logits=True, reduction=None),
        ForwardCorrectedCrossEntropy(np.eye(3), from_logits=True, reduction=None),
        BackwardCorrectedCrossEntropy(np.eye(3), from_logits=True, reduction=None),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_limit_is_the_cross_entropy_of_keras(loss):
    z, y = make_rows()
    z[0] = [60, -60, -60]
    y[0] = 1  # improbable beyond float32: both value and gradient must stay
    reference = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    np.testing.assert_allclose(array(loss(y, z)), array(reference(y, z)), rtol=1e-5, atol=1e-6)
    found, wanted = (SHARED["gradient"](lambda x, f=f: ops.sum(f(y, x)), z) for f in (loss, reference))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_reverse_cross_entropy_of_one_hot_labels_is_scaled_absolute_error():
    z, y = make_rows()
    p, targets = softmax(z), np.eye(3)[y]
    rows = array(reverse_cross_entropy(targets, np.log(p), least_target=np.exp(-4.0)))
    np.testing.assert_allclose(rows, 4 * np.abs(targets - p).sum(axis=1) / 2)


@pytest.mark.parametrize("name", ["absolute", "reverse"])
def test_losses_that_are_symmetric_add_up_to_a_constant(name):
    """Sum over all labels: what makes a loss immune to symmetric noise (Ghosh et al. 2017)."""
    z, _ = make_rows()
    log_p = np.log(softmax(z))
    if name == "absolute":
        total = sum(array(generalized_cross_entropy(np.eye(3)[[k] * 7], log_p, q=1.0)) for k in range(3))
        np.testing.assert_allclose(total, 2)
    else:
        total = sum(array(reverse_cross_entropy(np.eye(3)[[k] * 7], log_p)) for k in range(3))
        np.testing.assert_allclose(total, 2 * -np.log(1e-4))


# Corrections: the matrix the right way round, and what the correction is for.


def test_corrections_agree_with_their_numpy_twins():
    z, y = make_rows()
    p = softmax(z)
    forward = ForwardCorrectedCrossEntropy(T, from_logits=True, reduction=None)(y, z)
    wanted = -np.log(forward_probabilities(p, T)[np.arange(7), y])
    np.testing.assert_allclose(array(forward), wanted, rtol=1e-5)
    backward = BackwardCorrectedCrossEntropy(T, from_logits=True, reduction=None)(y, z)
    wanted = (-np.log(p) @ backward_matrix(T).T)[np.arange(7), y]
    np.testing.assert_allclose(array(backward), wanted, rtol=1e-5)


def test_backward_correction_is_unbiased_under_the_noise():
    z, _ = make_rows(1)
    loss = BackwardCorrectedCrossEntropy(T, from_logits=True, reduction=None)
    of_labels = array(loss(np.arange(3), np.repeat(z, 3, axis=0)))
    np.testing.assert_allclose(T @ of_labels, -np.log(softmax(z)[0]), rtol=1e-5)


def test_forward_correction_has_the_clean_posterior_for_its_minimum():
    clean = np.array([0.5, 0.3, 0.2])
    noisy = clean @ T
    loss = ForwardCorrectedCrossEntropy(T, from_logits=True, reduction=None, dtype="float64")
    slope = SHARED["gradient"](lambda x: ops.sum(loss(noisy[None], x)), np.log(clean)[None])
    np.testing.assert_allclose(slope, 0, atol=1e-12)


# Known bugs of public versions.


def test_labels_of_one_column_make_no_matrix():
    """The class of Keras pairs every label with every row, and takes no one-hot labels at all."""
    z, y = make_rows()
    p = softmax(z).astype("float32")
    theirs = keras.losses.CategoricalGeneralizedCrossEntropy(q=0.7, reduction=None)
    ours = GeneralizedCrossEntropy(reduction=None)
    assert isinstance(ours, keras.losses.CategoricalGeneralizedCrossEntropy)
    np.testing.assert_allclose(array(ours(y, p)), array(theirs(y, p)), rtol=1e-5)
    np.testing.assert_allclose(array(ours(y[:, None], p)), array(theirs(y, p)), rtol=1e-5)


def test_nothing_is_averaged_twice():
    z, y = make_rows()
    for loss in SHARED["losses"](T, from_logits=True).values():
        repeated = float(loss(np.repeat(y[:1], 50), np.repeat(z[:1], 50, axis=0)))
        np.testing.assert_allclose(repeated, float(loss(y[:1], z[:1])), rtol=1e-5)


def test_truncated_rows_have_no_gradient_and_others_have_that_of_the_whole():
    z = np.log(np.array([[0.8, 0.2], [0.4, 0.6]]))
    slopes = [
        SHARED["gradient"](lambda x, f=f: ops.sum(f([1, 1], x)), z)
        for f in (
            TruncatedGeneralizedCrossEntropy(threshold=0.5, from_logits=True, dtype="float64"),
            GeneralizedCrossEntropy(from_logits=True, dtype="float64"),
        )
    ]
    np.testing.assert_array_equal(slopes[0][0], 0)
    np.testing.assert_allclose(slopes[0][1], slopes[1][1])
    assert np.abs(slopes[1]).min() > 0


# Planted noise: a linear model with so many weights that it can learn every wrong label by heart.


def planted(seed=1, n=200, dim=150, rate=0.3):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n + 2000)
    x = generator.normal(size=(n + 2000, dim)) + 0.5 * (2 * y[:, None] - 1) * (np.arange(dim) < 40)
    wrong = generator.random(n) < rate
    return x[:n], np.where(wrong, 1 - y[:n], y[:n]), x[n:], y[n:]


@pytest.fixture(scope="module")
def accuracies():
    import tensorflow as tf

    x, given_labels, x_test, y_test = planted()
    matrix = [[0.7, 0.3], [0.3, 0.7]]
    candidates = {
        "cross-entropy": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "gce": GeneralizedCrossEntropy(from_logits=True),
        "sce": SymmetricCrossEntropy(from_logits=True),
        "forward": ForwardCorrectedCrossEntropy(matrix, from_logits=True),
    }
    found = {}
    for name, loss in candidates.items():

        @tf.function(reduce_retracing=True)
        def run(kernel, loss=loss):
            for _ in tf.range(400):
                with tf.GradientTape() as tape:
                    tape.watch(kernel)
                    value = loss(given_labels, tf.constant(x, "float32") @ kernel)
                kernel = kernel - 0.5 * tape.gradient(value, kernel)
            return kernel

        kernel = run(tf.zeros((x.shape[1], 2))).numpy()
        found[name] = (
            float(((x @ kernel).argmax(axis=1) == given_labels).mean()),
            float(((x_test @ kernel).argmax(axis=1) == y_test).mean()),
        )
    return found


def test_cross_entropy_learns_planted_noise_by_heart_and_robust_losses_less(accuracies):
    by_heart, clean = accuracies["cross-entropy"]
    assert by_heart == 1.0
    for name in ("gce", "sce", "forward"):
        assert accuracies[name][1] > clean + 0.04, (name, accuracies)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GeneralizedCrossEntropy(0.0), r"`q` must be in \(0, 1\); got 0"),
        (lambda: GeneralizedCrossEntropy(float("nan")), "`q` must be in"),
        (lambda: generalized_cross_entropy([0.0, 1.0], [-1.0, -1.0], q=1.5), r"`q` must be in \(0, 1\]"),
        (lambda: TruncatedGeneralizedCrossEntropy(threshold=1.0), "`threshold` must be in"),
        (lambda: SymmetricCrossEntropy(-1.0), "`alpha` must be in"),
        (lambda: SymmetricCrossEntropy(least_target=0.0), "`least_target` must be in"),
        (lambda: SoftBootstrap(1.1), "`beta` must be in"),
        (lambda: HardBootstrap(-0.1), "`beta` must be in"),
        (lambda: ForwardCorrectedCrossEntropy(T.T), "sum to 1"),
        (lambda: BackwardCorrectedCrossEntropy([[0.5, 0.5], [0.5, 0.5]]), "must have an inverse"),
        (lambda: ForwardCorrectedCrossEntropy(T)([0], [[0.5, 0.5]]), "`y_pred` must have 3 columns"),
        (lambda: class_targets([0], [[1.0]]), "`y_pred` must have one column a class"),
        (lambda: class_targets([[0.5, 0.5]], [[0.2, 0.3, 0.5]]), "`y_true` must be class numbers or have 3"),
        (lambda: class_targets(0, [[0.2, 0.8]]), "`y_true` must be class numbers"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
