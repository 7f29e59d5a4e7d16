import math

import numpy as np
import pytest

from recsys_ssl.baselines.ials import IALS
from recsys_ssl.encoding.features import Category
from recsys_ssl.funnels.conversion_ranking import rank_by_conversion
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.funnels.score_fusion import fused_scores, rank_by_fused_scores
from sparse_data.datasets.interactions import Interactions

pytestmark = pytest.mark.usefixtures("eager")

GENERATOR = np.random.default_rng(0)
N, N_USERS, N_ITEMS = 300, 12, 9
SHOWN_TO = GENERATOR.integers(0, N_USERS, size=N)
SHOWN = GENERATOR.integers(0, N_ITEMS, size=N)
CLICKS = (GENERATOR.random(N) < 0.3).astype(int)
CONVERSIONS = CLICKS * (GENERATOR.random(N) < 0.5)


@pytest.fixture(scope="module")
def classifier(eager):
    features = [Category("user_id"), Category("item_id")]
    tiny = {"dim": 4, "hidden_units": (), "epochs": 2, "learning_rate": 0.3, "verbose": False}
    model = EntireSpaceClassifier(features=features, validation_fraction=0.0, **tiny)
    return model.fit({"user_id": SHOWN_TO, "item_id": SHOWN}, CLICKS, CONVERSIONS)


@pytest.fixture(scope="module")
def retriever():
    return IALS(4, random_state=0).fit(Interactions(SHOWN_TO[CLICKS == 1], SHOWN[CLICKS == 1]))


def by_a_loop(retriever, classifier, user, k, candidates, by, weight, **filters):
    """Return the k best of a user and their scores, written out."""
    items, relevance = retriever.recommend([user], candidates, **filters)
    found = []
    for place, (item, score) in enumerate(zip(items[0].tolist(), relevance[0].tolist(), strict=True)):
        if score == -math.inf:
            found.append((math.inf, place, item))
            continue
        chance = classifier.predict_proba({"user_id": [user], "item_id": [item]})[by][0]
        found.append((-(score + weight * math.log(chance)), place, item))
    best = sorted(found)[:k]
    return [item for _, _, item in best], [-score for score, _, _ in best]


@pytest.mark.parametrize(("by", "weight"), [("cvr", 1.0), ("ctcvr", 0.3)])
def test_order_is_that_of_relevance_times_chance(retriever, classifier, by, weight):
    users = np.array([3, 0, 7, 11])
    items, scores = rank_by_fused_scores(
        retriever, classifier, users, k=3, candidates=6, by=by, weight=weight, filter_seen=False
    )
    for row, user in enumerate(users.tolist()):
        expected = by_a_loop(retriever, classifier, user, 3, 6, by, weight, filter_seen=False)
        assert items[row].tolist() == expected[0]
        np.testing.assert_allclose(scores[row], expected[1], rtol=1e-5)
    plain, _ = retriever.recommend(users, 3, filter_seen=False)
    alone, _ = rank_by_conversion(retriever, classifier, users, k=3, candidates=6, by=by, filter_seen=False)
    assert (items != plain).any()
    assert (items != alone).any()


def test_without_weight_the_order_is_the_retrievers(retriever, classifier):
    items, scores = rank_by_fused_scores(retriever, classifier, np.arange(5), k=3, weight=0)
    expected = retriever.recommend(np.arange(5), 3)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


def test_filters_reach_both(retriever, classifier):
    items, scores = rank_by_fused_scores(retriever, classifier, [4], k=4, allow=[1, 2, 3, 5, 8], deny=[5])
    expected = by_a_loop(retriever, classifier, 4, 4, 4, "cvr", 1.0, allow=[1, 2, 3, 8])
    assert items[0].tolist() == expected[0]
    np.testing.assert_allclose(scores[0], expected[1], rtol=1e-5)


def test_a_user_with_fewer_candidates_gets_what_there_is(classifier):
    log = Interactions([0] * 8 + [1] * 2, [*range(8), 0, 8])
    items, scores = rank_by_fused_scores(IALS(2, random_state=0).fit(log), classifier, [0, 1], k=2)
    assert items[0].tolist() == [8, -1]
    assert np.isneginf(scores[0]).tolist() == [False, True]
    assert np.isfinite(scores[1]).all()


def test_unknown_users_are_warned_of_once(retriever, classifier):
    with pytest.warns(UserWarning, match="popularity prior") as caught:
        items, _ = rank_by_fused_scores(retriever, classifier, [99], k=2)
    assert len(caught) == 1
    assert items.shape == (1, 2)


def test_fused_scores_of_absent_items_and_impossible_conversions():
    scores = fused_scores([1.0, -np.inf, 2.0], [0.5, np.nan, 0.0], weight=2.0)
    np.testing.assert_allclose(scores, [1 + 2 * math.log(0.5), -np.inf, -np.inf])


def test_input_is_not_altered():
    relevance, chances = np.array([1.0, 2.0]), np.array([0.5, 0.25])
    for weight in (0, 1):
        assert fused_scores(relevance, chances, weight=weight) is not relevance
    assert relevance.tolist() == [1.0, 2.0]
    assert chances.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("relevance", "chances", "weight", "message"),
    [
        ([1.0], [0.5, 0.5], 1.0, "`chances` must be of the shape"),
        ([np.nan], [0.5], 1.0, "`relevance` must be finite"),
        ([np.inf], [0.5], 1.0, "`relevance` must be finite"),
        ([1.0], [1.5], 1.0, r"`chances` must be in \[0, 1\]; got 1.5"),
        ([1.0], [np.nan], 1.0, "`chances` must be in"),
        ([1.0], [0.5], -1.0, "`weight` must be"),
    ],
)
def test_bad_numbers(relevance, chances, weight, message):
    with pytest.raises(ValueError, match=message):
        fused_scores(relevance, chances, weight=weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 5, "candidates": 4}, "`candidates` must be"),
        ({"k": 10}, "`k` must be"),
        ({"k": 3, "allow": [1, 2]}, "`k` must be at most"),
        ({"k": 2, "by": "ctr"}, "`by` must be"),
        ({"k": 2, "weight": -0.5}, "`weight` must be"),
    ],
)
def test_bad_settings(retriever, classifier, settings, message):
    with pytest.raises(ValueError, match=message):
        rank_by_fused_scores(retriever, classifier, [0], **settings)
