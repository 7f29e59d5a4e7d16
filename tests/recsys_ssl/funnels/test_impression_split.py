import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_ssl.funnels.impression_split import BlockRange, hold_out_blocks, hold_out_impressions


class Source:
    def __init__(self, lengths):
        self.block_lengths = np.array(lengths)

    def read_block(self, place, /):
        return f"block {place}"


@given(st.integers(0, 30), st.integers(2, 30), st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 9))
def test_every_row_is_in_one_part_and_every_outcome_in_both(unclicked, clicked, converted, fraction, seed):
    outcome = np.random.default_rng(seed).permutation(np.repeat([0, 1, 2], [unclicked, clicked, converted]))
    training, held_out = hold_out_impressions(outcome >= 1, outcome == 2, fraction, seed=seed)
    assert sorted([*training, *held_out]) == list(range(len(outcome)))
    for kind, total in ((1, clicked), (2, converted)):
        number = int((outcome[held_out] == kind).sum())
        assert 1 <= number < total
        assert abs(number - fraction * total) <= 1
    again = hold_out_impressions(outcome >= 1, outcome == 2, fraction, seed=seed)
    np.testing.assert_array_equal(held_out, again[1])


def test_another_seed_holds_out_other_rows():
    clicks, conversions = np.arange(100) % 2 == 0, np.arange(100) % 4 == 0
    first, second = (hold_out_impressions(clicks, conversions, 0.2, seed=seed)[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_too_few_of_an_outcome():
    with pytest.raises(ValueError, match="fewer than two conversions; got 1"):
        hold_out_impressions(np.arange(9) > 3, np.arange(9) == 8, 0.1, seed=0)
    with pytest.raises(ValueError, match="fewer than two clicks without a conversion; got 0"):
        hold_out_impressions(np.arange(9) > 3, np.arange(9) > 3, 0.1, seed=0)


@pytest.mark.parametrize(
    ("lengths", "fraction", "cut"),
    [([5, 7, 3], 0.1, 2), ([5, 7, 3], 0.2, 2), ([5, 7, 3], 0.21, 1), ([5, 7, 3], 0.9, 1), ([100, 1], 0.5, 1)],
)
def test_the_last_blocks_are_held_out(lengths, fraction, cut):
    training, held_out = hold_out_blocks(Source(lengths), fraction)
    assert training.block_lengths.tolist() == lengths[:cut]
    assert held_out.block_lengths.tolist() == lengths[cut:]
    assert held_out.read_block(0) == f"block {cut}"
    assert training.read_block(0) == "block 0"


def test_a_single_block_cannot_be_split():
    with pytest.raises(ValueError, match="`impressions` must have two blocks or more"):
        hold_out_blocks(Source([9]), 0.1)


def test_a_range_of_blocks():
    part = BlockRange(Source([1, 2, 3, 4]), 1, 3)
    assert (part.block_lengths.tolist(), part.read_block(1)) == ([2, 3], "block 2")
