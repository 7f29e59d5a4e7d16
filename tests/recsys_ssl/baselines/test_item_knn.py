import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from recsys_ssl.baselines import ItemKNN, item_knn
from sparse_data.datasets import Interactions, make_interactions


@pytest.fixture(scope="module")
def log():
    return make_interactions(40, 30, 400, random_state=1).interactions


def dense(log):
    matrix = np.zeros((40, 30))
    matrix[log.user_ids, log.item_ids] = 1.0
    return matrix


def test_cosine_equals_sklearn(log):
    model = ItemKNN(30, shrinkage=0.0).fit(log)
    expected = cosine_similarity(dense(log).T)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-5, atol=1e-7)


def looped_scores(matrix, n_neighbors, shrinkage):
    n_items = matrix.shape[1]
    similarity = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            norm = np.sqrt((matrix[:, i] ** 2).sum()) * np.sqrt((matrix[:, j] ** 2).sum())
            if i != j:
                similarity[i, j] = matrix[:, i] @ matrix[:, j] / (norm + shrinkage)
    scores = np.zeros_like(matrix)
    for i in range(n_items):
        neighbors = sorted(range(n_items), key=lambda j: (-similarity[i, j], j))[:n_neighbors]
        for j in neighbors:
            scores[:, i] += matrix[:, j] * similarity[i, j]
    return scores


@pytest.mark.parametrize("block", [7, 512])
def test_scores_equal_a_loop(log, monkeypatch, block):
    monkeypatch.setattr(item_knn, "ITEMS_AT_ONCE", block)
    model = ItemKNN(5, shrinkage=3.0).fit(log)
    np.testing.assert_allclose(
        model._score_block(np.arange(40)), looped_scores(dense(log), 5, 3.0), rtol=1e-5, atol=1e-7
    )


def test_shrinkage_takes_from_rare_items():
    # a and b share their one user, c and d share three of four.
    log = Interactions(
        ["u", "u", "v", "v", "w", "w", "x", "x", "y", "z"],
        ["a", "b", "c", "d", "c", "d", "c", "d", "c", "d"],
    )
    plain, shrunk = ItemKNN(shrinkage=0.0).fit(log), ItemKNN(shrinkage=5.0).fit(log)
    assert plain.similar_items("a", k=1)[1][0, 0] > plain.similar_items("c", k=1)[1][0, 0]
    assert shrunk.similar_items("a", k=1)[1][0, 0] == pytest.approx(1 / (1 + 5))
    assert shrunk.similar_items("c", k=1)[1][0, 0] == pytest.approx(3 / (4 + 5))


@pytest.mark.parametrize(("name", "value"), [("n_neighbors", 0), ("shrinkage", -1.0)])
def test_bad_parameters(log, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        ItemKNN(**{name: value}).fit(log)
