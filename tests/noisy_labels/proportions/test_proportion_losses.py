"""Losses of bags with known proportions: equations bag by bag, training in every backend."""

from __future__ import annotations

import importlib.util
import json
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from scipy.stats import poisson_binom

from noisy_labels.proportions.bag_batches import BagBatches
from noisy_labels.proportions.bag_loss import class_prior, read_bag_rows
from noisy_labels.proportions.count_likelihood_loss import CountLikelihoodLoss
from noisy_labels.proportions.dllp import DLLPLoss
from noisy_labels.proportions.easy_llp import EasyLLPLoss
from noisy_labels.proportions.sinkhorn_loss import SinkhornLoss, sinkhorn_labels

SCRIPT = Path(__file__).parent / "proportion_losses_script.py"
SHARED = runpy.run_path(str(SCRIPT))
BINARY = ("dllp", "dllp squares", "easy", "bounded", "upm", "dsq", "sinkhorn", "fc", "count")
MULTI = BINARY[:-1]


def make_bags(n_classes=2, seed=0, sizes=(3, 1, 6, 2)):
    """Bags of probabilities of each class, and their proportions."""
    generator = np.random.default_rng(seed)
    p = [generator.dirichlet(np.ones(n_classes), size) for size in sizes]
    counts = [generator.multinomial(size, np.ones(n_classes) / n_classes) for size in sizes]
    return p, [count / size for count, size in zip(counts, sizes, strict=True)]


def as_batch(p, alpha, padding=2):
    """Return the bags as a batch in shuffled order with padding; one column for two classes."""
    bag = np.repeat(np.arange(len(p)), [len(part) for part in p])
    labels = np.column_stack([bag, np.array(alpha)[bag]])
    logits = np.log(np.concatenate(p))
    if logits.shape[1] == 2:
        logits, labels = logits[:, 1:] - logits[:, :1], labels[:, [0, 2]]
    order = np.random.default_rng(9).permutation(len(bag))
    labels = np.pad(labels[order], [(0, padding), (0, 0)])
    labels[len(bag) :, 0] = -1
    return labels, np.pad(logits[order], [(0, padding), (0, 0)], constant_values=3.0), order


def slow_loss(name, p, alpha, prior):
    """Find the loss of a batch of bags, as the papers write it."""
    rows, classes = sum(len(part) for part in p), range(len(prior))
    bags = list(zip(p, alpha, strict=True))
    if name == "dllp":
        return np.mean([-sum(a[c] * np.log(q[:, c].mean()) for c in classes if a[c]) for q, a in bags])
    if name == "dllp squares":
        return np.mean([0.5 * sum((a[c] - q[:, c].mean()) ** 2 for c in classes) for q, a in bags])
    if name in ("easy", "bounded"):
        parts = np.zeros(len(prior))
        for q, a in bags:
            for row in q:
                for c in classes:
                    weight = len(q) * (a[c] - prior[c]) + prior[c]
                    parts[c] += weight * -np.log(row[c]) / rows
        return np.abs(parts).sum() if name == "bounded" else parts.sum()
    if name == "upm":
        mean = -np.log(np.concatenate(p)).mean(axis=0)
        told = sum(
            len(q) * (a[c] - prior[c]) * (-np.log(row[c]) - mean[c])
            for q, a in bags
            for row in q
            for c in classes
        )
        return told / rows + prior @ mean
    if name == "dsq":
        mean = np.concatenate(p).mean(axis=0)
        total = 0
        for q, a in bags:
            k = len(q)
            total += k * (k * ((a - q.mean(axis=0)) ** 2).sum() - (k - 1) * ((mean - prior) ** 2).sum())
        return 0.5 * total / rows
    if name == "sinkhorn":
        pulled = sum(-(slow_sinkhorn(q, a, 0.5, 7) * np.log(q)).sum() for q, a in bags) / rows
        return pulled + 0.3 * slow_loss("dllp", p, alpha, prior)
    if name == "fc":
        mix = sum(len(q) * a for q, a in bags) / rows
        total = 0.0
        for q, a in bags:
            for row in q:
                carried = row * mix / prior / sum(row[c] * mix[c] / prior[c] for c in classes)
                total -= np.log(sum(len(q) / rows * a[c] / mix[c] * carried[c] for c in classes if mix[c]))
        return total / rows
    return np.mean([-np.log(poisson_binom.pmf(round(a[1] * len(q)), q[:, 1])) for q, a in bags])


def slow_sinkhorn(q, a, epsilon, iterations):
    kernel = q ** (1 / epsilon)
    plan = kernel / kernel.sum(axis=1, keepdims=True)
    for _ in range(iterations):
        sums = plan.sum(axis=0)
        plan = plan * np.where(sums > 0, len(q) * a / np.where(sums > 0, sums, 1), 0)
        plan = plan / plan.sum(axis=1, keepdims=True)
    return plan


@pytest.mark.parametrize(
    ("name", "n_classes"), [(name, 2) for name in BINARY] + [(name, 3) for name in MULTI]
)
def test_equation_on_ragged_bags(name, n_classes):
    p, alpha = make_bags(n_classes)
    prior = np.array([0.6, 0.4] if n_classes == 2 else [0.5, 0.3, 0.2])
    labels, logits, _ = as_batch(p, alpha)
    expected = slow_loss(name, p, alpha, prior)
    loss = SHARED["losses"](prior, from_logits=True)[name]
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)
    given = expit(logits) if n_classes == 2 else np.exp(logits)
    loss = SHARED["losses"](prior)[name]
    assert float(loss(labels, given)) == pytest.approx(expected, rel=1e-5)
    if n_classes == 2:
        assert float(loss(labels, given[:, 0])) == pytest.approx(expected, rel=1e-5)


def test_golden_values():
    z = np.array([0.2, -0.4, 1, -1, 0.3, 0.5])[:, None]
    labels = np.column_stack([np.repeat([0, 1], 3), np.repeat([1 / 3, 2 / 3], 3)])
    golden = {
        0.5: {
            "easy": 0.82768495,
            "upm": 0.82768495,
            "dsq": 0.12390348,
            "dllp": 0.72113437,
            "count": 1.01765599,
        },
        0.4: {"easy": 0.80768495, "upm": 0.83768495, "dsq": 0.09403360},
    }
    for prior, values in golden.items():
        made = SHARED["losses"](prior, from_logits=True, dtype="float64")
        for name, value in values.items():
            assert float(made[name](labels, z)) == pytest.approx(value, abs=1e-7), (name, prior)


@pytest.mark.parametrize("name", BINARY)
def test_gradient_is_that_of_finite_differences(name):
    p, alpha = make_bags()
    labels, logits, order = as_batch(p, alpha)
    loss = SHARED["losses"](0.4, from_logits=True, dtype="float64")[name]
    slope = SHARED["gradient"](lambda z: loss(labels, z), logits)
    np.testing.assert_array_equal(slope[-2:], 0)
    if name == "sinkhorn":
        return  # its labels have no gradient
    ends, numbers = np.cumsum([len(part) for part in p])[:-1], np.empty(len(order), dtype=int)
    numbers[order] = np.arange(len(order))

    def slow(z):
        sorted_p = expit(z[numbers])
        return slow_loss(
            name, np.split(np.column_stack([1 - sorted_p, sorted_p]), ends), alpha, np.array([0.6, 0.4])
        )

    for place in range(len(order)):
        step = 1e-6 * (np.arange(len(order)) == place)
        expected = (slow(logits[:-2, 0] + step) - slow(logits[:-2, 0] - step)) / 2e-6
        assert slope[place, 0] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_sinkhorn_labels_keep_counts_and_are_no_path_for_gradients():
    p, alpha = make_bags(3)
    labels, logits, _ = as_batch(p, alpha)
    rows = read_bag_rows(labels, logits, from_logits=True)
    found = np.asarray(sinkhorn_labels(rows, regularization=0.5, iterations=200))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    counts = np.asarray(rows.totals(found))[:4]
    np.testing.assert_allclose(counts, [a * len(q) for q, a in zip(p, alpha, strict=True)], atol=2e-3)
    loss = SinkhornLoss(0.5, proportion_weight=0.0, from_logits=True, dtype="float64")
    slope = SHARED["gradient"](lambda z: loss(labels, z), logits)
    held = np.asarray(sinkhorn_labels(rows, regularization=0.5, iterations=25))[:12]
    n_rows = len(held)
    np.testing.assert_allclose(slope[:n_rows], (np.exp(logits[:n_rows]) - held) / n_rows, atol=1e-5)


# The likelihood of counts.


@pytest.mark.parametrize("size", [1, 2, 7, 64, 301])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_count_likelihood_and_posterior(size, share):
    generator = np.random.default_rng(size)
    z = generator.normal(0, 3, (size, 1))
    count = round(share * size)
    labels = np.column_stack([np.zeros(size), np.full(size, count / size)])
    loss = CountLikelihoodLoss(max_bag_size=301, from_logits=True)
    expected = -poisson_binom.logpmf(count, expit(z[:, 0])) if 0 < count < size else None
    if expected is None:
        sign = 1 if count == 0 else -1
        expected = np.logaddexp(0, sign * z).sum()
    assert float(loss(labels, z)) == pytest.approx(float(expected), rel=2e-4, abs=2e-4)
    slope = SHARED["gradient"](lambda x: loss(labels, x), z.astype("float32"))[:, 0]
    p = expit(z[:, 0])
    for row in range(0, size, 60):
        others = poisson_binom.pmf(count - 1, np.delete(p, row)) if 0 < count < size else None
        posterior = float(count > 0) if others is None else p[row] * others / poisson_binom.pmf(count, p)
        assert slope[row] == pytest.approx(p[row] - posterior, abs=1e-3)


def test_count_likelihood_of_single_rows_is_cross_entropy():
    z, y = np.random.default_rng(0).normal(0, 4, (9, 1)), np.arange(9) % 2
    labels = np.column_stack([np.arange(9), y])
    reference = keras.losses.BinaryCrossentropy(from_logits=True)(y[:, None], z)
    assert float(CountLikelihoodLoss(1, from_logits=True)(labels, z)) == pytest.approx(
        float(reference), rel=1e-5
    )


@pytest.mark.parametrize("name", BINARY)
def test_finite_at_the_ends(name):
    z = np.array([60, -60, 60, -60, 60, 60, -60, -60], "float32")[:, None]
    for share in (0.0, 0.5, 1.0):
        labels = np.column_stack([np.repeat([0, 1, 2, -1], 2), np.full(8, share)])
        for from_logits, given in ((True, z), (False, (z > 0).astype("float32"))):
            loss = SHARED["losses"](0.4, from_logits=from_logits)[name]
            assert np.isfinite(float(loss(labels, given)))
            assert np.isfinite(SHARED["gradient"](lambda x, f=loss, y=labels: f(y, x), given)).all()


def test_privacy_noise_leaves_the_losses_that_are_linear_in_proportions_unbiased():
    p, alpha = make_bags()
    labels, logits, _ = as_batch(p, alpha)
    for name, linear in (("easy", True), ("upm", True), ("dsq", False)):
        loss = SHARED["losses"](0.4, from_logits=True, dtype="float64")[name]
        noisy = [labels + np.array([0, shift]) for shift in (-0.7, 0.7)]
        means = np.mean([float(loss(one, logits)) for one in noisy])
        assert (means == pytest.approx(float(loss(labels, logits)))) == linear


def test_planted_answer_is_learned_from_bags():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2400, 4)).astype("float32")
    true = np.array([1.5, -1, 0.5, 0])
    y = generator.random(2400) < expit(x @ true - 0.5)
    bag = np.repeat(np.arange(300), 8)
    labels = np.column_stack([bag, (np.bincount(bag, y) / 8)[bag]]).astype("float32")
    for name, loss in SHARED["losses"](y.mean(), from_logits=True).items():

        @tf.function
        def run(kernel, loss=loss):
            for _ in tf.range(60):
                with tf.GradientTape() as tape:
                    tape.watch(kernel)
                    value = loss(labels, x @ kernel - 0.5)
                slope = tape.gradient(value, kernel)
                kernel = kernel - 0.3 * slope / tf.maximum(tf.norm(slope), 0.3)
            return kernel

        found = (CountLikelihoodLoss(8, from_logits=True) if name == "count" else loss,)
        kernel = run(tf.zeros((4, 1)), loss=found[0]).numpy()[:, 0]
        cosine = kernel @ true / np.linalg.norm(kernel) / np.linalg.norm(true)
        assert cosine > 0.95, (name, kernel)


@pytest.mark.parametrize("name", BINARY)
def test_configuration_and_half_precision(name):
    p, alpha = make_bags()
    labels, logits, _ = as_batch(p, alpha)
    loss = SHARED["losses"](0.4, from_logits=True, name="mine")[name]
    copy = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert copy.get_config() == loss.get_config()
    assert type(copy) is type(loss)
    assert float(copy(labels, logits)) == float(loss(labels, logits))
    half = SHARED["losses"](0.4, from_logits=True, dtype="float16")[name]
    assert float(half(labels, logits.astype("float16"))) == pytest.approx(
        float(loss(labels, logits)), rel=1e-2
    )


# Batches.


def test_batches_hold_whole_bags_and_every_row_once():
    generator = np.random.default_rng(0)
    bags = generator.integers(0, 11, 50)
    x = np.arange(50.0)[:, None]
    ids = list(dict.fromkeys(bags.tolist()))
    proportions = generator.random(len(ids))
    batches = BagBatches(x, bags, proportions, bags_per_batch=4, seed=3)
    orders = []
    for _ in range(2):
        seen = []
        for place in range(len(batches)):
            given, y = batches[place]
            assert len(given) == len(y) == 1 << (len(y) - 1).bit_length()
            held = y[:, 0] >= 0
            assert not given[~held].any()
            for number in range(int(y[:, 0].max()) + 1):
                rows = given[y[:, 0] == number, 0].astype(int)
                assert set(rows) == set(np.flatnonzero(bags == bags[rows[0]]))
                wanted = proportions[ids.index(bags[rows[0]])]
                np.testing.assert_allclose(y[y[:, 0] == number, 1], wanted, rtol=1e-6)
            seen += given[held, 0].astype(int).tolist()
        assert sorted(seen) == list(range(50))
        orders.append(seen)
        batches.on_epoch_end()
    assert orders[0] != orders[1]
    assert len(batches) == -(-len(ids) // 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BagBatches(np.eye(3), [0, 0, 1], [0.5]), "`proportions` must have one row a bag, 2"),
        (lambda: BagBatches(np.eye(3), [0, 0, 1], [0.5, np.nan]), "`proportions` must be"),
        (lambda: BagBatches(np.eye(3), [0, 0], [0.5]), "`bags` must be one id a row, 3"),
        (lambda: BagBatches(np.eye(3), [0, 0, 1], [0.5, 1], bags_per_batch=0), "`bags_per_batch` must be"),
        (lambda: DLLPLoss("kl"), "`distance` must be"),
        (lambda: DLLPLoss()([[0.0]], [[0.5]]), "`y_true` must have one column more"),
        (lambda: DLLPLoss()([[0.0, 0.5]], [[0.5]], [1.0]), "`sample_weight` must be None"),
        (lambda: EasyLLPLoss(1.5), "`prior` must be"),
        (lambda: class_prior([0.5, 0.6]), "`prior` must be"),
        (lambda: SinkhornLoss(0.0), "`regularization` must be"),
        (lambda: SinkhornLoss(iterations=0), "`iterations` must be"),
        (lambda: CountLikelihoodLoss(0), "`max_bag_size` must be"),
        (
            lambda: CountLikelihoodLoss(2)([[0.0, 0.2, 0.3, 0.5]], [[0.2, 0.3, 0.5]]),
            "one column or two; got 3",
        ),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Training in every backend.


def make_training():
    generator = np.random.default_rng(4)
    bags = np.array([7, 7, 2, 5, 2, 5, 5, 7, 1, 1])
    return generator.normal(size=(10, 2)).astype("float32"), bags, np.array([1 / 3, 0.5, 2 / 3, 1.0])


def slow_training(name):
    """Two epochs of gradient descent, two bags a batch, gradients by finite differences."""
    x, bags, alpha = make_training()
    weights = np.zeros(3)

    def value(w, names, shares):
        p = [expit(x[bags == bag] @ w[:2] + w[2]) for bag in names]
        pairs = [np.column_stack([1 - part, part]) for part in p]
        return slow_loss(name, pairs, [np.array([1 - a, a]) for a in shares], np.array([0.6, 0.4]))

    for names, shares in 2 * [((7, 2), alpha[:2]), ((5, 1), alpha[2:])]:
        slope = [
            (value(weights + step, names, shares) - value(weights - step, names, shares)) / 2e-6
            for step in 1e-6 * np.eye(3)
        ]
        weights = weights - 0.5 * np.array(slope)
    return weights


def test_fit_follows_the_equations():
    np.testing.assert_allclose(SHARED["trained"]("dllp", *make_training()), slow_training("dllp"), rtol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same(backend, tmp_path, run_under):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    labels, logits, _ = as_batch(*make_bags())
    labels, logits = labels.astype("float32"), logits.astype("float32")
    x, bags, alpha = make_training()
    kernel = np.array([[1.0, -0.5, 0.2], [0.3, 0.8, -0.9]], "float32")
    given = {"labels": labels, "logits": logits, "x": x, "bags": bags, "proportions": alpha, "kernel": kernel}
    np.savez(tmp_path / "given.npz", **given)
    printed = run_under(backend, SCRIPT, tmp_path / "given.npz", "count")
    report = json.loads(printed.split("REPORT ")[1])
    for name, wanted in SHARED["values_and_gradients"](labels, logits).items():
        for part, expected in zip(report["values"][name], wanted, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(report["count"], slow_training("count"), rtol=2e-4, atol=1e-5)
    steps = SHARED["consistency"](x, x[::-1].copy(), kernel)[0]
    np.testing.assert_allclose(report["steps"], steps, rtol=5e-3, atol=5e-3)
    assert report["left"] < 0.9
