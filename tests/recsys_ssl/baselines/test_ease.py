import numpy as np
import pytest

from recsys_ssl.baselines import EASE
from sparse_data.datasets import Interactions, make_interactions


@pytest.fixture(scope="module")
def log():
    return make_interactions(40, 25, 400, random_state=2).interactions


def dense(log):
    matrix = np.zeros((40, 25))
    matrix[log.user_ids, log.item_ids] = 1.0
    return matrix


def test_each_column_is_a_ridge_regression_on_the_other_items(log):
    """The problem falls apart by columns: predict item j from the others, with the penalty λ."""
    matrix, penalty = dense(log), 7.0
    expected = np.zeros((25, 25))
    for item in range(25):
        others = np.delete(np.arange(25), item)
        inputs = matrix[:, others]
        gram = inputs.T @ inputs + penalty * np.eye(24)
        expected[others, item] = np.linalg.solve(gram, inputs.T @ matrix[:, item])
    model = EASE(penalty).fit(log)
    np.testing.assert_allclose(model.item_weights_, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model._score_block(np.arange(40)), matrix @ expected, rtol=1e-4, atol=1e-5)


def test_similar_items_are_rows_of_the_weights(log):
    model = EASE(7.0).fit(log)
    items, scores = model.similar_items([3], k=2)
    row = model.item_weights_[3].copy()
    row[3] = -np.inf
    assert items[0].tolist() == np.argsort(-row)[:2].tolist()
    np.testing.assert_allclose(scores[0], np.sort(row)[::-1][:2])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_bad_regularization(log, value):
    with pytest.raises(ValueError, match="`regularization` must be"):
        EASE(value).fit(log)


def test_singular():
    log = Interactions([0, 0], [0, 1], weights=[1e20, 1e20])
    with pytest.raises(ValueError, match="`regularization` must be large enough"):
        EASE(1e-3).fit(log)
