import itertools
import json
from importlib.util import find_spec

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys_ssl.losses import blocked_softmax
from recsys_ssl.losses.blocked_softmax import blocked_softmax_loss
from recsys_ssl.losses.corrected_softmax import (
    not_negatives,
    sampled_softmax_loss,
    scaled_vectors,
    similarity_logits,
)
from recsys_ssl.retrieval import sampled_softmax
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax


def make_problem(batch, extra, *, hits=True, known=False, correction="logq", weighted=False, dtype="float64"):
    generator = np.random.default_rng([batch, extra])
    n = batch + extra
    return {
        "queries": generator.normal(size=(batch, 3)).astype(dtype),
        "items": generator.normal(size=(n, 3)).astype(dtype),
        "log_temperature": np.asarray(-0.4, dtype=dtype),
        "item_ids": generator.integers(6, size=n) if hits else None,
        "log_q": None if correction == "none" else np.log(generator.uniform(0.01, 0.5, n)).astype(dtype),
        "known_positives": generator.random((batch, n)) < 0.3 if known else None,
        "correction": correction,
        "weights": (generator.uniform(0.0, 2.0, batch) if weighted else np.full(batch, 0.5)).astype(dtype),
    }


def clear_rows(queries, items, temperature, similarity, problem):
    """Return the loss from all logits at once, which test_sampled_softmax.py holds against slow loops."""
    positive, logits = similarity_logits(queries, items, similarity=similarity, temperature=temperature)
    ids, known = problem["item_ids"], problem["known_positives"]
    excluded = not_negatives(*logits.shape, item_ids=ids, known_positives=known)
    return sampled_softmax_loss(
        positive, logits, excluded, log_q=problem["log_q"], correction=problem["correction"]
    )


def blocked_rows(queries, items, temperature, similarity, problem, **settings):
    vectors = scaled_vectors(queries, items, similarity=similarity, temperature=temperature)
    given = {name: problem[name] for name in ("item_ids", "log_q", "known_positives", "correction")}
    return blocked_softmax_loss(*vectors, **given, **settings)


def rows_and_gradients(function, problem, similarity, **settings):
    start = [tf.constant(problem[name]) for name in ("queries", "items", "log_temperature")]
    with tf.GradientTape() as tape:
        tape.watch(start)
        rows = function(*start[:2], tf.exp(start[2]), similarity, problem, **settings)
        total = tf.reduce_sum(rows * problem["weights"])
    return [rows.numpy(), *(tf.convert_to_tensor(part).numpy() for part in tape.gradient(total, start))]


@pytest.mark.parametrize(
    ("correction", "similarity", "known", "weighted"),
    [*itertools.product(["none", "logq", "negatives"], ["dot", "cosine"], [False, True], [False, True])],
)
def test_values_and_gradients_are_those_of_the_clear_version(correction, similarity, known, weighted):
    # Accidental hits are removed in every second case. Blocks of two rows, a shorter one at the end.
    hits = known == (similarity == "dot")
    problem = make_problem(5, 4, hits=hits, known=known, correction=correction, weighted=weighted)
    expected = rows_and_gradients(clear_rows, problem, similarity)
    found = rows_and_gradients(blocked_rows, problem, similarity, block_logits=18)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("block_logits", [1, 21, 10_000])
@pytest.mark.parametrize(("batch", "extra"), [(7, 0), (6, 3), (1, 0)])
def test_blocks_of_any_size(batch, extra, block_logits):
    for weighted in (False, True):
        problem = make_problem(batch, extra, known=True, weighted=weighted)
        expected = rows_and_gradients(clear_rows, problem, "dot")
        found = rows_and_gradients(blocked_rows, problem, "dot", block_logits=block_logits)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_single_precision():
    problem = make_problem(300, 50, known=True, weighted=True, dtype="float32")
    expected = rows_and_gradients(clear_rows, problem, "cosine")
    found = rows_and_gradients(blocked_rows, problem, "cosine", block_logits=5000)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("compiled", [False, True])
def test_traced_with_unknown_sizes(compiled):
    columns = ("queries", "items", "item_ids", "log_q", "known_positives", "weights")
    types = ("float64", "float64", "int64", "float64", "bool", "float64")
    shapes = ((None, 3), (None, 3), (None,), (None,), (None, None), (None,))
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, types, strict=True)]

    @tf.function(input_signature=signature, jit_compile=compiled)
    def traced(queries, items, item_ids, log_q, known, weights):
        with tf.GradientTape() as tape:
            tape.watch([queries, items])
            rows = blocked_softmax_loss(
                queries, items, item_ids=item_ids, log_q=log_q, known_positives=known, block_logits=20
            )
            total = tf.reduce_sum(rows * weights)
        return rows, *tape.gradient(total, [queries, items])

    # Compiled for each size.
    sizes = ((7, 0, False), (7, 3, True)) if compiled else ((7, 0, False), (7, 3, True), (30, 0, True))
    for batch, extra, weighted in sizes:
        problem = make_problem(batch, extra, known=True, weighted=weighted)
        problem["log_temperature"] = np.zeros(())
        found = traced(*(problem[name] for name in columns))
        for one, other in zip(found, rows_and_gradients(clear_rows, problem, "dot"), strict=False):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_never_more_than_a_block_of_logits(monkeypatch, weighted):
    sizes, matmul = [], keras.ops.matmul

    def recording(*operands):
        product = matmul(*operands)
        sizes.append(int(keras.ops.size(product)))
        return product

    monkeypatch.setattr(keras.ops, "matmul", recording)
    problem = make_problem(100, 20, weighted=weighted)
    rows_and_gradients(blocked_rows, problem, "dot", block_logits=1000)
    # Eight rows of 120 candidates, and ten of 100 rows where a second pass is needed.
    assert max(sizes) == (1000 if weighted else 960)
    rows_and_gradients(clear_rows, problem, "dot")
    assert max(sizes) == 12_000


def test_large_logits_and_a_row_without_negatives():
    problem = make_problem(3, 0, known=True, dtype="float32")
    problem["queries"] *= 1e4
    problem["known_positives"][1] = True
    for weighted in (False, True):
        problem["weights"] = np.array([1, 3, 2] if weighted else [1, 1, 1], dtype="float32")
        found = rows_and_gradients(blocked_rows, problem, "dot", block_logits=1)
        assert all(np.isfinite(part).all() for part in found)
        assert found[0][1] == 0.0
        assert not found[1][1].any()
        for one, other in zip(found, rows_and_gradients(clear_rows, problem, "dot"), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "blocked"),
    [
        ({}, True),
        ({"correction": "none"}, True),
        ({"correction": "negatives", "similarity": "cosine"}, True),
        ({"num_hard_negatives": 2}, False),
        ({"correction": "leave_positive_out"}, False),
    ],
)
def test_the_layer_chooses(monkeypatch, settings, blocked):
    taken = []

    def noting(name, function):
        return lambda *args, **kwargs: taken.append(name) or function(*args, **kwargs)

    monkeypatch.setattr(sampled_softmax, "sampled_softmax_loss", noting("clear", sampled_softmax_loss))
    monkeypatch.setattr(blocked_softmax, "blocked_softmax_loss", noting("blocked", blocked_softmax_loss))
    problem = make_problem(4, 0)
    SampledSoftmax(**settings)(
        problem["queries"], problem["items"], item_ids=problem["item_ids"], log_q=problem["log_q"]
    )
    assert taken == ["blocked" if blocked else "clear"]


def test_arguments_are_refused():
    eye = np.eye(2, dtype="float32")
    with pytest.raises(ValueError, match=r"`log_q` must be given when correction is 'logq'; got None"):
        blocked_softmax_loss(eye, eye)
    with pytest.raises(ValueError, match="`correction` must be one of 'none', 'logq', 'negatives'; got"):
        blocked_softmax_loss(eye, eye, correction="leave_positive_out")
    with pytest.raises(ValueError, match="`block_logits` must be at least 1; got 0"):
        blocked_softmax_loss(eye, eye, correction="none", block_logits=0)


SCRIPT = r"""
import json, sys
import keras, numpy as np
from recsys_ssl.losses.blocked_softmax import blocked_softmax_loss
from recsys_ssl.losses.corrected_softmax import scaled_vectors

backend, problems, report = keras.backend.backend(), json.load(sys.stdin), []
for problem in problems:
    arrays = {name: np.asarray(value) for name, value in problem.items() if isinstance(value, list)}
    singles = {name: arrays[name].astype("float32") for name in ("queries", "items", "weights", "log_q")}

    def rows(queries, items, log_temperature):
        temperature = keras.ops.exp(log_temperature)
        vectors = scaled_vectors(queries, items, similarity="cosine", temperature=temperature)
        return blocked_softmax_loss(
            *vectors,
            item_ids=arrays["item_ids"],
            log_q=singles["log_q"],
            known_positives=arrays["known_positives"],
            block_logits=50,
        )

    def total(*point):
        return keras.ops.sum(rows(*point) * keras.ops.convert_to_tensor(singles["weights"]))

    start = singles["queries"], singles["items"], np.float32(problem["log_temperature"])
    if backend == "jax":
        import jax

        gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*start)
    else:
        import torch

        point = [torch.tensor(part, requires_grad=True) for part in start]
        total(*point).backward()
        gradients = [part.grad for part in point]
    found = [rows(*map(keras.ops.convert_to_tensor, start)), *gradients]
    report.append([keras.ops.convert_to_numpy(part).tolist() for part in found])
print("REPORT", json.dumps(report))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, run_under):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    problems = [make_problem(13, 6, known=True, weighted=weighted) for weighted in (False, True)]
    given = [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in problem.items()}
        for problem in problems
    ]
    report = json.loads(run_under(backend, SCRIPT, given=json.dumps(given)).split("REPORT ")[1])
    for problem, found in zip(problems, report, strict=True):
        expected = rows_and_gradients(clear_rows, problem, "cosine")
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
