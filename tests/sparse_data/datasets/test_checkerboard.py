from __future__ import annotations

import numpy as np
import pytest

from sparse_data.datasets import make_checkerboard


@pytest.mark.parametrize("n", [6, 7, 12])
def test_the_one_item_left_is_the_users_own(n):
    board = make_checkerboard(n)
    for user in range(n):
        liked = set(board.item_ids[board.user_ids == user].tolist())
        assert {item for item in range(n) if item % 2 == user % 2} - liked == {user}
        assert all(item % 2 == user % 2 for item in liked)
    assert len(np.unique(board.user_ids * n + board.item_ids)) == len(board)


def test_side_tables():
    board = make_checkerboard(6)
    assert board.users["colour"].tolist() == board.items["colour"].tolist() == ["even", "odd"] * 3


def test_right_answer_is_found_by_a_public_method():
    # Ridge regression of every item on the others, the diagonal excluded: EASE as scikit-learn would do it.
    linear_model = pytest.importorskip("sklearn.linear_model")
    board = make_checkerboard(10)
    seen = np.zeros((10, 10))
    seen[board.user_ids, board.item_ids] = 1
    scores = np.zeros((10, 10))
    for item in range(10):
        others = np.delete(np.arange(10), item)
        model = linear_model.Ridge(alpha=0.5).fit(seen[:, others], seen[:, item])
        scores[:, item] = model.predict(seen[:, others])
    scores[seen > 0] = -np.inf
    assert scores.argmax(axis=1).tolist() == list(range(10))


@pytest.mark.parametrize(("n", "error"), [(5, ValueError), (6.0, TypeError)])
def test_refused(n, error):
    with pytest.raises(error, match="`n` must be"):
        make_checkerboard(n)
