import itertools

import numpy as np
import pytest

from recsys_ssl.embeddings import hash_collisions as module
from recsys_ssl.embeddings.hash_collisions import collision_statistics
from recsys_ssl.embeddings.id_hashing import hash_ids


def by_a_slow_loop(rows):
    """Count ids of which a row, and of which all rows as often, are those of another id."""
    a_row = all_rows = 0
    for place, own in enumerate(rows):
        others = [other for at, other in enumerate(rows) if at != place]
        a_row += any(set(own) & set(other) for other in others)
        all_rows += any(sorted(own) == sorted(other) for other in others)
    return a_row, all_rows


@pytest.mark.parametrize(("n", "num_rows", "num_hashes"), [(60, 30, 1), (60, 9, 2), (50, 4, 3), (40, 500, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_counts_by_a_slow_loop(n, num_rows, num_hashes, seed):
    ids = [f"id {number}" for number in range(n)]
    rows = hash_ids(ids, num_rows, num_hashes, seed=seed).tolist()
    found = collision_statistics(ids + ids[:7], num_rows, num_hashes, seed=seed)
    assert (found.sharing_a_row, found.sharing_all_rows) == by_a_slow_loop(rows)
    assert found.num_ids == n
    assert found.rows_used == len({row for own in rows for row in own})
    assert found.load_factor == pytest.approx(n * num_hashes / num_rows)


@pytest.mark.parametrize(
    ("n", "num_rows", "num_hashes"), [(2, 3, 2), (3, 3, 2), (2, 2, 3), (4, 4, 1), (1, 2, 2)]
)
def test_expectation_by_going_through_every_outcome(n, num_rows, num_hashes):
    outcomes = list(itertools.product(range(num_rows), repeat=n * num_hashes))
    totals = np.zeros(2)
    for outcome in outcomes:
        rows = [outcome[at : at + num_hashes] for at in range(0, n * num_hashes, num_hashes)]
        totals += by_a_slow_loop(rows)
    found = collision_statistics(range(n), num_rows, num_hashes)
    expected = (found.expected_sharing_a_row, found.expected_sharing_all_rows)
    np.testing.assert_allclose(expected, totals / len(outcomes), rtol=1e-10)


@pytest.mark.parametrize(("n", "num_rows", "num_hashes"), [(2000, 10_000, 2), (1500, 30, 3), (3000, 500, 2)])
def test_the_hash_functions_collide_as_ideal_ones(n, num_rows, num_hashes):
    found = [collision_statistics(range(n), num_rows, num_hashes, seed=seed) for seed in range(60)]
    for name in ("sharing_a_row", "sharing_all_rows"):
        counts = np.array([getattr(one, name) for one in found], dtype=float)
        error = counts.std() / np.sqrt(len(counts)) + 0.05
        assert abs(counts.mean() - getattr(found[0], f"expected_{name}")) < 4 * error


def test_a_second_hash_function_makes_ids_distinguishable():
    one, two = (collision_statistics(range(5000), 5000, hashes) for hashes in (1, 2))
    assert one.sharing_all_rows > 2500
    assert two.sharing_all_rows < 10


def test_large_numbers_lose_no_precision():
    # 1e8 ids in 1e9 rows: 1 - (1 - 1/R)^(n - 1) = 1 - exp(-0.1) up to 1e-9.
    a_row, all_rows = module._expected(10**8, 10**9, 1)
    assert a_row == pytest.approx(10**8 * (1 - np.exp(-0.1)), rel=1e-6)
    assert all_rows == pytest.approx(a_row, rel=1e-9)
    # Two hash functions: about n^2 pairs (ordered) of chance 2 / R^2.
    assert module._expected(10**6, 10**9, 2)[1] == pytest.approx(2e-6, rel=1e-3)


def test_corner_cases():
    none = collision_statistics([], 10, 2)
    assert (none.num_ids, none.sharing_a_row, none.expected_sharing_a_row, none.load_factor) == (
        0,
        0,
        0.0,
        0.0,
    )
    alone = collision_statistics([5], 1, 2)
    assert (alone.sharing_a_row, alone.expected_sharing_all_rows) == (0, 0.0)
    everybody = collision_statistics(range(9), 1, 2)
    assert (everybody.sharing_all_rows, everybody.expected_sharing_all_rows) == (9, 9.0)
    assert collision_statistics(np.array([2**64 - 1, 3], np.uint64), 10**9, 1).num_ids == 2


def test_the_text_names_observed_and_expected():
    text = str(collision_statistics(range(100_000), 1000, 2))
    assert "100,000 ids in 1,000 rows by 2 hash function(s), load factor 200, 1,000 rows used" in text
    # 1 - exp(-1e5 * 2 / 1e6) = 18.1 % are expected to be indistinguishable.
    assert (
        "share all rows, indistinguishable: 18," in text or "share all rows, indistinguishable: 17," in text
    )
    assert "expected 18,1" in text
    assert "expected 100,000" in text


def test_bad_input():
    with pytest.raises(ValueError, match="missing"):
        collision_statistics(np.array(["a", None], dtype=object), 10, 2)
    with pytest.raises(ValueError, match="missing"):
        collision_statistics(["a", None], 10, 2)
    with pytest.raises(TypeError, match="integers or strings"):
        collision_statistics(np.array([0.5]), 10, 2)
    with pytest.raises(ValueError, match="num_rows"):
        collision_statistics([1], -1, 2)
