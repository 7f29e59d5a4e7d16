import keras
import numpy as np
import pytest

from recsys_ssl.entire_space.aitm import AITM, InformationTransfer, aitm_calibrator


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def arrays(vectors):
    return np.stack([numpy_of(vector) for vector in vectors])


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits)))


def test_vectors_equal_a_loop():
    bottom = AITM(4, 3, units=(6, 5), seed=0)
    generator = np.random.default_rng(1)
    bottom.set_weights([generator.normal(size=weight.shape) for weight in bottom.get_weights()])
    x = drawn(7, 4)
    vectors = arrays(bottom(x))
    kernels = [numpy_of(kernel) for kernel in bottom.networks.kernels]
    biases = [numpy_of(bias) for bias in bottom.networks.biases]
    for row in range(7):
        before = None
        for task in range(3):
            q = x[row]
            for kernel, bias in zip(kernels, biases, strict=True):
                q = np.maximum(q @ kernel[task] + bias[task, 0], 0)
            if task == 0:
                before = q
            else:
                transfer = bottom.transfers[task - 1]
                hand_on, h1, h2, h3 = (
                    lambda u, layer=layer: u @ numpy_of(layer.kernel) + numpy_of(layer.bias)
                    for layer in (transfer.hand_on, transfer.h1, transfer.h2, transfer.h3)
                )
                pair = [hand_on(before), q]
                scores = np.array([h2(u) @ h3(u) / np.sqrt(5) for u in pair])
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                before = weights[0] * h1(pair[0]) + weights[1] * h1(pair[1])
            np.testing.assert_allclose(vectors[task, row], before, rtol=1e-3, atol=1e-4)


def test_an_equal_pair_gives_its_value():
    """With h1 and the handing on both the identity, a vector attends to two copies of itself."""
    transfer = InformationTransfer(5, seed=0)
    for layer in (transfer.hand_on, transfer.h1):
        layer.kernel.assign(np.eye(5))
    x = drawn(7, 5)
    np.testing.assert_allclose(transfer(x, x), x, rtol=1e-5)


def test_saturated_attention_picks_one_of_the_two():
    transfer = InformationTransfer(3, seed=0)
    for layer in (transfer.hand_on, transfer.h1, transfer.h2):
        layer.kernel.assign(np.eye(3))
    transfer.h3.kernel.assign(1e3 * np.eye(3))  # the longer vector wins
    short, long = drawn(7, 3), 3 * drawn(7, 3)
    np.testing.assert_allclose(transfer(long, short), long, rtol=1e-5)
    np.testing.assert_allclose(transfer(short, long), long, rtol=1e-5)


def test_information_goes_forward_only():
    bottom = AITM(4, 3, units=(5,), seed=0)
    x = np.abs(drawn(7, 4))
    before = arrays(bottom(x))
    kernel = numpy_of(bottom.networks.kernels[0]).copy()
    kernel[1] += 1
    bottom.networks.kernels[0].assign(kernel)
    after = arrays(bottom(x))
    np.testing.assert_array_equal(after[0], before[0])
    assert (after[1] != before[1]).any()
    assert (after[2] != before[2]).any()


def test_one_task_is_a_network():
    bottom = AITM(4, 1, units=(5,), seed=0)
    np.testing.assert_array_equal(bottom(drawn(7, 4))[0], bottom.networks(drawn(7, 4))[0])


# The logits and the value are those of an independent computation in float64.
CTR, CVR = sigmoid([-1, 0.5, 0, -2]), sigmoid([0.2, -1, 1.5, -0.5])


def test_calibrator_golden_value():
    assert float(aitm_calibrator(CTR, CVR, alpha=1.0)) == pytest.approx(0.214201, abs=1e-6)
    assert float(aitm_calibrator(CTR, CVR)) == pytest.approx(0.6 * 0.214201, abs=1e-6)


def test_calibrator_is_zero_for_a_funnel():
    assert float(aitm_calibrator(CTR, CTR * CVR)) == 0
    assert float(aitm_calibrator(CTR[:, None], CTR[:, None])) == 0


def test_calibrator_refuses_what_would_pair_every_row_with_every_other():
    with pytest.raises(ValueError, match=r"`ctcvr` must be of the shape of `ctr`, \(4,\); got \(4, 1\)"):
        aitm_calibrator(CTR, CVR[:, None])
    with pytest.raises(ValueError, match="`ctcvr` must be of the shape of `ctr`"):
        aitm_calibrator(CTR[:1], CVR)
    with pytest.raises(ValueError, match="`alpha` must be in"):
        aitm_calibrator(CTR, CVR, alpha=-1)


def test_calibrator_of_batches_of_unknown_size():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, aitm_calibrator(inputs, 2 * inputs, alpha=1.0))
    assert float(model(np.array([[0.5], [0.25]]))) == pytest.approx(0.375)


def test_config_of_a_transfer():
    transfer = InformationTransfer(4, seed=7, name="my_transfer")
    again = InformationTransfer.from_config(transfer.get_config())
    assert again.get_config() == transfer.get_config()
    np.testing.assert_array_equal(again(drawn(2, 4), drawn(2, 4)), transfer(drawn(2, 4), drawn(2, 4)))
