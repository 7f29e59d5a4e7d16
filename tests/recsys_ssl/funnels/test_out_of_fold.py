import numpy as np
import pytest

from recsys_ssl.baselines.ease import EASE
from recsys_ssl.baselines.popularity import Popularity
from recsys_ssl.funnels.out_of_fold import out_of_fold_scores
from recsys_ssl.recommenders.recommender import Recommender
from sparse_data.datasets import Interactions, make_checkerboard


class Memory(Recommender):
    """Scores 1 what it was fitted on and 0 the rest."""

    def _fit(self, weights, interactions):
        self.table_ = (weights.toarray() > 0).astype(np.float32)

    def _score_block(self, users):
        return self.table_[users]


class Total(Recommender):
    """Scores every pair with the sum of the weights that it was fitted on."""

    def _fit(self, weights, interactions):
        self.total_ = float(weights.sum())

    def _score_block(self, users):
        return np.full((users.size, self.item_ids_.size), self.total_, dtype=np.float32)


def random_log(n=400, n_users=20, n_items=40, seed=0):
    generator = np.random.default_rng(seed)
    # Pairs occur up to some times.
    return Interactions(generator.integers(n_users, size=n), (generator.random(n) ** 2 * n_items).astype(int))


def test_no_row_is_scored_by_a_model_that_has_seen_its_pair():
    log = random_log()
    assert len(np.unique(log.user_ids * 100 + log.item_ids)) < len(log)
    own, others = out_of_fold_scores(Memory(), log, random_state=0)
    assert np.nanmax(own) == 0
    assert np.isfinite(own).mean() > 0.95
    # The item beside it is nothing the user has, or the models of the other folds would know it.
    assert np.nanmax(others) == 0


def test_folds_divide_the_rows_of_each_user():
    log = make_checkerboard(20).replace(weights=np.ones(180))
    for n_folds in (2, 3, 9):
        own, _ = out_of_fold_scores(Total(), log, n_folds=n_folds, random_state=1)
        left_out = 180 - own
        # Each user has 9 rows; in the fold of a row lie ceil or floor of 9 / n_folds of each of 20 users.
        assert ((left_out >= 20 * (9 // n_folds)) & (left_out <= 20 * -(-9 // n_folds))).all()
        sizes = {size: int((left_out == size).sum()) for size in np.unique(left_out)}
        assert all(rows % size == 0 for size, rows in sizes.items())


def test_items_beside_are_drawn_by_popularity():
    # User 0 has item 0; of 2,000 further users, 3 of 4 have item 1 and one of 4 has item 2.
    users = np.concatenate([np.zeros(1, dtype=int), np.arange(1, 2001)])
    items = np.concatenate([[0], np.where(np.arange(2000) % 4 == 0, 2, 1)])
    log = Interactions(np.concatenate([users, users]), np.concatenate([items, np.full(2001, 3)]))

    class Item(Memory):
        def _score_block(self, users):
            return np.broadcast_to(self.item_ids_.astype(np.float32), (users.size, self.item_ids_.size))

    _, others = out_of_fold_scores(Item(), log, random_state=0)
    of_two = others[log.item_ids == 2]
    # They have 2 and 3, and are offered 1 (1,500 rows) or 0 (one row).
    assert np.nanmean(of_two == 1) > 0.98
    of_one = others[log.item_ids == 1]
    assert set(np.unique(of_one[np.isfinite(of_one)])) <= {0.0, 2.0}


def test_planted_accidents_have_the_lowest_scores():
    board = make_checkerboard(30)
    users, items = np.arange(30), (np.arange(30) + 7) % 30
    log = Interactions(np.append(board.user_ids, users), np.append(board.item_ids, items))
    own, _ = out_of_fold_scores(EASE(10.0), log, random_state=0)
    assert own[len(board) :].max() < own[: len(board)].min()


def test_nothing_is_said_of_users_and_items_that_the_other_folds_do_not_know():
    board = make_checkerboard(10)
    log = Interactions(np.append(board.user_ids, [77, 3]), np.append(board.item_ids, [2, 88]))
    own, others = out_of_fold_scores(Popularity(), log, random_state=0)
    assert np.isnan(own[-2:]).all()
    assert np.isnan(others[-2])
    assert np.isfinite(own[:-2]).all()


def test_users_who_have_everything_have_no_item_beside():
    log = Interactions(np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6))
    own, others = out_of_fold_scores(Popularity(), log, random_state=0)
    assert np.isnan(others).all()
    assert np.isfinite(own).all()


def test_a_single_row_has_no_score():
    own, others = out_of_fold_scores(Popularity(), Interactions(["a"], ["b"]), random_state=0)
    assert np.isnan(own).all()
    assert np.isnan(others).all()


def test_seed_decides_and_nothing_is_altered():
    log, model = random_log(), EASE(10.0)
    before = log.user_ids.copy(), log.item_ids.copy()
    first, again = (out_of_fold_scores(model, log, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[1], out_of_fold_scores(model, log, random_state=4)[1], equal_nan=True)
    assert not hasattr(model, "item_ids_")
    np.testing.assert_array_equal(before, (log.user_ids, log.item_ids))


def test_weights_and_strings_reach_the_model():
    log = random_log().replace(weights=np.linspace(0, 1, 400))
    own, _ = out_of_fold_scores(Total(), log, n_folds=2, random_state=0)
    totals = np.unique(own[np.isfinite(own)])
    assert totals.sum() == pytest.approx(200, rel=1e-5)
    named = log.replace(
        user_ids=np.char.mod("u%02d", log.user_ids), item_ids=np.char.mod("i%02d", log.item_ids)
    )
    np.testing.assert_array_equal(own, out_of_fold_scores(Total(), named, n_folds=2, random_state=0)[0])


@pytest.mark.parametrize(
    ("model", "log", "n_folds", "error", "message"),
    [
        (Popularity(), random_log(), 1, ValueError, "`n_folds` must be"),
        (Popularity(), Interactions([], []), 5, ValueError, "`interactions` must"),
        (object(), random_log(), 5, TypeError, "`model` must be a Recommender; got object"),
    ],
)
def test_bad_input(model, log, n_folds, error, message):
    with pytest.raises(error, match=message):
        out_of_fold_scores(model, log, n_folds=n_folds)
