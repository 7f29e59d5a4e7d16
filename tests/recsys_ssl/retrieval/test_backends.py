"""One script under every backend of Keras: golden values, gradients, training, saving, loading."""

import importlib.util
import json

import numpy as np
import pytest

from recsys_ssl.retrieval.retriever_folder import load_retriever
from recsys_ssl.retrieval.two_tower_training import vectors_of

BACKENDS = ("tensorflow", "torch", "jax")

# Computed independently of this library, in float64: see test_sampled_softmax.py.
GOLDEN = {
    "plain": [0.142932, 2.142932, 0.142932],
    "logq": [0.204502, 0.918240, 0.204502],
    "logq, hits": [0.087625, 0.918240, 0.087625],
    "negatives, hits": [0.168186, 2.775633, 0.168186],
    "cosine": [0.382781, 0.665258, 0.803646],
    "cosine, logq, hits": [0.516814, 0.173111, 1.407120],
    "mixed negatives": [0.830417, 3.071137, 0.436531],
    "leave positive out": [-0.200557, 2.270636, -0.200557],
}

SCRIPT = r"""
import json, sys
import keras, numpy as np
from keras import ops
from recsys_ssl import FeatureTower, SampledSoftmax, SelfSupervision, SparseSGD, TwoTower
from recsys_ssl import TwoTowerRetriever, load_retriever
from recsys_ssl.sparse_training import training_callbacks
from recsys_ssl.retrieval.two_tower_training import vectors_of
from sparse_data.datasets import make_checkerboard

folder, earlier = sys.argv[1], sys.argv[2:]
backend = keras.backend.backend()
queries, items, extra = ([[1, 0], [0, 1], [1, 1]], [[2, 0], [0, 1], [1, 2]], [[1, -1], [0.5, 0.5]])
queries, items, extra = (np.array(rows, dtype="float32") for rows in (queries, items, extra))
ids, q, mixture = np.array([7, 8, 7]), np.array([0.5, 0.1, 0.5]), np.array([0.4, 0.16, 0.4, 0.22, 0.22])
report = {"backend": backend}


def rows(correction, similarity="dot", hits=False, items=items, q=q):
    loss = SampledSoftmax(similarity, temperature=0.5, correction=correction, remove_accidental_hits=hits)
    log_q = None if correction == "none" else np.log(q).astype("float32")
    found = loss(queries, items, item_ids=ids if hits else None, log_q=log_q)
    return ops.convert_to_numpy(found).tolist()


report["golden"] = {
    "plain": rows("none"),
    "logq": rows("logq"),
    "logq, hits": rows("logq", hits=True),
    "negatives, hits": rows("negatives", hits=True),
    "cosine": rows("none", "cosine"),
    "cosine, logq, hits": rows("logq", "cosine", hits=True),
    "mixed negatives": rows("negatives", items=np.concatenate([items, extra]), q=mixture),
    "leave positive out": rows("leave_positive_out", hits=True),
}


def gradient(function, start):
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(start))
    if backend == "torch":
        import torch

        point = torch.tensor(start, requires_grad=True)
        function(point).backward()
        return point.grad.numpy()
    import tensorflow as tf

    point = tf.Variable(start)
    with tf.GradientTape() as tape:
        total = function(ops.convert_to_tensor(point))
    return tape.gradient(total, point).numpy()


# The first row is a zero vector, the last has no negatives; the logits reach 2e4.
point = np.array([[0, 0], [200, 1], [1, -300]], dtype="float32")
known = np.array([[False] * 3, [False] * 3, [True] * 3])
gradients = {}
for correction in ("none", "logq", "negatives", "leave_positive_out"):
    for similarity in ("dot", "cosine"):
        for hard in (None, 1) if correction == "logq" else (None,):
            settings = {"temperature": 0.01, "correction": correction, "num_hard_negatives": hard}
            loss = SampledSoftmax(similarity, **settings)
            arguments = {"item_ids": np.arange(3), "log_q": np.log(q).astype("float32")}
            call = lambda x: ops.sum(loss(x, items, known_positives=known, **arguments))
            gradients[f"{correction} {similarity} {hard}"] = gradient(call, point).tolist()
report["gradients"] = gradients

# Two towers with everything that has to reach the gradient, batches of 5, 5 and 2 pairs.
specification = [
    {"name": "id", "kind": "category", "num_rows": 15},
    {"name": "tags", "kind": "multi", "num_rows": 6, "combiner": "sqrtn"},
    {"name": "price", "kind": "dense", "num_rows": 2},
]
generator = np.random.default_rng(0)
features = {
    "id": np.arange(3, 15, dtype="int32"),
    "tags": generator.integers(6, size=(12, 3)).astype("int32"),
    "price": generator.normal(size=(12, 2)).astype("float32"),
}
pairs = {
    "query": features,
    "item": {name: column[::-1].copy() for name, column in features.items()},
    "item_ids": np.arange(12, dtype="int32") // 2,
    "log_q": np.full(12, -2.0, dtype="float32"),
}
loss = SampledSoftmax("cosine", temperature=0.3, learn_temperature=True, num_hard_negatives=3)
towers = [FeatureTower(specification, 4, l2=0.1, initial_scale=0.5, seed=seed) for seed in (1, 2)]
model = TwoTower(*towers, loss)
model.compile(SparseSGD(0.2), jit_compile=backend == "jax")
weights = np.linspace(0, 2, 12).astype("float32")
history = model.fit(
    pairs, np.zeros(12), sample_weight=weights, batch_size=5, epochs=3, shuffle=False, verbose=0
)
report["losses"] = history.history["loss"]
report["temperature"] = float(loss.current_temperature())
report["evaluated"] = model.evaluate(pairs, batch_size=12, verbose=0)

# Self-supervision: both losses, in a compiled step.
task = SelfSupervision("rfm", weight=0.5, temperature=0.2, seed=1).adapt(specification)
towers = [FeatureTower(specification, 4, initial_scale=0.5, seed=seed) for seed in (1, 2)]
supervised = TwoTower(*towers, SampledSoftmax(correction="none"), task)
supervised.compile(SparseSGD(0.3), jit_compile=backend == "jax")
second = {**pairs, "uniform_items": pairs["item"]}
report["self"] = supervised.fit(second, batch_size=12, epochs=30, shuffle=False, verbose=0).history

# The retriever learns the checkerboard, also after Ctrl-C in the middle of an epoch.
board = make_checkerboard(12)
settings = {"dim": 8, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
retriever = TwoTowerRetriever(epochs=15, **settings).fit(board)
report["precision"] = float(np.mean(retriever.recommend(np.arange(12), k=1)[0].ravel() == np.arange(12)))
report["factors"] = retriever.item_factors_.tolist()
retriever.save(folder)


class Interrupting(training_callbacks.Stopwatch):
    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.number = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.number == 2:
            raise KeyboardInterrupt


import recsys_ssl.retrieval.two_tower_training

recsys_ssl.retrieval.two_tower_training.Stopwatch = Interrupting
stopped = TwoTowerRetriever(epochs=9, **settings)
try:
    stopped.fit(board)
except KeyboardInterrupt:
    report["interrupted"] = [len(stopped.history_), bool(np.isfinite(stopped.item_factors_).all())]

# What the other backends have saved gives the same vectors here.
report["loaded"] = {}
for path in earlier:
    other = load_retriever(path)
    encoded = other.item_encoder_.encode(other.item_ids_, board.items)
    difference = np.abs(vectors_of(other.model_, "item", encoded) - other.item_factors_).max()
    report["loaded"][path] = float(difference)
print("REPORT", json.dumps(report))
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory, run_under):
    """Run the script under every backend that is installed, each loading what those before it saved."""
    folder = tmp_path_factory.mktemp("backends")
    found, saved = {}, []
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            continue
        path = str(folder / backend)
        printed = run_under(backend, SCRIPT, path, *saved)
        found[backend] = json.loads(printed.split("REPORT ")[1])
        saved.append(path)
    return {"found": found, "saved": saved}


@pytest.fixture(params=BACKENDS)
def report(request, reports):
    if request.param not in reports["found"]:
        pytest.skip(f"{request.param} is not installed")
    return reports["found"][request.param]


def test_the_backend_is_the_one_asked_for(report, request):
    assert report["backend"] in request.node.name


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values(report, case):
    np.testing.assert_allclose(report["golden"][case], GOLDEN[case], atol=1e-5)


def test_gradients_are_numbers_and_agree(report, reports):
    first = next(iter(reports["found"].values()))
    for case, gradient in report["gradients"].items():
        assert np.isfinite(gradient).all(), case
        assert np.abs(gradient[2]).max() < 1e-6, f"{case}: the row without negatives has a gradient"
        assert np.abs(gradient[1]).max() > 0 or "dot" in case, case
        np.testing.assert_allclose(gradient, first["gradients"][case], rtol=1e-3, atol=1e-4, err_msg=case)


def test_training_takes_the_same_course(report, reports):
    first = next(iter(reports["found"].values()))
    assert report["losses"][2] < report["losses"][0]
    np.testing.assert_allclose(report["losses"], first["losses"], rtol=1e-4)
    assert report["evaluated"] == pytest.approx(first["evaluated"], rel=1e-4)
    assert report["temperature"] == pytest.approx(first["temperature"], rel=1e-4)
    assert abs(report["temperature"] - 0.3) > 0.01


def test_self_supervision_lowers_its_loss_and_adds_it(report):
    history = report["self"]
    assert np.mean(history["self_loss"][-5:]) < np.mean(history["self_loss"][:5]) - 0.1
    whole = np.array(history["main_loss"]) + 0.5 * np.array(history["self_loss"])
    np.testing.assert_allclose(history["loss"], whole, rtol=1e-4)
    assert np.isfinite(history["uniformity"]).all()


def test_the_retriever_learns_the_checkerboard(report):
    assert report["precision"] == 1.0


def test_two_backends_learn_the_same_vectors(reports):
    if not {"torch", "jax"} <= set(reports["found"]):
        pytest.skip("torch and jax are not both installed")
    torch, jax = (reports["found"][name]["factors"] for name in ("torch", "jax"))
    np.testing.assert_allclose(torch, jax, atol=1e-3)


def test_interrupted_training_keeps_what_it_has(report):
    assert report["interrupted"] == [2, True]


def test_folders_of_other_backends(report, reports):
    for path, difference in report["loaded"].items():
        assert difference < 1e-5, path
    # Here, in the backend of the tests, all of them.
    for path in reports["saved"]:
        model = load_retriever(path)
        colour = np.where(model.item_ids_ % 2 == 0, "even", "odd")
        encoded = model.item_encoder_.encode(model.item_ids_, {"item_id": model.item_ids_, "colour": colour})
        np.testing.assert_allclose(vectors_of(model.model_, "item", encoded), model.item_factors_, atol=1e-5)
        assert model.recommend(np.arange(12), k=1)[0].ravel().tolist() == list(range(12))
