import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.encoding.features import NUM_RESERVED, OOV
from recsys_ssl.encoding.growing_vocabulary import GrowingVocabulary

BATCHES = st.lists(st.lists(st.integers(0, 25), max_size=12), max_size=25)


def test_by_hand():
    vocabulary = GrowingVocabulary(8, min_count=2)
    assert vocabulary.update([70, 50, 70, 90]).tolist() == [3]
    assert vocabulary.lookup([90, 70, 50, -1]).tolist() == [OOV, 3, OOV, OOV]
    assert vocabulary.update([90, 20, 50]).tolist() == [4, 5]  # in the order of first occurrence
    assert vocabulary.lookup([70, 90, 50, 20]).tolist() == [3, 4, 5, OOV]
    assert vocabulary.counts([70, 90, 20, 1]).tolist() == [2, 2, 1, 0]
    assert vocabulary.ids_of([5, 3]).tolist() == [50, 70]
    # 70 was last seen in the first of three updates.
    vocabulary.update([90])
    assert vocabulary.evict(unseen_for=2).tolist() == [3]
    assert vocabulary.evict(unseen_for=2).tolist() == []
    assert vocabulary.lookup([70, 90]).tolist() == [OOV, 4]
    assert vocabulary.counts([70]).tolist() == [0]
    # The freed row goes to the next id; 90 and 50 keep theirs.
    assert vocabulary.update([20, 30, 30]).tolist() == [3, 6]
    assert vocabulary.lookup([20, 30, 90, 50]).tolist() == [3, 6, 4, 5]
    assert len(vocabulary) == 4


@given(BATCHES, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_against_exact_counting_in_a_slow_loop(batches, min_count):
    vocabulary = GrowingVocabulary(40, min_count=min_count)
    counts, rows = {}, {}
    for batch in batches:
        new = []
        for number in batch:
            counts[number] = counts.get(number, 0) + 1
        for number in dict.fromkeys(batch):
            if number not in rows and counts[number] >= min_count:
                rows[number] = NUM_RESERVED + len(rows)
                new.append(rows[number])
        assert vocabulary.update(batch).tolist() == new
        assert vocabulary.lookup(range(27)).tolist() == [rows.get(number, OOV) for number in range(27)]
    assert vocabulary.counts(range(27)).tolist() == [counts.get(number, 0) for number in range(27)]
    assert vocabulary.undercount == 0


@given(BATCHES, st.integers(1, 3), st.integers(4, 12))
@settings(max_examples=100, deadline=None)
def test_a_small_table_that_evicts(batches, min_count, capacity):
    vocabulary = GrowingVocabulary(capacity, min_count=min_count, when_full="evict", max_candidates=3)
    before = {}
    for batch in batches:
        try:
            new = set(vocabulary.update(batch).tolist())
        except ValueError:
            assert len(set(batch)) > capacity - NUM_RESERVED
            continue
        found = vocabulary.lookup(range(27))
        rows = {number: row for number, row in enumerate(found.tolist()) if row != OOV}
        assert len(set(rows.values())) == len(rows) == len(vocabulary) <= capacity - NUM_RESERVED
        assert all(NUM_RESERVED <= row < capacity for row in rows.values())
        for number, row in rows.items():
            # An id keeps its row, or its row is among those to reset.
            assert before.get(number) == row or row in new
        for number in set(batch) & set(before):
            assert rows[number] == before[number], "an id of the batch was evicted"
        before = rows


def test_room_is_made_by_age_then_by_count():
    vocabulary = GrowingVocabulary(6, when_full="evict")
    vocabulary.update(["old", "old", "older"])
    vocabulary.update(["young"])
    assert vocabulary.update(["new"]).tolist() == vocabulary.lookup(["new"]).tolist() == [4]
    assert vocabulary.lookup(["older", "old", "young"]).tolist() == [OOV, 3, 5]
    assert vocabulary.update(["newer", "young"]).tolist() == [3]
    with pytest.raises(ValueError, match="`capacity` must be at least 7 for these ids; got 6"):
        vocabulary.update(["a", "b", "c", "d"])
    assert vocabulary.lookup(["newer", "new", "young"]).tolist() == [3, 4, 5]


def test_a_hundredth_of_the_rows_becomes_free_at_once():
    vocabulary = GrowingVocabulary(1003, when_full="evict")
    vocabulary.update(np.arange(1000))
    assert len(vocabulary.update([5000])) == 1
    assert len(vocabulary) == 991


def test_a_full_table_raises_and_nothing_changes():
    vocabulary = GrowingVocabulary(5)
    vocabulary.update([1, 2])
    state = vocabulary.state_dict()
    with pytest.raises(ValueError, match=r"evict\(...\) or grow\(...\)"):
        vocabulary.update([1, 3])
    for name, array in vocabulary.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    vocabulary.grow(7)
    assert vocabulary.update([1, 3]).tolist() == [5]
    assert vocabulary.lookup([1, 2, 3]).tolist() == [3, 4, 5]


def test_evicting_the_rare_the_old_and_both():
    def made():
        vocabulary = GrowingVocabulary(20)
        vocabulary.update([1, 1, 1, 2])
        vocabulary.update([3, 3, 3, 4])
        return vocabulary  # rows 3 to 6

    assert made().evict(below_count=3).tolist() == [4, 6]
    assert made().evict(below_count=2).tolist() == [4, 6]
    assert made().evict(below_count=1).tolist() == []
    assert made().evict(unseen_for=1).tolist() == [3, 4]
    assert made().evict(unseen_for=2).tolist() == []
    assert made().evict(unseen_for=1, below_count=2).tolist() == [4]
    vocabulary = made()
    vocabulary.evict(below_count=2)
    assert vocabulary.update([7, 8, 9]).tolist() == [4, 6, 7]


def test_an_evicted_id_starts_again():
    vocabulary = GrowingVocabulary(10, min_count=3)
    vocabulary.update([1, 1, 1])
    vocabulary.evict(below_count=4)
    assert vocabulary.update([1, 1]).tolist() == []
    assert vocabulary.update([1]).tolist() == [3]


def test_memory_of_candidates_is_bounded_and_nobody_comes_in_early():
    vocabulary = GrowingVocabulary(100, min_count=3, max_candidates=50)
    n = 0
    for step in range(300):
        once = np.arange(step * 40, step * 40 + 40) + 1000
        new = vocabulary.update(np.concatenate([once, [step % 2]]))
        n += 41
        assert set(vocabulary.ids_of(new).tolist()) <= {0, 1}
        assert len(vocabulary.state_dict()["candidate_ids"]) <= 100
        assert vocabulary.undercount <= n / 51
    assert len(vocabulary) == 2


@pytest.mark.parametrize("kind", ["integers", "strings", "nothing"])
def test_the_state_goes_through_a_file_without_pickle(kind, tmp_path):
    def named(numbers):
        return [f"ïd {number}" for number in numbers] if kind == "strings" else list(numbers)

    vocabulary = GrowingVocabulary(15, min_count=2, when_full="evict", max_candidates=4)
    generator = np.random.default_rng(0)
    batches = [named(generator.integers(0, 30, size=12).tolist()) for _ in range(40)]
    for batch in [] if kind == "nothing" else batches[:20]:
        vocabulary.update(batch)
    vocabulary.evict(below_count=2, unseen_for=3)
    np.savez(tmp_path / "vocabulary.npz", **vocabulary.state_dict())
    with np.load(tmp_path / "vocabulary.npz", allow_pickle=False) as file:
        again = GrowingVocabulary.from_state_dict(file)
    assert (again.capacity, again.min_count, again.when_full) == (15, 2, "evict")
    # They stay alike in all that follows.
    for batch in batches[20:]:
        assert again.update(batch).tolist() == vocabulary.update(batch).tolist()
    for name, array in again.state_dict().items():
        assert array.dtype.kind in "iU"
        np.testing.assert_array_equal(array, vocabulary.state_dict()[name])


def test_broken_states():
    vocabulary = GrowingVocabulary(10)
    vocabulary.update([1, 2, 3])
    state = vocabulary.state_dict()
    with pytest.raises(ValueError, match="got no counts"):
        GrowingVocabulary.from_state_dict({name: state[name] for name in state if name != "counts"})
    for change in (
        {"rows": np.array([3, 3, 4])},
        {"rows": np.array([2, 3, 4])},
        {"rows": np.array([3, 4, 10])},
        {"counts": np.array([1, 1])},
        {"counts": np.array([1, 1, 0])},
        {"ids": np.array([1, 1, 2])},
    ):
        with pytest.raises(ValueError, match="`state`"):
            GrowingVocabulary.from_state_dict({**state, **change})


def test_shards_add_up_to_the_whole_stream():
    generator = np.random.default_rng(1)
    batches = [generator.zipf(1.5, size=30) % 40 for _ in range(30)]
    whole, shards = GrowingVocabulary(60, min_count=4), [GrowingVocabulary(60, min_count=4) for _ in range(2)]
    for step, batch in enumerate(batches):
        whole.update(batch)
        shards[step % 2].update(batch)
    before = shards[0].lookup(np.arange(40))
    other = shards[1].state_dict()
    new = shards[0].merge(shards[1])
    everybody = np.arange(40)
    np.testing.assert_array_equal(shards[0].counts(everybody), whole.counts(everybody))
    rows = shards[0].lookup(everybody)
    np.testing.assert_array_equal(rows == OOV, whole.lookup(everybody) == OOV)
    np.testing.assert_array_equal(rows[before != OOV], before[before != OOV])
    assert set(new.tolist()) == set(rows[(before == OOV) & (rows != OOV)].tolist())
    for name, array in shards[1].state_dict().items():
        np.testing.assert_array_equal(array, other[name])


def test_the_age_of_merged_ids_is_the_younger_one():
    left, right = GrowingVocabulary(20), GrowingVocabulary(20)
    for batch in ([1, 2], [], [], []):
        left.update(batch)
    for batch in ([1, 3], [1]):
        right.update(batch)
    left.merge(right)
    # Not seen for: 1 no update (right saw it in its last one), 2 three, 3 one.
    assert left.updates == 4
    assert left.lookup([1, 2, 3]).tolist() == [3, 4, 5]
    assert left.evict(unseen_for=3).tolist() == [4]
    assert left.evict(unseen_for=2).tolist() == []
    assert left.evict(unseen_for=1).tolist() == [5]
    assert left.lookup([1, 2, 3]).tolist() == [3, OOV, OOV]


def test_merging_what_has_seen_more_updates():
    left, right = GrowingVocabulary(20), GrowingVocabulary(20)
    left.update([1])
    for batch in ([2], [], []):
        right.update(batch)
    left.merge(right)
    # 1 came in the last update of the left one, 2 two before the last of the right one.
    assert left.updates == 3
    assert left.evict(unseen_for=1).tolist() == [4]
    assert left.lookup([1, 2]).tolist() == [3, OOV]


def test_merging_what_does_not_fit():
    left, right = GrowingVocabulary(5), GrowingVocabulary(5)
    left.update([1, 2])
    right.update([2, 3])
    state = left.state_dict()
    with pytest.raises(ValueError, match="capacity"):
        left.merge(right)
    for name, array in left.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    with pytest.raises(ValueError, match="min_count"):
        left.merge(GrowingVocabulary(5, min_count=2))
    strings = GrowingVocabulary(5)
    strings.update(["a"])
    with pytest.raises(ValueError, match="same kind"):
        left.merge(strings)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "integers or strings"),
        ([1, float("nan")], ValueError, "missing"),
        ([1, None], ValueError, "missing"),
        (["a", ""], ValueError, "missing"),
        ([1, "a"], TypeError, "one kind"),
        ([[1, 2]], TypeError, "integers or strings"),
        (np.ones((2, 2), int), ValueError, "1-dimensional"),
        ([True], TypeError, "integers or strings"),
        ([2**63], ValueError, "int64"),
        ("tea", TypeError, "array or a list"),
        (["a"], ValueError, "must be integers, as before; got strings"),
    ],
)
def test_bad_ids(ids, error, message):
    vocabulary = GrowingVocabulary(10)
    vocabulary.update([1])
    for method in (vocabulary.update, vocabulary.lookup, vocabulary.counts):
        with pytest.raises(error, match=message):
            method(ids)
    assert vocabulary.updates == 1


def test_integers_for_a_vocabulary_of_strings():
    vocabulary = GrowingVocabulary(10)
    vocabulary.update(["a"])
    with pytest.raises(ValueError, match="must be strings, as before; got integers"):
        vocabulary.lookup([1])


def test_no_ids():
    vocabulary = GrowingVocabulary(10)
    assert (
        vocabulary.update([]).tolist()
        == vocabulary.lookup([]).tolist()
        == vocabulary.counts([]).tolist()
        == []
    )
    assert vocabulary.update(["a"]).tolist() == [3]
    assert vocabulary.update([]).dtype == vocabulary.lookup([]).dtype == np.int32
    assert vocabulary.ids_of([]).tolist() == []


def test_rows_without_an_id():
    vocabulary = GrowingVocabulary(10)
    vocabulary.update(["a", "b"])
    vocabulary.evict(below_count=2)
    for row in (0, OOV, 3, 9):
        with pytest.raises(ValueError, match=f"row {row}, which is reserved or free"):
            vocabulary.ids_of([row])
    with pytest.raises(ValueError, match="rows"):
        vocabulary.ids_of([10])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"capacity": -5}, ValueError, "capacity"),
        ({"capacity": 3}, ValueError, "reserved for missing"),
        ({"capacity": 2**31}, ValueError, "capacity"),
        ({"capacity": 10.0}, TypeError, "capacity"),
        ({"min_count": 0}, ValueError, "min_count"),
        ({"max_candidates": 0}, ValueError, "max_candidates"),
        ({"when_full": "wait"}, ValueError, "when_full"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        GrowingVocabulary(**{"capacity": 10, **arguments})


def test_bad_evictions_and_growth():
    vocabulary = GrowingVocabulary(10)
    with pytest.raises(ValueError, match="must be given"):
        vocabulary.evict()
    with pytest.raises(ValueError, match="below_count"):
        vocabulary.evict(below_count=0)
    with pytest.raises(ValueError, match="unseen_for"):
        vocabulary.evict(unseen_for=-1)
    with pytest.raises(ValueError, match="more"):
        vocabulary.grow(10)
