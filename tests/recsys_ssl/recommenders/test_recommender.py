"""What holds for every model: one table of behaviours over all baselines."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from recsys_ssl.baselines import EASE, IALS, ItemKNN, Popularity
from recsys_ssl.recommenders import recommender as recommender_module
from recsys_ssl.recommenders.blocked_top_k import block_size
from recsys_ssl.recommenders.factor_recommender import FactorRecommender
from recsys_ssl.recommenders.recommender import Recommender, as_interactions
from sparse_data.datasets import Interactions, make_checkerboard, make_interactions

MODELS = {
    "Popularity": Popularity(),
    "ItemKNN": ItemKNN(20, shrinkage=1.0),
    "EASE": EASE(20.0),
    "IALS": IALS(2, n_iterations=8, random_state=0),
    "IALS by gradients": IALS(2, n_iterations=8, n_gradient_steps=3, random_state=0),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return clone(request.param)


@pytest.fixture(scope="module")
def log():
    return make_interactions(30, 25, 300, random_state=0).interactions


def with_string_ids(log):
    return log.replace(
        user_ids=np.char.add("u", np.char.zfill(log.user_ids.astype(str), 3)),
        item_ids=np.char.add("i", np.char.zfill(log.item_ids.astype(str), 3)),
        users=None,
        items=None,
    )


def test_the_right_item_of_the_checkerboard(model):
    board = make_checkerboard(12)
    items, _ = model.fit(board).recommend(np.arange(12), k=1)
    if isinstance(model, Popularity):
        # All items are equally popular: the smallest id that a user has not met.
        assert items.ravel().tolist() == [0, 0] + [1, 0] * 5
    else:
        assert items.ravel().tolist() == list(range(12))


def test_similar_items_are_of_the_same_colour(model):
    items, scores = model.fit(make_checkerboard(12)).similar_items(np.arange(12), k=5)
    assert all(item not in row for item, row in enumerate(items))
    assert (np.diff(scores, axis=1) <= 0).all()
    if not isinstance(model, Popularity):
        assert ((items - np.arange(12)[:, None]) % 2 == 0).all()


def test_recommendations_are_sorted_and_unseen(model, log):
    items, scores = model.fit(log).recommend(model.user_ids_, k=8)
    assert items.shape == scores.shape == (30, 8)
    assert scores.dtype == np.float32
    assert (np.diff(scores, axis=1) <= 0).all()
    seen = set(zip(log.user_ids.tolist(), log.item_ids.tolist(), strict=True))
    for user, row in zip(model.user_ids_.tolist(), items.tolist(), strict=True):
        assert len(set(row)) == 8
        assert not any((user, item) in seen for item in row)


def test_seen_items_come_back_when_asked_for(model, log):
    model.fit(log)
    everything, _ = model.recommend(model.user_ids_, k=model.item_ids_.size, filter_seen=False)
    assert (np.sort(everything, axis=1) == model.item_ids_).all()


def test_score_agrees_with_recommend(model, log):
    model.fit(log)
    users = model.user_ids_[[3, 0, 7, 3]]
    items, scores = model.recommend(users, k=4)
    pairs = model.score(np.repeat(users, 4), items.ravel()).reshape(4, 4)
    np.testing.assert_allclose(pairs, scores, rtol=1e-5, atol=1e-7)


def test_strings_and_integers_give_the_same(model, log):
    items, scores = clone(model).fit(log).recommend(np.unique(log.user_ids), k=5)
    named = with_string_ids(log)
    named_items, named_scores = model.fit(named).recommend(np.unique(named.user_ids), k=5)
    assert named_items.dtype.kind == "U"
    assert np.char.add("i", np.char.zfill(items.astype(str), 3)).tolist() == named_items.tolist()
    np.testing.assert_array_equal(scores, named_scores)


def test_row_order_does_not_matter(model, log):
    shuffled = log.take(np.random.default_rng(1).permutation(len(log)))
    left, right = clone(model).fit(log), model.fit(shuffled)
    np.testing.assert_allclose(
        left._score_block(np.arange(30)), right._score_block(np.arange(30)), rtol=1e-4, atol=1e-6
    )


def test_duplicates_are_one_pair(model, log):
    twice = log.take(np.concatenate([np.arange(len(log)), np.arange(50)]))
    left, right = clone(model).fit(log), model.fit(twice)
    if not isinstance(model, Popularity):
        np.testing.assert_array_equal(left._score_block(np.arange(30)), right._score_block(np.arange(30)))
    assert right.seen_.nnz == len(log)
    assert right.popularity_.sum() == len(log) + 50


def test_equal_weights_are_no_weights(model, log):
    weighted = clone(model).fit(log.replace(weights=np.ones(len(log))))
    np.testing.assert_array_equal(
        weighted._score_block(np.arange(30)), model.fit(log)._score_block(np.arange(30))
    )


def test_weights_matter(model, log):
    weights = np.where(log.item_ids == log.item_ids[0], 5.0, 1.0)
    weighted = clone(model).fit(log.replace(weights=weights))
    assert (
        np.abs(weighted._score_block(np.arange(30)) - model.fit(log)._score_block(np.arange(30))).max() > 1e-3
    )


def test_allow_and_deny(model, log):
    model.fit(log)
    users = model.user_ids_[:6]
    allow = model.item_ids_[:12]
    items, scores = model.recommend(users, k=12, filter_seen=False, allow=allow)
    assert (np.sort(items, axis=1) == allow).all()
    full, full_scores = model.recommend(users, k=model.item_ids_.size, filter_seen=False)
    for row in range(6):
        kept = np.isin(full[row], allow)
        assert full[row][kept].tolist() == items[row].tolist()
        np.testing.assert_array_equal(full_scores[row][kept], scores[row])
    denied, _ = model.recommend(users, k=5, filter_seen=False, deny=items[:, 0], allow=allow)
    assert not np.isin(denied, items[:, 0]).any()
    assert np.isin(denied, allow).all()


def test_unknown_ids_in_allow_and_deny_are_ignored(model, log):
    model.fit(log)
    plain = model.recommend([0], k=3)
    for result in (
        model.recommend([0], k=3, deny=[99_999]),
        model.recommend([0], k=3, allow=[*model.item_ids_, 99_999]),
    ):
        np.testing.assert_array_equal(result[0], plain[0])


def test_padding_where_nothing_is_left(model):
    board = make_checkerboard(8)
    items, scores = model.fit(board).recommend([0], k=8)
    # User 0 has met the three other even items.
    assert sorted(items[0, :5].tolist()) == [0, 1, 3, 5, 7]
    assert items[0, 5:].tolist() == [-1] * 3
    assert np.isneginf(scores[0, 5:]).all()
    assert np.isfinite(scores[0, :5]).all()
    named, _ = clone(model).fit(with_string_ids(board)).recommend(["u000"], k=8)
    assert named[0, 5:].tolist() == [""] * 3


@pytest.mark.parametrize("k", [0, -3, 26])
def test_k_outside_the_catalogue(model, log, k):
    model.fit(log)
    assert model.item_ids_.size == 25
    with pytest.raises(ValueError, match="`k` must be at"):
        model.recommend([0], k=k)
    with pytest.raises(ValueError, match="`k` must be at"):
        model.similar_items([0], k=25 if k > 0 else k)


def test_k_above_what_is_allowed(model, log):
    with pytest.raises(ValueError, match="at most the number of items to choose from, 2; got 3"):
        model.fit(log).recommend([0], k=3, allow=[0, 1, 99_999])


def test_unknown_users_get_the_popular_items(model, log):
    model.fit(log)
    with pytest.warns(UserWarning, match="2 of 3 users are not in the log"):
        items, scores = model.recommend([1000, 0, 2000], k=4)
    order = np.argsort(-model.popularity_, kind="stable")[:4]
    assert items[0].tolist() == items[2].tolist() == model.item_ids_[order].tolist()
    np.testing.assert_allclose(scores[0], model.popularity_[order] / len(log), rtol=1e-6)
    np.testing.assert_array_equal(items[1], model.recommend([0], k=4)[0][0])
    with pytest.warns(UserWarning, match="1 of 1 users"):
        score = model.score([1000], [model.item_ids_[order[0]]])
    np.testing.assert_allclose(score, scores[0, 0])


def test_unknown_items_are_named(model, log):
    model.fit(log)
    with pytest.raises(ValueError, match="`item_ids` must be ids that the model knows; got 777"):
        model.similar_items([0, 777])
    with pytest.raises(ValueError, match="`item_ids` must be ids that the model knows; got 777"):
        model.score([0], [777])


def test_ids_of_the_other_type(model, log):
    model.fit(log)
    with pytest.raises(ValueError, match=r"`user_ids` must be integers.*got strings"):
        model.recommend(["0"])
    with pytest.raises(ValueError, match=r"`item_ids` must be integers.*got strings"):
        model.similar_items(["0"])


def test_score_needs_pairs(model, log):
    with pytest.raises(ValueError, match="`user_ids` and `item_ids` must be of the same length"):
        model.fit(log).score([0, 1], [0])


def test_one_id_and_none(model, log):
    model.fit(log)
    items, scores = model.recommend(3, k=2)
    assert items.shape == scores.shape == (1, 2)
    assert model.recommend([], k=2)[0].shape == (0, 2)
    assert model.similar_items([], k=2)[0].shape == (0, 2)
    assert model.score([], []).shape == (0,)


def test_one_user(model):
    items, scores = model.fit(Interactions(["u"] * 3, ["a", "b", "c"])).recommend("u", filter_seen=False, k=3)
    assert sorted(items[0].tolist()) == ["a", "b", "c"]
    assert np.isfinite(scores).all()
    assert model.recommend("u", k=1)[0].tolist() == [[""]]


def test_one_item(model):
    model.fit(Interactions(["u", "v"], ["a", "a"]))
    assert model.recommend(["u"], k=1, filter_seen=False)[0].tolist() == [["a"]]
    with pytest.raises(ValueError, match="`k` must be at most"):
        model.similar_items("a", k=1)


def test_empty_log(model):
    with pytest.raises(ValueError, match="`interactions` must be non-empty"):
        model.fit(Interactions([], []))


def test_not_fitted(model):
    for call in (
        lambda: model.recommend([0]),
        lambda: model.similar_items([0]),
        lambda: model.score([0], [0]),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_weights_of_zero(model, log):
    model.fit(log.replace(weights=np.zeros(len(log))))
    items, scores = model.recommend([0], k=2)
    assert np.isfinite(scores).all()
    assert items.shape == (1, 2)


def test_negative_weights(model):
    with pytest.raises(ValueError, match="weight` must be non-negative"):
        model.fit(
            Interactions.from_frame({"user_id": [1], "item_id": [2], "weight": [-1.0]}, weight="weight")
        )


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames(model, log, frame):
    table = frame({"user_id": log.user_ids, "item_id": log.item_ids})
    left, right = clone(model).fit(table), model.fit(log)
    np.testing.assert_array_equal(left.recommend([0, 1])[0], right.recommend([0, 1])[0])


def test_fit_again_forgets(model, log):
    again = clone(model).fit(make_checkerboard(12)).fit(log)
    np.testing.assert_array_equal(again.recommend([0, 1])[1], model.fit(log).recommend([0, 1])[1])


def test_a_fit_that_fails_leaves_the_last_one(model, log):
    model.fit(log)
    before = model.recommend([0, 1])
    with pytest.raises(ValueError, match="non-empty"):
        model.fit(log.take(slice(0, 0)))
    np.testing.assert_array_equal(model.recommend([0, 1])[1], before[1])


def test_the_log_is_not_altered(model, log):
    users, items = log.user_ids.copy(), log.item_ids.copy()
    model.fit(log).recommend([0])
    np.testing.assert_array_equal(log.user_ids, users)
    np.testing.assert_array_equal(log.item_ids, items)


def test_clone_repr_and_pickle(model, log):
    assert type(model).__name__ in repr(model)
    assert clone(model).get_params() == model.get_params()
    fitted = model.fit(log)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.recommend([0, 1])[1], fitted.recommend([0, 1])[1])


def test_blocks_do_not_matter(model, log, monkeypatch):
    model.fit(log)
    users = np.tile(model.user_ids_, 3)
    items = np.tile(model.item_ids_, 4)[: users.size]
    before = (*model.recommend(users), *model.similar_items(model.item_ids_), model.score(users, items))
    monkeypatch.setattr("recsys_ssl.recommenders.blocked_top_k.BUFFER_SCORES", 60)
    assert block_size(25) == 2
    after = (*model.recommend(users), *model.similar_items(model.item_ids_), model.score(users, items))
    for left, right in zip(before, after, strict=True):
        if left.dtype.kind == "f":
            np.testing.assert_allclose(left, right, rtol=1e-5)
        else:
            np.testing.assert_array_equal(left, right)


def test_no_warnings_for_known_users(model, log):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(log).recommend(model.user_ids_)


class Biased(FactorRecommender):
    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        self.user_factors_ = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
        self.item_factors_ = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], dtype=np.float32)
        self.item_bias_ = np.array([0.0, 0.0, 1.5], dtype=np.float32)


def test_factors_and_bias_by_hand():
    model = Biased().fit(Interactions([0, 1, 1], [0, 1, 2]))
    items, scores = model.recommend([0, 1], k=3, filter_seen=False)
    assert items.tolist() == [[2, 0, 1], [1, 2, 0]]
    assert scores.tolist() == [[1.5, 1.0, 0.0], [2.0, 1.5, 0.0]]
    # Cosines leave the bias out, and the zero vector is similar to nothing.
    assert model.similar_items([2], k=2)[1].tolist() == [[0.0, 0.0]]


def test_a_model_without_vectors_says_so():
    class Scores(Recommender):
        def _fit(self, weights, interactions):
            pass

        def _score_block(self, users):
            return np.zeros((users.size, self.item_ids_.size), dtype=np.float32)

    with pytest.raises(NotImplementedError, match="Scores must define"):
        Scores().fit(Interactions([0, 1], [0, 1])).similar_items([0], k=1)


def test_side_tables_replace_those_of_the_log(log):
    table = {"item_id": [0, 1], "title": ["x", "y"]}
    joined = as_interactions(log, items=table, users={"user_id": [4]})
    assert joined.items["title"].tolist() == ["x", "y"]
    assert joined.users["user_id"].tolist() == [4]
    assert recommender_module.as_interactions(log) is log
