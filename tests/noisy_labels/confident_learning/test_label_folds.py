"""Folds: every row tested, classes spread, groups whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, RepeatedStratifiedKFold, ShuffleSplit

from noisy_labels.confident_learning.label_folds import label_folds


@settings(max_examples=60, deadline=None)
@given(y=st.lists(st.integers(0, 4), min_size=2, max_size=60), cv=st.integers(2, 7), seed=st.integers(0, 99))
def test_rows_and_classes_are_spread_evenly(y, cv, seed):
    y = np.array(y)
    folds = label_folds(cv, np.zeros((len(y), 1)), y, random_state=seed)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(len(y)))
    assert np.ptp([len(test) for _, test in folds]) <= 1
    for train, test in folds:
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(y)
    for label in set(y):
        assert np.ptp([(y[test] == label).sum() for _, test in folds]) <= 1


def test_groups_are_never_on_both_sides():
    rng = np.random.default_rng(0)
    y, groups = rng.integers(2, size=60), np.repeat(np.arange(12), 5)
    for cv in (3, GroupKFold(3), LeaveOneGroupOut()):
        for train, test in label_folds(cv, np.zeros((60, 1)), y, groups=groups, random_state=0):
            assert not set(groups[train]) & set(groups[test])


def test_seed_repeats_and_iterables():
    X, y = np.zeros((20, 1)), np.arange(20) % 2
    first, again, other = (label_folds(4, X, y, random_state=s)[0][1].tolist() for s in (1, 1, 2))
    assert first == again != other
    assert len(label_folds(RepeatedStratifiedKFold(n_splits=2, n_repeats=3), X, y)) == 6
    pairs = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    assert len(label_folds(pairs, X, y)) == 2


def test_a_splitter_that_leaves_rows_out_is_refused():
    with pytest.raises(ValueError, match="`cv` must test every row"):
        label_folds(ShuffleSplit(1, test_size=0.2, random_state=0), np.zeros((20, 1)), np.arange(20) % 2)
