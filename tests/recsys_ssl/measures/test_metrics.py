import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recsys_ssl.measures import metrics

HITS = [[True, False, True, False], [False, False, False, True], [False] * 4]
RELEVANT = [3, 1, 2]


def looped(name, hits, n_relevant, k):
    """Each metric from its definition, one user."""
    first = list(hits[:k])
    if n_relevant == 0:
        return math.nan
    if name == "recall":
        return sum(first) / n_relevant
    if name == "precision":
        return sum(first) / k
    if name == "hit":
        return float(any(first))
    if name == "mrr":
        return next((1 / rank for rank, hit in enumerate(first, start=1) if hit), 0.0)
    if name == "ndcg":
        gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(first, start=1) if hit)
        return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, n_relevant) + 1))
    precisions = [sum(first[:rank]) / rank for rank, hit in enumerate(first, start=1) if hit]
    return sum(precisions) / min(k, n_relevant)


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("recall", 3, [2 / 3, 0.0, 0.0]),
        ("precision", 4, [0.5, 0.25, 0.0]),
        ("hit", 3, [1.0, 0.0, 0.0]),
        ("mrr", 4, [1.0, 0.25, 0.0]),
        # (1 + 1/2) / (1 + 1/log2(3) + 1/2) and (1/log2(5)) / 1
        ("ndcg", 4, [1.5 / 2.1309297535714573, 0.43067655807339306, 0.0]),
        ("map", 4, [(1 + 2 / 3) / 3, 0.25, 0.0]),
        ("map", 2, [1 / 2, 0.0, 0.0]),
    ],
)
def test_by_hand(name, k, expected):
    np.testing.assert_allclose(metrics.USER_METRICS[name](HITS, RELEVANT, k), expected, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_equals_the_definition(data):
    n_users, n_ranked = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    hits = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=n_ranked, max_size=n_ranked),
                                       min_size=n_users, max_size=n_users)))  # fmt: skip
    extra = data.draw(st.lists(st.integers(0, 3), min_size=n_users, max_size=n_users))
    n_relevant = hits.sum(axis=1) + extra
    k = data.draw(st.integers(1, n_ranked))
    for name, metric in metrics.USER_METRICS.items():
        expected = [looped(name, row, count, k) for row, count in zip(hits, n_relevant, strict=True)]
        values = metric(hits, n_relevant, k)
        np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)
        assert np.isnan(values[n_relevant == 0]).all()
        assert ((values >= 0) & (values <= 1))[n_relevant > 0].all()


def test_ndcg_equals_sklearn():
    generator = np.random.default_rng(1)
    relevant = generator.random((20, 30)) < 0.2
    relevant[:, 0] = True
    scores = generator.random((20, 30))
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1), axis=1)
    ours = metrics.ndcg(hits, relevant.sum(axis=1), 7)
    assert ours.mean() == pytest.approx(ndcg_score(relevant, scores, k=7))


@pytest.mark.parametrize("k", [0, 5])
def test_k_outside_the_ranking(k):
    with pytest.raises(ValueError, match="`k` must be"):
        metrics.recall(HITS, RELEVANT, k)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="must be of the same length"):
        metrics.recall(HITS, [1, 2], 2)


def test_coverage_by_hand():
    assert metrics.coverage([0, 2, 5, 0, 0]) == pytest.approx(0.4)


def looped_gini(counts):
    """Half the relative mean absolute difference."""
    total = sum(abs(a - b) for a in counts for b in counts)
    return total / (2 * len(counts) ** 2 * (sum(counts) / len(counts)))


@pytest.mark.parametrize("counts", [[1, 1, 1], [0, 0, 0, 8], [3, 1, 4, 1, 5, 9], [0, 1]])
def test_gini_equals_mean_absolute_difference(counts):
    assert metrics.gini(counts) == pytest.approx(looped_gini(counts))


def test_gini_of_no_recommendations():
    assert math.isnan(metrics.gini([0, 0]))


@pytest.mark.parametrize("function", [metrics.coverage, metrics.gini])
def test_bad_counts(function):
    with pytest.raises(ValueError, match="`counts` must be non-empty"):
        function([0][:0])
    with pytest.raises(ValueError, match="`counts` must be non-negative"):
        function([1, -1])
