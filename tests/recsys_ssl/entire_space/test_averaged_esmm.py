import functools
import math

import keras
import numpy as np
import pytest

from recsys_ssl import EntireSpaceClassifier
from recsys_ssl.entire_space.averaged_esmm import AveragedESMM
from recsys_ssl.entire_space.clicked_only import ClickedOnly
from recsys_ssl.entire_space.esmm import ESMM
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.funnels.entire_space_training import train_entire_space

# Keras copies TensorFlow's variables in a way that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SPECIFICATION = [{"name": "item", "kind": "category", "num_rows": 9}]
X = {"item": np.array([3, 4, 5, 6, 7, 8, 3, 4], dtype="int32")}
CLICK = np.array([1, 0, 1, 0, 1, 0, 1, 1])
CONVERSION = np.array([1, 0, 0, 0, 1, 0, 0, 1])
WEIGHT = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 1.0, 1.0, 2.0], dtype="float32")


def make():
    return AveragedESMM(SPECIFICATION, dim=4, hidden_units=(8,), seed=3, l2=0.01)


def logits_of(model):
    return {name: keras.ops.convert_to_numpy(values) for name, values in model.logits(X).items()}


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_the_objective_is_that_of_both_models():
    model = make()
    z = logits_of(model)
    labels = {"click": CLICK, "conversion": CONVERSION}
    entire = direct = clicked = 0.0
    for i in range(8):
        p, q = sigmoid(z["ctr"][i]), sigmoid(z["cvr"][i])
        entire -= WEIGHT[i] * math.log(p if CLICK[i] else 1 - p)
        entire -= WEIGHT[i] * math.log(p * q if CONVERSION[i] else 1 - p * q)
        q = sigmoid(z["direct_cvr"][i])
        if CLICK[i]:
            direct -= WEIGHT[i] * math.log(q if CONVERSION[i] else 1 - q)
            clicked += WEIGHT[i]
    expected = entire / WEIGHT.sum() + direct / clicked
    assert float(model.objective(model.logits(X), labels, WEIGHT)) == pytest.approx(expected, rel=1e-5)


def test_the_models_share_nothing():
    model = make()
    before = logits_of(model)
    table = model.direct_fields.trainable_variables[0]
    table.assign(keras.ops.add(table, 1.0))
    after = logits_of(model)
    assert all((before[name] == after[name]).all() for name in ("ctr", "cvr"))
    assert (before["direct_cvr"] != after["direct_cvr"]).any()


def test_the_parts_are_esmm_with_experts_and_the_network_of_base():
    options = {"dim": 3, "dropout": 0.2, "l2": 0.01}
    model = AveragedESMM(SPECIFICATION, hidden_units=(8, 5), seed=1, **options)
    esmm = ESMM(SPECIFICATION, hidden_units=(5,), bottom=functools.partial(MMoE, units=(8,)), **options)
    base = ClickedOnly(SPECIFICATION, hidden_units=(8, 5), **options)
    pairs = [(esmm.bottom, model.bottom), (esmm.fields[0], model.fields[0])]
    pairs += zip(esmm.towers, model.towers, strict=True)
    pairs += [(base.fields[1], model.direct_fields), (base.towers[1], model.direct_tower)]
    for part, its in pairs:
        part.set_weights(its.get_weights())
    z = logits_of(model)
    expected = {**esmm.logits(X), "direct_cvr": base.logits(X)["cvr"]}
    for name, values in expected.items():
        np.testing.assert_allclose(z[name], keras.ops.convert_to_numpy(values), rtol=1e-5)
    again = AveragedESMM.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.hidden_units == (8, 5)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("scores", "share"), [((0.6, 0.7), 0.0), ((0.7, 0.6), 0.5), ((0.6, 0.6), 0.5)])
def test_an_epoch_ends_with_the_better_share_and_predictions_follow(scores, share, tmp_path):
    model, asked = make(), []

    def score():
        asked.append(float(model.share))
        return scores[len(asked) - 1]

    model.end_epoch(score)
    assert asked == [0.5, 0.0]
    z = logits_of(model)
    expected = [sigmoid((1 - share) * a + share * b) for a, b in zip(z["cvr"], z["direct_cvr"], strict=True)]
    found = model.predict(X, verbose=0)
    np.testing.assert_allclose(found["cvr"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["ctr"], [sigmoid(a) for a in z["ctr"]], rtol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert float(loaded.share) == share
    np.testing.assert_allclose(loaded.predict(X, verbose=0)["cvr"], expected, rtol=1e-5)


def test_epochs_end_at_the_mean_with_the_epoch_before_and_are_scored_there():
    model, scored = make(), []
    table = model.fields[0].trainable_variables[0]

    def fill(value):
        for variable in model.trainable_variables:
            variable.assign(np.full(variable.shape, value))

    def score():
        scored.append(keras.ops.convert_to_numpy(table).max())
        return 0.0

    for value, mean in ((8.0, 8.0), (2.0, 5.0), (1.0, 3.0)):
        fill(value)
        model.share.assign(0.25)
        model.end_epoch(None if value == 2.0 else score)
        assert float(model.share) == (0.25 if value == 2.0 else 0.5)
        for variable in model.trainable_variables:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), mean)
    assert scored == [8.0, 8.0, 3.0, 3.0]


def test_a_bottom_or_separate_tables_are_refused():
    for wrong in ({"shared_tables": False}, {"bottom": keras.layers.Dense(3)}):
        with pytest.raises(ValueError, match="`bottom` must be None and the tables of each model shared"):
            AveragedESMM(SPECIFICATION, **wrong)


def test_the_classifier_judges_each_epoch_by_the_share_that_it_ends_with(monkeypatch):
    generator = np.random.default_rng(0)
    item = generator.integers(6, size=3000)
    clicks = generator.random(3000) < 0.5
    conversions = clicks & (generator.random(3000) < np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7])[item])
    shares, scores = [], []

    def end(self, score):
        shares.append((0.25, 1.0, 0.75)[len(shares)])
        self.share.assign(shares[-1])
        scores.append(score())
        # What the other epochs have learnt is lost at their end.
        if len(shares) != 2:
            for table in (self.fields[0], self.direct_fields):
                for variable in table.trainable_variables:
                    variable.assign(np.zeros(variable.shape))

    monkeypatch.setattr(AveragedESMM, "end_epoch", end)
    model = EntireSpaceClassifier(
        "averaged_esmm",
        dim=4,
        hidden_units=(8,),
        epochs=3,
        learning_rate=0.05,
        monitor="cvr_auc",
        verbose=False,
    ).fit({"item": item}, clicks, conversions)
    assert scores[1] > 0.75
    found = [epoch["val_cvr_auc"] for epoch in model.history_]
    assert found == [pytest.approx(expected, abs=0.02) for expected in (0.5, scores[1], 0.5)]
    assert model.best_epoch_ == 2
    assert float(model.model_.share) == 1.0


def test_epochs_end_without_held_out_impressions_too():
    class Batches(list):
        batch_size = 1

    class Model:
        def __init__(self):
            self.ended = []

        def compile(self, **settings):
            del settings

        def fit(self, batches, *, epochs, callbacks, **settings):
            del batches, settings
            listed = keras.callbacks.CallbackList(callbacks, model=self, epochs=epochs)
            listed.on_train_begin()
            for epoch in range(epochs):
                listed.on_epoch_begin(epoch)
                listed.on_epoch_end(epoch, {"loss": 1.0})

        def end_epoch(self, score=None):
            self.ended.append(score)

    model = Model()
    run = train_entire_space(model, Batches(), learning_rate=0.1, epochs=2, patience=1, verbose=False)
    assert model.ended == [None, None]
    assert run.best_epoch == 2
