"""Losses that remember rows: training against the equations, with gradients by finite differences."""

from __future__ import annotations

import importlib.util
import json
import runpy
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from noisy_labels.robust_losses.early_learning import EarlyLearning, early_learning_penalty
from noisy_labels.robust_losses.row_loss_model import RowLossModel
from noisy_labels.robust_losses.sparse_over_parameterization import (
    SparseOverParameterization,
    sop_gradients,
    sop_loss,
)

SCRIPT = Path(__file__).parent / "robust_losses_script.py"
SHARED = runpy.run_path(str(SCRIPT))
T = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])


def softmax(z):
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def make_rows(n=7, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, (n, 3)).astype("float32"), generator.integers(0, 3, n)


def make_training():
    generator = np.random.default_rng(3)
    return (
        generator.normal(size=(10, 4)).astype("float32"),
        generator.integers(0, 3, 10),
        generator.normal(size=(4, 3)).astype("float32"),
    )


def slow_elr_batch(z, y, memory, beta=0.6, strength=2.0):
    """Return new targets, and the function of the logits that is differentiated with these held fixed."""
    p = np.clip(softmax(z), 1e-4, 1 - 1e-4)
    targets = beta * memory + (1 - beta) * p / p.sum(axis=1, keepdims=True)

    def mean_loss(logits):
        rows = []
        for i, probabilities in enumerate(softmax(logits)):
            clipped = np.clip(probabilities, 1e-4, 1 - 1e-4)
            rows.append(-np.log(probabilities[y[i]]) + strength * np.log(1 - targets[i] @ clipped))
        return np.mean(rows)

    return targets, mean_loss


def slow_sop_loss(logits, y, u, v, *, held=None):
    """Mean loss of a batch; `held` replaces v in the cross-entropy, where it has no gradient."""
    held = v if held is None else held
    rows = []
    for i, p in enumerate(softmax(logits)):
        label = np.eye(len(p))[y[i]]
        q = np.maximum(p + u[i, 0] ** 2 * label - held[i] ** 2 * (1 - label), 1e-4)
        most = np.eye(len(p))[p.argmax()]
        square = (most + u[i, 0] ** 2 * label - v[i] ** 2 * (1 - label) - label) ** 2
        rows.append(-np.log((q / q.sum())[y[i]]) + square.sum())
    return np.mean(rows)


def differences(function, x, step=1e-6):
    slopes = np.empty_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        slopes[place] = (function(x + moved) - function(x - moved)) / (2 * step)
    return slopes


def slow_training(name):
    x, y, kernel = (part.astype("float64") if part.dtype.kind == "f" else part for part in make_training())
    memory, u, v = np.zeros((10, 3)), np.full((10, 1), 0.3), np.full((10, 3), 0.2)
    for start in (0, 4, 8, 0, 4, 8):  # two epochs of batches of four
        rows = np.arange(start, min(start + 4, 10))
        if name == "elr":
            memory[rows], mean_loss = slow_elr_batch(x[rows] @ kernel, y[rows], memory[rows])
        else:
            u[rows], v[rows], mean_loss = slow_sop_batch(x[rows] @ kernel, y[rows], u[rows], v[rows])
        slope = differences(partial(regularised, mean_loss, x[rows]), kernel)
        kernel = kernel - 0.5 * slope
    return kernel, [memory] if name == "elr" else [u, v]


def regularised(mean_loss, x, kernel):
    return mean_loss(x @ kernel) + 0.05 * (kernel**2).sum()


def slow_sop_batch(z, y, u, v):
    """Return new u and v, and the loss as a function of the logits with the old ones."""
    of_u = differences(lambda a: slow_sop_loss(z, y, a, v), u)
    of_v = differences(lambda a: slow_sop_loss(z, y, u, a, held=v), v)
    return (
        np.clip(u - 0.5 * of_u, -1, 1),
        np.clip(v - 4.0 * of_v, -1, 1),
        lambda logits: slow_sop_loss(logits, y, u, v),
    )


@pytest.fixture(scope="module", params=["jax", "torch"])
def report(request, tmp_path_factory, run_under):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    x, labels, kernel = make_training()
    z, y = make_rows()
    np.savez(folder / "given.npz", logits=z, labels=y, transition=T, x=x, y=labels, kernel=kernel)
    printed = run_under(request.param, SCRIPT, folder / "given.npz", folder)
    return json.loads(printed.split("REPORT ")[1])


def test_other_backends_find_the_same(report):
    for name, wanted in SHARED["rows_and_gradients"](*make_rows(), T).items():
        for part, expected in zip(report["stateless"][name], wanted, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)


def check_training(name, found):
    kernel, memory = slow_training(name)
    np.testing.assert_allclose(found["kernel"], kernel, rtol=2e-4, atol=2e-5)
    for part, expected in zip(found["memory"], memory, strict=True):
        np.testing.assert_allclose(part, expected, rtol=2e-4, atol=2e-5)
    x, y, _ = make_training()
    p = softmax(x[:5].astype("float64") @ kernel)
    wanted = [-np.log(p[np.arange(5), y[:5]]).mean() + 0.05 * (kernel**2).sum()]
    wanted.append((p.argmax(axis=1) == y[:5]).mean())
    np.testing.assert_allclose(found["evaluated"], wanted, rtol=1e-3)
    assert found["unmoved"]
    assert found["loaded"] == found["memory"]
    assert found["same"]


@pytest.mark.parametrize("name", ["elr", "sop"])
def test_training_follows_the_equations(name, tmp_path):
    check_training(name, SHARED["trained"](name, *make_training(), tmp_path))


@pytest.mark.parametrize("name", ["elr", "sop"])
def test_training_follows_the_equations_in_other_backends(name, report):
    check_training(name, report[name])


def classifier(n_inputs=4, n_classes=3):
    return keras.Sequential([keras.Input((n_inputs,)), keras.layers.Dense(n_classes)])


def early_learning_model(n_rows=10, **kwargs):
    loss = EarlyLearning(n_rows, 3, from_logits=True, **kwargs)
    model = RowLossModel(classifier(), loss)
    model.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"], run_eagerly=True)
    return model


def with_a_loss():
    model = early_learning_model()
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def test_rows_are_told_in_shuffled_batches_of_any_kind():
    """A dropped or shifted index would leave some memory empty or put it in another row's place."""
    x, y, _ = make_training()
    x = 5 * x
    for shuffle in (False, True):
        model = early_learning_model(momentum=0.0)
        model.optimizer.learning_rate = 0.0
        model.fit(x, y, batch_size=3, shuffle=shuffle, verbose=0)
        p = np.clip(softmax(model.predict(x, verbose=0)), 1e-4, 1 - 1e-4)
        np.testing.assert_allclose(model.row_loss.memory, p / p.sum(axis=1, keepdims=True), rtol=1e-5)


def test_numbers_of_rows_may_be_given():
    x, y, _ = make_training()
    model = early_learning_model(n_rows=100)
    model.fit({"inputs": x, "row": np.arange(10) * 10}, y, sample_weight=np.ones(10), verbose=0)
    remembered = np.asarray(model.row_loss.memory).any(axis=1)
    assert np.flatnonzero(remembered).tolist() == list(range(0, 100, 10))
    before = np.asarray(model.row_loss.memory)
    batch = {"inputs": x, "row": np.arange(10) * 10}
    model.evaluate(batch, y, verbose=0)
    np.testing.assert_array_equal(model.predict(batch, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_array_equal(before, model.row_loss.memory)


def test_validation_split_keeps_the_numbers():
    x, y, _ = make_training()
    model = early_learning_model()
    model.fit(x, y, validation_split=0.3, verbose=0)
    assert np.asarray(model.row_loss.memory).any(axis=1).tolist() == [True] * 7 + [False] * 3


def test_sample_weights_and_one_hot_labels():
    x, y, kernel = make_training()
    weights = np.arange(10.0)
    found = []
    for labels in (y, y[:, None], np.eye(3)[y]):
        model = early_learning_model()
        model.classifier.layers[0].kernel.assign(kernel)
        model.fit(x, labels, sample_weight=weights, batch_size=10, shuffle=False, verbose=0)
        found.append(model.classifier.layers[0].kernel.numpy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])

    def mean_loss(weight_matrix):
        p = np.clip(softmax(x @ kernel), 1e-4, 1 - 1e-4)
        targets = 0.3 * p / p.sum(axis=1, keepdims=True)
        moved = softmax(x @ weight_matrix)
        rows = -np.log(moved[np.arange(10), y])
        return np.mean(weights * (rows + 3 * np.log(1 - (targets * moved).sum(axis=1))))

    slope = differences(mean_loss, kernel.astype("float64"))
    np.testing.assert_allclose(found[0], kernel - 0.1 * slope, rtol=1e-4, atol=1e-5)


def test_strength_zero_and_rates_zero_are_cross_entropy():
    z, y = make_rows()
    wanted = -np.log(softmax(z)[np.arange(7), y])
    elr = EarlyLearning(7, 3, strength=0.0, from_logits=True)
    np.testing.assert_allclose(elr(y, z, np.arange(7)), wanted, rtol=1e-5)
    sop = SparseOverParameterization(7, 3, u_rate=0.0, v_rate=0.0, from_logits=True, seed=1)
    square = 2.0 * (z.argmax(axis=1) != y)  # what the squares of hard predictions add, which has no gradient
    np.testing.assert_allclose(sop(y, z, np.arange(7)), wanted + square, rtol=1e-4)
    assert np.abs(sop.u).max() < 1e-6


def test_gradients_of_the_corrections():
    generator = np.random.default_rng(5)
    z, targets = generator.normal(0, 2, (6, 3)), np.eye(3)[generator.integers(0, 3, 6)]
    u, v = generator.random((6, 1)), generator.random((6, 3))
    log_p = np.log(softmax(z))
    of_u, of_v = sop_gradients(targets, log_p, u, v)
    y = targets.argmax(axis=1)
    np.testing.assert_allclose(of_u, 6 * differences(lambda a: slow_sop_loss(z, y, a, v), u), rtol=1e-5)
    expected = 6 * differences(lambda a: slow_sop_loss(z, y, u, a, held=v), v)
    np.testing.assert_allclose(of_v, expected, rtol=1e-5, atol=1e-8)
    assert float(ops.mean(sop_loss(targets, log_p, u, v))) == pytest.approx(slow_sop_loss(z, y, u, v))


def test_corrections_stay_within_one_at_any_rate():
    z, y = make_rows()
    loss = SparseOverParameterization(7, 3, u_rate=50.0, v_rate=500.0, from_logits=True, seed=0)
    for _ in range(40):
        rows = np.asarray(loss(y, z, np.arange(7)))
    assert np.isfinite(rows).all()
    assert np.abs(loss.v).max() == 1
    assert np.abs(loss.u).max() <= 1


@pytest.mark.parametrize("loss", [EarlyLearning(4, 3), SparseOverParameterization(4, 3, seed=0)])
def test_finite_at_the_ends(loss):
    p = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]], "float32")
    z = np.array([[60, -60, -60], [-60, 60, 0], [60, 60, 60], [-60, -60, 60]], "float32")
    for from_logits, y_pred in ((False, p), (True, z)):
        loss.from_logits = from_logits
        for column in range(3):
            y, row = np.full(4, column), np.arange(4)
            assert np.isfinite(loss(y, y_pred, row)).all()
            slope = SHARED["gradient"](lambda x, y=y, row=row: ops.sum(loss(y, x, row)), y_pred)
            assert np.isfinite(slope).all()


def test_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = early_learning_model()
    finally:
        keras.config.set_dtype_policy(policy)
    x, y, _ = make_training()
    model.fit(x, y, verbose=0)
    assert model(x).dtype == "float16"
    assert model.row_loss.memory.dtype == "float32"
    assert np.isfinite(model.row_loss.memory).all()
    loss = EarlyLearning(7, 3, from_logits=True)
    z, y = make_rows()
    assert keras.backend.standardize_dtype(loss(y, z.astype("float16"), np.arange(7)).dtype) == "float32"


def test_penalty_turns_the_gradient_of_a_wrong_label_round():
    """A row that was understood early: the label says class 1, memory and prediction say class 0."""
    z = np.array([[3.0, 0.0]])
    targets = np.array([[0.95, 0.05]])
    plain = softmax(z) - [[0, 1]]
    pull = SHARED["gradient"](lambda x: ops.sum(early_learning_penalty(targets, ops.log_softmax(x))), z)
    assert plain[0, 0] > 0 > pull[0, 0]
    assert plain[0, 0] + 3 * pull[0, 0] < 0


def test_configuration_comes_back():
    for loss in (
        EarlyLearning(9, 4, momentum=0.2, strength=1.5, from_logits=True, name="mine"),
        SparseOverParameterization(9, 4, u_rate=2.0, v_rate=3.0, seed=4, from_logits=True, name="mine"),
    ):
        copy = type(loss).from_config(json.loads(json.dumps(loss.get_config())))
        assert copy.get_config() == loss.get_config()
        for one, other in zip(loss.variables, copy.variables, strict=True):
            np.testing.assert_array_equal(one, other)


def test_planted_noise_is_forgotten_again():
    """A linear model of so many weights that cross-entropy keeps every wrong label."""
    generator = np.random.default_rng(1)
    y = generator.integers(0, 2, 2200)
    x = generator.normal(size=(2200, 150)) + 0.5 * (2 * y[:, None] - 1) * (np.arange(150) < 40)
    x = x.astype("float32")
    given_labels = np.where(generator.random(200) < 0.3, 1 - y[:200], y[:200])
    found = {}
    for strength in (0.0, 3.0):
        loss = EarlyLearning(200, 2, strength=strength, from_logits=True)

        @tf.function
        def run(kernel, loss=loss):
            for _ in tf.range(300):
                with tf.GradientTape() as tape:
                    tape.watch(kernel)
                    value = tf.reduce_mean(loss(given_labels, x[:200] @ kernel, tf.range(200)))
                kernel = kernel - 0.5 * tape.gradient(value, kernel)
            return kernel

        predicted = (x @ run(tf.zeros((150, 2))).numpy()).argmax(axis=1)
        found[strength] = ((predicted[:200] == given_labels).mean(), (predicted[200:] == y[200:]).mean())
        flagged = np.asarray(loss.memory).argmax(axis=1) != given_labels
    assert found[0.0][0] == 1.0
    assert found[3.0][1] > found[0.0][1] + 0.04, found
    wrong = given_labels != y[:200]
    assert (wrong & flagged).sum() > max(0.9 * flagged.sum(), 0.4 * wrong.sum())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EarlyLearning(10, 3, momentum=1.0), r"`momentum` must be in \[0, 1\)"),
        (lambda: EarlyLearning(10, 3, strength=-1.0), "`strength` must be in"),
        (lambda: EarlyLearning(0, 3), "`n_rows` must be"),
        (lambda: EarlyLearning(10, 1), "`n_classes` must be"),
        (lambda: SparseOverParameterization(10, 3, u_rate=-1.0), "`u_rate` must be in"),
        (lambda: SparseOverParameterization(10, 3, v_rate=float("nan")), "`v_rate` must be in"),
        (
            lambda: EarlyLearning(10, 4)(np.array([0]), np.ones((1, 3)), np.array([0])),
            "`y_pred` must have 4 columns",
        ),
        (
            lambda: with_a_loss().fit(np.ones((10, 4)), np.zeros(10), verbose=0),
            "`loss` must be None",
        ),
        (lambda: early_learning_model().fit(np.ones((9, 4)), np.zeros(9)), "`x` must have the 10 rows"),
        (
            lambda: early_learning_model().fit({"inputs": np.ones((2, 4)), "row": np.array([0, 10])}, [0, 1]),
            "`row` must be",
        ),
        (lambda: early_learning_model().train_on_batch(np.ones((2, 4)), np.zeros(2)), "Batches must be"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
