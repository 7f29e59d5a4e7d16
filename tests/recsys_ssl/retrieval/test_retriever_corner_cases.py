import numpy as np
import pytest

from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.sparse_training import training_callbacks
from sparse_data.datasets import make_checkerboard, make_interactions

FAST = {"dim": 8, "epochs": 4, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
BOARD = make_checkerboard(12).replace(users=None, items=None)
LOG = make_interactions(60, 40, 900, random_state=0).interactions.replace(users=None, items=None)


def make(**changes):
    return TwoTowerRetriever(**{**FAST, **changes})


def test_a_user_of_whom_nothing_is_known_gets_the_popularity_prior():
    log = BOARD.take(np.concatenate([np.arange(len(BOARD)), np.flatnonzero(BOARD.item_ids == 7)]))
    model = make().fit(log, users={"user_id": np.arange(13)})
    items, scores = model.recommend([0, 12], k=2)
    assert items[1].tolist() == [7, 0]
    np.testing.assert_allclose(scores[1], [10 / 65, 5 / 65], rtol=1e-6)
    np.testing.assert_allclose(model.score([12], [7]), scores[1, :1])
    assert scores[0, 0] > 0.2


def test_interrupted_in_the_first_epoch_of_the_refit(monkeypatch):
    chosen = make(refit=False).fit(LOG)
    starts = []

    def on_train_begin(self, logs=None):
        starts.append(self)

    def on_train_batch_end(self, batch, logs=None):
        if len(starts) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_callbacks.Stopwatch, "on_train_begin", on_train_begin)
    monkeypatch.setattr(training_callbacks.Stopwatch, "on_train_batch_end", on_train_batch_end)
    model = make()
    with pytest.raises(KeyboardInterrupt):
        model.fit(LOG)
    assert model.interrupted_
    assert model.best_epoch_ == chosen.best_epoch_
    np.testing.assert_array_equal(model.item_factors_, chosen.item_factors_)
    np.testing.assert_array_equal(model.user_factors_, chosen.user_factors_)


def test_nearly_all_held_out():
    assert make(epochs=1, validation_fraction=0.9999).fit(LOG).best_epoch_ == 1


def test_validation_pairs_that_the_log_holds_are_left_out():
    order = np.random.default_rng(0).permutation(len(LOG))
    train, held_out = LOG.take(order[200:]), LOG.take(order[:200])
    both = LOG.take(np.concatenate([order[:200], order[200:400]]))
    clean, mixed = make().fit(train, validation=held_out), make().fit(train, validation=both)
    name = next(key for key in clean.history_[0] if key.startswith("val_"))
    assert [epoch[name] for epoch in clean.history_] == [epoch[name] for epoch in mixed.history_]
    with pytest.raises(ValueError, match="`validation` must be non-empty"):
        make().fit(train, validation=train)


def test_parameters_of_another_type():
    with pytest.raises(TypeError, match="`loss` must be a SampledSoftmax or None; got 'cosine'"):
        make(loss="cosine").fit(BOARD)
    with pytest.raises(TypeError, match="`hidden_units` must be a sequence of int; got 8"):
        make(hidden_units=8).fit(BOARD)


def test_the_parameters_stay_the_objects_that_were_passed():
    loss = SampledSoftmax(temperature=0.7)
    model = make(loss=loss).fit(BOARD)
    assert model.loss is loss


def test_one_list_where_a_list_of_lists_belongs():
    model = make().fit(BOARD)
    for items in ([0, 2, 4], np.array([0, 2]), "ab"):
        with pytest.raises(TypeError, match="`item_ids` must hold one list of items a user"):
            model.recommend_for_items(items)
    assert model.recommend_for_items(np.array([[0, 2], [4, 6]]), k=3)[0].shape == (2, 3)
