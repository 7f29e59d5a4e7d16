from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import recsys_ssl
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from sparse_data import Bags
from sparse_data.datasets import Interactions, make_checkerboard

ROOT = str(Path(recsys_ssl.__file__).parents[1])
pytestmark = pytest.mark.usefixtures("eager")
FAST = {"dim": 8, "epochs": 15, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
BOARD = make_checkerboard(12)


def make(**changes):
    return TwoTowerRetriever(**{**FAST, **changes})


# What is learned


def test_the_right_item_of_the_checkerboard(board_model):
    items, scores = board_model.recommend(np.arange(12), k=1)
    assert items.ravel().tolist() == list(range(12))
    assert scores.dtype == np.float32


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": SampledSoftmax("cosine", temperature=0.2, correction="negatives")},
        {"hidden_units": (8,), "uniform_negatives": 6, "l2": 0.0},
        {"uniform_negatives": 6, "streaming_frequency": True, "epochs": 20},
        {"mask_known_positives": True, "epochs": 60, "l2": 0.1},
        {"loss": SampledSoftmax(correction="leave_positive_out", learn_temperature=True)},
    ],
    ids=["cosine", "hidden", "streaming", "known positives", "leave positive out"],
)
def test_the_checkerboard_without_features_under_other_settings(changes):
    log = BOARD.replace(users=None, items=None)
    model = make(**changes).fit(log)
    items, _ = model.recommend(np.arange(12), k=1)
    assert (items.ravel() == np.arange(12)).mean() == 1.0


def test_string_ids_give_what_integers_give(board_model, named_board):
    model = make().fit(named_board)
    items, scores = model.recommend(["u003", "u000"], k=2)
    numbers, same = board_model.recommend([3, 0], k=2)
    assert items.tolist() == [[f"i{item:03d}" for item in row] for row in numbers]
    np.testing.assert_allclose(scores, same, rtol=1e-4)


def test_scores_are_inner_products(board_model):
    users, items = np.array([0, 5, 11]), np.array([3, 3, 4])
    expected = [
        board_model.user_factors_[u] @ board_model.item_factors_[i] for u, i in zip(users, items, strict=True)
    ]
    np.testing.assert_allclose(board_model.score(users, items), expected, rtol=1e-5)


def test_similar_items_are_of_one_colour(board_model):
    items, _ = board_model.similar_items([0, 7], k=5)
    assert sorted(items[0].tolist()) == [2, 4, 6, 8, 10]
    assert sorted(items[1].tolist()) == [1, 3, 5, 9, 11]


# Side tables


def test_users_and_items_without_interactions_are_ranked_by_their_features():
    # The even half of new users likes the even half of new items, and nobody has met them.
    ids = np.arange(20)
    colour = np.where(ids % 2 == 0, "even", "odd")
    model = make(l2=0.001).fit(
        BOARD, users={"user_id": ids, "colour": colour}, items={"item_id": ids, "colour": colour}
    )
    assert model.user_ids_.tolist() == model.item_ids_.tolist() == ids.tolist()
    items, _ = model.recommend(np.arange(12, 20), k=10)
    assert ((items - np.arange(12, 20)[:, None]) % 2 == 0).all()
    # A known user has met five items of the colour: the other five come first, the new ones among them.
    items, _ = model.recommend([0, 1], k=5)
    assert set(items[0].tolist()) == {0, 12, 14, 16, 18}
    assert set(items[1].tolist()) == {1, 13, 15, 17, 19}
    assert (model.popularity_[12:] == 0).all()


def test_all_kinds_of_features_decide_for_cold_items():
    ids = np.arange(24)
    even = ids % 2 == 0
    items = {
        "item_id": ids,
        "tags": Bags.from_lists([["round", "red"] if flag else ["square"] for flag in even]),
        "price": np.where(even, 1.0, 9.0) + 0.01 * ids,
    }
    model = make(item_features=[MultiCategory("tags", combiner="sum"), Dense("price")], l2=0.001)
    model.fit(BOARD, items=items)
    # Seven items of the colour are left to each.
    found, _ = model.recommend([0, 1], k=7)
    assert (found % 2 == [[0], [1]]).all()


def test_a_table_in_the_log_and_one_in_fit_are_the_same(board_model, same_recommendations):
    bare = BOARD.replace(users=None, items=None)
    same_recommendations(make().fit(bare, users=BOARD.users, items=BOARD.items), board_model)
    frames = [pd.DataFrame(table) for table in (BOARD.users, BOARD.items)]
    pairs = pd.DataFrame({"user_id": BOARD.user_ids, "item_id": BOARD.item_ids})
    same_recommendations(make().fit(pairs, *frames), board_model)


def test_new_items(board_model):
    model = make(l2=0.001).fit(BOARD)
    before = model.recommend(np.arange(12), k=3)
    scores = model.score([0, 1], [4, 4])
    assert model.add_items({"item_id": [100, 50], "colour": ["odd", "even"]}) is model
    assert model.item_ids_.tolist() == [*range(12), 50, 100]
    items, _ = model.recommend([0, 1], k=2)
    assert set(items[0].tolist()) == {0, 50}
    assert set(items[1].tolist()) == {1, 100}
    # What was known stays: the scores, what is seen, what is popular.
    np.testing.assert_array_equal(model.score([0, 1], [4, 4]), scores)
    np.testing.assert_array_equal(model.recommend(np.arange(12), k=3, deny=[50, 100])[1], before[1])
    assert model.popularity_.tolist() == [*board_model.popularity_.tolist(), 0, 0]
    # Of an unknown value nothing is known; the item is still ranked.
    model.add_items({"item_id": [60], "colour": ["green"]})
    assert 60 in model.recommend([0], k=15, filter_seen=False)[0]


def test_new_items_that_are_refused(board_model):
    cases = [
        ({"item_id": [3], "colour": ["odd"]}, ValueError, "`item_id` must be new and distinct"),
        ({"item_id": [50, 50], "colour": ["odd"] * 2}, ValueError, "`item_id` must be new and distinct"),
        ({"item_id": [50]}, ValueError, "`colour` must be among the columns"),
        ({"item_id": [], "colour": []}, ValueError, "`item_id` must be non-empty"),
        ({"colour": ["odd"]}, ValueError, "`item_id`"),
        ({"item_id": [50], "colour": [3]}, ValueError, "`colour` must be strings"),
        ({"item_id": [None], "colour": ["odd"]}, ValueError, "`item_id` must be without missing values"),
        ({"item_id": [0.5], "colour": ["odd"]}, TypeError, "`item_id` must be integers or strings"),
        ({"item_id": ["x"], "colour": ["odd"]}, ValueError, "`item_id` must be integers"),
    ]
    for table, error, message in cases:
        with pytest.raises(error, match=message):
            board_model.add_items(table)
    assert board_model.item_ids_.tolist() == list(range(12))


# Requests


def test_users_from_what_they_like(board_model):
    items, scores = board_model.recommend_for_items([[0, 2, 4], [1], [7, 9, 7]], k=3)
    assert (items % 2 == [[0], [1], [1]]).all()
    assert not set(items[0].tolist()) & {0, 2, 4}
    assert (np.diff(scores, axis=1) <= 0).all()
    again, _ = board_model.recommend_for_items([[0, 2, 4]], k=6, filter_seen=False)
    assert (again % 2 == 0).all()


def test_users_of_whom_nothing_is_left_get_the_popularity_prior(board_model):
    with pytest.warns(UserWarning, match="2 items are not in the catalogue"):
        items, scores = board_model.recommend_for_items([[], [77], [3, 88]], k=4)
    # All items are equally popular here: the smaller id first.
    assert items[:2].tolist() == [[0, 1, 2, 3]] * 2
    np.testing.assert_allclose(scores[:2], 1 / 12, rtol=1e-6)
    assert (items[2] % 2 == 1).all()


def test_what_is_liked_with_allow_and_deny(board_model):
    items, _ = board_model.recommend_for_items([[0]], k=2, allow=[2, 3, 4, 5], deny=[2])
    assert items[0, 0] == 4
    assert items[0, 1] in {3, 5}
    with pytest.raises(ValueError, match="`k` must be at most the number of items to choose from, 1; got 2"):
        board_model.recommend_for_items([[0]], k=2, allow=[2])
    with pytest.raises(ValueError, match="`item_ids` must be integers"):
        board_model.recommend_for_items([["a"]], k=2)


def test_unknown_users(board_model):
    with pytest.warns(UserWarning, match="1 of 2 users are not in the log"):
        items, _ = board_model.recommend([99, 1], k=2)
    assert items[0].tolist() == [0, 1]
    assert items[1, 0] == 1


def test_allow_and_deny(board_model):
    assert board_model.recommend([0], k=1, allow=[1, 4, 6])[0].tolist() == [[1]]
    assert (board_model.recommend([0], k=3, allow=[1, 4, 6], filter_seen=False)[0][0, :2] % 2 == 0).all()
    assert 0 not in board_model.recommend([0], k=5, deny=[0])[0]


@pytest.mark.parametrize("k", [0, -1, 13])
def test_k_outside_the_catalogue(board_model, k):
    with pytest.raises(ValueError, match="`k` must be at"):
        board_model.recommend([0], k=k)
    with pytest.raises(ValueError, match="`k` must be at"):
        board_model.recommend_for_items([[0]], k=k)


def test_not_fitted(tmp_path):
    model = make()
    for call in (
        lambda: model.recommend([0]),
        lambda: model.recommend_for_items([[0]]),
        lambda: model.similar_items([0]),
        lambda: model.add_items({"item_id": [1]}),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(NotFittedError):
            call()
    assert not list(tmp_path.iterdir())


# Logs


def test_an_empty_log():
    with pytest.raises(ValueError, match="`interactions` must be non-empty"):
        make().fit(Interactions([], []))


def test_one_user_and_one_item():
    model = make(epochs=2).fit(Interactions(["u", "u"], ["a", "b"]))
    assert sorted(model.recommend("u", k=2, filter_seen=False)[0][0].tolist()) == ["a", "b"]
    assert make(epochs=1).fit(Interactions([1], [1])).recommend([1], k=1)[0].tolist() == [[-1]]


def test_doubled_pairs_are_one_pair():
    twice = BOARD.take(np.concatenate([np.arange(len(BOARD)), np.arange(20)]))
    left, right = make(epochs=3).fit(BOARD), make(epochs=3).fit(twice)
    np.testing.assert_array_equal(left.user_factors_, right.user_factors_)
    assert right.popularity_.sum() == len(BOARD) + 20


def test_weights_weight_the_loss():
    ones = make(epochs=3, l2=0.0).fit(BOARD.replace(weights=np.ones(len(BOARD))))
    np.testing.assert_allclose(ones.item_factors_, make(epochs=3, l2=0.0).fit(BOARD).item_factors_, rtol=1e-4)
    # Weight zero for all that the odd users do: their vectors stay where they began.
    nothing = make(epochs=3, l2=0.0).fit(BOARD.replace(weights=(BOARD.user_ids % 2 == 0).astype(float)))
    start = make(epochs=1, l2=0.0, learning_rate=1e-12).fit(BOARD)
    moved = np.abs(nothing.user_factors_ - start.user_factors_).max(axis=1)
    assert (moved[1::2] < 1e-6).all()
    assert (moved[::2] > 1e-2).all()


def test_numbers_that_are_none():
    ids = np.arange(12)
    prices = np.where(ids % 2 == 0, 1.0, 5.0)
    prices[3] = np.nan
    model = make(epochs=5, item_features=[Dense("price")]).fit(BOARD, items={"item_id": ids, "price": prices})
    assert np.isfinite(model.item_factors_).all()
    prices[4] = np.inf
    with pytest.raises(ValueError, match="`price` must be finite in float32, or NaN; got inf"):
        make(item_features=[Dense("price")]).fit(BOARD, items={"item_id": ids, "price": prices})
    with pytest.raises(ValueError, match="must be non-negative"):
        make().fit(BOARD.replace(weights=-np.ones(len(BOARD))))


def test_features_that_are_not_there():
    with pytest.raises(ValueError, match="`genre` must be among the columns"):
        make(item_features=[Category("genre")]).fit(BOARD)
    with pytest.raises(ValueError, match="must be in a side table"):
        make(user_features=[Category("colour")]).fit(BOARD.replace(users=None))
    with pytest.raises(TypeError, match="must be Category, MultiCategory or Dense; got 'colour'"):
        make(user_features=["colour"]).fit(BOARD)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dim": 0}, ValueError, "`dim` must be at least 1"),
        ({"batch_size": 1}, ValueError, "`batch_size` must be at least 2"),
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1"),
        ({"epochs": 2.0}, TypeError, "`epochs` must be an integer"),
        ({"patience": 0}, ValueError, "`patience` must be at least 1"),
        ({"uniform_negatives": -1}, ValueError, "`uniform_negatives` must be at least 0"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"dropout": 1.0}, ValueError, "`dropout` must be in"),
        ({"l2": -1.0}, ValueError, "`l2` must be in"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be in"),
        ({"validation_fraction": 1.0}, ValueError, "`validation_fraction` must be in"),
        ({"hidden_units": (0,)}, ValueError, "`hidden_units` must be at least 1"),
    ],
)
def test_parameters_are_refused_by_fit(changes, error, message):
    model = make(**changes)
    with pytest.raises(error, match=message):
        model.fit(BOARD)
    assert not hasattr(model, "user_ids_")


# The estimator


def test_clone_and_parameters(board_model):
    loss = SampledSoftmax("cosine", temperature=0.1)
    model = make(loss=loss, hidden_units=[4], item_features=[Category("colour")])
    copy = clone(model)
    assert copy.get_params().keys() == model.get_params().keys()
    assert copy.loss.get_config() == loss.get_config()
    assert copy.item_features == [Category("colour")]
    assert not hasattr(clone(board_model), "user_ids_")
    assert "TwoTowerRetriever" in repr(board_model)


def test_fit_leaves_log_tables_and_loss_alone():
    loss = SampledSoftmax(temperature=0.5, learn_temperature=True, correction="none")
    table = pd.DataFrame({"item_id": np.arange(12), "colour": BOARD.items["colour"]})
    copy = table.copy(deep=True)
    users = BOARD.user_ids.copy()
    model = make(epochs=3, loss=loss).fit(BOARD, items=table)
    pd.testing.assert_frame_equal(table, copy)
    np.testing.assert_array_equal(BOARD.user_ids, users)
    assert float(loss.current_temperature()) == pytest.approx(0.5)
    assert float(model.model_.sampled_softmax.current_temperature()) != pytest.approx(0.5, abs=1e-4)
