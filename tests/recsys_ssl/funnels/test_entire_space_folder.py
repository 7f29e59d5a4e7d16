import json

import keras
import numpy as np
import pytest

from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.funnels.entire_space_folder import load_entire_space_classifier
from sparse_data import Bags

pytestmark = pytest.mark.usefixtures("eager")
N = 120
GENERATOR = np.random.default_rng(0)
CLICKS = (GENERATOR.random(N) < 0.5).astype(int)
CONVERSIONS = CLICKS * (GENERATOR.random(N) < 0.4)
X = {
    "file": np.char.mod("a%d", np.arange(N) % 5),
    "tags": Bags.from_lists([[row % 3, row % 4] for row in range(N)]),
    "price": np.where(np.arange(N) == 5, np.nan, np.arange(N) * 1.5),
}
RICH = {
    "method": "escm2_dr",
    "features": [Category("file"), MultiCategory("tags", combiner="sqrtn"), Dense("price")],
    "bottom": "ple",
    "bottom_parameters": {"units": (4,), "num_levels": np.int64(1)},
    "method_parameters": {"cvr_weight": np.float64(0.3), "l2": 0.01},
    "calibrate": "isotonic",
    "validation_fraction": 0.3,
    "dim": np.int64(2),
    "hidden_units": (4,),
    "epochs": 1,
    "verbose": False,
}


@pytest.fixture(scope="module")
def model(eager):
    """Fit once; tests that use it leave it as it is."""
    return EntireSpaceClassifier(**RICH).fit(X, CLICKS, CONVERSIONS)


def same_predictions(one, other):
    for name, values in one.predict_proba(X).items():
        np.testing.assert_array_equal(values, other.predict_proba(X)[name])


def test_save_and_load_with_everything(model, tmp_path):
    model.save(tmp_path / "model")
    again = load_entire_space_classifier(tmp_path / "model")
    same_predictions(again, model)
    for name in ("method_", "monitor_", "best_epoch_", "history_", "interrupted_"):
        assert getattr(again, name) == getattr(model, name)
    left, right = again.get_params(), model.get_params()
    assert tuple(left["bottom_parameters"].pop("units")) == (4,)
    assert left["bottom_parameters"] == {"num_levels": 1}
    del left["bottom_parameters"], right["bottom_parameters"]
    assert left == right
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    # The loaded one can be saved over itself and fitted anew.
    again.save(tmp_path / "model")
    same_predictions(load_entire_space_classifier(tmp_path / "model"), model)
    again.fit(X, CLICKS, CONVERSIONS)


def test_parameters_set_after_the_fit_do_not_break_the_folder(tmp_path):
    settings = {"dim": 2, "hidden_units": (4,), "epochs": 1, "verbose": False}
    model = EntireSpaceClassifier("aitm", **settings).fit(X, CLICKS, CONVERSIONS)
    model.set_params(method="nise", dim=7, hidden_units=(3, 3)).save(tmp_path / "model")
    again = load_entire_space_classifier(tmp_path / "model")
    assert (again.method, again.method_, again.dim, again.calibration_) == ("nise", "aitm", 7, None)
    same_predictions(again, model)


def test_another_process_predicts_the_same(model, tmp_path, run_under):
    model.save(tmp_path / "model")
    script = """
        import json, sys
        from recsys_ssl.funnels.entire_space_folder import load_entire_space_classifier
        model = load_entire_space_classifier(sys.argv[1])
        rows = {"file": ["a1", "a9"], "tags": [[1], [2, 3]], "price": [1.0, None]}
        print(json.dumps({name: values.tolist() for name, values in model.predict_proba(rows).items()}))
    """
    printed = run_under(keras.backend.backend(), script, tmp_path / "model")
    rows = {"file": ["a1", "a9"], "tags": [[1], [2, 3]], "price": [1.0, None]}
    expected = model.predict_proba(rows)
    assert json.loads(printed) == {name: values.tolist() for name, values in expected.items()}


def test_no_pickle_and_no_state_of_the_optimizer(model, tmp_path):
    model.save(tmp_path / "model")
    for file in (tmp_path / "model").glob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
    with np.load(tmp_path / "model" / "weights.npz") as arrays:
        assert sum(arrays[name].size for name in arrays.files) == model.model_.count_params()


def test_folders_that_are_refused(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("mine")
    with pytest.raises(FileExistsError, match="`path` must be new, empty or a saved entire-space classifier"):
        model.save(tmp_path / "thesis")
    with pytest.raises(ValueError, match="`path` must be a folder with a saved entire-space classifier"):
        load_entire_space_classifier(tmp_path / "thesis")
    with pytest.raises(FileNotFoundError):
        load_entire_space_classifier(tmp_path / "nothing")
    model.save(tmp_path / "model")
    with open(tmp_path / "model" / "weights.npz", "r+b") as stream:
        stream.truncate(100)
    with pytest.raises(ValueError, match=r"'weights\.npz' is missing or altered"):
        load_entire_space_classifier(tmp_path / "model")


def test_a_full_disk_leaves_the_earlier_folder(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "model")
    monkeypatch.undo()
    same_predictions(load_entire_space_classifier(tmp_path / "model"), model)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_written_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "bottom_parameters", {"units": {4}})
    with pytest.raises(TypeError, match="numbers and text; got set"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
