"""The classifier: what it learns, what it keeps to, what it refuses, and its folder."""

from __future__ import annotations

import json
import pickle

import keras
import numpy as np
import pytest
from sklearn.base import clone

from noisy_labels.compression.compression_dropout import CompressionDropout
from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.confident_learning.noise_rate import confident_noise_rate
from noisy_labels.transitions.noise import corrupt_labels
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.co_teaching_folder import load_co_teaching
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.divide_mix import DivideMixClassifier
from noisy_labels.two_networks.divided_batches import DividedBatches
from noisy_labels.two_networks.jocor import JoCoR
from noisy_labels.two_networks.labelled_rows import held_out_rows, rows_of_arrays
from noisy_labels.two_networks.row_batches import RowBatches

QUICK = {"epochs": 3, "exchange_epochs": 2, "batch_size": 32, "random_state": 0, "verbose": False}


def blobs(n=240, rate=0.3):
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=n)
    X = np.array([[0, 2.5], [2, -1.5], [-2, -1.5]])[true] + rng.normal(size=(n, 2))
    return X.astype("float32"), true, corrupt_labels(true, rate, "pair", random_state=1)


@pytest.fixture(scope="module")
def fitted():
    X, _, noisy = blobs()
    names = np.array(["a", "b", "c"])
    model = CoTeachingClassifier(compression=NestedDropout(20.0), noise_rate=0.3, **QUICK)
    return model.fit(X, names[noisy])


def test_fitted_attributes(fitted):
    X, true, _ = blobs()
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.n_features_in_ == 2
    assert fitted.noise_rate_ == 0.3
    assert [epoch["stage"] for epoch in fitted.history_] == ["alone"] * 3 + ["exchange"] * 2
    assert all(0 <= epoch["val_accuracy"] <= 1 for epoch in fitted.history_)
    chances = fitted.predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (fitted.classes_[chances.argmax(axis=1)] == fitted.predict(X)).all()
    assert fitted.score(X, np.array(["a", "b", "c"])[true]) > 0.8
    assert fitted.compression.built is False  # the parameter is not the layer that was trained


def test_k_star_is_the_path_s_best(fitted):
    assert fitted.path_.labels == "noisy"
    assert len(fitted.path_.accuracy) == 256
    penalized = fitted.path_.accuracy - 1e-5 * np.arange(256)
    assert int(fitted.networks_.nested.k) == fitted.path_.size == penalized.argmax() + 1
    # What is predicted is the mean of both networks' logits with the first k* features.
    X, _, _ = blobs()
    size = fitted.path_.size
    logits = [
        keras.ops.convert_to_numpy(network(X[:20]))[:, :size] @ kernel[:size]
        for network, kernel in zip(
            (fitted.networks_.first, fitted.networks_.second), fitted.networks_.kernels, strict=True
        )
    ]
    expected = np.exp(sum(logits) / 2)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(X[:20]), expected, rtol=1e-4)


def test_save_and_load(fitted, tmp_path):
    X, true, _ = blobs()
    fitted.save(tmp_path / "m")
    fitted.save(tmp_path / "m")  # over itself
    names = sorted(file.name for file in (tmp_path / "m").iterdir())
    assert names == ["arrays.npz", "classifier.json", "manifest.json"]
    loaded = load_co_teaching(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert (loaded.predict(X) == fitted.predict(X)).all()
    assert int(loaded.networks_.nested.k) == fitted.path_.size
    np.testing.assert_array_equal(loaded.path_.accuracy, fitted.path_.accuracy)
    assert loaded.history_ == fitted.history_
    assert loaded.compression.get_config() == fitted.compression.get_config()
    one, other = (loaded.build_model((2,)) for _ in range(2))
    assert one.output_shape == (None, 256)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    assert loaded._build(rows_of_arrays(X, true, 3, None), 0).first.name == one.name
    with pytest.raises(ValueError, match="for which it was built"):
        loaded.build_model((3,))
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))


def test_damaged_folders(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    arrays = tmp_path / "m" / "arrays.npz"
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-10])
    with pytest.raises(ValueError, match=r"'arrays\.npz' is missing or altered"):
        load_co_teaching(tmp_path / "m")
    arrays.write_bytes(content)
    description = tmp_path / "m" / "classifier.json"
    text = description.read_text()
    description.write_text(text.replace("0", "1", 1))
    with pytest.raises(ValueError, match=r"'classifier\.json' is missing or altered"):
        load_co_teaching(tmp_path / "m")
    description.write_text(text)
    file = tmp_path / "m" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ValueError, match="format 99"):
        load_co_teaching(tmp_path / "m")
    file.write_text("{")
    with pytest.raises(ValueError, match="`path` must be a folder with a saved"):
        load_co_teaching(tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        load_co_teaching(tmp_path / "none")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").touch()
    with pytest.raises(FileExistsError, match="something else"):
        fitted.save(tmp_path / "other")
    assert (tmp_path / "other" / "precious").exists()


def test_same_seed_same_result_from_a_data_set():
    """A PyDataset of the same batches and a clone of the classifier give the very same networks."""
    X, _, noisy = blobs()
    settings = {**QUICK, "epochs": 1, "exchange_epochs": 1}
    model = CoTeachingClassifier(compression=None, noise_rate=0.3, **settings)
    held_out = (X[:40], noisy[:40])
    first = model.fit(X[40:], noisy[40:], validation_data=held_out)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    batches = RowBatches(X[40:], noisy[40:], batch_size=32, seed=seed)
    again = clone(model).fit(batches, validation_data=held_out, clean_validation=False)
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert again.path_ is None
    assert again.classes_.tolist() == [0, 1, 2]
    assert again.predict(RowBatches(X, noisy, batch_size=30, seed=0)).shape == (240,)


def test_tensorflow_s_data_sets():
    tf = pytest.importorskip("tensorflow")
    X, true, noisy = blobs()
    rows = tf.data.Dataset.from_tensor_slices((X, noisy.astype("int32"))).shuffle(240, seed=0).batch(32)
    model = CoTeachingClassifier(noise_rate=0.3, validation_fraction=0, **QUICK).fit(rows)
    assert model.score(X, true) > 0.8
    assert model.predict(rows).shape == (240,)
    with pytest.raises(ValueError, match="repeats for ever"):
        model.fit(rows.repeat())


@pytest.mark.parametrize("exchange", ["batch", CoTeachingPlus(), JoCoR(0.3)], ids=str)
def test_other_exchanges_are_learned_and_saved(exchange, tmp_path):
    X, true, noisy = blobs()
    model = CoTeachingClassifier(exchange=exchange, noise_rate=0.3, **QUICK).fit(X, noisy)
    assert model.score(X, true) > 0.8
    model.save(tmp_path / "m")
    assert load_co_teaching(tmp_path / "m").exchange == exchange


def test_noise_rate_is_estimated():
    X, _, noisy = blobs(rate=0.2)
    model = CoTeachingClassifier(**{**QUICK, "epochs": 2, "exchange_epochs": 0}).fit(X, noisy)
    assert model.noise_rate_ == pytest.approx(0.2, abs=0.1)
    # Counts by hand: thresholds .7 and .6; rows 0, 1 and 2 as given, row 3 confidently of class 0.
    chances = [[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.7, 0.3]]
    assert confident_noise_rate([0, 0, 1, 1], chances) == 0.25


def test_divide_mix(tmp_path):
    X, true, noisy = blobs()
    settings = {"mix_epochs": 2, "batch_size": 16, "random_state": 0, "verbose": False}

    def shaken(batch, generator):
        return batch + generator.normal(scale=0.1, size=batch.shape).astype("float32")

    model = DivideMixClassifier(epochs=3, penalize_confidence=True, augment=shaken, **settings).fit(X, noisy)
    assert model.score(X, true) > 0.8
    assert 0.1 < model.noise_rate_ < 0.5
    assert model.clean_probability_.shape == (216,)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load_co_teaching(tmp_path / "m").predict_proba(X), model.predict_proba(X))


def test_the_peer_divides():
    batches = DividedBatches(np.arange(8.0)[:, None], np.arange(8), batch_size=4, seed=0)
    low, high = np.r_[np.ones(4), np.zeros(4)], np.r_[np.zeros(4), np.ones(4)]
    batches.divide([low, high])  # network 0 calls rows 0-3 clean, network 1 rows 4-7
    x, _ = batches[0]
    assert sorted(x["codes_0"]) == [4, 5, 6, 7]
    assert sorted(x["codes_1"]) == [0, 1, 2, 3]
    assert sorted(x["unlabelled_a_0"][:, 0]) == [0, 1, 2, 3]
    assert (x["clean_0"] == 1).all()
    assert sorted(x["order_1"]) == list(range(16))
    assert (x["share_0"] >= 0.5).all()
    assert len(set(x["share_0"])) == 1
    batches.divide([np.zeros(8), np.ones(8)])  # nobody is clean to network 1, all are to network 0
    x, _ = batches[0]
    assert x["labelled_a_1"].shape == x["unlabelled_a_0"].shape == (4, 1)
    wrong = DividedBatches(np.ones((8, 2)), np.arange(8), batch_size=4, augment=lambda batch, _: batch[:, :1])
    with pytest.raises(ValueError, match="`augment` must keep the shape"):
        wrong[0]


def test_held_out_rows_are_a_share_of_each_class():
    codes = np.repeat([0, 1, 2], [100, 50, 3])
    chosen = held_out_rows(codes, 0.1, 0)
    assert np.bincount(codes[chosen], minlength=3).tolist() in ([10, 5, 0], [10, 5, 1])
    assert not held_out_rows(codes, 0.0, 0).any()
    assert not np.array_equal(chosen, held_out_rows(codes, 0.1, 1))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"noise_rate": 1.0}, ValueError, "`noise_rate` must be in"),
        ({"noise_rate": "guess"}, ValueError, "`noise_rate` must be one of 'estimate'"),
        ({"epochs": 0}, ValueError, "`epochs`"),
        ({"exchange_epochs": 1.5}, TypeError, "`exchange_epochs`"),
        ({"exchange": "whole"}, ValueError, "`exchange` must be one of 'halves', 'batch'"),
        ({"compression": 1.0}, ValueError, "`compression` must be in"),
        ({"compression": "nested"}, TypeError, "`compression`"),
        ({"batch_size": 1}, ValueError, "`batch_size`"),
        ({"learning_rate": float("nan")}, ValueError, "`learning_rate`"),
        ({"validation_fraction": 1.0}, ValueError, "`validation_fraction`"),
        ({"freeze_normalization": 1}, ValueError, "`freeze_normalization`"),
    ],
)
def test_parameters_refused(change, error, said):
    X, _, noisy = blobs(30)
    model = CoTeachingClassifier(**{"noise_rate": 0.1, **QUICK, **change})
    with pytest.raises(error, match=said):
        model.fit(X, noisy)


class Batches(keras.utils.PyDataset):
    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, place):
        return self.batches[place]


X1 = np.ones((2, 3), dtype="float32")


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (Batches(X1), ValueError, r"must deliver pairs \(x, y\)"),
        (Batches((X1.astype("uint8"), np.array([0, 1]))), TypeError, "must deliver floats; got uint8"),
        (Batches((X1 * np.nan, np.array([0, 1]))), ValueError, "`X` must be finite"),
        (Batches((X1, np.array([0.0, 1.0]))), TypeError, "integer dtype"),
        (Batches((X1, np.array([-1, 1]))), ValueError, "must be 0 or more"),
        (Batches((X1, np.array([1, 0, 1]))), ValueError, "same length"),
        (Batches((X1, np.array([0, 0]))), ValueError, "two classes or more"),
        (Batches((X1, np.array([0, 1])), (X1[:, :2], np.array([0, 1]))), ValueError, "rows of one shape"),
        (Batches(), ValueError, "rows of one shape"),
    ],
)
def test_data_sets_refused(data, error, said):
    model = CoTeachingClassifier(noise_rate=0.1, validation_fraction=0, **QUICK)
    with pytest.raises(error, match=said):
        model.fit(data)


def test_data_refused():
    X, _, noisy = blobs(30)
    model = CoTeachingClassifier(noise_rate=0.1, **QUICK)
    good = Batches((X, noisy))
    with pytest.raises(ValueError, match="`validation_data` must be given with a data set"):
        model.fit(good)
    with pytest.raises(ValueError, match="`y` must be None with a data set"):
        model.fit(good, noisy)
    with pytest.raises(ValueError, match="`noise_rate` must be a number with a data set"):
        CoTeachingClassifier(validation_fraction=0, **QUICK).fit(good)
    with pytest.raises(ValueError, match="`clean_validation` must be False"):
        model.fit(X, noisy, clean_validation=True)
    with pytest.raises(ValueError, match=r"must be of shape \(30,\)"):
        model.fit(X, noisy, validation_data=(X, noisy[:3]))
    with pytest.raises(ValueError, match="must be among those of `y`; got 9"):
        model.fit(X, noisy, validation_data=(X, np.full(30, 9)))
    with pytest.raises(ValueError, match="`build_model` must be given for inputs of shape"):
        model.fit(X[:, :, None], noisy)
    with pytest.raises(TypeError, match="`X` must be an array"):
        DivideMixClassifier().fit(good, noisy)


def test_at_first_the_trained_features_count():
    X, true, _ = blobs(30)
    rows = rows_of_arrays(X, true, 3, None)
    networks = CoTeachingClassifier(compression=NestedDropout(10.0))._build(rows, 0)
    assert int(networks.nested.k) == 14  # of 95 % of the draws, by the law's table
    assert CoTeachingClassifier()._build(rows, 0).nested is None


def test_compression_layers_get_the_seed():
    model = CoTeachingClassifier(compression=CompressionDropout(0.2))
    assert model._made_compression(7).seed == 7
    model = CoTeachingClassifier(compression=NestedDropout(3.0, seed=5))
    assert model._made_compression(7).seed == 5
    assert CoTeachingClassifier(compression=0.4)._made_compression(7).rate == 0.4
