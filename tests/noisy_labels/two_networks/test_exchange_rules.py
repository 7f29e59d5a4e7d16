"""One step of every rule against a slow loop, and what public versions of these methods got wrong."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.epoch_choice import level_with_best
from noisy_labels.two_networks.exchange_rules import DisjointHalves, SharedBatch, TrainAlone
from noisy_labels.two_networks.forget_schedule import forget_schedule
from noisy_labels.two_networks.jocor import JoCoR
from noisy_labels.two_networks.pair_building import build_pair
from noisy_labels.two_networks.paired_networks import PairedNetworks
from noisy_labels.two_networks.paired_training import KeepBest, Validation
from noisy_labels.two_networks.small_loss import disagreeing_small_losses, smallest_losses

N, D, C = 9, 5, 3
RATE, LEARNING_RATE = 0.3, 0.5


def identity(shape):
    # A name of its own, as people give: both networks then have it.
    return keras.Sequential([keras.Input(shape), keras.layers.Identity()], name="features")


def pair(compression=None, seed=3):
    networks = build_pair(identity, (D,), C, compression=compression, seed=seed)
    networks.rate.assign(RATE)
    return networks


def data(n=N):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, D)).astype("float32"), rng.integers(C, size=n).astype("int32")


def chances(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def losses(x, y, kernel):
    return -np.log(chances(x @ kernel)[np.arange(len(y)), y])


def gradient(x, y, kernel):
    """Of the mean cross-entropy, divided once by the number of rows."""
    return x.T @ (chances(x @ kernel) - np.eye(C)[y]) / len(y)


def smallest(values, rows):
    rows = list(rows)
    return sorted(rows, key=lambda row: values[row])[: max(int((1 - RATE) * len(rows) + 1e-9), 1)]


def kept_of_halves(x, y, one, other):
    """Network 1 ranks the first half, network 2 the second; each learns what the other kept."""
    middle = len(y) // 2
    by_first = smallest(losses(x, y, one), range(middle))
    by_second = smallest(losses(x, y, other), range(middle, len(y)))
    return by_second, by_first


def kept_of_batch(x, y, one, other):
    return smallest(losses(x, y, other), range(len(y))), smallest(losses(x, y, one), range(len(y)))


def kept_of_disagreement(x, y, one, other):
    differs = np.flatnonzero((x @ one).argmax(axis=1) != (x @ other).argmax(axis=1))
    rows = differs if len(differs) else np.arange(len(y))
    assert 0 < len(differs) < len(y)
    return smallest(losses(x, y, other), rows), smallest(losses(x, y, one), rows)


def everything(x, y, one, other):
    return list(range(len(y))), list(range(len(y)))


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (TrainAlone(), everything),
        (DisjointHalves(), kept_of_halves),
        (SharedBatch(), kept_of_batch),
        (CoTeachingPlus(), kept_of_disagreement),
    ],
    ids=["alone", "halves", "batch", "plus"],
)
def test_a_step_equals_the_slow_loop(rule, kept):
    x, y = data()
    networks = pair()
    one, other = (kernel.astype("float64") for kernel in networks.kernels)
    for_first, for_second = kept(x, y, one, other)
    networks.rule = rule
    networks.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE))
    networks.train_on_batch(x, y)
    stepped = networks.kernels
    np.testing.assert_allclose(
        stepped[0], one - LEARNING_RATE * gradient(x[for_first], y[for_first], one), atol=1e-5
    )
    np.testing.assert_allclose(
        stepped[1], other - LEARNING_RATE * gradient(x[for_second], y[for_second], other), atol=1e-5
    )


@pytest.mark.parametrize("agreement", [0.0, 0.4])
def test_joint_loss_equals_the_slow_loop(agreement):
    x, y = data()
    networks = pair()
    one, other = networks.kernels
    p, q = chances(x @ one), chances(x @ other)
    joint = []
    for i in range(N):
        divergence = sum(
            p[i, c] * np.log(p[i, c] / q[i, c]) + q[i, c] * np.log(q[i, c] / p[i, c]) for c in range(C)
        )
        joint.append((1 - agreement) * -np.log(p[i, y[i]] * q[i, y[i]]) + agreement * divergence)
    expected = np.mean(sorted(joint)[: int((1 - RATE) * N + 1e-9)])
    rule = JoCoR(agreement)
    found = rule.loss(networks, x, y, rule.logits(networks, x))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_counts_and_ties():
    def kept(values, rate, **options):
        weights = smallest_losses(np.array(values, dtype="float32"), rate, **options)
        return ops.convert_to_numpy(weights).tolist()

    assert kept([1, 1, 1, 1], 0.5) == [1, 1, 0, 0]
    assert kept([3, 2, 1], 0.0) == [1, 1, 1]
    assert kept([3, 2, 1], 0.99) == [0, 0, 1]  # at least one
    for n in (10, 40, 128):  # the counts that (1 - rate) n would have without rounding errors
        for hundredths in range(0, 100, 5):
            expected = max(n * (100 - hundredths) // 100, 1)
            assert sum(kept(range(n), hundredths / 100)) == expected
    assert kept([9, 1, 2, 3], 0.5, among=np.array([True, False, True, False])) == [0, 0, 1, 0]


def test_the_first_row_of_a_batch_is_not_dropped():
    one = np.array([[9, 0], [9, 0], [0, 9]], dtype="float32")
    other = np.array([[0, 9], [9, 0], [0, 9]], dtype="float32")
    found = disagreeing_small_losses(np.array([5, 1, 1], dtype="float32"), one, other, 0.5)
    assert ops.convert_to_numpy(found).tolist() == [1, 0, 0]
    agreeing = disagreeing_small_losses(np.array([5, 1, 1], dtype="float32"), one, one, 0.5)
    assert ops.convert_to_numpy(agreeing).tolist() == [1, 1, 1]


def test_nested_masks_in_a_step():
    """Both networks see one k; alone each draws its own; ranking and prediction take k*."""
    networks = pair(NestedDropout(3.0, seed=2))
    x = np.tile(np.eye(D, dtype="float32").sum(axis=0), (4, 1))
    for head in (networks.first_head, networks.second_head):
        head.kernel.assign(np.tile(np.arange(1.0, D + 1)[:, None], (1, C)))

    def sizes(shared):
        logits = (networks.pair_logits(x, x, shared_mask=shared) for _ in range(30))
        return np.array([[float(one[0, 0]), float(other[0, 0])] for one, other in logits])

    together, apart = sizes(True), sizes(False)
    assert (together[:, 0] == together[:, 1]).all()
    assert len(np.unique(together)) > 2
    assert (apart[:, 0] != apart[:, 1]).any()
    networks.nested.k.assign(2)
    np.testing.assert_allclose(ops.convert_to_numpy(networks(x)), 3.0)
    np.testing.assert_allclose(ops.convert_to_numpy(networks.judged_logits(1, x)), 3.0)


def test_odd_and_single_batches_have_finite_losses():
    networks = pair()
    for n in (1, 3):
        x, y = data(n)
        rule = DisjointHalves()
        assert np.isfinite(float(rule.loss(networks, x, y, rule.logits(networks, x))))


def test_frozen_normalization_stays():
    def normalized(shape):
        layers = [keras.Input(shape), keras.layers.Dense(4), keras.layers.BatchNormalization()]
        return keras.Sequential(layers)

    networks = build_pair(normalized, (D,), C, seed=0)
    x, y = data()
    before = [weights.copy() for weights in networks.weights_of(0)]
    networks.rule = SharedBatch()
    with networks.frozen_normalization():
        networks.compile(optimizer=keras.optimizers.SGD(0.1))
        networks.train_on_batch(x, y)
    changed = [not np.array_equal(a, b) for a, b in zip(before, networks.weights_of(0), strict=True)]
    # Kernel and bias of the layer; gamma, beta, mean and variance; kernel of the classifier.
    assert changed == [True, True, False, False, False, False, True]
    networks.first.layers[-1].trainable = False  # frozen by its owner
    with networks.frozen_normalization():
        pass
    assert not networks.first.layers[-1].trainable
    networks.first.layers[-1].trainable = True
    networks.compile(optimizer=keras.optimizers.SGD(0.1))
    networks.train_on_batch(x, y)
    moved = [not np.array_equal(a, b) for a, b in zip(before, networks.weights_of(0), strict=True)]
    assert all(moved)


def test_networks_round_trip_through_their_config():
    networks = pair(NestedDropout(3.0))
    other = PairedNetworks.from_config(networks.get_config())
    other.set_weights(networks.get_weights())
    x, _ = data()
    np.testing.assert_array_equal(ops.convert_to_numpy(other(x)), ops.convert_to_numpy(networks(x)))


def test_two_networks_must_differ():
    def same(shape):
        start = keras.initializers.GlorotUniform(seed=1)
        return keras.Sequential([keras.Input(shape), keras.layers.Dense(4, kernel_initializer=start)])

    with pytest.raises(ValueError, match="different weights; got the same twice"):
        build_pair(same, (D,), C)
    with pytest.raises(TypeError, match=r"built keras\.Model"):
        build_pair(lambda shape: keras.Sequential([keras.layers.Dense(2)]), (D,), C)
    with pytest.raises(ValueError, match=r"features of shape \(n, D\)"):
        build_pair(lambda shape: keras.Sequential([keras.Input((3, 4)), keras.layers.Identity()]), (3, 4), C)
    with pytest.raises(ValueError, match="rule of training"):
        pair().compute_loss(*data())
    with pytest.raises(ValueError, match="`agreement` must be in"):
        JoCoR(2.0)


def test_subclassed_networks_are_refused():
    class Network(keras.Model):
        def call(self, x):
            return x

    network = Network()
    network.build((None, D))
    with pytest.raises(ValueError, match="Build a Sequential or functional model"):
        build_pair(lambda shape: network, (D,), C)


def test_global_generator_is_left_alone():
    import random

    state = random.getstate()
    first = build_pair(lambda s: keras.Sequential([keras.Input(s), keras.layers.Dense(4)]), (D,), C, seed=1)
    assert random.getstate() == state
    again = build_pair(lambda s: keras.Sequential([keras.Input(s), keras.layers.Dense(4)]), (D,), C, seed=1)
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_forget_schedule():
    assert forget_schedule(4, 0.3, n_gradual=0).tolist() == [0.3] * 4
    expected = [min(t / 4 * 0.5**2, 0.5) for t in range(12)]
    np.testing.assert_allclose(forget_schedule(12, 0.5, n_gradual=4, exponent=2), expected)
    assert forget_schedule(0, 0.2).size == 0
    with pytest.raises(ValueError, match="`rate` must be in"):
        forget_schedule(3, 1.0)


def test_level_with_best_by_counts():
    best = np.array([True] * 12 + [False] * 8)
    for lost, won in ((4, 0), (5, 0), (5, 4), (3, 1), (1, 0), (2, 0), (6, 2), (7, 3), (0, 3)):
        other = best.copy()
        other[:lost], other[12 : 12 + won] = False, True
        assert level_with_best(other, best) == (lost - won <= (lost + won) ** 0.5)
    with pytest.raises(ValueError, match="same length"):
        level_with_best(best, best[:3])
    with pytest.raises(ValueError, match="`right`"):
        level_with_best([], [])


@pytest.mark.parametrize(("alone", "kept"), [(False, 3), (True, 2)])
def test_which_epoch_is_kept(alone, kept):
    """Of epochs right on 6, 8, 7 and 2 of 9 rows the second is best, and the third level with it."""
    networks = pair()
    x, _ = data()
    start = networks.kernels[0]
    predicted = (x @ start).argmax(axis=1)
    keep = KeepBest(Validation(x, predicted), alone=alone)
    keep.set_model(networks)
    for epoch, right in enumerate((6, 8, 7, 2)):
        for head in (networks.first_head, networks.second_head):
            head.kernel.assign(start * (epoch + 1))  # predicts the same, and tells epochs apart
        codes = np.where(np.arange(N) < right, predicted, (predicted + 1) % C)
        keep.held_out = Validation(x, codes)
        logs = {}
        keep.on_epoch_end(epoch, logs)
        assert logs["val_accuracy"] == pytest.approx(right / N)
    keep.restore()
    for kernel in networks.kernels:
        np.testing.assert_allclose(kernel, start * kept)
