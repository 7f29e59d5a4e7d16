from collections import Counter

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array

from recsys_ssl.retrieval.batches import InteractionBatches, mark_known_positives

N_USERS, N_ITEMS, N_PAIRS = 7, 9, 40
GENERATOR = np.random.default_rng(0)
CELLS = GENERATOR.choice(N_USERS * N_ITEMS, N_PAIRS, replace=False)
USERS, ITEMS = CELLS // N_ITEMS, CELLS % N_ITEMS
# Every feature is a function of the row that it belongs to.
USER_FEATURES = {
    "user_id": np.arange(N_USERS, dtype=np.int32) + 100,
    "vector": np.arange(N_USERS)[:, None] * [1.0, -1.0],
}
ITEM_FEATURES = {
    "item_id": np.arange(N_ITEMS, dtype=np.int32) + 200,
    "bags": np.arange(N_ITEMS)[:, None] + [0, 1, 2],
}
LOG_Q = np.log(np.linspace(0.01, 0.2, N_ITEMS))
SEEN = csr_array((np.ones(N_PAIRS, dtype=bool), (USERS, ITEMS)), shape=(N_USERS, N_ITEMS))


def make(**changes):
    arguments = {
        "weights": None,
        "user_features": USER_FEATURES,
        "item_features": ITEM_FEATURES,
        "log_q": LOG_Q,
        "batch_size": 8,
        "seed": 3,
        **changes,
    }
    return InteractionBatches(
        arguments.pop("users", USERS), arguments.pop("items", ITEMS), arguments.pop("weights"), **arguments
    )


def epoch_of(batches):
    return [batches[place] for place in range(len(batches))]


def pairs_of(batch):
    return list(zip(batch["query"]["user_id"] - 100, batch["item"]["item_id"] - 200, strict=True))


def test_every_pair_once_an_epoch():
    batches = make()
    assert len(batches) == 5
    for _ in range(3):
        pairs = [pair for (batch,) in epoch_of(batches) for pair in pairs_of(batch)]
        assert Counter(pairs) == Counter(zip(USERS, ITEMS, strict=True))
        batches.on_epoch_end()


def test_the_remainder_is_left_out_and_changes_with_the_epoch():
    batches = make(batch_size=9)
    assert len(batches) == 4
    left_out = []
    for _ in range(150):
        pairs = [pair for (batch,) in epoch_of(batches) for pair in pairs_of(batch)]
        assert len(set(pairs)) == len(pairs) == 36
        left_out.append(set(zip(USERS, ITEMS, strict=True)) - set(pairs))
        batches.on_epoch_end()
    assert set.union(*left_out) == set(zip(USERS, ITEMS, strict=True))


def test_a_log_smaller_than_a_batch_is_one_batch():
    batches = make(batch_size=1000)
    assert len(batches) == 1
    assert len(batches[0][0]["item_ids"]) == N_PAIRS


def test_features_belong_to_their_rows():
    for (batch,) in epoch_of(make(uniform_negatives=5)):
        users = batch["query"]["user_id"] - 100
        np.testing.assert_array_equal(batch["query"]["vector"], np.stack([users, -users], axis=1))
        items, drawn = batch["item"]["item_id"] - 200, batch["negatives"]["item_id"] - 200
        np.testing.assert_array_equal(batch["item_ids"], [*items, *drawn])
        np.testing.assert_array_equal(batch["item"]["bags"][:, 1], items + 1)
        np.testing.assert_array_equal(batch["negatives"]["bags"][:, 2], drawn + 2)
        np.testing.assert_allclose(batch["log_q"], LOG_Q[[*items, *drawn]], rtol=1e-6)
        assert batch["item_ids"].dtype == np.int32
        assert batch["log_q"].dtype == np.float32


def test_the_seed_decides():
    def ids(**changes):
        batches, seen = make(uniform_negatives=4, **changes), []
        for _ in range(2):
            seen += [batch["item_ids"].tolist() for (batch,) in epoch_of(batches)]
            batches.on_epoch_end()
        return seen

    assert ids() == ids()
    assert ids() != ids(seed=4)
    # Two epochs differ in their order and in their draws.
    first, second = ids()[:5], ids()[5:]
    assert all(left[:8] != right[:8] for left, right in zip(first, second, strict=True))
    assert all(left[8:] != right[8:] for left, right in zip(first, second, strict=True))


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    epoch_of(make(uniform_negatives=3))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_further_negatives_are_uniform():
    batches, counts = make(uniform_negatives=50), np.zeros(N_ITEMS)
    for _ in range(40):
        for (batch,) in epoch_of(batches):
            counts += np.bincount(batch["item_ids"][8:], minlength=N_ITEMS)
        batches.on_epoch_end()
    assert counts.sum() == 40 * 5 * 50
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_order_is_uniform_too():
    batches, counts = make(), np.zeros(N_PAIRS)
    for _ in range(300):
        counts[batches.order[:8]] += 1
        batches.on_epoch_end()
    assert stats.chisquare(counts).pvalue > 1e-3


def test_known_positives_by_loops():
    liked = set(zip(USERS.tolist(), ITEMS.tolist(), strict=True))
    for (batch,) in epoch_of(make(uniform_negatives=6, seen=SEEN)):
        users = (batch["query"]["user_id"] - 100).tolist()
        expected = [[(user, item) in liked for item in batch["item_ids"].tolist()] for user in users]
        np.testing.assert_array_equal(batch["known_positives"], expected)
    assert "known_positives" not in make()[0][0]


def test_marking_a_user_of_nothing():
    empty = csr_array((2, 4), dtype=bool)
    marked = mark_known_positives(
        np.array([1, 0]), np.array([3, 0]), empty.indptr.astype(np.int64), empty.indices.astype(np.int64)
    )
    assert marked.tolist() == [[False, False], [False, False]]


def test_weights_go_with_their_pairs():
    weights = USERS + 0.01 * ITEMS
    for batch, target, weight in epoch_of(make(weights=weights)):
        users, items = np.array(pairs_of(batch)).T
        np.testing.assert_allclose(weight, users + 0.01 * items, rtol=1e-6)
        assert target.shape == weight.shape
        assert weight.dtype == np.float32


def test_streaming_probabilities_come_close_to_the_counts():
    # Item 0 is half of the log, the others share the rest.
    items = np.concatenate([np.zeros(200, dtype=int), np.repeat(np.arange(1, 9), 25)])
    arguments = {
        "users": np.arange(400) % N_USERS,
        "items": items,
        "log_q": None,
        "batch_size": 4,
        "uniform_negatives": 4,
    }
    batches = make(**arguments)
    for _ in range(20):
        epoch = epoch_of(batches)
        batches.on_epoch_end()
    found = {}
    for (batch,) in epoch:
        for item, log_q in zip(batch["item_ids"].tolist(), batch["log_q"].tolist(), strict=True):
            found.setdefault(item, []).append(np.exp(log_q))
    for item, q in enumerate([0.5] + [1 / 16] * 8):
        # Probability that one of four draws is the item, then half and half with the uniform draws.
        in_a_batch = 1 - (1 - q) ** 4
        expected = (in_a_batch + 4 / 9) / 8
        assert np.median(found[item]) == pytest.approx(expected, rel=0.25)


def test_inputs_are_left_alone():
    copies = [USERS.copy(), ITEMS.copy(), LOG_Q.copy(), ITEM_FEATURES["bags"].copy()]
    epoch_of(make(uniform_negatives=3, seen=SEEN))
    for copy, array in zip(copies, [USERS, ITEMS, LOG_Q, ITEM_FEATURES["bags"]], strict=True):
        np.testing.assert_array_equal(array, copy)
