import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.self_supervised import shared_information as module
from recsys_ssl.self_supervised.shared_information import entropy, mutual_information
from sparse_data import Bags

A, B, ID = [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5]


def slow_information(a, b):
    """Return mutual information and both entropies by the definition, bag by bag."""
    joint = {}
    items = [(one, other) for one, other in zip(a, b, strict=True) if len(one) and len(other)]
    for one, other in items:
        for pair in itertools.product(one, other):
            joint[pair] = joint.get(pair, 0.0) + 1 / (len(items) * len(one) * len(other))
    p, q = {}, {}
    for (v, w), mass in joint.items():
        p[v], q[w] = p.get(v, 0.0) + mass, q.get(w, 0.0) + mass
    shared = sum(mass * np.log(mass / (p[v] * q[w])) for (v, w), mass in joint.items())
    return shared, *(-sum(mass * np.log(mass) for mass in each.values()) for each in (p, q))


def test_golden_values():
    assert mutual_information(A, B) == pytest.approx(0.462098, abs=1e-6)
    assert mutual_information(ID, A) == pytest.approx(1.098612, abs=1e-6)
    assert entropy(A) == pytest.approx(1.098612, abs=1e-6)


def test_categories_of_any_type():
    names, flags = np.array(["x", "x", "y", "y", "z", "z"]), np.array(B, dtype=bool)
    assert mutual_information(names, flags) == pytest.approx(0.462098, abs=1e-6)
    assert mutual_information(np.array(names, dtype=object), np.array(B) + 0.5) == pytest.approx(
        0.462098, abs=1e-6
    )


def test_several_values_by_hand():
    # Of the first item 1 or 2, of the second 1: P(1, 7) = 1/4, P(2, 7) = 1/4, P(1, 8) = 1/2.
    tags, brand = [[1, 2], [1, 0]], [[7], [8]]
    by_hand = 0.25 * np.log(0.25 / (0.75 * 0.5)) + 0.25 * np.log(0.25 / (0.25 * 0.5))
    by_hand += 0.5 * np.log(0.5 / (0.75 * 0.5))
    assert mutual_information(tags, brand) == pytest.approx(by_hand)
    assert mutual_information(Bags.from_lists([[1, 2], [1]]), [7, 8]) == pytest.approx(by_hand)
    # A value that is there twice is drawn twice as often.
    assert entropy([[1, 1, 2]]) == pytest.approx(np.log(3) - 2 / 3 * np.log(2))


def test_items_without_a_value_are_left_out():
    a, b = [[1], [2], [0], [1]], [[5], [6], [5], [0]]
    assert mutual_information(a, b) == pytest.approx(np.log(2))
    assert entropy(a) == pytest.approx(np.log(3) - 2 / 3 * np.log(2))
    assert mutual_information([[1], [0]], [[0], [1]]) == 0.0
    assert entropy([[0], [0]]) == 0.0
    assert mutual_information(np.zeros((0, 2), dtype=int), np.zeros((0, 1), dtype=int)) == 0.0


BAGS = st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), block=st.sampled_from([1, 5, 1 << 22]))
def test_it_is_the_definition_symmetric_and_bounded(data, block):
    a = data.draw(BAGS)
    b = data.draw(st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=len(a), max_size=len(a)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_PRODUCTS", block)
        one, other = (Bags.from_lists(lists, dtype=int) for lists in (a, b))
        found, h_a, h_b = module.pair_information(module.draws_of(one), module.draws_of(other))
        np.testing.assert_allclose([found, h_a, h_b], slow_information(a, b), atol=1e-12)
        assert mutual_information(one, other) == found
        assert mutual_information(other, one) == pytest.approx(found, abs=1e-12)
        assert 0 <= found <= min(h_a, h_b)


def test_many_items_and_values():
    generator = np.random.default_rng(0)
    tags = generator.integers(1, 2000, size=(5000, 8))
    group = tags[:, 0] % 7
    # Of each value the group is known one time in eight: about as in the slow count, below the entropy.
    lists = [row.tolist() for row in tags[:300]]
    assert mutual_information(tags[:300], group[:300]) == pytest.approx(
        slow_information(lists, [[value] for value in group[:300]])[0]
    )
    assert 0 < mutual_information(tags, group) < entropy(group)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="`a` and `b` must be of the same length"):
        mutual_information([1, 2], [1])
    with pytest.raises(ValueError, match="`b` must be without missing values"):
        mutual_information(["x", "y"], ["x", ""])
    with pytest.raises(TypeError, match="`a` must be of an integer dtype"):
        entropy([[0.5, 1.0]])
