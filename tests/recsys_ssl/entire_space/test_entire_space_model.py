import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys_ssl.embeddings.rowwise import LazyAdam
from recsys_ssl.entire_space.division import Division
from recsys_ssl.entire_space.end_to_end import EndToEnd, end_to_end_loss
from recsys_ssl.entire_space.escm2 import ESCM2, escm2_loss
from recsys_ssl.entire_space.esm2 import ESM2
from recsys_ssl.entire_space.esmm import ESMM, esmm_loss
from recsys_ssl.entire_space.nise import nise_loss
from recsys_ssl.entire_space.shared_bottom import SharedBottom

# Keras copies TensorFlow's variables in a way that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GENERATOR = np.random.default_rng(0)
N = 64
SPECIFICATION = [
    {"name": "user", "kind": "category", "num_rows": 20},
    {"name": "item", "kind": "category", "num_rows": 9},
]
X = {
    "user": GENERATOR.integers(3, 20, size=N).astype("int32"),
    "item": GENERATOR.integers(3, 9, size=N).astype("int32"),
}
CLICK = (GENERATOR.random(N) < 0.5).astype("int32")
Y = {"click": CLICK, "conversion": CLICK * (GENERATOR.random(N) < 0.4).astype("int32")}
WEIGHT = GENERATOR.integers(0, 4, size=N).astype("float32")


def make(model_class=ESMM, **parameters):
    model = model_class(SPECIFICATION, **{"dim": 4, "hidden_units": (8,), "seed": 0, **parameters})
    model.compile(
        optimizer=LazyAdam(0.05),
        weighted_metrics={"cvr": [keras.metrics.AUC(name="auc")], "ctr": [keras.metrics.AUC(name="auc")]},
        run_eagerly=True,
    )
    return model


def loss_by_hand(ctr, cvr, weight):
    total = 0.0
    for p, q, y, z, w in zip(ctr, cvr, Y["click"], Y["conversion"], weight, strict=True):
        total -= w * (math.log(p if y else 1 - p) + math.log(p * q if z else 1 - p * q))
    return total / weight.sum()


def pairwise_auc(score, label, keep):
    positive, negative = score[keep & (label == 1)], score[keep & (label == 0)]
    return (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()


def test_evaluate_by_hand_with_weights_and_masked_metrics():
    model = make()
    out = model.predict(X, verbose=0)
    found = model.evaluate(X, Y, sample_weight=WEIGHT, batch_size=N, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss_by_hand(out["ctr"], out["cvr"], WEIGHT), rel=1e-5)
    found = model.evaluate(X, Y, batch_size=N, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss_by_hand(out["ctr"], out["cvr"], np.ones(N)), rel=1e-5)
    # Keras's AUC is one of 200 thresholds: spread the scores first by training.
    model.fit(X, Y, epochs=8, shuffle=False, verbose=0)
    out = model.predict(X, verbose=0)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    clicked = CLICK == 1
    assert found["cvr_auc"] == pytest.approx(pairwise_auc(out["cvr"], Y["conversion"], clicked), abs=0.03)
    everywhere = pairwise_auc(out["cvr"], Y["conversion"], np.ones(N, bool))
    assert abs(found["cvr_auc"] - everywhere) > 0.03
    assert found["ctr_auc"] == pytest.approx(pairwise_auc(out["ctr"], CLICK, np.ones(N, bool)), abs=0.03)


def test_weights_of_rows_train_as_repeated_rows():
    results = []
    repeated = np.repeat(np.arange(N), WEIGHT.astype(int))
    for x, y, weight in (
        (X, Y, WEIGHT),
        ({k: v[repeated] for k, v in X.items()}, {k: v[repeated] for k, v in Y.items()}, None),
    ):
        model = make()
        model.fit(x, y, sample_weight=weight, batch_size=4 * N, epochs=3, verbose=0)
        results.append(model.predict(X, verbose=0)["cvr"])
    np.testing.assert_allclose(*results, atol=1e-4)


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset"])
def test_datasets_train_as_arrays(kind):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, place):
            part = slice(32 * place, 32 * place + 32)
            return {k: v[part] for k, v in X.items()}, {k: v[part] for k, v in Y.items()}, WEIGHT[part]

    dataset = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(32)
    model, other = make(), make()
    model.fit(X, Y, sample_weight=WEIGHT, batch_size=32, shuffle=False, epochs=2, verbose=0)
    other.fit(dataset if kind == "tf.data" else Batches(), shuffle=False, epochs=2, verbose=0)
    np.testing.assert_allclose(*(one.predict(X, verbose=0)["ctcvr"] for one in (model, other)), atol=1e-6)


def test_a_compiled_step_and_validation_data():
    model = make(bottom=partial(SharedBottom, units=(6,)), dropout=0.2, l2=0.01)
    model.compile(optimizer=LazyAdam(0.05))
    history = model.fit(X, Y, validation_data=(X, Y, WEIGHT), batch_size=24, epochs=12, verbose=0).history
    assert {"loss", "val_loss"} <= set(history)
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_task_weights():
    model = make(ESMM, ctr_weight=0.0, ctcvr_weight=3.0)
    loss = model.evaluate(X, Y, batch_size=N, verbose=0, return_dict=True)["loss"]
    rest = make(ESMM, ctr_weight=1.0, ctcvr_weight=0.0)
    click = rest.evaluate(X, Y, batch_size=N, verbose=0, return_dict=True)["loss"]
    both = make().evaluate(X, Y, batch_size=N, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(3 * (both - click), rel=1e-5)


def test_esmm_has_no_direct_loss_of_conversions():
    """Of a clicked impression the conversion tower's gradient is scaled by nothing but the product's."""
    logits = tf.constant([[-3.0], [0.7]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = esmm_loss(logits[0], logits[1], [1], [0])
    p, q = 1 / (1 + math.exp(3.0)), 1 / (1 + math.exp(-0.7))
    assert float(tape.gradient(loss, logits)[1][0]) == pytest.approx(p * q * (1 - q) / (1 - p * q), rel=1e-5)


def test_the_outputs_of_division_can_exceed_one_and_those_of_esmm_cannot():
    division, esmm = make(Division), make()
    for model in (division, esmm):
        for tower, bias in zip(model.towers, (-4.0, 2.0), strict=True):
            tower.hidden[-1].bias.assign([bias])
    out = {name: np.asarray(values) for name, values in division(X).items()}
    assert (out["cvr"] > 10).all()
    assert (out["ctcvr"] > out["ctr"]).all()
    out = {name: np.asarray(values) for name, values in esmm(X).items()}
    assert (out["cvr"] <= 1).all()
    assert (out["ctcvr"] <= out["ctr"]).all()


def test_tables_are_shared_or_not():
    assert [len(make(**p).fields) for p in ({}, {"shared_tables": False})] == [1, 2]
    own = make(shared_tables=False).fields
    assert np.abs(np.asarray(own[0](X)) - np.asarray(own[1](X))).max() > 0.01


def test_the_third_action_of_esm2():
    action = CLICK * (np.arange(N) % 2)
    model = ESM2(SPECIFICATION, dim=4, hidden_units=(8,), seed=0)
    model.compile(optimizer=LazyAdam(0.05), run_eagerly=True)
    history = model.fit(X, {**Y, "action": action}, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(ValueError, match=r"`y` must be a dict of \['click', 'action', 'conversion'\]"):
        model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="`actions` must be 0 where there is no click"):
        model.fit(X, {**Y, "action": 1 - CLICK}, verbose=0)


@pytest.mark.parametrize("through", ["fit", "evaluate", "train_on_batch", "validation"])
def test_labels_that_contradict_each_other_are_found_before_training(through):
    model = make()
    before = model.get_weights()
    wrong = {"click": CLICK, "conversion": 1 - CLICK}
    calls = {"validation": partial(model.fit, X, Y, validation_data=(X, wrong))}
    call = calls.get(through) or partial(getattr(model, through), X, wrong)
    with pytest.raises(ValueError, match="`conversions` must be 0 where there is no click"):
        call()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        (X, CLICK, None, r"`y` must be a dict of \['click', 'conversion'\]; got ndarray"),
        (X, {"click": CLICK}, None, r"got keys \['click'\]"),
        (X, Y, -np.ones(N), "`sample_weight` must be non-negative"),
        (X, Y, np.full(N, np.nan), "`sample_weight` must be finite"),
        ({**X, "item": np.full(N, 9, "int32")}, Y, None, r"`item` must be in \[0, 9\)"),
        ({"user": X["user"]}, Y, None, "none called 'item'"),
    ],
)
def test_what_cannot_be_trained_on_is_named(x, y, weight, message):
    with pytest.raises(ValueError, match=message):
        make().fit(x, y, sample_weight=weight, verbose=0)


def test_weights_of_labels_are_refused():
    with pytest.raises(TypeError, match="`sample_weight` must be one array"):
        make().fit(X, Y, sample_weight={"click": WEIGHT, "conversion": WEIGHT}, verbose=0)


def test_a_loop_of_ones_own():
    model = make()
    with pytest.raises(ValueError, match="`y_pred` must hold 'logits'"):
        model.compute_loss(X, Y, model(X))
    loss = model.objective(model.logits(X), {name: tf.constant(v) for name, v in Y.items()})
    expected = model.evaluate(X, Y, batch_size=N, verbose=0, return_dict=True)["loss"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert set(model(X, training=True)) == {"ctr", "cvr", "ctcvr"}


def test_bottoms_that_do_not_fit():
    with pytest.raises(ValueError, match="input_width 8 and num_tasks 2; got 8 and 3"):
        make(bottom=SharedBottom(8, 3))
    with pytest.raises(ValueError, match="input_width 8 and num_tasks 3; got 7 and 3"):
        make(ESCM2, estimator="dr", bottom=SharedBottom(7, 3))
    with pytest.raises(ValueError, match="`bottom` must be None without shared tables"):
        make(bottom=SharedBottom, shared_tables=False)
    assert make(EndToEnd, bottom=SharedBottom(8, 2, units=(5,))).towers[0].input_width == 5


def test_parameters_out_of_range():
    for parameters in ({"ctr_weight": -1.0}, {"dropout": 1.0}, {"l2": -1.0}, {"dim": 0}):
        with pytest.raises(ValueError, match=next(iter(parameters))):
            make(**parameters)
    with pytest.raises(ValueError, match="estimator"):
        make(ESCM2, estimator="ipw")
    with pytest.raises(ValueError, match="min_propensity"):
        make(ESCM2, min_propensity=0.0)
    with pytest.raises(ValueError, match="`imputed` must be given"):
        escm2_loss([0.0], [0.0], [1], [1], estimator="dr")


@pytest.mark.parametrize("loss", [esmm_loss, escm2_loss, nise_loss, end_to_end_loss])
def test_weights_of_losses_are_repetitions(loss):
    ctr, cvr = GENERATOR.normal(size=(2, N)).astype("float32")
    rows = np.repeat(np.arange(N), WEIGHT.astype(int))
    expected = loss(ctr[rows], cvr[rows], CLICK[rows], Y["conversion"][rows])
    found = loss(ctr, cvr, CLICK, Y["conversion"], sample_weight=WEIGHT)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_the_same_seed_gives_the_same_model():
    first, same, other = (make(seed=seed).predict(X, verbose=0)["cvr"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4
