"""Beside TensorFlow Recommenders, in a process of its own: it needs Keras 2 under TensorFlow."""

import importlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import recsys_ssl

ROOT = str(Path(recsys_ssl.__file__).parents[1])
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_recommenders") is None,
    reason="tensorflow_recommenders is not installed",
)

# Computed independently of this library, in float64: see test_sampled_softmax.py.
GOLDEN = {
    "plain": [0.142932, 2.142932, 0.142932],
    "logq, hits": [0.087625, 0.918240, 0.087625],
    "negatives, hits": [0.168186, 2.775633, 0.168186],
    "cosine, logq, hits": [0.516814, 0.173111, 1.407120],
    "leave positive out": [-0.200557, 2.270636, -0.200557],
}

CASES = (
    "plain",
    "temperature",
    "probability",
    "temperature, probability",
    "hits",
    "hits of names",
    "hard negatives",
    "more hard negatives than there are",
    "weights",
    "mask",
    "all",
)

SCRIPT = r"""
import doctest, json, sys, warnings
import keras, numpy as np, tensorflow as tf, tensorflow_recommenders as tfrs, tf_keras
from recsys_ssl import FeatureTower, SampledSoftmax, TwoTower, TwoTowerRetriever
from recsys_ssl.tfrs import SampledSoftmaxTask, brute_force_layer, scann_layer, serving, streaming_layer
from recsys_ssl.tfrs import sampled_softmax_task
from sparse_data.datasets import Interactions

folder = sys.argv[1]
generator = np.random.default_rng(0)
report = {"keras": [keras.__version__, tf_keras.__version__]}
options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
modules = sampled_softmax_task, serving
report["doctests"] = [list(doctest.testmod(module, optionflags=options)) for module in modules]

# Values and gradients beside `tfrs.tasks.Retrieval`, which sums: 6 pairs, 2 further negatives, ids 0, 1 and 2
# more than once.
queries, items = (generator.normal(size=shape).astype("float32") for shape in ((6, 4), (8, 4)))
ids = np.array([0, 1, 0, 2, 3, 1, 2, 4])
inputs = {
    "sample_weight": np.array([1, 0, 2, 0.5, 1, 3], dtype="float32"),
    "candidate_sampling_probability": generator.uniform(1e-3, 0.5, 8).astype("float32"),
    "candidate_ids": ids,
    "score_mask": np.eye(6, 8) + generator.uniform(size=(6, 8)) > 0.4,
}
names = np.array(["a", "b", "c", "d", "e"])[ids]
beside = {
    "plain": ({}, {}),
    "temperature": ({"temperature": 0.3}, {}),
    "probability": ({}, {"candidate_sampling_probability"}),
    "temperature, probability": ({"temperature": 0.3}, {"candidate_sampling_probability"}),
    "hits": ({"remove_accidental_hits": True}, {"candidate_ids"}),
    "hits of names": ({"remove_accidental_hits": True}, {"names"}),
    "hard negatives": ({"num_hard_negatives": 2}, {}),
    "more hard negatives than there are": ({"num_hard_negatives": 20}, {}),
    "weights": ({}, {"sample_weight"}),
    "mask": ({}, {"score_mask"}),
    "all": ({"temperature": 0.3, "num_hard_negatives": 2, "remove_accidental_hits": True}, set(inputs)),
}


def value_and_gradients(task, keywords, graph):
    # In the graph neither the number of queries nor that of candidates is known.
    def step(queries, items, keywords):
        with tf.GradientTape() as tape:
            tape.watch((queries, items))
            loss = task(queries, items, **keywords)
        return loss, tape.gradient(loss, (queries, items))

    arguments = tf.nest.map_structure(tf.constant, (queries, items, keywords))
    if graph:
        unknown = lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype)
        step = tf.function(step, input_signature=tf.nest.map_structure(unknown, arguments))
    return step(*arguments)


report["beside"] = {}
for case, (settings, given) in beside.items():
    keywords = {name: inputs[name] for name in given if name in inputs}
    if "names" in given:
        keywords["candidate_ids"] = names
    correction = "logq" if "candidate_sampling_probability" in given else "none"
    own = {"remove_accidental_hits": False, "correction": correction, **settings}
    found = {}
    for name, task, graph in (
        ("theirs", tfrs.tasks.Retrieval(**settings), False),
        ("sum", SampledSoftmaxTask(SampledSoftmax(**own), reduction="sum"), False),
        ("sum in a graph", SampledSoftmaxTask(SampledSoftmax(**own), reduction="sum"), True),
        ("mean", SampledSoftmaxTask(SampledSoftmax(**own)), False),
    ):
        loss, gradients = value_and_gradients(task, keywords, graph)
        found[name] = [float(loss), *(part.numpy().tolist() for part in gradients)]
    report["beside"][case] = found

# What only ours has: golden values row by row, by weights that pick the row.
golden_queries, golden_items = ([[1, 0], [0, 1], [1, 1]], [[2, 0], [0, 1], [1, 2]])
pair = [tf.constant(rows, tf.float32) for rows in (golden_queries, golden_items)]
extra = {"candidate_ids": tf.constant([7, 8, 7])}
extra["candidate_sampling_probability"] = tf.constant([0.5, 0.1, 0.5])
report["golden"] = {}
for case, correction, similarity, hits in (
    ("plain", "none", "dot", False),
    ("logq, hits", "logq", "dot", True),
    ("negatives, hits", "negatives", "dot", True),
    ("cosine, logq, hits", "logq", "cosine", True),
    ("leave positive out", "leave_positive_out", "dot", True),
):
    loss = SampledSoftmax(similarity, temperature=0.5, correction=correction, remove_accidental_hits=hits)
    task = SampledSoftmaxTask(loss, reduction="sum")
    again = SampledSoftmaxTask.from_config(json.loads(json.dumps(task.get_config())))
    report["golden"][case] = [
        [float(each(*pair, sample_weight=tf.one_hot(row, 3), **extra)) for row in range(3)]
        for each in (task, again)
    ]

# Probabilities below 1e-6, to which TensorFlow Recommenders raises them, and one that underflows.
task, theirs = SampledSoftmaxTask(SampledSoftmax(remove_accidental_hits=False)), tfrs.tasks.Retrieval()
tiny, zero = ({"candidate_sampling_probability": tf.constant([p, 0.5])} for p in (1e-9, 0.0))
eye = tf.eye(2), tf.eye(2)
report["tiny"] = [float(task(*eye, **tiny)), float(task(*eye, **zero)), float(theirs(*eye, **tiny)) / 2]


# Training a `tfrs.Model`, in a graph, with batches of 8, 8 and 4 pairs.
class Model(tfrs.Model):
    def __init__(self, task):
        super().__init__()
        start = lambda seed: tf_keras.initializers.RandomNormal(stddev=0.5, seed=seed)
        self.queries = tf_keras.layers.Embedding(12, 4, embeddings_initializer=start(1))
        self.items = tf_keras.layers.Embedding(6, 4, embeddings_initializer=start(2))
        self.task = task

    def compute_loss(self, batch, training=False):
        return self.task(
            self.queries(batch["user"]),
            self.items(batch["item"]),
            sample_weight=batch["weight"],
            candidate_sampling_probability=batch["probability"],
            candidate_ids=batch["item"],
            compute_metrics=not training,
        )


users, liked = generator.integers(12, size=20), generator.integers(6, size=20)
pairs = {
    "user": users,
    "item": liked,
    "weight": generator.uniform(size=20).astype("float32"),
    "probability": (np.bincount(liked, minlength=6) / 20)[liked].astype("float32"),
}
batches = tf.data.Dataset.from_tensor_slices(pairs).batch(8)


def train(task):
    model = Model(task)
    model.compile(optimizer=tf_keras.optimizers.SGD(0.05))
    history = model.fit(batches, epochs=3, verbose=0).history["total_loss"]
    candidates = tf.data.Dataset.range(6).batch(6).map(lambda rows: (rows, model.items(rows)))
    metric = tfrs.metrics.FactorizedTopK(candidates, ks=(1, 3))
    # Theirs drops a single metric that is set later.
    task.factorized_metrics = metric if isinstance(task, SampledSoftmaxTask) else [metric]
    measured = model.evaluate(batches, verbose=0, return_dict=True)
    return {
        "history": history,
        "items": model.items.embeddings.numpy().tolist(),
        "evaluated": {name: float(value) for name, value in measured.items()},
        "variables": len(model.trainable_variables),
    }


measures = lambda: {
    "batch_metrics": [tf_keras.metrics.CategoricalAccuracy(name="first")],
    "loss_metrics": [tf_keras.metrics.Mean(name="mean")],
}
learning = SampledSoftmax("cosine", temperature=0.5, learn_temperature=True)
tasks = {
    "theirs": tfrs.tasks.Retrieval(temperature=0.5, remove_accidental_hits=True, **measures()),
    "ours": SampledSoftmaxTask(SampledSoftmax(temperature=0.5), reduction="sum", **measures()),
    "learned": SampledSoftmaxTask(learning),
}
report["trained"] = {name: train(task) for name, task in tasks.items()}
report["temperature"] = float(tasks["learned"].current_temperature())

# Trained models of ours behind the layers of theirs: 12 users and 12 items, even likes even, odd likes odd.
board = [(f"u{user}", f"i{item:02d}") for user in range(12) for item in range(12) if (user + item) % 2 == 0]
board = [(user, item) for user, item in board if user[1:] != str(int(item[1:]))]
# Two more lines make two items the most popular.
users, items = zip(*board, ("u1", "i02"), ("u1", "i04"))
log = Interactions.from_frame({"user_id": users, "item_id": items})


def listed(found):
    scores, ids = (np.asarray(part) for part in found)
    return [ids.astype(str).tolist() if ids.dtype == object else ids.tolist(), scores.tolist()]


def rows_of(found):
    return [part.tolist() for part in found]


report["served"] = {}
for similarity in ("dot", "cosine"):
    loss = SampledSoftmax(similarity, temperature=1.0 if similarity == "dot" else 0.2)
    retriever = TwoTowerRetriever(
        8, loss=loss, epochs=5, learning_rate=0.1, validation_fraction=0, verbose=False
    ).fit(log)
    asked, known = np.array(["u3", "u0", "nobody", "u11"]), np.array(["u3", "u11"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "nobody" is not in the log
        ours = rows_of(retriever.recommend(asked, k=4, filter_seen=False))
    exact = brute_force_layer(retriever, k=2)
    seen = [[item for user, item in board if user == who] for who in known]
    # By the query tower, from features; the length of the items' vectors must not matter to the cosine.
    features = retriever.user_encoder_.encode(known, None)
    stretched = retriever.item_factors_ * (1.0 if similarity == "dot" else 3.0)
    tower = brute_force_layer(retriever.model_, stretched, retriever.item_ids_)
    report["served"][similarity] = {
        "ours": ours,
        "brute force": listed(exact(tf.constant(asked), k=4)),
        "streaming": listed(streaming_layer(retriever, batch_size=5)(tf.constant(asked), k=4)),
        "default": listed(exact(tf.constant(asked))),
        "unseen": rows_of(retriever.recommend(known, k=3)),
        "exclusions": listed(exact.query_with_exclusions(tf.constant(known), tf.constant(seen), k=3)),
        "known": rows_of(retriever.recommend(known, k=10, filter_seen=False)),
        "tower": listed(tower(tf.nest.map_structure(tf.constant, features))),
        "features": {name: column.tolist() for name, column in features.items()},
    }
tf.saved_model.save(exact, f"{folder}/users")
tf.saved_model.save(tower, f"{folder}/tower")

# Users and items of integers, items without ids.
numbers = TwoTowerRetriever(4, epochs=1, validation_fraction=0, verbose=False).fit(
    {"user_id": [5, 5, -3], "item_id": [10, 2**40, 10]}
)
report["numbers"] = [
    rows_of(numbers.recommend([-3, 5], k=2, filter_seen=False)),
    listed(brute_force_layer(numbers, k=2)(tf.constant([-3, 5]))),
]
same = TwoTower(keras.layers.Identity(), keras.layers.Identity())
report["without ids"] = listed(brute_force_layer(same, np.eye(3), k=1)(tf.eye(3)))

wrong = {
    "loss": lambda: SampledSoftmaxTask("logq"),
    "three axes": lambda: SampledSoftmaxTask()(tf.ones((2, 3, 2)), tf.eye(2)),
    "too few": lambda: SampledSoftmaxTask()(tf.eye(2), tf.eye(2), candidate_ids=tf.constant([1])),
    "reduction": lambda: SampledSoftmaxTask(reduction="none"),
    "no probability": lambda: SampledSoftmaxTask()(tf.eye(2), tf.eye(2), candidate_ids=tf.range(2)),
    "no ids": lambda: SampledSoftmaxTask()(tf.eye(2), tf.eye(2), candidate_sampling_probability=tf.ones(2)),
    "model": lambda: brute_force_layer(same.query_tower),
    "no vectors": lambda: brute_force_layer(same),
    "not finite": lambda: brute_force_layer(same, [[np.nan]], k=1),
    "doubled": lambda: brute_force_layer(same, np.eye(2), ["a", "a"], k=1),
    "lengths": lambda: brute_force_layer(same, np.eye(2), ["a"], k=1),
    "too many": lambda: streaming_layer(same, np.eye(2), k=3),
    "twice": lambda: brute_force_layer(retriever, retriever.item_factors_),
    "scann": lambda: scann_layer(same, np.eye(2), k=1),
}
report["errors"] = {}
for name, call in wrong.items():
    try:
        call()
    except Exception as error:
        report["errors"][name] = f"{type(error).__name__}: {error}"
print("REPORT", json.dumps(report))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tfrs")


@pytest.fixture(scope="module")
def report(folder):
    """Run the script in a process where TensorFlow has Keras 2."""
    environment = {
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": ROOT,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "AutoGraph" not in done.stderr, done.stderr[-3000:]
    return json.loads(done.stdout.split("REPORT ")[1])


def test_two_keras_in_one_process(report):
    assert [version.split(".")[0] for version in report["keras"]] == ["3", "2"]


def test_doctests(report):
    assert all(failed == 0 and attempted > 2 for failed, attempted in report["doctests"])


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_theirs(report, case):
    found = report["beside"][case]
    for name, scale in (("sum", 1), ("sum in a graph", 1), ("mean", 6)):
        for own, theirs in zip(found[name], found["theirs"], strict=True):
            np.testing.assert_allclose(scale * np.array(own), theirs, rtol=1e-5, atol=1e-5)


def test_all_cases_are_compared_and_differ(report):
    assert set(report["beside"]) == set(CASES)
    losses = {case: round(found["sum"][0], 3) for case, found in report["beside"].items()}
    same = {("hits", "hits of names"), ("plain", "more hard negatives than there are")}
    for first, second in itertools.combinations(CASES, 2):
        assert (losses[first] == losses[second]) == ((first, second) in same), (first, second)


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values(report, case):
    for rows in report["golden"][case]:  # of the task, and of the task made from its configuration
        np.testing.assert_allclose(rows, GOLDEN[case], atol=1e-5)


def test_small_probabilities_count_as_they_are(report):
    # The rows' corrected logits are (1 - log p, log 2) and (-log p, 1 + log 2).
    def loss(p):
        logits = np.array([[1 - np.log(p), np.log(2)], [-np.log(p), 1 + np.log(2)]])
        return (np.log(np.exp(logits).sum(axis=1)) - np.diagonal(logits)).mean()

    small, zero, theirs = report["tiny"]
    assert small == pytest.approx(loss(1e-9), rel=1e-5)
    assert zero == pytest.approx(loss(np.finfo(np.float32).tiny), rel=1e-5)
    assert theirs == pytest.approx(loss(1e-6), rel=1e-5)


def test_training_takes_the_course_of_theirs(report):
    ours, theirs = report["trained"]["ours"], report["trained"]["theirs"]
    np.testing.assert_allclose(ours["history"], theirs["history"], rtol=1e-5)
    np.testing.assert_allclose(ours["items"], theirs["items"], atol=1e-5)
    assert ours["history"][2] < 0.6 * ours["history"][0]
    # Accuracy among the batch, ranks in the corpus, losses.
    assert ours["evaluated"] == pytest.approx(theirs["evaluated"], rel=1e-5)
    assert {"first", "mean", "factorized_top_k/top_1_categorical_accuracy"} <= set(ours["evaluated"])


def test_a_learned_temperature_is_trained(report):
    found = report["trained"]["learned"]
    assert found["variables"] == 3
    assert abs(report["temperature"] - 0.5) > 0.01
    assert found["history"][2] < found["history"][0]


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_their_layers_rank_as_the_retriever(report, similarity):
    found = report["served"][similarity]
    for theirs, ours in (
        ("brute force", "ours"),
        ("streaming", "ours"),
        ("exclusions", "unseen"),
        ("tower", "known"),
    ):
        assert found[theirs][0] == found[ours][0], theirs
        np.testing.assert_allclose(found[theirs][1], found[ours][1], atol=1e-5, err_msg=theirs)
    assert found["default"][0] == [row[:2] for row in found["ours"][0]]
    # The unknown user gets what most users have.
    assert found["brute force"][0][2][:2] == ["i02", "i04"]


def test_integer_ids_and_none(report):
    ours, theirs = report["numbers"]
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)
    assert report["without ids"] == [[[0], [1], [2]], [[1.0], [1.0], [1.0]]]


def test_saved_layers_answer_without_this_library(report, folder):
    tensorflow = pytest.importorskip("tensorflow")
    found = report["served"]["cosine"]
    users = tensorflow.saved_model.load(str(folder / "users"))
    scores, items = users(tensorflow.constant(["u3", "u0", "nobody", "u11"]))
    assert items.numpy().astype(str).tolist() == found["default"][0]
    np.testing.assert_allclose(scores, found["default"][1], atol=1e-6)
    tower = tensorflow.saved_model.load(str(folder / "tower"))
    features = {name: tensorflow.constant(rows, "int32") for name, rows in found["features"].items()}
    scores, items = tower(features)
    assert items.numpy().astype(str).tolist() == found["tower"][0]
    np.testing.assert_allclose(scores, found["tower"][1], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loss", "TypeError: `loss` must be a SampledSoftmax or None; got 'logq'"),
        ("reduction", "ValueError: `reduction` must be one of 'mean', 'sum'; got 'none'"),
        ("three axes", "`query_embeddings` must be of shape (batch, dim); got (2, 3, 2)"),
        ("too few", "`candidate_ids` must be of shape (2,), one value a candidate; got (1,)"),
        (
            "no probability",
            "`candidate_sampling_probability` must be given when correction is 'logq'; got None",
        ),
        ("no ids", "`candidate_ids` must be given when accidental hits are removed; got None"),
        ("model", "TypeError: `model` must be a TwoTower or a TwoTowerRetriever; got Identity"),
        ("no vectors", "ValueError: `item_vectors` must be given with a TwoTower; got None"),
        ("not finite", "ValueError: `item_vectors` must be finite; got 1 NaN"),
        ("doubled", "ValueError: `item_ids` must be distinct; got duplicates"),
        ("lengths", "ValueError: `item_vectors` and `item_ids` must be of the same length; got 2 and 1"),
        ("too many", "ValueError: `k` must be at most the number of items to choose from, 2; got 3"),
        ("twice", "ValueError: `item_vectors` and `item_ids` must be left out with a retriever"),
    ],
)
def test_errors(report, name, message):
    assert message in report["errors"][name]


@pytest.mark.skipif(importlib.util.find_spec("scann") is not None, reason="scann is installed")
def test_scann_says_what_is_missing(report):
    assert report["errors"]["scann"] == "ImportError: scann_layer needs scann: pip install scann"


def import_afresh():
    with pytest.raises(ImportError) as caught:
        importlib.import_module("recsys_ssl.tfrs")
    return str(caught.value)


@pytest.mark.skipif(
    os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"), reason="Keras 2 is chosen"
)
def test_import_needs_keras_2():
    assert "set the environment variable TF_USE_LEGACY_KERAS=1" in import_afresh()


def test_import_needs_tensorflow_recommenders(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_recommenders", None)
    assert import_afresh() == (
        "recsys_ssl.tfrs needs tensorflow_recommenders: pip install 'sparselabels[recsys,tfrs]'"
    )


def test_import_needs_keras_on_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_recommenders", types.ModuleType("tensorflow_recommenders"))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert "got the backend 'jax': set the environment variable KERAS_BACKEND=tensorflow" in import_afresh()
