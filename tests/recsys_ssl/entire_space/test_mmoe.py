import keras
import numpy as np
import pytest

from recsys_ssl.entire_space.mmoe import MMoE, gate_weights, load_balance_loss
from recsys_ssl.entire_space.shared_bottom import Experts


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def arrays(vectors):
    return np.stack([numpy_of(vector) for vector in vectors])


def test_vectors_equal_a_loop_over_rows_tasks_and_experts():
    bottom = MMoE(4, 3, num_experts=5, units=(6, 2), seed=0)
    for bias in bottom.experts.biases:
        bias.assign(drawn(*bias.shape))
    x = drawn(7, 4)
    gates, kernels = numpy_of(bottom.gates), [numpy_of(kernel) for kernel in bottom.experts.kernels]
    biases = [numpy_of(bias) for bias in bottom.experts.biases]
    expected = np.zeros((3, 7, 2))
    usage = np.zeros((3, 5))
    for task in range(3):
        for row in range(7):
            weights = np.exp([x[row] @ gates[task][:, expert] for expert in range(5)])
            weights /= weights.sum()
            usage[task] += weights / 7
            for expert in range(5):
                h = x[row]
                for kernel, bias in zip(kernels, biases, strict=True):
                    h = np.maximum(h @ kernel[expert] + bias[expert, 0], 0)
                expected[task, row] += weights[expert] * h
    np.testing.assert_allclose(arrays(bottom(x)), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bottom.gate_usage(x), usage, rtol=1e-5)


def test_one_expert_is_a_shared_network():
    bottom = MMoE(4, 3, num_experts=1, units=(6, 5), seed=0)
    x = drawn(7, 4)
    for vectors in arrays(bottom(x)):
        np.testing.assert_allclose(vectors, bottom.experts(x)[0], rtol=1e-6)


def test_saturated_gates_pick_one_expert_each():
    bottom = MMoE(4, 2, num_experts=3, units=(5,), seed=0)
    x = np.abs(drawn(7, 4)) + 0.1
    gates = np.zeros((2, 4, 3))
    gates[0, :, 2] = gates[1, :, 0] = 1e4
    bottom.gates.assign(gates)
    experts = numpy_of(bottom.experts(x))
    np.testing.assert_allclose(arrays(bottom(x)), experts[[2, 0]], rtol=1e-6)
    np.testing.assert_array_equal(bottom.gate_usage(x), [[0, 0, 1], [1, 0, 0]])


def test_experts_permuted_with_their_gates_change_nothing():
    bottom = MMoE(4, 2, num_experts=4, units=(6, 5), seed=0)
    x = drawn(7, 4)
    before, order = arrays(bottom(x)), [2, 0, 3, 1]
    for weight in (*bottom.experts.kernels, *bottom.experts.biases):
        weight.assign(numpy_of(weight)[order])
    bottom.gates.assign(numpy_of(bottom.gates)[..., order])
    np.testing.assert_allclose(arrays(bottom(x)), before, rtol=1e-4, atol=1e-6)


def test_gate_dropout_renormalises_what_is_left():
    logits = drawn(400, 5)
    whole = numpy_of(gate_weights(logits))
    gates = numpy_of(gate_weights(logits, dropout=0.4, seed=1))
    np.testing.assert_allclose(gates.sum(axis=-1), 1, rtol=1e-5)
    kept = gates > 0
    expected = np.where(kept, whole, 0) / np.where(kept, whole, 0).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(gates, expected, rtol=1e-4)
    # Rows whose draw drops all, 1 % of them, keep all.
    assert kept.mean() == pytest.approx(0.6 + 0.4**5, abs=0.03)


def test_gates_that_lose_every_expert_keep_all():
    logits = drawn(200, 2)
    gates = numpy_of(gate_weights(logits, dropout=0.95, seed=1))
    whole = (gates > 0).all(axis=-1)
    assert whole.mean() > 0.8
    np.testing.assert_allclose(gates[whole], numpy_of(gate_weights(logits))[whole], rtol=1e-5)


def test_load_balance_is_the_squared_coefficient_of_variation():
    gates = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 50))
    importance = gates.sum(axis=(0, 1))
    expected = importance.var() / importance.mean() ** 2
    assert float(load_balance_loss(gates)) == pytest.approx(expected, rel=1e-6)
    one_does_all = np.tile([0.0, 1.0, 0.0, 0.0], (3, 50, 1))
    assert float(load_balance_loss(one_does_all)) == pytest.approx(3)


def test_load_balance_is_added_in_training_only():
    bottom = MMoE(4, 2, num_experts=3, units=(5,), load_balance=0.3, seed=0)
    x = drawn(7, 4)
    bottom(x)
    assert not bottom.losses
    for _ in range(2):  # a second call replaces the loss of the first
        bottom(x, training=True)
        usage = bottom.gate_usage(x).mean(axis=0)
        assert len(bottom.losses) == 1
        assert float(bottom.losses[0]) == pytest.approx(0.3 * (3 * (usage**2).sum() - 1), rel=1e-4)


def test_the_load_balance_loss_brings_an_idle_expert_back():
    bottom = MMoE(4, 1, num_experts=2, units=(5,), load_balance=1.0, seed=0)
    x = np.abs(drawn(64, 4)) + 0.1
    bottom.gates.assign(np.tile([0.3, -0.3], (1, 4, 1)))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, 0.0 * bottom(inputs)[0])
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    before = bottom.gate_usage(x)[0, 1]
    model.fit(x, np.zeros((64, 5)), epochs=10, verbose=0)
    assert before < 0.2
    assert bottom.gate_usage(x)[0, 1] > 0.35


def test_gates_and_experts_start_from_different_numbers():
    bottom = MMoE(4, 1, num_experts=6, units=(6,), seed=0)
    kernel = Experts(4, 1, units=(6,), seed=0).get_weights()[0]
    assert not np.isclose(np.abs(numpy_of(bottom.gates)), np.abs(kernel)).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts": 0}, "`num_experts` must be at least 1"),
        ({"gate_dropout": 1.0}, r"`gate_dropout` must be in \[0, 1\)"),
        ({"gate_dropout": -0.1}, "`gate_dropout` must be in"),
        ({"load_balance": -0.1}, "`load_balance` must be in"),
    ],
)
def test_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MMoE(4, 2, **changes)
