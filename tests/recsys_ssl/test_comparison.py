"""The table and the series that compare recommenders, and the pictures of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from recsys_ssl import EASE, Popularity
from recsys_ssl.comparison import compare_retrievers, recall_by_decile
from recsys_ssl.plots import plot_recall_by_decile, plot_training
from sparse_data import datasets
from sparse_data.datasets import Interactions


@pytest.fixture(scope="module")
def split():
    # The withheld diagonal of a checkerboard: EASE finds all of it, popularity does not.
    train = datasets.make_checkerboard(30)
    return train, Interactions(np.arange(30), np.arange(30))


def test_table_has_a_column_for_each_model_and_right_values(split):
    models = {"EASE": EASE(1.0).fit(split[0]), "popular": Popularity().fit(split[0])}
    table = compare_retrievers(models, *split, k=(1, 5, 100), metrics=["recall"], n_bootstrap=20)
    assert list(table.columns) == ["EASE", "popular"]
    assert sorted(set(table.index.get_level_values("k"))) == [1, 5]  # 100 exceeds the catalogue
    assert table.loc[("recall", 1, "all"), "EASE"] == "1.000 [1.000, 1.000]"
    assert float(table.loc[("recall", 1, "all"), "popular"].split()[0]) < 0.5


def test_recall_by_decile_is_that_of_a_loop(split):
    train, test = split
    model = Popularity().fit(train)
    recalls = recall_by_decile({"popular": model}, train, test, k=5)["popular"]
    assert len(recalls) == 10
    items, counts = np.unique(train.item_ids, return_counts=True)
    rarest_first = items[np.lexsort((-items, counts))]
    top, _ = model.recommend(test.user_ids, k=5)
    for place, group in enumerate(np.split(rarest_first, 10)):
        hits = [item in row for row, item in zip(top, test.item_ids, strict=True) if item in group]
        assert recalls[place] == pytest.approx(np.mean(hits))


def test_pictures_show_what_they_are_given():
    history = [
        {"loss": 3.0, "val_ndcg@5": 0.1},
        {"loss": 2.0, "val_ndcg@5": 0.3},
        {"loss": 1.0, "val_ndcg@5": 0.2},
    ]
    left, right = plot_training(history).axes
    assert list(left.lines[0].get_ydata()) == [3.0, 2.0, 1.0]
    assert list(right.lines[0].get_ydata()) == [0.1, 0.3, 0.2]
    assert right.lines[1].get_xdata()[0] == 2  # the best epoch
    axes = plot_recall_by_decile({"a": [0.1] * 10, "b": list(np.linspace(0, 1, 10))}, k=20).axes[0]
    assert [re.sub("_", "", line.get_label()) for line in axes.lines] == ["a", "b"]
    assert axes.get_ylabel() == "recall@20"
