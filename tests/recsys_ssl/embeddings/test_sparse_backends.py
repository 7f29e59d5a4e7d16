"""One table of cases under every Keras backend: steps of gathered rows against NumPy, refusals, saving."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

BACKENDS = ("tensorflow", "torch", "jax")
ROWS, DIM, BATCH, STEPS = 12, 4, 8, 5

# Optimizer and settings; every one is run for five steps on the same batches.
CASES = {
    "sgd": ("SparseSGD", {"learning_rate": 0.1}),
    "adagrad": ("SparseAdagrad", {"learning_rate": 0.3, "initial_accumulator_value": 0.2, "epsilon": 1e-3}),
    "rowwise": ("RowwiseAdagrad", {"learning_rate": 0.3, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    "adam": (
        "LazyAdam",
        {"learning_rate": 0.1, "beta_1": 0.7, "table_beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    ),
    "decay": ("LazyAdam", {"learning_rate": 0.1, "weight_decay": 0.2}),
    "clipnorm": ("RowwiseAdagrad", {"learning_rate": 0.3, "clipnorm": 0.05}),
    "clipvalue": ("SparseAdagrad", {"learning_rate": 0.3, "clipvalue": 0.01}),
    "global": ("SparseSGD", {"learning_rate": 0.5, "global_clipnorm": 0.1}),
    "scaled": ("SparseSGD", {"learning_rate": 0.1, "loss_scale_factor": 64.0}),
    "accumulated": ("LazyAdam", {"learning_rate": 0.1, "gradient_accumulation_steps": 2}),
    "accumulated, clipped": (
        "RowwiseAdagrad",
        {"learning_rate": 0.1, "gradient_accumulation_steps": 2, "clipvalue": 0.01},
    ),
}

SCRIPT = Path(__file__).with_name("sparse_backends_script.py")


@pytest.fixture(scope="module")
def given():
    """Ids with duplicates inside and between the features, weights, targets and first values."""
    generator = np.random.default_rng(3)
    count = BATCH * STEPS
    return {
        "bags": generator.integers(ROWS, size=(count, 3)).astype("int32"),
        "single": generator.integers(ROWS // 2, size=count).astype("int32"),
        "padded": generator.integers(6, size=(count, 2)).astype("int32"),
        "weights": (generator.random((count, 3)) * (generator.random((count, 3)) > 0.2)).astype("float32"),
        "targets": generator.normal(size=(count, 1)).astype("float32"),
        "shared": generator.normal(size=(ROWS, DIM)).astype("float32"),
        "tags": generator.normal(size=(ROWS, DIM)).astype("float32"),
        "kernel": generator.normal(size=(3 * DIM, 1)).astype("float32"),
        "bias": np.array([0.3], dtype="float32"),
    }


@pytest.fixture(scope="module")
def reports(tmp_path_factory, given, run_under):
    folder = tmp_path_factory.mktemp("sparse")
    np.savez(folder / "given.npz", **given)
    found = {}
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            continue
        (folder / backend).mkdir()
        printed = run_under(backend, SCRIPT, folder / "given.npz", json.dumps(CASES), folder / backend)
        found[backend] = json.loads(printed.split("REPORT ")[1])
    return found


@pytest.fixture(params=BACKENDS)
def report(request, reports):
    if request.param not in reports:
        pytest.skip(f"{request.param} is not installed")
    return reports[request.param]


def gradients(given, weights, step):
    """Loss gradient of the model by loops over rows, and the rows that the batch looks up."""
    shared, tags, kernel, bias = weights
    totals = [np.zeros_like(value) for value in weights]
    touched = [set(), set()]
    for i in range(step * BATCH, (step + 1) * BATCH):
        weight_sum = given["weights"][i].sum()
        scale = [w / weight_sum if weight_sum else 0.0 for w in given["weights"][i]]
        mean = sum(s * shared[row] for s, row in zip(scale, given["bags"][i], strict=True))
        single = shared[given["single"][i]]
        pooled = sum((tags[row] for row in given["padded"][i] if row), start=np.zeros(DIM))
        vector = np.concatenate([mean, single, pooled])
        error = 2 * (vector @ kernel[:, 0] + bias[0] - given["targets"][i, 0]) / BATCH
        totals[2][:, 0] += error * vector
        totals[3][0] += error
        to_mean, to_single, to_pooled = np.split(error * kernel[:, 0], 3)
        for s, row in zip(scale, given["bags"][i], strict=True):
            totals[0][row] += s * to_mean
            touched[0].add(int(row))
        totals[0][given["single"][i]] += to_single
        touched[0].add(int(given["single"][i]))
        for row in given["padded"][i]:
            totals[1][row] += to_pooled if row else 0.0
            touched[1].add(int(row))
    return totals, touched


def reference(given, rule, settings, steps=STEPS):
    """Weights after some steps, by NumPy row by row in float64."""
    weights = [given[name].astype(float) for name in ("shared", "tags", "kernel", "bias")]
    first = settings.get("initial_accumulator_value", 0.1)
    squares = [np.full_like(value, first) for value in weights]
    rows = [np.full(len(value), first) for value in weights[:2]]
    moments = [[np.zeros_like(value) for value in weights] for _ in range(2)]
    every = settings.get("gradient_accumulation_steps", 1)
    sums, marked = [np.zeros_like(value) for value in weights], [set(), set()]
    update = 0
    for step in range(steps):
        totals, touched = gradients(given, weights, step)
        sums = [a + b / every for a, b in zip(sums, totals, strict=True)]
        marked = [a | b for a, b in zip(marked, touched, strict=True)]
        if (step + 1) % every:
            continue
        update += 1
        rate = settings["learning_rate"]
        rate = rate(step) if callable(rate) else rate
        if "global_clipnorm" in settings:
            norm = np.sqrt(sum((g**2).sum() for g in sums))
            sums = [g * min(1.0, settings["global_clipnorm"] / norm) for g in sums]
        for place, g in enumerate(sums):
            if "clipnorm" in settings:
                g = g * min(1.0, settings["clipnorm"] / np.sqrt((g**2).sum()))
            if "clipvalue" in settings:
                g = np.clip(g, -settings["clipvalue"], settings["clipvalue"])
            # A dense variable is touched whole.
            chosen = sorted(marked[place]) if place < 2 else range(len(g))
            for row in chosen:
                value = weights[place][row] * (1 - settings.get("weight_decay", 0.0) * rate)
                epsilon = settings.get("epsilon", 1e-7)
                if rule == "SparseSGD":
                    change = rate * g[row]
                elif rule == "RowwiseAdagrad" and place < 2:
                    rows[place][row] += (g[row] ** 2).mean()
                    change = rate * g[row] / (np.sqrt(rows[place][row]) + epsilon)
                elif rule in ("SparseAdagrad", "RowwiseAdagrad"):
                    squares[place][row] += g[row] ** 2
                    change = rate * g[row] / np.sqrt(squares[place][row] + epsilon)
                else:
                    b1 = settings.get("table_beta_1", 0.0) if place < 2 else settings.get("beta_1", 0.9)
                    b2 = settings.get("beta_2", 0.999)
                    m, v = moments[0][place], moments[1][place]
                    m[row] = b1 * m[row] + (1 - b1) * g[row]
                    v[row] = b2 * v[row] + (1 - b2) * g[row] ** 2
                    correction = np.sqrt(1 - b2**update) / (1 - b1**update)
                    change = rate * correction * m[row] / (np.sqrt(v[row]) + epsilon)
                weights[place][row] = value - change
        sums, marked = [np.zeros_like(value) for value in weights], [set(), set()]
    return weights


def assert_same(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def test_one_step_agrees_with_numpy(report, given):
    assert_same(report["one step"], reference(given, *CASES["sgd"], steps=1))


@pytest.mark.parametrize("case", CASES)
def test_steps_agree_with_numpy(report, given, case):
    assert_same(report["trained"][case], reference(given, *CASES[case]))


@pytest.mark.parametrize("case", ["plain model", "two at once"])
def test_other_ways_to_train_give_the_same(report, given, case):
    assert_same(report["trained"][case], reference(given, "SparseSGD", {"learning_rate": 0.1}))


def test_a_schedule_sets_the_rate_of_every_step(report, given):
    rule = {"learning_rate": lambda step: 0.2 * 0.5**step}
    assert_same(report["trained"]["schedule"], reference(given, "SparseSGD", rule))


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_two_hundred_steps_agree_with_the_dense_optimizer(report, name):
    assert report["dense"][name] < 1e-4


def test_jax_says_that_a_plain_model_costs_the_table(reports):
    assert {name: report["said"] for name, report in reports.items()} == {
        name: name == "jax" for name in reports
    }


@pytest.mark.parametrize("case", ["NaN target", "infinite weight", "id behind", "id negative"])
def test_a_step_that_is_not_finite_is_refused(report, case):
    message, same, same_slots, finite = report["refused"][case]
    assert message != "no error"
    assert any(word in message for word in ("FloatingPointError", "must be in [0, 12)", "is not in [0, 12)"))
    assert (same, same_slots, finite) == (True, True, True)


def test_ids_of_a_wrong_kind_are_named(report):
    assert "integer" in report["ids"].pop("float")
    messages = report["ids"].values()
    assert all("[0, 5)" in message or "0 to 4" in message for message in messages), messages


def test_ids_beyond_32_bits_are_never_cut(report):
    assert all("`ids` must fit 32 bits; got 4294967299" in message for message in report["wide"])


def test_saved_and_continued_is_as_never_stopped(report):
    assert report["class"] == ["FunctionalSparseModel", "LazyAdam", 1.0]
    assert report["continued"] < 1e-6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_a_float32_table(report, given, policy):
    dtype, found = report["precision"][policy]
    assert dtype == policy.removeprefix("mixed_")
    exact = reference(given, "SparseSGD", {"learning_rate": 0.05})
    assert_same(found, exact, tolerance=0.06)
    # It did compute in half precision: float32 is within 1e-6.
    assert np.abs(np.array(found[0]) - exact[0]).max() > 5e-5


def test_reset_rows_change_no_other_row(report):
    changed, slots, values = report["reset"]
    assert changed == [2, 7]
    assert set(slots) <= {2, 7}
    assert values == [0.25, 0.25]
