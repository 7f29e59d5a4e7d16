from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.embeddings.candidate_counts import CandidateCounts


def test_by_hand():
    counts = CandidateCounts(2)
    counts.add([("a", 5), ("b", 3), ("c", 2), ("d", 1)])
    assert (len(counts), counts.undercount) == (4, 0)
    # The fifth id is one too many: the third largest count, 2, is taken off all.
    counts.add([("e", 1)])
    assert counts.items() == [("a", 3), ("b", 1)]
    assert (counts["c"], counts.undercount) == (0, 2)
    counts.drop(["a", "nobody"])
    counts.add([("b", 1)])
    assert counts.items() == [("b", 2)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=300), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_never_too_high_and_within_the_bound_too_low(stream, max_candidates):
    counts, exact = CandidateCounts(max_candidates), Counter()
    for key, occurrences in stream:
        counts.add([(key, occurrences)])
        exact[key] += occurrences
        assert len(counts) <= 2 * max_candidates
    for key, true in exact.items():
        assert true - counts.undercount <= counts[key] <= true
    assert counts.undercount <= sum(exact.values()) / (max_candidates + 1)


def test_exact_while_the_ids_are_few():
    counts = CandidateCounts(10)
    for _ in range(1000):
        counts.add([(key, 1) for key in range(20)])
    assert [counts[key] for key in range(20)] == [1000] * 20


def test_the_frequent_survive_a_flood_of_ids_that_come_once():
    counts = CandidateCounts(100)
    generator = np.random.default_rng(0)
    for step in range(2000):
        counts.add([(f"once {step} {number}", 1) for number in range(9)])
        if generator.random() < 0.5:
            counts.add([("often", 1)])
    assert len(counts) <= 200
    assert counts["often"] > 800


def test_nobody_is_counted_in_no_place():
    with pytest.raises(ValueError, match="max_candidates"):
        CandidateCounts(0)
