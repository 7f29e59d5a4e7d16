import math
import warnings

import numpy as np
import pytest

from recsys_ssl.baselines import EASE, Popularity
from recsys_ssl.measures.evaluation import evaluate_rankings, evaluate_retriever
from recsys_ssl.recommenders.factor_recommender import FactorRecommender
from recsys_ssl.splits import random_split
from sparse_data.datasets import Interactions, make_checkerboard, make_interactions


@pytest.fixture(scope="module")
def split():
    log = make_interactions(60, 40, 1200, random_state=0).interactions
    return random_split(log, (0.75, 0.25), random_state=0)


def value(frame, metric, k, slice_="all"):
    rows = frame[(frame.metric == metric) & (frame.k == k) & (frame.slice == slice_)]
    assert len(rows) == 1
    return float(rows.value.iloc[0])


def looped_metrics(scores, users, items, train, test, k, only=None):
    """Recall, NDCG and hits over interactions, by sorting every user's unseen items; from the definitions."""
    seen = set(zip(train.user_ids.tolist(), train.item_ids.tolist(), strict=True))
    recalls, gains, found, held_out = [], [], 0, 0
    for row, user in enumerate(users):
        wanted = {
            item
            for other, item in zip(test.user_ids.tolist(), test.item_ids.tolist(), strict=True)
            if other == user and (user, item) not in seen and (only is None or item in only)
        }
        if not wanted:
            continue
        left = [
            (-scores[row, column], column) for column, item in enumerate(items) if (user, item) not in seen
        ]
        ranked = [items[column] for _, column in sorted(left)[:k]]
        hits = [item in wanted for item in ranked]
        recalls.append(sum(hits) / len(wanted))
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted))))
        gains.append(sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits)) / ideal)
        found, held_out = found + sum(hits), held_out + len(wanted)
    return np.mean(recalls), np.mean(gains), found / held_out


@pytest.mark.parametrize("model", [Popularity(), EASE(50.0)], ids=["popularity", "ease"])
def test_equals_a_loop(split, model):
    train, test = split
    model.fit(train)
    frame = evaluate_retriever(model, train, test, k=(3, 10), n_bootstrap=0)
    scores = model._score_block(np.arange(model.user_ids_.size))
    for k in (3, 10):
        expected = looped_metrics(scores, model.user_ids_, model.item_ids_.tolist(), train, test, k)
        actual = [value(frame, metric, k) for metric in ("recall", "ndcg", "hit_rate_per_interaction")]
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_some_users_only(split):
    train, test = split
    test = test.take(test.user_ids % 3 == 2)
    model = EASE(50.0).fit(train)
    frame = evaluate_retriever(model, train, test, k=5, n_bootstrap=0)
    scores = model._score_block(np.arange(model.user_ids_.size))
    expected = looped_metrics(scores, model.user_ids_, model.item_ids_.tolist(), train, test, 5)
    actual = [value(frame, metric, 5) for metric in ("recall", "ndcg", "hit_rate_per_interaction")]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_slices_equal_a_loop(split):
    train, test = split
    model = EASE(50.0).fit(train)
    scores = model._score_block(np.arange(model.user_ids_.size))
    ids, counts = np.unique(train.item_ids, return_counts=True)
    order = ids[np.argsort(-counts, kind="stable")]
    shares = (np.cumsum(np.sort(counts)[::-1]) - np.sort(counts)[::-1]) / counts.sum()
    head = set(order[shares < 0.5].tolist())
    frame = evaluate_retriever(model, train, test, k=5, n_bootstrap=0)
    expected = looped_metrics(scores, model.user_ids_, model.item_ids_.tolist(), train, test, 5, only=head)
    actual = [value(frame, metric, 5, "head") for metric in ("recall", "ndcg", "hit_rate_per_interaction")]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    parts = frame[(frame.metric == "recall") & (frame.slice != "all")].n_interactions
    assert parts.sum() == frame[frame.slice == "all"].n_interactions.iloc[0]


def test_the_checkerboard_is_solved():
    log = make_checkerboard(10)
    test = Interactions(np.arange(10), np.arange(10))
    frame = evaluate_retriever(EASE(1.0).fit(log), log, test, k=1)
    for metric in (
        "recall",
        "ndcg",
        "map",
        "mrr",
        "hit",
        "precision",
        "hit_rate_per_interaction",
        "coverage",
    ):
        assert value(frame, metric, 1) == pytest.approx(1.0)
    assert value(frame, "gini", 1) == pytest.approx(0.0)
    row = frame[(frame.metric == "recall") & (frame.slice == "all")].iloc[0]
    assert (row.low, row.high, row.n_users, row.n_interactions) == (1.0, 1.0, 10, 10)


def test_the_seen_items_are_those_of_train_and_not_those_of_fit():
    fitted = Interactions(["u", "v", "v"], ["a", "b", "c"])
    more = Interactions(["u", "v", "v", "u"], ["a", "b", "c", "b"])
    model = Popularity().fit(fitted)
    test = Interactions(["u"], ["c"])
    assert value(evaluate_retriever(model, fitted, test, k=1, n_bootstrap=0), "recall", 1) == 0.0
    assert value(evaluate_retriever(model, more, test, k=1, n_bootstrap=0), "recall", 1) == 1.0


def test_unknown_users_and_items_are_misses():
    train = Interactions(["u", "u", "v"], ["a", "b", "a"])
    test = Interactions(["v", "v", "new", "new"], ["b", "z", "a", "y"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = evaluate_retriever(Popularity().fit(train), train, test, k=1, n_bootstrap=0)
    assert value(frame, "recall", 1) == pytest.approx((1 / 2 + 0) / 2)
    assert value(frame, "hit_rate_per_interaction", 1) == pytest.approx(1 / 4)
    assert value(frame, "recall", 1, "unseen") == 0.0
    assert frame.attrs == {
        "n_pairs_of_unknown_users": 2,
        "n_pairs_of_unknown_items": 2,
        "n_pairs_left_out_as_seen": 0,
    }


def test_all_users_unknown():
    train = Interactions(["u", "v"], ["a", "b"])
    frame = evaluate_retriever(Popularity().fit(train), train, Interactions(["w"], ["a"]), k=1, n_bootstrap=5)
    assert value(frame, "recall", 1) == 0.0
    assert value(frame, "coverage", 1) == 0.0


def test_pairs_of_train_are_left_out_of_test_unless_they_are_ranked():
    train = Interactions(["u", "u", "v"], ["a", "b", "c"])
    test = Interactions(["u", "u", "v"], ["a", "c", "c"])
    model = Popularity().fit(train)
    frame = evaluate_retriever(model, train, test, k=1, n_bootstrap=0)
    assert frame.attrs["n_pairs_left_out_as_seen"] == 2
    assert frame[frame.slice == "all"].n_interactions.iloc[0] == 1
    assert value(frame, "recall", 1) == 1.0
    kept = evaluate_retriever(model, train, test, k=1, filter_seen=False, n_bootstrap=0)
    assert kept[kept.slice == "all"].n_interactions.iloc[0] == 3
    assert value(kept, "recall", 1) == pytest.approx(1 / 4)


def test_duplicates_count_once():
    train = Interactions(["u", "u", "v", "v"], ["a", "a", "b", "c"])
    test = Interactions(["u", "u", "u"], ["b", "b", "c"])
    model = Popularity().fit(train)
    frame = evaluate_retriever(model, train, test, k=1, n_bootstrap=0)
    assert value(frame, "recall", 1) == pytest.approx(1 / 2)
    assert frame[frame.slice == "all"].n_interactions.iloc[0] == 2


class KnowsMore(FactorRecommender):
    """A model whose catalogue is larger than the log, as that of a model with item features."""

    def _catalogue(self, interactions):
        return np.array(["a", "b", "cold"])

    def _fit(self, weights, interactions):
        self.user_factors_ = np.ones((self.user_ids_.size, 1), dtype=np.float32)
        self.item_factors_ = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)


def test_an_unseen_item_is_found_where_the_model_knows_it():
    train = Interactions(["u", "v"], ["a", "b"])
    test = Interactions(["u", "v"], ["cold", "elsewhere"])
    frame = evaluate_retriever(KnowsMore().fit(train), train, test, k=1, n_bootstrap=0)
    assert value(frame, "recall", 1, "unseen") == pytest.approx(1 / 2)
    assert frame.attrs["n_pairs_of_unknown_items"] == 1


def test_own_slices(split):
    train, test = split
    slices = {"few": [0, 1, 2], "none": [], "elsewhere": [10_000]}
    frame = evaluate_retriever(Popularity().fit(train), train, test, k=5, slices=slices, n_bootstrap=3)
    assert frame.slice.unique().tolist() == ["all", "few", "none", "elsewhere"]
    assert math.isnan(value(frame, "recall", 5, "none"))


def test_no_slices_and_order_of_rows(split):
    train, test = split
    frame = evaluate_retriever(Popularity().fit(train), train, test, k=[10, 5], slices=None, n_bootstrap=0)
    assert frame.columns.tolist() == [
        "slice", "metric", "k", "value", "low", "high", "n_users", "n_interactions",
    ]  # fmt: skip
    assert frame.slice.unique().tolist() == ["all"]
    assert frame[frame.metric == "recall"].k.tolist() == [5, 10]


def test_intervals_hold_the_value(split):
    train, test = split
    frame = evaluate_retriever(EASE(50.0).fit(train), train, test, k=5, n_bootstrap=200)
    inside = frame.dropna()
    assert len(inside) >= 7
    assert ((inside.low <= inside.value) & (inside.value <= inside.high)).all()


def test_frames_are_accepted(split):
    import pandas as pd

    train, test = split
    model = Popularity().fit(train)
    frames = [pd.DataFrame({"user_id": log.user_ids, "item_id": log.item_ids}) for log in split]
    left = evaluate_retriever(model, *frames, k=5, n_bootstrap=0)
    pd.testing.assert_frame_equal(left, evaluate_retriever(model, train, test, k=5, n_bootstrap=0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "`k` must be at least 1"),
        ({"k": ()}, "`k` must be non-empty"),
        ({"k": 41}, "`k` must be in"),
        ({"slices": "fame"}, "`slices` must be one of"),
        ({"n_bootstrap": -1}, "`n_bootstrap` must be"),
    ],
)
def test_bad_arguments(split, arguments, message):
    train, test = split
    with pytest.raises(ValueError, match=message):
        evaluate_retriever(Popularity().fit(train), train, test, **({"k": 5} | arguments))


def test_empty_test(split):
    train, test = split
    with pytest.raises(ValueError, match="`test` must be non-empty"):
        evaluate_retriever(Popularity().fit(train), train, test.take(slice(0, 0)), k=5)


def test_rankings_of_another_library_give_the_same(split):
    import pandas as pd

    train, test = split
    model = EASE(50.0).fit(train)
    users = np.unique(test.user_ids)[::-1]
    items, _ = model.recommend(users, 12)
    ours = evaluate_retriever(model, train, test, k=(5, 10), n_bootstrap=10)
    theirs = evaluate_rankings(users, items, train, test, k=(5, 10), n_bootstrap=10)
    pd.testing.assert_frame_equal(ours, theirs)


def test_rankings_of_some_users_only():
    train = Interactions(["u", "v"], ["a", "b"])
    test = Interactions(["u", "v"], ["b", "a"])
    frame = evaluate_rankings(["u"], [["b", "q"]], train, test, k=1, n_bootstrap=0)
    assert value(frame, "recall", 1) == pytest.approx(1 / 2)
    assert frame.attrs["n_pairs_of_unknown_users"] == 1


def test_rankings_are_checked():
    train = Interactions(["u", "v"], ["a", "b"])
    with pytest.raises(ValueError, match="`user_ids` must be distinct"):
        evaluate_rankings(["u", "u"], [["b"], ["b"]], train, train, k=1)
    with pytest.raises(ValueError, match="`k` must be in"):
        evaluate_rankings(["u"], [["b"]], train, train, k=2)
