import numpy as np
import pandas as pd
import pytest

from recsys_ssl.baselines.popularity import Popularity
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.funnels.conversion_ranking import rank_by_conversion
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from sparse_data import Bags
from sparse_data.datasets.interactions import Interactions

pytestmark = pytest.mark.usefixtures("eager")

GENERATOR = np.random.default_rng(0)
N, N_USERS, N_ITEMS = 300, 12, 9
SHOWN_TO = GENERATOR.integers(0, N_USERS, size=N)
SHOWN = GENERATOR.integers(0, N_ITEMS, size=N)
CLICKS = (GENERATOR.random(N) < 0.6).astype(int)
CONVERSIONS = CLICKS * (GENERATOR.random(N) < 0.5)
USERS = {"user_id": np.arange(N_USERS), "segment": np.char.mod("s%d", np.arange(N_USERS) % 3)}
ITEMS = {
    "item_id": np.arange(N_ITEMS),
    "tags": Bags.from_lists([[item % 4] * (item % 3) for item in range(N_ITEMS)]),
    "price": np.where(np.arange(N_ITEMS) == 2, np.nan, np.arange(N_ITEMS) + 0.5),
}
# Declared once, for both models.
USER_FEATURES = [Category("segment")]
ITEM_FEATURES = [MultiCategory("tags"), Dense("price")]
TINY = {"dim": 4, "hidden_units": (), "epochs": 2, "learning_rate": 0.3, "verbose": False}


def impressions(users, items, **context):
    """Join both side tables, by a loop."""
    columns = {"user_id": list(users), "item_id": list(items)}
    columns["segment"] = [USERS["segment"][user] for user in users]
    columns["tags"] = [ITEMS["tags"][int(item)].tolist() for item in items]
    columns["price"] = [ITEMS["price"][item] for item in items]
    return {**columns, **{name: [value] * len(users) for name, value in context.items()}}


@pytest.fixture(scope="module")
def log():
    bought = CLICKS == 1
    return Interactions(SHOWN_TO[bought], SHOWN[bought], users=USERS, items=ITEMS)


@pytest.fixture(scope="module")
def classifier(eager):
    features = [Category("user_id"), Category("item_id"), *USER_FEATURES, *ITEM_FEATURES]
    return EntireSpaceClassifier(features=features, validation_fraction=0.0, **TINY).fit(
        impressions(SHOWN_TO, SHOWN), CLICKS, CONVERSIONS
    )


@pytest.fixture(scope="module")
def retriever(log):
    return Popularity().fit(log)


@pytest.mark.parametrize("by", ["ctcvr", "cvr"])
def test_candidates_are_in_the_order_of_the_classifier(retriever, classifier, by):
    users, k = np.array([3, 0, 7]), 4
    items, scores = rank_by_conversion(
        retriever, classifier, users, k=k, candidates=6, by=by, users=USERS, items=ITEMS, filter_seen=False
    )
    candidates, _ = retriever.recommend(users, 6, filter_seen=False)
    reordered = False
    for row, user in enumerate(users):
        found = classifier.predict_proba(impressions([user] * 6, candidates[row]))[by]
        best = sorted(range(6), key=lambda place, found=found: -found[place])[:k]
        assert items[row].tolist() == candidates[row][best].tolist()
        np.testing.assert_allclose(scores[row], found[best], rtol=1e-5)
        reordered |= best != list(range(k))
    assert reordered


def test_one_pipeline_with_features_declared_once(log, classifier):
    retriever = TwoTowerRetriever(
        4,
        user_features=USER_FEATURES,
        item_features=ITEM_FEATURES,
        epochs=1,
        validation_fraction=0.0,
        verbose=False,
    ).fit(log)
    items, scores = rank_by_conversion(
        retriever,
        classifier,
        [1, 2],
        k=3,
        users=pd.DataFrame(USERS),
        items=ITEMS,
        filter_seen=False,
        deny=[5],
    )
    assert items.shape == scores.shape == (2, 3)
    assert (np.diff(scores, axis=1) <= 0).all()
    # With all items as candidates the retriever's scores do not matter.
    for row, user in enumerate([1, 2]):
        allowed = np.setdiff1d(np.arange(N_ITEMS), [5])
        found = classifier.predict_proba(impressions([user] * len(allowed), allowed))["ctcvr"]
        assert items[row].tolist() == allowed[np.argsort(-found, kind="stable")[:3]].tolist()


def test_seen_items_leave_gaps(classifier):
    everything = Interactions(np.repeat([0, 1], N_ITEMS - 2), np.tile(np.arange(2, N_ITEMS), 2))
    log = Interactions(
        np.concatenate([everything.user_ids, [2, 2]]), np.concatenate([everything.item_ids, [0, 1]])
    )
    items, scores = rank_by_conversion(Popularity().fit(log), classifier, [0], k=3, users=USERS, items=ITEMS)
    assert sorted(items[0][:2]) == [0, 1]
    assert items[0][2] == -1
    assert scores[0][2] == -np.inf
    assert np.isfinite(scores[0][:2]).all()


def test_a_gap_is_no_item_of_that_id(classifier):
    log = Interactions(np.array([0, 0, 1]), np.array([-1, 3, 4]))
    items, scores = rank_by_conversion(Popularity().fit(log), classifier, [0], k=3, users=USERS, items=ITEMS)
    assert items.tolist() == [[4, -1, -1]]
    assert np.isfinite(scores).tolist() == [[True, False, False]]


def test_unknown_and_undescribed_entities_are_scored(retriever, classifier):
    part = {name: column[np.arange(3)] for name, column in ITEMS.items()}
    with pytest.warns(UserWarning, match="1 of 2 users are not in the log"):
        items, scores = rank_by_conversion(
            retriever, classifier, [0, 99], k=N_ITEMS, users=USERS, items=part, filter_seen=False
        )
    assert sorted(items[1]) == list(range(N_ITEMS))
    assert np.isfinite(scores).all()
    absent = classifier.predict_proba(
        {"user_id": [99], "item_id": [7], "segment": [""], "tags": [[]], "price": [np.nan]}
    )["ctcvr"]
    assert scores[1][items[1] == 7] == pytest.approx(absent)


def test_context_of_the_request(retriever):
    features = [Category("item_id"), Category("hour")]
    shown = {"item_id": SHOWN, "hour": np.arange(N) % 2}
    clicks = np.where((SHOWN + shown["hour"]) % 2 == 0, CLICKS, 0)
    classifier = EntireSpaceClassifier(
        features=features, validation_fraction=0.0, **{**TINY, "epochs": 3}
    ).fit(shown, clicks, clicks * CONVERSIONS)
    settings = {"k": 3, "filter_seen": False}
    items, scores = rank_by_conversion(retriever, classifier, [4, 4], context={"hour": [0, 1]}, **settings)
    for row in range(2):
        expected = classifier.predict_proba({"item_id": items[row], "hour": [row] * 3})["ctcvr"]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-6)
    one = rank_by_conversion(retriever, classifier, 4, context={"hour": 1}, **settings)
    np.testing.assert_array_equal(one[0][0], items[1])
    with pytest.raises(ValueError, match="must be of the same length"):
        rank_by_conversion(retriever, classifier, [4, 4], context={"hour": [0, 1, 1]}, **settings)


def test_ids_that_are_text(classifier):
    log = Interactions(np.char.mod("u%d", SHOWN_TO), np.char.mod("i%d", SHOWN))
    shown = {"user_id": log.user_ids, "item_id": log.item_ids}
    named = EntireSpaceClassifier(validation_fraction=0.0, **TINY).fit(shown, CLICKS, CONVERSIONS)
    items, _ = rank_by_conversion(Popularity().fit(log), named, "u3", k=2, filter_seen=False)
    assert set(items[0]) <= set(log.item_ids)
    with pytest.raises(ValueError, match="Convert"):
        rank_by_conversion(Popularity().fit(log), classifier, ["u3"], k=2, users=USERS, items=ITEMS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": None}, "`segment` must be a column of one of users, items and context.* got it in none"),
        ({"context": {"price": 3.0}}, r"got it in \['items', 'context'\]"),
        ({"by": "ctr"}, "`by` must be one of"),
        ({"k": 0}, "`k` must be"),
        ({"candidates": 2}, "`candidates` must be"),
        ({"allow": [1]}, "`k` must be at most"),
    ],
)
def test_errors(retriever, classifier, changes, message):
    settings = {"k": 3, "candidates": 5, "users": USERS, "items": ITEMS, **changes}
    with pytest.raises(ValueError, match=message):
        rank_by_conversion(retriever, classifier, [0, 1], **settings)
