import math

import numpy as np
import pytest

from recsys_ssl.measures.ranking_accumulator import RankingAccumulator, hit_matrix

N_ITEMS = 9
SLICES = {"all": np.ones(N_ITEMS, dtype=bool), "odd": np.arange(N_ITEMS) % 2 == 1}


def drawn(n_users, seed):
    generator = np.random.default_rng(seed)
    columns = np.argsort(generator.random((n_users, N_ITEMS)), axis=1)[:, :4]
    columns[0, 2:] = -1
    relevant = generator.random((n_users, N_ITEMS)) < 0.3
    return columns, relevant


def filled(columns, relevant, slices=SLICES, k=(1, 3)):
    accumulator = RankingAccumulator(slices, k, n_items=N_ITEMS)
    accumulator.update(columns, *np.nonzero(relevant))
    return accumulator


def by_name(lines):
    return {(line.slice, line.metric, line.k): line for line in lines}


def test_hit_matrix_equals_a_loop():
    columns, relevant = drawn(40, 0)
    expected = [
        [column >= 0 and relevant[user, column] for column in row] for user, row in enumerate(columns)
    ]
    np.testing.assert_array_equal(hit_matrix(columns, *np.nonzero(relevant)), expected)


def test_hit_matrix_over_several_chunks():
    columns = np.zeros((9000, 1), dtype=np.int64)
    users = np.array([0, 4095, 4096, 8999])
    hits = hit_matrix(columns, users, np.zeros(4, dtype=np.int64))
    assert np.flatnonzero(hits[:, 0]).tolist() == users.tolist()


def test_recall_and_hit_rate_equal_a_loop_in_every_slice():
    columns, relevant = drawn(30, 1)
    lines = by_name(filled(columns, relevant).estimates())
    for name, mask in SLICES.items():
        for k in (1, 3):
            recalls, found, held_out = [], 0, 0
            for row, wanted in zip(columns, relevant & mask, strict=True):
                hits = sum(wanted[column] for column in row[:k] if column >= 0)
                if wanted.any():
                    recalls.append(hits / wanted.sum())
                found, held_out = found + hits, held_out + wanted.sum()
            assert lines[name, "recall", k].value == pytest.approx(sum(recalls) / len(recalls))
            assert lines[name, "hit_rate_per_interaction", k].value == pytest.approx(found / held_out)
            assert lines[name, "recall", k].n_users == len(recalls)
            assert lines[name, "recall", k].n_interactions == held_out


def test_coverage_counts_the_lists_and_not_the_padding():
    columns = np.array([[0, 1, -1], [0, 3, -1]])
    relevant = np.zeros((2, N_ITEMS), dtype=bool)
    relevant[:, 0] = True
    lines = by_name(filled(columns, relevant, k=(1, 3)).estimates())
    assert lines["all", "coverage", 1].value == pytest.approx(1 / 9)
    assert lines["all", "coverage", 3].value == pytest.approx(3 / 9)
    assert lines["odd", "coverage", 3].value == pytest.approx(2 / 4)
    # One item in all lists of one: the largest Gini of nine items.
    assert lines["all", "gini", 1].value == pytest.approx(8 / 9)
    assert ("odd", "gini", 1) not in lines
    assert math.isnan(lines["all", "coverage", 1].low)


def test_merged_shards_equal_the_whole():
    columns, relevant = drawn(50, 2)
    whole = filled(columns, relevant)
    shards = filled(columns[:20], relevant[:20]).merge(filled(columns[20:], relevant[20:]))
    left, right = (part.estimates(n_bootstrap=20, random_state=0) for part in (shards, whole))
    assert [line[:3] for line in left] == [line[:3] for line in right]
    np.testing.assert_allclose([line[3:] for line in left], [line[3:] for line in right])


def test_merge_refuses_other_list_lengths():
    columns, relevant = drawn(5, 3)
    with pytest.raises(ValueError, match="`other` must have the same slices"):
        filled(columns, relevant).merge(filled(columns, relevant, k=(2,)))


def test_interval_equals_that_of_the_central_limit():
    """A mean of 0/1 values has the standard error sqrt(p (1 - p) / n)."""
    generator = np.random.default_rng(4)
    hit = generator.random(2000) < 0.3
    columns = np.where(hit, 0, 1)[:, None]
    relevant = np.zeros((2000, N_ITEMS), dtype=bool)
    relevant[:, 0] = True
    lines = by_name(filled(columns, relevant, k=(1,)).estimates(n_bootstrap=2000, random_state=0))
    line = lines["all", "recall", 1]
    error = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / 2000)
    assert line.value == pytest.approx(hit.mean())
    assert line.low == pytest.approx(hit.mean() - error, abs=0.15 * error)
    assert line.high == pytest.approx(hit.mean() + error, abs=0.15 * error)


def test_interval_over_interactions_is_that_of_a_ratio():
    """Half of the users have one held-out item and find it, the others have three and find none."""
    columns = np.zeros((400, 1), dtype=np.int64)
    relevant = np.zeros((400, N_ITEMS), dtype=bool)
    relevant[:200, 0] = True
    relevant[200:, 1:4] = True
    lines = by_name(filled(columns, relevant, k=(1,)).estimates(n_bootstrap=2000, random_state=0))
    line = lines["all", "hit_rate_per_interaction", 1]
    assert line.value == pytest.approx(200 / 800)
    # A resample with m users of the first kind has m / (m + 3 (400 - m)), m binomial with the sd 10.
    low, high = (m / (m + 3 * (400 - m)) for m in (200 - 19.6, 200 + 19.6))
    assert line.low == pytest.approx(low, abs=0.005)
    assert line.high == pytest.approx(high, abs=0.005)


def test_same_random_state_same_interval():
    columns, relevant = drawn(50, 5)
    accumulator = filled(columns, relevant)
    first = by_name(accumulator.estimates(n_bootstrap=100, random_state=3))["all", "ndcg", 3]
    again = by_name(accumulator.estimates(n_bootstrap=100, random_state=3))["all", "ndcg", 3]
    other = by_name(accumulator.estimates(n_bootstrap=100, random_state=4))["all", "ndcg", 3]
    assert first == again
    assert first != other


def test_a_slice_without_users():
    columns, relevant = drawn(5, 6)
    relevant[:, 1::2] = False
    lines = by_name(filled(columns, relevant).estimates(n_bootstrap=10))
    line = lines["odd", "recall", 1]
    assert math.isnan(line.value)
    assert (line.n_users, line.n_interactions) == (0, 0)


def test_no_users_at_all():
    lines = RankingAccumulator(SLICES, [1], n_items=N_ITEMS).estimates(n_bootstrap=10)
    assert {line.n_users for line in lines} == {0}


@pytest.mark.parametrize(("argument", "value"), [("n_bootstrap", -1), ("confidence", 1.0)])
def test_bad_arguments(argument, value):
    columns, relevant = drawn(5, 7)
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        filled(columns, relevant).estimates(**{argument: value})
