import itertools

import keras
import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recsys_ssl.encoding.features import Category, MultiCategory
from recsys_ssl.entire_space.aitm import AITM
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.funnels import entire_space_training
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.funnels.entire_space_methods import METHODS, entire_space_model
from sparse_data import Bags
from sparse_data.datasets.impression_files import ImpressionFiles
from sparse_data.datasets.impressions import Impressions

pytestmark = pytest.mark.usefixtures("eager")

N = 240
GENERATOR = np.random.default_rng(0)
AD = GENERATOR.integers(0, 2, size=N)
# Ad 1 is clicked more often and bought less often.
CLICKS = (GENERATOR.random(N) < np.where(AD == 1, 0.8, 0.4)).astype(int)
CONVERSIONS = CLICKS * (GENERATOR.random(N) < np.where(AD == 1, 0.2, 0.7))
ACTIONS = CLICKS * (GENERATOR.random(N) < 0.5)
X = {"ad": np.where(AD == 1, "loud", "calm"), "hour": GENERATOR.integers(0, 4, size=N)}
TINY = {"dim": 2, "hidden_units": (4,), "batch_size": N, "epochs": 1, "verbose": False}


def make(method="esmm", **changes):
    return EntireSpaceClassifier(method, **{**TINY, **changes})


def fitted(method="esmm", **changes):
    return make(method, **changes).fit(X, CLICKS, CONVERSIONS)


def check_a_funnel(found, n_rows=N):
    assert list(found) == ["ctr", "cvr", "ctcvr"]
    for values in found.values():
        assert values.shape == (n_rows,)
        assert values.dtype == np.float64
        assert ((values >= 0) & (values <= 1)).all()
    np.testing.assert_allclose(found["ctcvr"], found["ctr"] * found["cvr"], rtol=1e-12)


@pytest.fixture(scope="module")
def model(eager):
    """Fit once; tests that use it leave it as it is."""
    return make(epochs=40, learning_rate=0.1, validation_fraction=0.0).fit(X, CLICKS, CONVERSIONS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_and_predicts_a_funnel(method):
    found = make(method).fit(X, CLICKS, CONVERSIONS, actions=ACTIONS if method == "esm2" else None)
    assert type(found.model_) is METHODS[method][0]
    assert found.method_ == method
    assert np.isfinite([epoch["loss"] for epoch in found.history_]).all()
    check_a_funnel(found.predict_proba(X))


def test_rates_of_the_data_are_learned(model):
    found = model.predict_proba(X)
    for ad in (0, 1):
        rows = ad == AD
        assert found["ctr"][rows].mean() == pytest.approx(CLICKS[rows].mean(), abs=0.06)
        expected = CONVERSIONS[rows].sum() / CLICKS[rows].sum()
        assert found["cvr"][rows].mean() == pytest.approx(expected, abs=0.1)


def test_a_quotient_above_one_is_cut_off():
    found = make("division").fit(X, CLICKS, CONVERSIONS)
    for tower, bias in zip(found.model_.towers, (-2.0, 2.0), strict=True):
        tower.set_weights([np.zeros_like(weight) for weight in tower.get_weights()])
        tower.trainable_weights[-1].assign([bias])
    outputs = found.predict_proba(X)
    np.testing.assert_allclose(outputs["ctr"], 1 / (1 + np.exp(2.0)), rtol=1e-6)
    np.testing.assert_array_equal(outputs["cvr"], 1.0)
    np.testing.assert_array_equal(outputs["ctcvr"], outputs["ctr"])


def test_parameters_reach_the_model():
    parameters = {"cvr_weight": 0.5, "dropout": 0.25}
    found = fitted(
        "escm2_dr",
        bottom="mmoe",
        bottom_parameters={"num_experts": 3, "units": (4,)},
        method_parameters=parameters,
    ).model_
    assert (found.estimator, found.cvr_weight, found.dropout, found.dim) == ("dr", 0.5, 0.25, 2)
    assert isinstance(found.bottom, MMoE)
    assert found.bottom.output_width == 4
    assert isinstance(fitted("aitm").model_.bottom, AITM)
    specification = [{"name": "ad", "kind": "category", "num_rows": 5}]
    for bottom in ("shared", "ple"):
        one, other = (
            entire_space_model("esmm", specification, bottom=bottom, hidden_units=(), seed=1)
            for _ in range(2)
        )
        ad = {"ad": np.array([3])}
        np.testing.assert_array_equal(one(ad)["cvr"], other(ad)["cvr"])


def test_tables_and_arrays_of_all_kinds(model):
    expected = model.predict_proba(X)["cvr"]
    for table in (pd.DataFrame(X), polars.DataFrame(X), Impressions(X, CLICKS, CONVERSIONS)):
        np.testing.assert_array_equal(model.predict_proba(table)["cvr"], expected)
        again = make().fit(table, pd.Series(CLICKS), polars.Series(CONVERSIONS))
        np.testing.assert_array_equal(again.predict_proba(X)["cvr"], fitted().predict_proba(X)["cvr"])
    empty = model.predict_proba({name: column[:0] for name, column in X.items()})
    check_a_funnel(empty, 0)


def test_in_a_pipeline_with_arrays():
    numbers = np.stack([AD + 0.5, X["hour"] * 3.0], axis=1)
    pipeline = make_pipeline(StandardScaler(), make(learning_rate=0.1, epochs=5, validation_fraction=0.0))
    pipeline.fit(numbers, CLICKS, entirespaceclassifier__conversions=CONVERSIONS)
    found = pipeline.predict_proba(numbers)
    check_a_funnel(found)
    assert found["ctr"][AD == 1].mean() > found["ctr"][AD == 0].mean()


def test_conventions_of_scikit_learn():
    features = [Category("ad"), Category("hour")]
    first = make("nise", features=features, method_parameters={"beta": 3.0}, seed=5)
    assert first.get_params()["method_parameters"] == {"beta": 3.0}
    second = clone(first)
    assert second.get_params() == first.get_params()
    results = [one.fit(X, CLICKS, CONVERSIONS).predict_proba(X)["cvr"] for one in (first, second)]
    np.testing.assert_array_equal(*results)
    assert first.features is features
    other = clone(first).set_params(seed=6).fit(X, CLICKS, CONVERSIONS)
    assert not np.array_equal(other.predict_proba(X)["cvr"], results[0])


def test_nothing_is_altered():
    before = {name: column.copy() for name, column in X.items()}
    labels = CLICKS.copy(), CONVERSIONS.copy()
    fitted(calibrate="isotonic").predict_proba(X)
    for name, column in before.items():
        np.testing.assert_array_equal(column, X[name])
    np.testing.assert_array_equal(labels, (CLICKS, CONVERSIONS))


def test_weights_are_as_repeated_rows():
    weights = GENERATOR.integers(0, 3, size=N)
    repeated = np.repeat(np.arange(N), weights)
    settings = {"batch_size": 10_000, "epochs": 3, "learning_rate": 0.05, "validation_fraction": 0.0}
    settings["features"] = [Category("ad"), Category("hour")]
    one = make(**settings).fit(X, CLICKS, CONVERSIONS, weights)
    rows = {name: column[repeated] for name, column in X.items()}
    other = make(**settings).fit(rows, CLICKS[repeated], CONVERSIONS[repeated])
    for name, values in one.predict_proba(X).items():
        np.testing.assert_allclose(values, other.predict_proba(X)[name], atol=1e-4)
    scores = (
        one.score(X, CLICKS, CONVERSIONS, weights),
        one.score(rows, CLICKS[repeated], CONVERSIONS[repeated]),
    )
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_score_and_predict_by_hand(model):
    found = model.predict_proba(X)
    both = found["ctcvr"]
    pairs = [
        (p > q) + 0.5 * (p == q) for p, q in itertools.product(both[CONVERSIONS == 1], both[CONVERSIONS == 0])
    ]
    assert model.score(X, CLICKS, CONVERSIONS) == pytest.approx(np.mean(pairs))
    for row, outcome in enumerate(model.predict(X)):
        chances = [1 - found["ctr"][row], found["ctr"][row] * (1 - found["cvr"][row]), both[row]]
        assert chances[outcome] == pytest.approx(max(chances))
    assert set(model.predict(X)) <= set(model.classes_)


def test_unseen_values_are_out_of_vocabulary_and_missing_ones_are_missing(model):
    found = model.predict_proba({"ad": ["new", "newer", "", "calm"], "hour": [1, 1, 1, 1]})["ctr"]
    assert found[0] == found[1]
    assert np.isfinite(found).all()
    assert found[0] != found[3]
    rows = {"ad": model.encoder_.transform({"ad": ["new", ""], "hour": [1, 1]})["ad"]}
    assert rows["ad"].tolist() == [1, 0]


def test_rare_values_are_read_as_unseen_ones():
    rare = {**X, "ad": np.concatenate([["rare"], X["ad"][1:]])}
    found = make(min_count=2, learning_rate=0.1, validation_fraction=0.0).fit(rare, CLICKS, CONVERSIONS)
    ctr = found.predict_proba({"ad": ["rare", "unseen"], "hour": [1, 1]})["ctr"]
    assert ctr[0] == ctr[1]
    table = keras.ops.convert_to_numpy(found.model_.fields[0].embedding.table.embeddings)
    assert table[1].any()


def scripted(monkeypatch, values):
    """Give the epochs' scores; an exception among them is raised."""
    left = iter(values)

    def scores(predicted):
        value = next(left)
        if isinstance(value, BaseException):
            raise value
        return {"val_ctr_auc": 0.5, "val_cvr_auc": 0.5, "val_log_likelihood": value}

    monkeypatch.setattr(entire_space_training, "validation_scores", scores)


def test_the_best_epoch_is_given_back(monkeypatch):
    scripted(monkeypatch, [-3.0, -1.0, -2.0, -1.5])
    stopped = fitted(epochs=9, patience=2)
    assert (stopped.best_epoch_, len(stopped.history_), stopped.monitor_) == (2, 4, "val_log_likelihood")
    scripted(monkeypatch, [-3.0, -1.0])
    two = fitted(epochs=2)
    np.testing.assert_array_equal(stopped.predict_proba(X)["cvr"], two.predict_proba(X)["cvr"])
    assert [epoch["val_log_likelihood"] for epoch in two.history_] == [-3.0, -1.0]


def test_ctrl_c_keeps_the_best_epoch(monkeypatch):
    scripted(monkeypatch, [-1.0, -2.0, KeyboardInterrupt()])
    stopped = make(epochs=9, patience=5)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, CLICKS, CONVERSIONS)
    assert (stopped.interrupted_, stopped.best_epoch_) == (True, 1)
    scripted(monkeypatch, [-1.0])
    np.testing.assert_array_equal(stopped.predict_proba(X)["cvr"], fitted(epochs=1).predict_proba(X)["cvr"])
    # In the first epoch there is nothing to keep, and what was there stays.
    scripted(monkeypatch, [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, CLICKS, CONVERSIONS)
    assert stopped.best_epoch_ == 1
    fresh = make()
    scripted(monkeypatch, [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X, CLICKS, CONVERSIONS)
    assert not hasattr(fresh, "model_")


def test_the_progress_bar_counts_impressions(capsys):
    fitted(verbose=True, epochs=2)
    shown = capsys.readouterr().err
    assert "impressions/s" in shown
    assert "val_cvr_auc" in shown


@pytest.mark.parametrize("kind", [True, "isotonic"])
def test_calibration_brings_the_rates_right(kind):
    # A model that is hardly trained says 1/2 to everything.
    clicks, conversions = CLICKS * (np.arange(N) % 3 == 0), CONVERSIONS * (np.arange(N) % 3 == 0)
    found = make(calibrate=kind, validation_fraction=0.5).fit(X, clicks, conversions).predict_proba(X)
    assert found["ctr"].mean() == pytest.approx(clicks.mean(), rel=0.15)
    assert found["ctcvr"].mean() == pytest.approx(conversions.mean(), rel=0.25)
    check_a_funnel(found)


def test_a_label_among_the_features_is_reported():
    with pytest.warns(UserWarning, match="The feature 'bought' alone orders"):
        make().fit({**X, "bought": CONVERSIONS}, CLICKS, CONVERSIONS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "esmn"}, "`method` must be one of"),
        ({"bottom": "deep"}, "`bottom` must be one of"),
        ({"method": "base", "bottom": "mmoe"}, "`bottom` must be None for 'base'"),
        ({"bottom_parameters": {"units": (4,)}}, "`bottom_parameters` must be of a bottom"),
        ({"hidden_units": 4}, "`hidden_units` must be a sequence"),
        ({"features": []}, "`features` must be non-empty"),
        ({"features": [Category("price")]}, "`price` must be among the columns"),
        ({"monitor": "auc"}, "`monitor` must be one of"),
        ({"calibrate": "spline"}, "`calibrate` must be one of"),
        ({"calibrate": True, "validation_fraction": 0.0}, "`validation_fraction` must be above 0"),
        ({"validation_fraction": 1.0}, "`validation_fraction` must be"),
        ({"epochs": 0}, "`epochs` must be"),
        ({"learning_rate": 0.0}, "`learning_rate` must be"),
        ({"method_parameters": {"ctr_weight": -1.0}}, "`ctr_weight` must be"),
        ({"method_parameters": {"beta": 1.0}}, "beta"),
    ],
)
def test_parameters_out_of_range(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(**changes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1 - CLICKS, CONVERSIONS), "`conversions` must be 0 where there is no click"),
        ((2 * CLICKS, CONVERSIONS), "`clicks` must be 0 or 1"),
        ((CLICKS, np.where(CONVERSIONS, np.nan, 0.0)), "`conversions` must be 0 or 1"),
        ((CLICKS, 0 * CLICKS), "`conversions` must hold both 0 and 1"),
        ((0 * CLICKS, 0 * CLICKS), "`clicks` must hold both 0 and 1"),
        ((CLICKS, CONVERSIONS, -np.ones(N)), "`sample_weight` must be"),
        ((CLICKS, CONVERSIONS, np.full(N, np.nan)), "`sample_weight` must be"),
        ((CLICKS, CONVERSIONS, np.zeros(N)), "`sample_weight` must hold a positive number"),
        ((CLICKS, CONVERSIONS[1:]), "must be of the same length"),
        ((CLICKS[1:], CONVERSIONS[1:]), "must be of the same length"),
        (([], []), "`clicks` must be non-empty"),
        ((CLICKS, (np.cumsum(CONVERSIONS) == 1) * CONVERSIONS), "fewer than two conversions"),
    ],
)
def test_labels_that_are_no_funnel(labels, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, *labels)


def test_an_error_leaves_the_earlier_fit(model):
    copied = make(validation_fraction=0.0).fit(X, CLICKS, CONVERSIONS)
    before = copied.predict_proba(X)["cvr"]
    with pytest.raises(ValueError, match="`conversions`"):
        copied.fit(X, CLICKS, 1 + CONVERSIONS)
    np.testing.assert_array_equal(copied.predict_proba(X)["cvr"], before)
    with pytest.raises(ValueError, match="`ad` must be among the columns"):
        model.predict_proba({"hour": [1]})


def test_esm2_needs_actions():
    with pytest.raises(ValueError, match="`actions` must be given"):
        make("esm2").fit(X, CLICKS, CONVERSIONS)
    with pytest.raises(ValueError, match="`actions` must be 0 where there is no click"):
        make("esm2").fit(X, CLICKS, CONVERSIONS, actions=1 - CLICKS)


FEATURES = [Category("ad"), MultiCategory("tags")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three row groups; bags grow from the first to the last."""
    tags = [["t"] * (1 + row // 40) for row in range(N)]
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    table = pd.DataFrame({"ad": X["ad"], "tags": tags, "w": np.arange(N) % 3 + 0.5})
    table.assign(click=CLICKS, buy=CONVERSIONS).to_parquet(path, row_group_size=80)
    return ImpressionFiles(path, click="click", conversion="buy")


def test_files_are_read_block_by_block(files):
    settings = {"features": FEATURES, "batch_size": 64, "learning_rate": 0.05, "validation_fraction": 0.2}
    found = make(**settings).fit_impressions(files, weight="w", buffer_blocks=1)
    assert found.encoder_.vocabularies_["ad"].tolist() == ["calm", "loud"]
    assert {"loss", "val_cvr_auc"} <= set(found.history_[0])
    shown = files.read()
    check_a_funnel(found.predict_proba(shown))
    assert set(make(epochs=1).fit_impressions(files).encoder_.vocabularies_) == {"ad", "tags"}


def test_files_and_memory_train_alike(files):
    settings = {"features": FEATURES, "batch_size": 10_000, "validation_fraction": 0.0, "learning_rate": 0.05}
    streamed = make(epochs=2, **settings).fit_impressions(files)
    shown = files.read()
    whole = make(epochs=2, **settings).fit(shown, shown.clicks, shown.conversions)
    for name, values in streamed.predict_proba(shown).items():
        np.testing.assert_allclose(values, whole.predict_proba(shown)[name], atol=1e-4)


def test_errors_of_files(files, tmp_path):
    with pytest.raises(ValueError, match="`method` must be another one for files"):
        make("esm2").fit_impressions(files)
    pd.DataFrame({**X, "click": CLICKS, "buy": CONVERSIONS}).to_csv(tmp_path / "log.csv", index=False)
    single = ImpressionFiles(tmp_path / "log.csv", click="click", conversion="buy")
    with pytest.raises(ValueError, match="`impressions` must have two blocks"):
        make().fit_impressions(single)
    found = make(validation_fraction=0.0, calibrate=True).fit_impressions(single, validation=single)
    check_a_funnel(found.predict_proba(X))
    with pytest.raises(TypeError, match="`impressions` must have blocks to read; got Impressions"):
        make().fit_impressions(single.read())


def test_several_values_a_row_and_vectors():
    several = {
        "tags": Bags.from_lists([["x"] * (row % 3) for row in range(N)]),
        "vector": np.where(np.arange(N)[:, None] % 7 == 0, np.nan, GENERATOR.normal(size=(N, 3))),
    }
    check_a_funnel(make().fit(several, CLICKS, CONVERSIONS).predict_proba(several))
