import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.losses.corrected_softmax import not_negatives, sampled_softmax_loss, similarity_logits
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax

# The worked example of the papers' equations, computed independently of this library, in float64.
QUERIES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
ITEMS = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
EXTRA = np.array([[1.0, -1.0], [0.5, 0.5]])
IDS = np.array([7, 8, 7])
FREQUENCY = np.array([0.5, 0.1, 0.5])
MIXTURE = np.array([0.4, 0.16, 0.4, 0.22, 0.22])

GOLDEN = {
    "plain": ({"correction": "none"}, [0.142932, 2.142932, 0.142932]),
    "logq": ({"correction": "logq"}, [0.204502, 0.918240, 0.204502]),
    "logq, hits": ({"correction": "logq", "hits": True}, [0.087625, 0.918240, 0.087625]),
    "negatives, hits": ({"correction": "negatives", "hits": True}, [0.168186, 2.775633, 0.168186]),
    "cosine": ({"correction": "none", "similarity": "cosine"}, [0.382781, 0.665258, 0.803646]),
    "cosine, logq, hits": (
        {"correction": "logq", "similarity": "cosine", "hits": True},
        [0.516814, 0.173111, 1.407120],
    ),
    "mixed negatives": ({"correction": "negatives", "extra": True}, [0.830417, 3.071137, 0.436531]),
    "leave positive out": (
        {"correction": "leave_positive_out", "hits": True},
        [-0.200557, 2.270636, -0.200557],
    ),
}


def arguments_of(*, correction, similarity="dot", hits=False, extra=False):
    items = np.concatenate([ITEMS, EXTRA]) if extra else ITEMS
    ids = np.array([*IDS, 1, 2]) if extra else IDS
    log_q = None if correction == "none" else np.log(MIXTURE if extra else FREQUENCY)
    return items, ids if hits else None, log_q, similarity, correction


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values_in_float64(case):
    settings_, expected = GOLDEN[case]
    items, ids, log_q, similarity, correction = arguments_of(**settings_)
    positive, logits = similarity_logits(QUERIES, items, similarity=similarity, temperature=0.5)
    rows = sampled_softmax_loss(
        positive,
        logits,
        not_negatives(3, len(items), item_ids=ids),
        log_q=log_q,
        correction=correction,
    )
    assert np.asarray(rows).dtype == np.float64
    np.testing.assert_allclose(rows, expected, atol=1e-6)


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values_of_the_layer(case):
    settings_, expected = GOLDEN[case]
    items, ids, log_q, similarity, correction = arguments_of(**settings_)
    loss = SampledSoftmax(
        similarity, temperature=0.5, correction=correction, remove_accidental_hits=ids is not None
    )
    rows = loss(QUERIES.astype("float32"), items.astype("float32"), item_ids=ids, log_q=log_q)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def slow_loss(logits, q, correction, *, ids=None, known=None, hard=None):
    """Loss of every row by plain loops, from the equations of the papers."""
    batch, n = logits.shape
    rows = []
    for i in range(batch):
        negatives = []
        for j in range(n):
            same = ids is not None and ids[i] == ids[j]
            if i != j and not same and not (known is not None and known[i, j]):
                negatives.append(logits[i, j] - (0.0 if correction == "none" else math.log(q[j])))
        negatives.sort(reverse=True)
        negatives = negatives[:hard]
        own = logits[i, i]
        if correction == "leave_positive_out":
            if not negatives:
                rows.append(0.0)
                continue
            # log q' = log q - log(1 - q_positive)
            shifted = [value + math.log(1.0 - q[i]) for value in negatives]
            mean = sum(math.exp(value) for value in shifted) / len(shifted)
            p = math.exp(own) / (math.exp(own) + mean)
            rows.append(-(1.0 - p) * (own - math.log(sum(math.exp(value) for value in shifted))))
        else:
            own -= math.log(q[i]) if correction == "logq" else 0.0
            total = math.exp(own) + sum(math.exp(value) for value in negatives)
            rows.append(-math.log(math.exp(own) / total))
    return np.array(rows)


@st.composite
def problems(draw):
    batch, extra = draw(st.integers(1, 5)), draw(st.integers(0, 4))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = batch + extra
    ids = generator.integers(4, size=n)
    return {
        "logits": generator.normal(0.0, 2.0, size=(batch, n)),
        "q": generator.uniform(0.01, 0.9, size=n),
        "ids": draw(st.sampled_from([None, ids])),
        "known": draw(st.sampled_from([None, generator.random((batch, n)) < 0.4])),
        "hard": draw(st.sampled_from([None, 1, 2, 50])),
        "correction": draw(st.sampled_from(["none", "logq", "negatives", "leave_positive_out"])),
    }


@settings(max_examples=60, deadline=None)
@given(problems())
def test_against_the_slow_loop(problem):
    logits, q, ids, known, hard = (problem[key] for key in ("logits", "q", "ids", "known", "hard"))
    batch, n = logits.shape
    excluded = not_negatives(batch, n, item_ids=ids, known_positives=known)
    rows = sampled_softmax_loss(
        np.diagonal(logits).copy(),
        keras.ops.convert_to_tensor(logits),
        excluded,
        log_q=np.log(q),
        correction=problem["correction"],
        num_hard_negatives=hard,
    )
    expected = slow_loss(logits, q, problem["correction"], ids=ids, known=known, hard=hard)
    np.testing.assert_allclose(rows, expected, rtol=1e-9, atol=1e-9)


def test_the_layer_takes_all_arguments_to_the_loop():
    generator = np.random.default_rng(3)
    queries, items = generator.normal(size=(4, 3)), generator.normal(size=(7, 3))
    ids, q, known = np.array([1, 2, 1, 3, 2, 9, 9]), generator.uniform(0.1, 0.5, 7), np.zeros((4, 7), bool)
    known[2, 5] = known[0, 1] = True
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, items)]
    expected = slow_loss(unit[0] @ unit[1].T / 0.2, q, "negatives", ids=ids, known=known, hard=2)
    loss = SampledSoftmax("cosine", temperature=0.2, correction="negatives", num_hard_negatives=2)
    rows = loss(queries, items, item_ids=ids, log_q=np.log(q), known_positives=known)
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


def test_known_positives_are_removed_with_and_without_accidental_hits():
    known = np.array([[False, True], [False, False]])
    loss = SampledSoftmax(correction="none", remove_accidental_hits=False)
    rows = loss(np.eye(2, dtype="float32"), np.eye(2, dtype="float32"), known_positives=known)
    np.testing.assert_allclose(rows, [0.0, math.log(1 + math.exp(-1.0))], rtol=1e-6)


@pytest.mark.parametrize("correction", ["none", "logq", "negatives", "leave_positive_out"])
@pytest.mark.parametrize("hard", [None, 1])
def test_a_row_without_negatives_costs_nothing_and_has_no_gradient(correction, hard):
    logits = tf.Variable([[1.0, 2.0], [3.0, 4.0]], dtype="float64")
    excluded = np.array([[True, True], [False, True]])
    with tf.GradientTape() as tape:
        rows = sampled_softmax_loss(
            tf.linalg.diag_part(logits),
            tf.convert_to_tensor(logits),
            excluded,
            log_q=np.log([0.5, 0.25]),
            correction=correction,
            num_hard_negatives=hard,
        )
        total = tf.reduce_sum(rows)
    gradient = tape.gradient(total, logits).numpy()
    assert rows.numpy()[0] == pytest.approx(0.0)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0], 0.0, atol=1e-12)
    assert abs(gradient[1]).max() > 0.01


@pytest.mark.parametrize("correction", ["none", "logq", "negatives", "leave_positive_out"])
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_large_logits_do_not_overflow(correction, scale):
    logits = tf.Variable(scale * np.array([[1.0, 0.0], [0.5, -1.0]], dtype="float32"))
    with tf.GradientTape() as tape:
        rows = sampled_softmax_loss(
            tf.linalg.diag_part(logits),
            tf.convert_to_tensor(logits),
            not_negatives(2, 2),
            log_q=np.log([0.5, 0.5]),
            correction=correction,
        )
        total = tf.reduce_sum(rows)
    assert np.isfinite(rows.numpy()).all()
    assert np.isfinite(tape.gradient(total, logits).numpy()).all()
    # Where the positive is far below its negative, the loss is their distance.
    row = int(scale > 0)
    lost = abs(scale) * (1.5 if row else 1.0)
    assert rows.numpy()[row] == pytest.approx(lost, rel=1e-3)


@pytest.mark.parametrize(
    ("similarity", "correction", "hard"),
    [*itertools.product(["dot", "cosine"], ["none", "logq", "negatives"], [None, 2])],
)
def test_gradient_against_finite_differences(similarity, correction, hard):
    generator = np.random.default_rng(1)
    start, items = generator.normal(size=(3, 2)), generator.normal(size=(5, 2))
    log_q = np.log(generator.uniform(0.1, 0.5, 5))

    def loss(queries):
        positive, logits = similarity_logits(queries, items, similarity=similarity, temperature=0.7)
        excluded = not_negatives(3, 5, item_ids=np.array([1, 2, 1, 4, 2]))
        return tf.reduce_sum(
            sampled_softmax_loss(
                positive, logits, excluded, log_q=log_q, correction=correction, num_hard_negatives=hard
            )
        )

    queries = tf.Variable(start)
    with tf.GradientTape() as tape:
        total = loss(queries)
    gradient = tape.gradient(total, queries).numpy()
    step = 1e-5
    for place in np.ndindex(3, 2):
        up, down = start.copy(), start.copy()
        up[place] += step
        down[place] -= step
        slope = (loss(up).numpy() - loss(down).numpy()) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_gradient_of_leaving_the_positive_out_treats_the_weight_as_a_number():
    # d/ds_ii of -w (s_ii - L) with w = 1 - p held fixed is -w.
    logits = tf.Variable([[1.0, 2.0, 0.5]], dtype="float64")
    q = np.array([0.3, 0.2, 0.1])
    with tf.GradientTape() as tape:
        rows = sampled_softmax_loss(
            logits[:, 0],
            tf.convert_to_tensor(logits),
            not_negatives(1, 3),
            log_q=np.log(q),
            correction="leave_positive_out",
        )
    corrected = np.exp(np.array([2.0, 0.5])) / (q[1:] / (1 - q[0]))
    weight = 1 - math.e / (math.e + corrected.mean())
    expected = np.array([-weight, *(weight * corrected / corrected.sum())])
    np.testing.assert_allclose(tape.gradient(rows, logits)[0], expected, rtol=1e-9)


def test_a_zero_vector_has_cosine_zero_and_a_finite_gradient():
    queries = tf.Variable([[0.0, 0.0], [1.0, 2.0]])
    with tf.GradientTape() as tape:
        positive, logits = similarity_logits(
            queries, np.eye(2, dtype="float32"), similarity="cosine", temperature=0.1
        )
        total = tf.reduce_sum(logits) + tf.reduce_sum(positive)
    assert logits.numpy()[0].tolist() == [0.0, 0.0]
    gradient = tape.gradient(total, queries).numpy()
    assert np.isfinite(gradient).all()
    assert abs(gradient[1]).max() > 0


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_cosine_does_not_depend_on_the_length(scale):
    logits = similarity_logits(QUERIES, ITEMS, similarity="cosine", temperature=0.5)[1]
    small = QUERIES.astype("float32") * np.float32(scale)
    scaled = similarity_logits(small, ITEMS.astype("float32"), similarity="cosine", temperature=0.5)[1]
    np.testing.assert_allclose(scaled, logits, rtol=1e-5)


def test_a_learned_temperature_starts_where_told_and_has_a_gradient():
    fixed, learned = (
        SampledSoftmax(
            temperature=0.5, learn_temperature=learn, correction="none", remove_accidental_hits=False
        )
        for learn in (False, True)
    )
    queries, items = QUERIES.astype("float32"), ITEMS.astype("float32")
    assert len(learned.trainable_variables) == 1
    assert not fixed.trainable_variables
    np.testing.assert_allclose(learned(queries, items), fixed(queries, items), rtol=1e-6)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(learned(queries, items))
    gradient = float(tape.gradient(total, learned.trainable_variables[0].value))

    def at(log_temperature):
        learned.trainable_variables[0].assign(log_temperature)
        return float(tf.reduce_sum(learned(queries, items)))

    slope = (at(math.log(0.5) + 1e-2) - at(math.log(0.5) - 1e-2)) / 2e-2
    assert gradient == pytest.approx(slope, rel=1e-3)


NON_DEFAULT = {
    "similarity": "cosine",
    "temperature": 0.3,
    "learn_temperature": True,
    "correction": "negatives",
    "remove_accidental_hits": False,
    "num_hard_negatives": 2,
    "name": "my_loss",
}


def test_config_round_trip_with_non_default_arguments():
    loss = SampledSoftmax(**NON_DEFAULT)
    config = loss.get_config()
    assert {key: config[key] for key in NON_DEFAULT} == NON_DEFAULT
    again = SampledSoftmax.from_config(config)
    assert again.get_config() == config
    serialised = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    log_q = np.log(FREQUENCY)
    for other in (again, serialised):
        np.testing.assert_array_equal(
            other(QUERIES, ITEMS, log_q=log_q),
            loss(QUERIES, ITEMS, log_q=log_q),
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"similarity": "euclid"}, ValueError, "`similarity` must be one of 'dot', 'cosine'; got 'euclid'"),
        ({"temperature": 0.0}, ValueError, "`temperature` must be in"),
        ({"temperature": -1}, ValueError, "`temperature` must be in"),
        ({"temperature": float("nan")}, ValueError, "`temperature` must be in"),
        ({"temperature": "warm"}, TypeError, "`temperature` must be a number"),
        ({"correction": "logQ"}, ValueError, "`correction` must be one of"),
        ({"num_hard_negatives": 0}, ValueError, "`num_hard_negatives` must be at least 1"),
        ({"num_hard_negatives": 2.5}, TypeError, "`num_hard_negatives` must be an integer"),
    ],
)
def test_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        SampledSoftmax(**arguments)


def test_what_a_call_needs():
    eye = np.eye(2, dtype="float32")
    with pytest.raises(ValueError, match=r"`item_ids` must be given.*got None"):
        SampledSoftmax(correction="none")(eye, eye)
    with pytest.raises(ValueError, match=r"`log_q` must be given when correction is 'logq'"):
        SampledSoftmax(remove_accidental_hits=False)(eye, eye)
    loss = SampledSoftmax()
    with pytest.raises(ValueError, match=r"`item_ids` must be of shape \(2,\)"):
        loss(eye, eye, item_ids=np.array([1]), log_q=np.zeros(2))
    with pytest.raises(ValueError, match=r"`log_q` must be of shape \(2,\)"):
        loss(eye, eye, item_ids=np.array([1, 2]), log_q=np.zeros(1))
    with pytest.raises(ValueError, match="`correction` must be one of"):
        sampled_softmax_loss(eye[0], eye, not_negatives(2, 2), correction="some")
    with pytest.raises(ValueError, match="`similarity` must be one of"):
        similarity_logits(eye, eye, similarity="some", temperature=1.0)


def test_a_traced_batch_of_unknown_size():
    loss = SampledSoftmax(num_hard_negatives=2)
    signature = [tf.TensorSpec((None, 2)), tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int32)]

    @tf.function(input_signature=[*signature, tf.TensorSpec((None,))])
    def traced(queries, items, ids, log_q):
        return loss(queries, items, item_ids=ids, log_q=log_q)

    for n_extra in (0, 2):
        items = np.concatenate([ITEMS, EXTRA[:n_extra]]).astype("float32")
        ids, log_q = np.array([*IDS, 1, 2][: len(items)], dtype="int32"), np.log(MIXTURE)[: len(items)]
        rows = traced(QUERIES.astype("float32"), items, ids, log_q.astype("float32"))
        expected = slow_loss(QUERIES @ items.T, np.exp(log_q), "logq", ids=ids, hard=2)
        np.testing.assert_allclose(rows, expected, rtol=1e-5)
