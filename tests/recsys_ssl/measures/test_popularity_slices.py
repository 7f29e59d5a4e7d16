import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.measures.popularity_slices import popularity_deciles, popularity_slices


def looped_slices(counts):
    """Walk down the items by count and note how much was passed before each."""
    names = ["unseen"] * len(counts)
    passed = 0
    for item in sorted(range(len(counts)), key=lambda item: (-counts[item], item)):
        if counts[item]:
            share = passed / sum(counts)
            names[item] = "head" if share < 0.5 else "mid" if share < 0.8 else "tail"
        passed += counts[item]
    return names


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 12), max_size=12))
def test_each_item_is_in_its_slice(counts):
    masks = popularity_slices(np.array(counts, dtype=np.int64))
    assert list(masks) == ["head", "mid", "tail", "unseen"]
    for item, name in enumerate(looped_slices(counts)):
        assert [slice_ for slice_, mask in masks.items() if mask[item]] == [name]


def test_head_is_the_shortest_run_with_half_of_the_log():
    masks = popularity_slices([1, 4, 2, 3])
    # 4 of 10 is less than half, 4 + 3 is more; the next, 2, ends at 9 of 10 and starts below 8.
    assert masks["head"].tolist() == [False, True, False, True]
    assert masks["mid"].tolist() == [False, False, True, False]
    assert masks["tail"].tolist() == [True, False, False, False]


def test_negative_counts():
    with pytest.raises(ValueError, match="`counts` must be non-negative"):
        popularity_slices([1, -1])


def test_deciles_are_of_equal_size_and_ordered():
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 100, size=43)
    log = generator.permutation(np.repeat([f"i{number:02d}" for number in range(43)], counts))
    deciles = popularity_deciles(log)
    assert list(deciles) == [str(number) for number in range(1, 11)]
    assert {len(ids) for ids in deciles.values()} <= {4, 5}
    assert sorted(np.concatenate(list(deciles.values())).tolist()) == sorted(set(log.tolist()))
    by_id = {f"i{number:02d}": count for number, count in enumerate(counts)}
    means = [np.mean([by_id[item] for item in ids]) for ids in deciles.values()]
    assert means == sorted(means)
