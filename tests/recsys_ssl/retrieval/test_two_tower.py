import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from recsys_ssl.embeddings.rowwise import LazyAdam
from recsys_ssl.encoding.feature_tower import FeatureTower
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.retrieval.two_tower import TwoTower

# Keras copies TensorFlow's variables in a way that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PLAIN = {"correction": "none", "remove_accidental_hits": False}
GENERATOR = np.random.default_rng(0)
PAIRS = {
    "query": GENERATOR.normal(size=(12, 3)).astype("float32"),
    "item": GENERATOR.normal(size=(12, 4)).astype("float32"),
    "item_ids": GENERATOR.integers(6, size=12).astype("int32"),
    "log_q": np.log(GENERATOR.uniform(0.05, 0.3, 12)).astype("float32"),
}


def sequential(width, dim=2, seed=0):
    kernel = keras.initializers.GlorotUniform(seed=seed)
    return keras.Sequential([keras.Input((width,)), layers.Dense(dim, kernel_initializer=kernel)])


def make(loss=None, **changes):
    model = TwoTower(sequential(3, seed=1), sequential(4, seed=2), loss or SampledSoftmax(temperature=0.5))
    # Without XLA, whose compilation would take most of the tests' time.
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "jit_compile": False, **changes})
    return model


def rows_by_hand(queries, items, ids, log_q, temperature=0.5):
    """Loss of every row with logQ correction and without accidental hits, by loops."""
    rows = []
    for i in range(len(queries)):
        corrected = [float(queries[i] @ items[j]) / temperature - float(log_q[j]) for j in range(len(items))]
        terms = [corrected[j] for j in range(len(items)) if j == i or ids[j] != ids[i]]
        rows.append(math.log(sum(math.exp(term) for term in terms)) - corrected[i])
    return np.array(rows)


def test_vectors_are_those_of_the_towers():
    model = make()
    queries, items = model(PAIRS)
    np.testing.assert_allclose(queries, model.query_tower(PAIRS["query"]), rtol=1e-6)
    np.testing.assert_allclose(items, model.item_tower(PAIRS["item"]), rtol=1e-6)
    further = np.ones((2, 4), dtype="float32")
    _, items = model({**PAIRS, "negatives": further})
    np.testing.assert_allclose(
        items, model.item_tower(np.concatenate([PAIRS["item"], further])), rtol=1e-5, atol=1e-6
    )


def test_the_loss_of_evaluate_by_hand():
    model = make()
    queries, items = (np.asarray(part) for part in model(PAIRS))
    rows = rows_by_hand(queries, items, PAIRS["item_ids"], PAIRS["log_q"])
    found = model.evaluate(PAIRS, batch_size=12, verbose=0)
    assert found == pytest.approx(rows.mean(), rel=1e-5)


def test_weights_weight_the_loss_only():
    model = make()
    queries, items = (np.asarray(part) for part in model(PAIRS))
    rows = rows_by_hand(queries, items, PAIRS["item_ids"], PAIRS["log_q"])
    weights = GENERATOR.uniform(0, 2, 12).astype("float32")
    weights[3] = 0.0  # takes no part in the loss, and stays a negative of the others

    def evaluate(weights):
        return model.evaluate(PAIRS, np.zeros(12), sample_weight=weights, batch_size=12, verbose=0)

    assert evaluate(weights) == pytest.approx((weights * rows).mean(), rel=1e-5)
    assert evaluate(7 * weights) == pytest.approx(7 * evaluate(weights), rel=1e-5)
    assert evaluate(np.ones(12)) == pytest.approx(rows.mean(), rel=1e-5)


def test_a_step_follows_the_gradient_by_finite_differences():
    model = make()
    kernel = model.query_tower.weights[0]
    start = np.asarray(kernel.value)
    slopes = np.zeros_like(start)
    for place in np.ndindex(start.shape):
        losses = []
        for step in (1e-2, -1e-2):
            moved = start.copy()
            moved[place] += step
            kernel.assign(moved)
            losses.append(model.evaluate(PAIRS, batch_size=12, verbose=0))
        slopes[place] = (losses[0] - losses[1]) / 2e-2
    kernel.assign(start)
    model.fit(PAIRS, batch_size=12, epochs=1, verbose=0)
    np.testing.assert_allclose(np.asarray(kernel.value), start - 0.1 * slopes, atol=1e-4)


def test_training_lowers_the_loss_with_callbacks_schedule_and_validation(tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.5)
    model = make(optimizer=keras.optimizers.Adam(schedule))
    held_out = {name: column[:6] for name, column in PAIRS.items()}
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = model.fit(
        PAIRS, batch_size=6, epochs=15, validation_data=(held_out,), callbacks=callbacks, verbose=0
    ).history
    assert set(history) == {"loss", "val_loss"}
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert float(model.optimizer.learning_rate) < 0.05 / 4
    best = keras.models.load_model(tmp_path / "best.keras")
    assert best.evaluate(held_out, batch_size=6, verbose=0) == pytest.approx(
        history["val_loss"][-1], rel=1e-5
    )


def test_hard_negatives_in_fit_with_batches_of_unknown_size():
    model = make(SampledSoftmax(temperature=0.5, num_hard_negatives=2))
    history = model.fit(PAIRS, batch_size=5, epochs=3, verbose=0).history  # the last batch holds 2 pairs
    assert history["loss"][-1] < history["loss"][0]


def test_further_negatives_in_fit():
    model = make()
    batch = {
        **PAIRS,
        "negatives": np.ones((3, 4), dtype="float32"),
        "item_ids": np.array([*PAIRS["item_ids"], 90, 91, 92], dtype="int32"),
        "log_q": np.array([*PAIRS["log_q"], -1, -1, -1], dtype="float32"),
        "known_positives": np.zeros((12, 15), dtype=bool),
    }
    dataset = tf.data.Dataset.from_tensors(batch)
    queries, items = (np.asarray(part) for part in model(batch))
    rows = rows_by_hand(queries, items, batch["item_ids"], batch["log_q"])
    assert model.evaluate(dataset, verbose=0) == pytest.approx(rows.mean(), rel=1e-5)
    batch["known_positives"][:, 12:] = True
    rows = rows_by_hand(queries, items[:12], PAIRS["item_ids"], PAIRS["log_q"])
    dataset = tf.data.Dataset.from_tensors(batch)
    assert model.evaluate(dataset, verbose=0) == pytest.approx(rows.mean(), rel=1e-5)


def test_a_learned_temperature_is_trained_and_saved(tmp_path):
    model = make(SampledSoftmax("cosine", temperature=0.5, learn_temperature=True))
    before = float(model.sampled_softmax.current_temperature())
    model.fit(PAIRS, batch_size=12, epochs=5, verbose=0)
    after = float(model.sampled_softmax.current_temperature())
    assert before == pytest.approx(0.5)
    assert abs(after - before) > 1e-3
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.sampled_softmax.current_temperature()) == pytest.approx(after, rel=1e-6)
    assert again.evaluate(PAIRS, verbose=0) == pytest.approx(model.evaluate(PAIRS, verbose=0), rel=1e-5)


def test_losses_that_a_tower_adds_are_added_once():
    tower = keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_regularizer="l2")])
    model = TwoTower(tower, sequential(4), SampledSoftmax(temperature=0.5))
    model.compile("sgd", jit_compile=False)
    queries, items = (np.asarray(part) for part in model(PAIRS))
    rows = rows_by_hand(queries, items, PAIRS["item_ids"], PAIRS["log_q"])
    penalty = 0.01 * (np.asarray(tower.weights[0].value) ** 2).sum()
    for _ in range(2):
        assert model.evaluate(PAIRS, batch_size=12, verbose=0) == pytest.approx(
            rows.mean() + penalty, rel=1e-5
        )


@pytest.mark.parametrize("fitted", [False, True], ids=["fresh", "fitted"])
def test_save_and_load_with_sequential_towers(tmp_path, fitted):
    loss = SampledSoftmax(
        "cosine",
        temperature=0.2,
        learn_temperature=True,
        correction="negatives",
        remove_accidental_hits=False,
        num_hard_negatives=3,
    )
    towers = [
        keras.Sequential(
            [keras.Input((width,)), layers.Dense(5, "relu"), layers.LayerNormalization(), layers.Dense(2)]
        )
        for width in (3, 4)
    ]
    model = TwoTower(*towers, loss, name="my_towers")
    if fitted:
        model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
        model.fit(PAIRS, batch_size=6, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.name == "my_towers"
    assert again.sampled_softmax.get_config() == model.sampled_softmax.get_config()
    for left, right in zip(again(PAIRS), model(PAIRS), strict=True):
        np.testing.assert_array_equal(left, right)
    if fitted:
        for left, right in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(left.value), np.asarray(right.value))


def test_weights_alone(tmp_path):
    model, other = make(), TwoTower(sequential(3, seed=8), sequential(4, seed=9))
    model.save_weights(tmp_path / "towers.weights.h5")
    other.load_weights(tmp_path / "towers.weights.h5")
    np.testing.assert_array_equal(other(PAIRS)[0], model(PAIRS)[0])


def test_feature_towers_round_trip(tmp_path):
    specification = [
        {"name": "id", "kind": "category", "num_rows": 9},
        {"name": "tags", "kind": "multi", "num_rows": 7, "combiner": "sqrtn"},
    ]
    inputs = {
        "id": np.arange(9, dtype="int32"),
        "tags": GENERATOR.integers(7, size=(9, 3)).astype("int32"),
    }
    towers = [FeatureTower(specification, 3, hidden_units=[4], dropout=0.1, l2=0.1, seed=s) for s in (1, 2)]
    model = TwoTower(*towers, SampledSoftmax(**PLAIN))
    model.compile(LazyAdam(0.01), jit_compile=False)
    pairs = {"query": inputs, "item": inputs}
    model.fit(pairs, batch_size=9, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.query_tower.get_config() == model.query_tower.get_config()
    for left, right in zip(again(pairs), model(pairs), strict=True):
        np.testing.assert_array_equal(left, right)


def test_config_round_trip():
    model = make(SampledSoftmax("cosine", temperature=0.3))
    config = model.get_config()
    again = TwoTower.from_config(config)
    assert again.get_config() == config
    assert again.sampled_softmax.temperature == 0.3


def test_the_default_loss():
    model = TwoTower(sequential(3), sequential(4))
    assert model.sampled_softmax.similarity == "dot"
    assert model.sampled_softmax.correction == "logq"
    assert model.sampled_softmax.remove_accidental_hits


def test_what_the_loss_needs_is_named():
    model = make()
    with pytest.raises(ValueError, match="`item_ids` must be given"):
        model.fit({"query": PAIRS["query"], "item": PAIRS["item"]}, verbose=0)
    with pytest.raises(ValueError, match="`log_q` must be given"):
        model.fit({name: PAIRS[name] for name in ("query", "item", "item_ids")}, verbose=0)
