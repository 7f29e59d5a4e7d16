import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.splits import global_time_split, leave_last_out, per_user_split, random_split
from sparse_data.datasets import Interactions


def make_log(n_rows=200, n_users=12, seed=0):
    generator = np.random.default_rng(seed)
    return Interactions(
        generator.integers(0, n_users, size=n_rows),
        np.arange(n_rows),
        timestamps=generator.integers(0, 50, size=n_rows),
        items={"item_id": np.arange(n_rows)},
    )


def rows_of(parts):
    return [part.item_ids.tolist() for part in parts]


SPLITS = {
    "random": lambda log: random_split(log, (0.7, 0.2, 0.1), random_state=5),
    "per user": lambda log: per_user_split(log, (0.7, 0.2, 0.1), random_state=5),
    "per user, rest last": lambda log: per_user_split(log, (0.7, 0.2, 0.1), remainder="last", random_state=5),
    "last": lambda log: leave_last_out(log, 3),
    "time": lambda log: global_time_split(log, (0.7, 0.2, 0.1)),
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
class TestEverySplit:
    def test_each_row_is_in_one_part_in_order(self, split):
        parts = rows_of(split(make_log()))
        assert sorted(itertools.chain(*parts)) == list(range(200))
        assert all(part == sorted(part) for part in parts)
        assert len(parts) == 3

    def test_same_again(self, split):
        assert rows_of(split(make_log())) == rows_of(split(make_log()))

    def test_side_tables_stay_whole(self, split):
        assert all(len(part.items["item_id"]) == 200 for part in split(make_log()))

    def test_empty_log(self, split):
        empty = make_log().take(slice(0, 0))
        assert [len(part) for part in split(empty)] == [0, 0, 0]


def test_random_sizes():
    assert [len(part) for part in random_split(make_log(), (0.8, 0.15, 0.05), random_state=0)] == [
        160,
        30,
        10,
    ]


def test_another_state_another_split():
    log = make_log()
    for split in (random_split, per_user_split):
        assert rows_of(split(log, random_state=0)) != rows_of(split(log, random_state=1))


def test_every_row_has_the_same_chance():
    log = make_log(20, 1)
    counts = np.zeros(20)
    for seed in range(600):
        counts[per_user_split(log, (0.5, 0.5), random_state=seed)[1].item_ids] += 1
    # Binomial(600, 1/2) has the standard deviation 12.2.
    assert np.abs(counts - 300).max() < 60


@pytest.mark.parametrize(
    ("remainder", "n", "sizes"),
    [
        ("first", 10, (8, 1, 1)),
        ("first", 19, (17, 1, 1)),
        ("first", 20, (16, 2, 2)),
        ("first", 5, (3, 1, 1)),
        ("first", 2, (1, 0, 1)),
        ("first", 1, (1, 0, 0)),
        ("last", 10, (8, 1, 1)),
        ("last", 19, (15, 2, 2)),
        ("last", 14, (11, 1, 2)),
        ("last", 1, (1, 0, 0)),
        ("last", 2, (1, 0, 1)),
    ],
)
def test_per_user_sizes(remainder, n, sizes):
    log = Interactions(["u"] * n, list(range(n)))
    parts = per_user_split(log, (0.8, 0.1, 0.1), remainder=remainder, random_state=0)
    assert tuple(len(part) for part in parts) == sizes


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 9))
def test_per_user_split_leaves_every_user_a_training_row(users, seed):
    log = Interactions(users, np.arange(len(users)))
    for remainder in ("first", "last"):
        train, _, test = per_user_split(log, (0.8, 0.1, 0.1), remainder=remainder, random_state=seed)
        assert set(train.user_ids.tolist()) == set(users)
        assert {user for user in users if users.count(user) > 1} == set(test.user_ids.tolist())


def test_leave_last_out_by_hand():
    log = Interactions(["a", "b", "a", "a", "b", "c"], [0, 1, 2, 3, 4, 5], timestamps=[9, 1, 3, 9, 2, 0])
    # a in time: 2, then 0 and 3 at the same time in the order of the log; b: 1, 4; c: 5.
    train, test = leave_last_out(log)
    assert (train.item_ids.tolist(), test.item_ids.tolist()) == ([0, 1, 2, 5], [3, 4])
    train, valid, test = leave_last_out(log, 3)
    assert rows_of((train, valid, test)) == [[1, 2, 5], [0], [3, 4]]


def test_global_time_split_divides_no_moment():
    times = np.array([5, 1, 1, 2, 2, 2, 3, 4])
    log = Interactions(np.zeros(8, dtype=int), np.arange(8), timestamps=times)
    train, test = global_time_split(log, (0.5, 0.5))
    # The fifth of eight rows in time is at 2, and all rows at 2 go to the later part.
    assert train.timestamps.tolist() == [1, 1]
    assert sorted(test.timestamps.tolist()) == [2, 2, 2, 3, 4, 5]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_global_time_parts_do_not_overlap(times):
    log = Interactions(np.zeros(len(times), dtype=int), np.arange(len(times)), timestamps=times)
    parts = global_time_split(log, (0.6, 0.3, 0.1))
    filled = [part.timestamps for part in parts if len(part)]
    assert all(early.max() < late.min() for early, late in itertools.pairwise(filled))


@pytest.mark.parametrize("split", [leave_last_out, global_time_split])
def test_time_splits_need_timestamps(split):
    with pytest.raises(ValueError, match="`interactions` must have timestamps"):
        split(Interactions([1], [2]))


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.5, 0.6), (1.0, 0.0)])
@pytest.mark.parametrize("split", [random_split, per_user_split])
def test_fractions_must_make_a_whole(split, fractions):
    with pytest.raises(ValueError, match="`fractions` must"):
        split(make_log(), fractions)


def test_bad_remainder():
    with pytest.raises(ValueError, match="`remainder` must be one of"):
        per_user_split(make_log(), remainder="middle")
