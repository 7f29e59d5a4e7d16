import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.sparse_training import training_callbacks
from sparse_data.datasets import Interactions, make_checkerboard, make_interactions

pytestmark = pytest.mark.usefixtures("eager")
FAST = {"dim": 8, "epochs": 15, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
BOARD = make_checkerboard(12)


def make(**changes):
    return TwoTowerRetriever(**{**FAST, **changes})


def same_recommendations(left, right, users=None):
    users = left.user_ids_ if users is None else users
    for a, b in zip(left.recommend(users, k=3), right.recommend(users, k=3), strict=True):
        np.testing.assert_array_equal(a, b)


LOG = make_interactions(60, 40, 900, random_state=0).interactions.replace(users=None, items=None)


def test_the_best_epoch_is_restored():
    model = make(dim=16, epochs=30, learning_rate=0.05, refit=False, patience=2, l2=0.0).fit(LOG)
    name = next(key for key in model.history_[0] if key.startswith("val_"))
    values = [epoch[name] for epoch in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(values))
    # Stopped two epochs after the best, before the last.
    assert len(values) == model.best_epoch_ + 2 < 30
    # Trained for exactly that long, the model is the same.
    again = make(dim=16, epochs=model.best_epoch_, learning_rate=0.05, refit=False, patience=99, l2=0.0).fit(
        LOG
    )
    assert again.best_epoch_ == model.best_epoch_
    np.testing.assert_array_equal(again.item_factors_, model.item_factors_)
    assert {"loss", "seconds", name} == set(model.history_[0])


def test_refit_learns_from_the_whole_log():
    settings = {"epochs": 4, "learning_rate": 0.01, "validation_fraction": 0.5}
    held, whole = make(refit=False, **settings).fit(LOG), make(**settings).fit(LOG)
    assert held.best_epoch_ == whole.best_epoch_
    alone = make(epochs=whole.best_epoch_, learning_rate=0.01, validation_fraction=0.0).fit(LOG)
    np.testing.assert_array_equal(whole.item_factors_, alone.item_factors_)
    assert (held.item_factors_ != whole.item_factors_).any()


def test_a_validation_log_of_ones_own():
    order = np.random.default_rng(0).permutation(len(LOG))
    train, held_out = LOG.take(order[100:]), LOG.take(order[:100])
    model = make(epochs=3).fit(train, validation=held_out)
    assert any(key.startswith("val_") for key in model.history_[0])
    with pytest.raises(ValueError, match="`validation` must be non-empty"):
        make(epochs=3).fit(train, validation=Interactions([10_000], [10_000]))


def test_same_seed_same_model_and_another_seed_another_one():
    settings = {"epochs": 3, "dropout": 0.3, "uniform_negatives": 5}
    first, second, other = (make(seed=seed, **settings).fit(LOG) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.user_factors_, second.user_factors_)
    np.testing.assert_array_equal(first.item_factors_, second.item_factors_)
    assert (first.item_factors_ != other.item_factors_).any()


def test_an_infinite_loss_is_an_error_and_leaves_the_earlier_fit():
    model = make(epochs=3).fit(BOARD)
    before = model.item_factors_.copy()
    model.set_params(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"must (stay|be) finite; got .* Lower the learning rate"):
        model.fit(BOARD)
    np.testing.assert_array_equal(model.item_factors_, before)


def interrupt_at(monkeypatch, epoch):
    """Raise KeyboardInterrupt in the middle of an epoch, counted from 0."""

    def on_epoch_begin(self, number, logs=None):
        self._start = 0.0
        self._number = number

    def on_train_batch_end(self, batch, logs=None):
        if self._number == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_callbacks.Stopwatch, "on_epoch_begin", on_epoch_begin)
    monkeypatch.setattr(training_callbacks.Stopwatch, "on_train_batch_end", on_train_batch_end, raising=False)


def test_interrupted_before_the_first_epoch_ends(monkeypatch):
    model = make(epochs=3).fit(BOARD)
    before = model.item_factors_.copy()
    interrupt_at(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(LOG)
    np.testing.assert_array_equal(model.item_factors_, before)
    assert model.item_ids_.tolist() == list(range(12))
    fresh = make()
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(LOG)
    with pytest.raises(NotFittedError):
        fresh.recommend([0])


def test_interrupted_later_keeps_the_best_so_far(monkeypatch):
    settings = {"epochs": 8, "learning_rate": 0.01, "patience": 99, "refit": False}
    whole = make(**settings).fit(LOG)
    interrupt_at(monkeypatch, 3)
    model = make(**settings)
    with pytest.raises(KeyboardInterrupt):
        model.fit(LOG)
    assert model.interrupted_
    assert not whole.interrupted_
    assert len(model.history_) == 3
    name = next(key for key in model.history_[0] if key.startswith("val_"))
    assert [epoch[name] for epoch in model.history_] == [epoch[name] for epoch in whole.history_[:3]]
    assert model.best_epoch_ == 1 + int(np.argmax([epoch[name] for epoch in model.history_]))
    assert model.recommend(model.user_ids_, k=2)[0].shape == (len(model.user_ids_), 2)
    # With a refit to come it is not begun: the model is that of the best epoch on the training part.
    refit = make(**{**settings, "refit": True})
    with pytest.raises(KeyboardInterrupt):
        refit.fit(LOG)
    np.testing.assert_array_equal(refit.item_factors_, model.item_factors_)
