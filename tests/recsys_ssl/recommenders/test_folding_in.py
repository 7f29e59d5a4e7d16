import numpy as np
import pytest
from scipy.special import logsumexp

from recsys_ssl.recommenders.folding_in import fold_in
from sparse_data import Bags

VECTORS = np.random.default_rng(0).normal(size=(12, 3))


def loss_of(query, items, start, l2, temperature):
    """Compute the objective by its equation, item by item."""
    logits = VECTORS @ query / temperature
    return np.mean([logsumexp(logits) - logits[i] for i in items]) + l2 * np.sum((query - start) ** 2)


@pytest.mark.parametrize(("l2", "temperature"), [(0.05, 1.0), (0.5, 0.3), (1e-3, 2.0)])
def test_it_is_the_minimum(l2, temperature):
    start = np.array([[0.3, -0.2, 0.1]])
    items = [2, 5, 5]
    bags = Bags.from_lists([items])
    query = fold_in(VECTORS, bags, start=start, l2=l2, temperature=temperature)[0].astype(float)
    best = loss_of(query, items, start[0], l2, temperature)
    generator = np.random.default_rng(1)
    for size in (1e-2, 0.1, 1.0):
        for step in generator.normal(0, size, (20, 3)):
            assert loss_of(query + step, items, start[0], l2, temperature) > best


def test_the_liked_item_comes_first():
    queries = fold_in(VECTORS, Bags.from_lists([[i] for i in range(12)]), l2=1e-4)
    hull = [i for i in range(12) if (VECTORS @ queries[i]).argmax() == i]
    # Items that no query can rank first lie inside the convex hull of the others.
    assert len(hull) >= 6
    np.testing.assert_array_equal(
        (VECTORS @ fold_in(VECTORS, Bags.from_lists([[hull[0]]]))[0]).argmax(), hull[0]
    )


def test_an_empty_bag_keeps_its_start():
    start = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    queries = fold_in(VECTORS, Bags.from_lists([[], [4]]), start=start)
    assert queries[0].tolist() == [1.0, 2.0, 3.0]
    assert (queries[1] != start[1]).all()
    assert start[1].tolist() == [0.0, 1.0, 0.0]
    assert fold_in(VECTORS, Bags.from_lists([[]], dtype=np.int64)).tolist() == [[0.0, 0.0, 0.0]]


def test_a_strong_pull_stays_at_the_start():
    start = np.array([[0.5, 0.5, 0.5]])
    np.testing.assert_allclose(
        fold_in(VECTORS, Bags.from_lists([[1]]), start=start, l2=1e6), start, atol=1e-4
    )


def test_users_do_not_touch_each_other():
    bags = Bags.from_lists([[1, 2], [3], [1, 2]])
    together = fold_in(VECTORS, bags)
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1], fold_in(VECTORS, bags[1:2])[0])
    assert together.dtype == np.float32


def test_no_users_and_huge_vectors():
    assert fold_in(VECTORS, Bags.from_lists([])).shape == (0, 3)
    assert np.isfinite(fold_in(1e6 * VECTORS, Bags.from_lists([[0, 3]]))).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"l2": 0.0}, ValueError, "`l2` must be in"),
        ({"temperature": 0.0}, ValueError, "`temperature` must be in"),
        ({"liked": Bags.from_lists([[12]])}, ValueError, r"`liked` must be in \[0, 12\)"),
        ({"liked": Bags.from_lists([[-1]])}, ValueError, r"`liked` must be in \[0, 12\)"),
        ({"liked": Bags.from_lists([["a"]])}, TypeError, "`liked` must be of an integer dtype"),
        ({"liked": Bags.from_lists([[1]], weights=[[2.0]])}, ValueError, "`liked` must be without weights"),
        ({"start": np.zeros((2, 3))}, ValueError, r"`start` must be of shape \(1, 3\); got \(2, 3\)"),
        ({"start": np.full((1, 3), np.nan)}, ValueError, "`start` must be finite"),
        ({"item_vectors": np.full((12, 3), np.inf)}, ValueError, "`item_vectors` must be finite"),
        ({"item_vectors": np.zeros(12)}, ValueError, "`item_vectors` must be 2-dimensional"),
    ],
)
def test_what_is_refused(changes, error, message):
    arguments = {"item_vectors": VECTORS, "liked": Bags.from_lists([[1]]), **changes}
    with pytest.raises(error, match=message):
        fold_in(arguments.pop("item_vectors"), arguments.pop("liked"), **arguments)
