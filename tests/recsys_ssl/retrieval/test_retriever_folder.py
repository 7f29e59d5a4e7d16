import json

import keras
import numpy as np
import pytest

from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.retrieval.retriever_folder import load_retriever
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from sparse_data import Bags
from sparse_data.datasets import make_checkerboard

pytestmark = pytest.mark.usefixtures("eager")
FAST = {"dim": 8, "epochs": 15, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
BOARD = make_checkerboard(12)


def make(**changes):
    return TwoTowerRetriever(**{**FAST, **changes})


RICH = {
    "dim": np.int64(8),
    "epochs": 4,
    "learning_rate": np.float64(0.02),
    "hidden_units": (6,),
    "loss": SampledSoftmax("cosine", temperature=0.2, learn_temperature=True, num_hard_negatives=5),
    "uniform_negatives": 4,
    "dropout": 0.1,
    "user_features": [Category("colour")],
    "item_features": [MultiCategory("tags", combiner="sqrtn"), Dense("price"), Category("a/b")],
}


@pytest.fixture(scope="module")
def rich_model(eager, named_board):
    ids = np.arange(14)
    items = {
        "item_id": np.char.mod("i%03d", ids),
        "tags": Bags.from_lists([["round"] if i % 2 else ["square", "red"] for i in ids]),
        "price": np.where(ids == 5, np.nan, ids % 2 + 0.1 * ids),
        "a/b": np.where(ids % 3 == 0, "x", "y"),
    }
    return make(**RICH).fit(named_board, items=items)


def test_save_and_load_with_everything(rich_model, named_board, same_recommendations, tmp_path):
    rich_model.save(tmp_path / "model")
    again = load_retriever(tmp_path / "model")
    same_recommendations(again, rich_model)
    np.testing.assert_array_equal(
        again.recommend_for_items([["i003"]])[0], rich_model.recommend_for_items([["i003"]])[0]
    )
    for name in ("user_ids_", "item_ids_", "popularity_", "item_factors_", "user_factors_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rich_model, name))
    for name in ("history_", "best_epoch_", "interrupted_"):
        assert getattr(again, name) == getattr(rich_model, name)
    left, right = again.get_params(), rich_model.get_params()
    assert left.pop("loss").get_config() == right.pop("loss").get_config()
    assert left == right
    new = {"item_id": ["z"], "tags": [["red"]], "price": [2.0], "a/b": ["x"]}
    np.testing.assert_allclose(
        again.add_items(new).item_factors_[-1],
        clone_of(rich_model, tmp_path).add_items(new).item_factors_[-1],
    )
    # The loaded one can be fitted and saved anew.
    again.save(tmp_path / "model")
    assert "z" in load_retriever(tmp_path / "model").item_ids_
    again.set_params(epochs=1).fit(named_board, items={**new, "item_id": ["i000"]})


def clone_of(model, folder):
    model.save(folder / "copy")
    return load_retriever(folder / "copy")


def test_parameters_set_after_the_fit_do_not_break_the_folder(same_recommendations, tmp_path):
    model = make(epochs=2).fit(BOARD).set_params(dim=5, hidden_units=(3,))
    model.save(tmp_path / "model")
    again = load_retriever(tmp_path / "model")
    assert again.dim == 5
    same_recommendations(again, model)


def test_another_process_recommends_the_same(rich_model, tmp_path, run_under):
    rich_model.save(tmp_path / "model")
    script = """
        import json, sys
        from recsys_ssl import load_retriever
        model = load_retriever(sys.argv[1])
        items, scores = model.recommend(model.user_ids_, k=3)
        print(json.dumps([items.tolist(), scores.tolist()]))
    """
    printed = run_under(keras.backend.backend(), script, tmp_path / "model")
    items, scores = json.loads(printed)
    expected = rich_model.recommend(rich_model.user_ids_, k=3)
    assert items == expected[0].tolist()
    np.testing.assert_array_equal(np.array(scores, dtype=np.float32), expected[1])


def test_folders_that_are_refused(board_model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("mine")
    with pytest.raises(FileExistsError, match="`path` must be new, empty or a saved two-tower retriever"):
        board_model.save(tmp_path / "thesis")
    with pytest.raises(ValueError, match="`path` must be a folder with a saved two-tower retriever"):
        load_retriever(tmp_path / "thesis")
    with pytest.raises(FileNotFoundError):
        load_retriever(tmp_path / "nothing")
    board_model.save(tmp_path / "model")
    weights = tmp_path / "model" / "towers.npz"
    with open(weights, "r+b") as stream:
        stream.truncate(weights.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"'towers\.npz' is missing or altered"):
        load_retriever(tmp_path / "model")


def test_the_folder_holds_no_pickle_and_no_state_of_the_optimizer(rich_model, tmp_path):
    rich_model.save(tmp_path / "model")
    for file in (tmp_path / "model").glob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
    with np.load(tmp_path / "model" / "towers.npz") as arrays:
        assert sum(arrays[name].size for name in arrays.files) == rich_model.model_.count_params()


def test_a_full_disk_leaves_the_earlier_folder(board_model, same_recommendations, tmp_path, monkeypatch):
    board_model.save(tmp_path / "model")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    other = make(epochs=1).fit(BOARD)
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        other.save(tmp_path / "model")
    monkeypatch.undo()
    same_recommendations(load_retriever(tmp_path / "model"), board_model)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


# Keras copies TensorFlow's variables in a way that NumPy deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_model_can_be_saved_as_any_keras_model(rich_model, tmp_path):
    rich_model.model_.save(tmp_path / "towers.keras")
    again = keras.models.load_model(tmp_path / "towers.keras")
    for left, right in zip(again.get_weights(), rich_model.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
