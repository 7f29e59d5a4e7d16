"""Bags against plain lists of lists."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_data import Bags

GENRES = [["comedy", "drama"], [], ["drama"], ["war", "drama", "noir"]]
LISTS = st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=6)


def as_lists(bags):
    return [bag.tolist() for bag in bags]


@settings(deadline=None, max_examples=60)
@given(lists=LISTS, data=st.data())
def test_behaves_as_a_list_of_lists(lists, data):
    bags = Bags.from_lists(lists)
    assert len(bags) == len(lists)
    assert as_lists(bags) == lists
    assert bags.lengths.tolist() == [len(row) for row in lists]
    assert bags.segment_ids.tolist() == [k for k, row in enumerate(lists) for _ in row]
    assert bags == Bags.from_lists(lists)
    piece = data.draw(st.slices(len(lists)))
    assert as_lists(bags[piece]) == lists[piece]
    if lists:
        picks = data.draw(st.lists(st.integers(-len(lists), len(lists) - 1), max_size=6))
        assert as_lists(bags[picks]) == [lists[k] for k in picks]
        for k in picks:
            assert bags[k].tolist() == lists[k]
    mask = data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    assert as_lists(bags[np.array(mask, dtype=bool)]) == [
        row for row, kept in zip(lists, mask, strict=True) if kept
    ]
    padded = bags.to_padded(width=3, fill=99)
    assert padded.tolist() == [(row + [99] * 3)[:3] for row in lists] or not lists
    assert padded.shape == (len(lists), 3)


def test_strings():
    bags = Bags.from_lists(GENRES)
    assert bags.values.tolist() == ["comedy", "drama", "drama", "war", "drama", "noir"]
    assert bags.offsets.tolist() == [0, 2, 2, 3, 6]
    assert bags.to_padded().tolist()[:2] == [["comedy", "drama", ""], ["", "", ""]]
    assert bags.to_padded(2, fill="nothing at all").tolist()[1] == ["nothing at all"] * 2
    assert repr(bags) == "Bags(n_bags=4, n_values=6, dtype=<U6): ['comedy' 'drama'], [], ['drama'], ..."
    assert repr(Bags.from_lists([])) == "Bags(n_bags=0, n_values=0, dtype=<i8)"


def test_none_is_an_empty_bag():
    assert as_lists(Bags.from_lists([[1], None, np.array([2, 3]), iter([4])])) == [[1], [], [2, 3], [4]]


def test_dtype_of_nothing():
    assert Bags.from_lists([[], []]).values.dtype == np.int64
    assert Bags.from_lists([[], []], dtype="U5").values.dtype == np.dtype("U5")
    assert Bags.from_lists([[1]], dtype=np.int32).values.dtype == np.int32


def test_weights_follow_their_values():
    bags = Bags.from_lists([[1, 2], [], [3]], weights=[[0.5, 2], None, [4]])
    assert bags[[2, 0]].weights.tolist() == [4, 0.5, 2]
    assert bags[1:].weights.tolist() == [4]
    assert bags.map_values([7, 8, 9]).weights is bags.weights
    assert repr(bags).startswith("Bags(n_bags=3, n_values=3, dtype=<i8, weighted)")
    assert bags != bags.map_values([1, 2, 4])
    assert bags == Bags([1, 2, 3], [0, 2, 2, 3], [0.5, 2, 4])
    assert bags != Bags([1, 2, 3], [0, 2, 2, 3], [0.5, 2, 5])
    assert bags != Bags([1, 2, 3], [0, 2, 2, 3])
    assert bags != [[1, 2], [], [3]]


def test_padding_widens_the_dtype():
    bags = Bags.from_lists([[1, 2], []])
    np.testing.assert_array_equal(bags.to_padded(fill=np.nan), [[1, 2], [np.nan, np.nan]])
    assert bags.to_padded(width=5).tolist() == [[1, 2, 0, 0, 0], [0] * 5]
    assert Bags.from_lists([[]]).to_padded().shape == (1, 0)
    small = Bags(np.array([1.5], dtype=np.float32), [0, 1])
    assert small.to_padded(fill=-1.0).dtype == np.float32


def test_is_frozen_and_keeps_the_arrays():
    values, offsets = np.array([1, 2, 3]), np.array([0, 1, 3])
    bags = Bags(values, offsets)
    assert bags.values is values
    assert bags.offsets is offsets
    assert bags.map_values([4, 5, 6]).offsets is offsets
    with pytest.raises(dataclasses.FrozenInstanceError):
        bags.values = values
    with pytest.raises(TypeError, match="unhashable"):
        hash(bags)
    assert Bags(values, np.array([0, 3], dtype=np.int32)).offsets.dtype == np.int64


@pytest.mark.parametrize("offsets", [[], [0], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3]])
def test_bad_offsets(offsets):
    with pytest.raises(
        ValueError, match="`offsets` must begin at 0, never decrease and end at the 3 values; got"
    ):
        Bags([1, 2, 3], offsets)


def test_bad_arguments():
    with pytest.raises(TypeError, match="`offsets` must be of an integer dtype; got float64"):
        Bags([1, 2], [0.0, 2.0])
    with pytest.raises(ValueError, match=r"`values` must be 1-dimensional; got shape \(1, 2\)"):
        Bags([[1, 2]], [0, 1])
    with pytest.raises(ValueError, match="`weights` must be non-negative; got 1"):
        Bags([1, 2], [0, 2], [1, -1])
    with pytest.raises(ValueError, match="`weights` must be finite; got 1"):
        Bags([1, 2], [0, 2], [1, np.inf])
    with pytest.raises(ValueError, match="`values` and `weights` must be of the same length; got 2 and 1"):
        Bags([1, 2], [0, 2], [1])
    with pytest.raises(TypeError, match="`lists` must hold one list a bag; got the string 'drama'"):
        Bags.from_lists(["drama"])
    with pytest.raises(ValueError, match="`weights` must be of the same lengths as `lists`"):
        Bags.from_lists([[1, 2], [3]], weights=[[1], [1, 1]])
    bags = Bags.from_lists([[1, 2]])
    with pytest.raises(ValueError, match="`width` must be at least 1; got 0"):
        bags.to_padded(width=0)
    with pytest.raises(IndexError):
        bags[1]
    with pytest.raises(TypeError, match="`key` must be of an integer dtype"):
        bags[[0.5]]
    with pytest.raises(ValueError, match=r"`key` must be 1-dimensional; got shape \(1, 1\)"):
        bags[[[0]]]
