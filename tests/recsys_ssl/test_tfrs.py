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

SCRIPT = str(Path(__file__).with_name("tfrs_script.py"))


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
        [sys.executable, "-W", "error", SCRIPT, str(folder)],
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
