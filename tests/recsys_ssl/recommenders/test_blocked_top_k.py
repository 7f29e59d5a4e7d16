import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_ssl.recommenders import blocked_top_k as module
from recsys_ssl.recommenders.blocked_top_k import blocked_top_k


def looped_top_k(scores, k, seen, allowed):
    """Sort the items that are left, one user at a time; -1 and -inf where there are too few."""
    columns, values = [], []
    for query, row in enumerate(scores):
        left = [
            (-score, column)
            for column, score in enumerate(row)
            if allowed[column] and column not in seen[query]
        ]
        best = sorted(left)[:k]
        columns.append([column for _, column in best] + [-1] * (k - len(best)))
        values.append([-negative for negative, _ in best] + [-np.inf] * (k - len(best)))
    return np.array(columns), np.array(values)


@pytest.mark.parametrize("buffer_scores", [1, 30, 10_000])
def test_equals_a_loop_whatever_the_block(monkeypatch, buffer_scores):
    monkeypatch.setattr(module, "BUFFER_SCORES", buffer_scores)
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 5, size=(17, 12)).astype(np.float32)
    seen = [set(generator.choice(12, size=size, replace=False).tolist()) for size in range(1, 13)] + [
        set()
    ] * 5
    matrix = np.array([[column in row for column in range(12)] for row in seen])
    allowed = generator.random(12) < 0.8

    def score_into(start, stop, out):
        out[...] = scores[start:stop]

    before = scores.copy()
    columns, values = blocked_top_k(score_into, 17, 12, 4, seen=csr_array(matrix), allowed=allowed)
    expected_columns, expected_values = looped_top_k(scores, 4, seen, allowed)
    np.testing.assert_array_equal(columns, expected_columns)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(scores, before)


def test_seen_rows_choose_the_row_of_each_query():
    seen = csr_array(np.array([[1, 0, 0], [0, 0, 1]]))

    def score_into(start, stop, out):
        out[...] = [1.0, 2.0, 3.0]

    columns, _ = blocked_top_k(score_into, 3, 3, 2, seen=seen, seen_rows=np.array([1, -1, 0]))
    assert columns.tolist() == [[1, 0], [2, 1], [2, 1]]


@pytest.mark.parametrize("shape", [(2, 3), (3, 4)])
def test_seen_of_another_shape(shape):
    with pytest.raises(ValueError, match="`seen` must have 3 columns and a row for each query"):
        blocked_top_k(lambda start, stop, out: None, 3, 3, 1, seen=csr_array(shape))


def test_a_stored_zero_is_a_pair_too():
    seen = csr_array((np.zeros(1), (np.array([0]), np.array([1]))), shape=(1, 2))

    def score_into(start, stop, out):
        out[...] = [1.0, 2.0]

    columns, scores = blocked_top_k(score_into, 1, 2, 2, seen=seen)
    assert columns.tolist() == [[0, -1]]
    assert scores.tolist() == [[1.0, -np.inf]]


def test_no_queries():
    columns, scores = blocked_top_k(lambda start, stop, out: None, 0, 5, 3)
    assert columns.shape == scores.shape == (0, 3)


def test_the_buffer_is_bounded():
    sizes = []

    def score_into(start, stop, out):
        sizes.append(out.size)
        out[...] = 0.0

    blocked_top_k(score_into, 200, 200_000, 1)
    assert max(sizes) <= 1 << 24
    assert sum(sizes) == 200 * 200_000
