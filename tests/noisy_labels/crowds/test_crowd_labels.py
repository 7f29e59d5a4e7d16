"""Labels in long format: any dtypes, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from noisy_labels.crowds.crowd_labels import read_crowd_labels
from noisy_labels.crowds.majority_consensus import majority_vote


@pytest.mark.parametrize(
    "convert",
    [
        lambda v: v,
        lambda v: np.array([str(x) for x in v]),
        lambda v: np.array([str(x) for x in v], dtype=object),
        lambda v: pd.Series([f"id {x}" for x in v]),
        lambda v: pd.Series(v).astype("Int64"),
        lambda v: np.array(v, dtype=float),
        lambda v: np.array(v, dtype="datetime64[D]"),
        lambda v: pd.Categorical([str(x) for x in v]),
    ],
)
def test_dtypes(convert):
    items, workers, labels = [3, 3, 1, 2], [5, 6, 5, 6], [1, 0, 1, 1]
    crowd = read_crowd_labels(convert(items), convert(workers), convert(labels))
    assert crowd.item_codes.tolist() == [2, 2, 0, 1]
    assert crowd.worker_codes.tolist() == [0, 1, 0, 1]
    assert crowd.label_codes.tolist() == [1, 0, 1, 1]
    assert (
        list(crowd.items) == sorted(set(np.asarray(convert(items)).tolist())) or crowd.items.dtype.kind == "M"
    )


def test_by_item_and_votes():
    crowd = read_crowd_labels([2, 0, 2, 2], [0, 0, 1, 2], ["b", "a", "a", "b"])
    order, offsets = crowd.by_item()
    assert order.tolist() == [1, 0, 2, 3]
    assert offsets.tolist() == [0, 1, 4]
    assert crowd.votes().tolist() == [[1, 0], [1, 2]]
    assert crowd.worker_means(np.array([1.0, 3.0, 5.0, 7.0])).tolist() == [2.0, 5.0, 7.0]


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (([0, 1], [0], [0, 1]), ValueError, "same length"),
        (([], [], []), ValueError, "`items` must be non-empty"),
        (([0, 1], [0, 1], [0.0, np.nan]), ValueError, "`labels` must be without missing"),
        (([0, 1], ["a", None], [0, 1]), ValueError, "`workers` must be without missing"),
        (([[0], [1]], [0, 1], [0, 1]), ValueError, "`items` must be 1-dimensional"),
        (
            ([0, 1], [0, 1], np.array([0, "a"], dtype=object)),
            TypeError,
            "`labels` must be of values that can be",
        ),
    ],
)
def test_bad_values_are_refused(arrays, error, message):
    with pytest.raises(error, match=message):
        read_crowd_labels(*arrays)


def test_majority_vote_breaks_ties_by_the_commoner_class():
    vote = majority_vote([0, 0, 1, 1, 1], ["u", "v", "u", "v", "w"], ["a", "b", "b", "b", "a"])
    assert vote.probabilities.tolist() == [[0.5, 0.5], [pytest.approx(1 / 3), pytest.approx(2 / 3)]]
    assert vote.labels.tolist() == ["b", "b"]
    assert vote.label_quality.tolist() == pytest.approx([0.5, 0.5, 2 / 3, 2 / 3, 1 / 3])
    assert vote.worker_quality.tolist() == pytest.approx([7 / 12, 7 / 12, 1 / 3])
