"""Bags and counts as users have them: ids, arrays, mappings, series, and what must be refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.bag_labels import read_bags, read_counts
from noisy_labels.proportions.count_potentials import AtLeastOne

IDS = ["b", "a", "b", "c", "a", "b"]
INDEX = read_bags(IDS, 6)


def test_rows_of_each_bag():
    assert INDEX.ids.tolist() == ["b", "a", "c"]
    assert [bag.tolist() for bag in INDEX.rows] == [[0, 2, 5], [1, 4], [3]]
    assert INDEX.codes.tolist() == [0, 1, 0, 2, 1, 0]
    np.testing.assert_allclose(INDEX.means(np.arange(6.0)), [7 / 3, 2.5, 3.0])
    rows, part = INDEX.take(np.array([2, 0]))
    assert rows.tolist() == [3, 0, 2, 5]
    assert [bag.tolist() for bag in part.rows] == [[0], [1, 2, 3]]
    assert part.ids.tolist() == ["c", "b"]


@pytest.mark.parametrize(
    "given",
    [
        {"counts": [1, 2, 0]},
        {"counts": {"a": 2, "b": 1, "c": 0}},
        {"counts": pd.Series([0, 2, 1], index=["c", "a", "b"])},
        {"counts": [1, 2, 1, 0, 2, 1]},
        {"proportions": [1 / 3, 1, 0]},
        {"proportions": {"c": 0.0, "b": 1 / 3, "a": 1.0}},
        {"proportions": [1 / 3, 1, 1 / 3, 0, 1, 1 / 3]},
    ],
)
def test_counts_in_every_form(given):
    assert np.asarray(read_counts(INDEX, **given).counts).tolist() == [1, 2, 0]


def test_numbers_dates_and_tuples_name_bags():
    days = np.array(["2026-01-02", "2026-01-01", "2026-01-02"], dtype="datetime64[D]")
    assert [bag.tolist() for bag in read_bags(days, 3).rows] == [[0, 2], [1]]
    pairs = pd.Series([(1, "x"), (1, "y"), (1, "x")])
    index = read_bags(pairs, 3)
    assert [bag.tolist() for bag in index.rows] == [[0, 2], [1]]
    assert np.asarray(read_counts(index, counts={(1, "x"): 2, (1, "y"): 0}).counts).tolist() == [2, 0]
    index = read_bags(np.array([5, 3, 5]), 3)
    assert np.asarray(read_counts(index, counts=pd.Series([0, 1], index=[3, 5])).counts).tolist() == [1, 0]


def test_a_potential_is_kept():
    potential = AtLeastOne()
    assert read_counts(INDEX, counts=potential) is potential


def test_a_fraction_of_a_label_is_told_and_rounded():
    with pytest.warns(UserWarning, match="bag 'b' of 3 has 1.2. The nearest is taken"):
        potential = read_counts(INDEX, proportions=[0.4, 1.0, 0.0])
    assert np.asarray(potential.counts).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "One of `proportions` and `counts` must be given with `bags`; got neither"),
        ({"counts": [1, 2, 0], "proportions": [0, 0, 0]}, "got both"),
        ({"proportions": [0.5, 1.01, 0]}, r"`proportions` must be in \[0, 1\]; got 1.01 for bag 'a'"),
        ({"proportions": [-0.1, 1, 0]}, "got -0.1 for bag 'b'"),
        ({"proportions": [np.nan, 1, 0]}, "`proportions` must be finite"),
        ({"counts": [1, 2]}, "must be one value a bag, 3, or one a row, 6; got 2"),
        ({"counts": [1, 2, 0, 0]}, "got 4. Bags are those ids that occur"),
        ({"counts": {"a": 1, "b": 1}}, "each bag with rows; got none for .*'c'"),
        ({"counts": {"a": 1, "b": 1, "c": 0, "d": 4}}, "got one for 'd', without rows"),
        ({"counts": pd.Series([1, 1, 1, 0], index=["a", "a", "b", "c"])}, "got an id twice"),
        ({"counts": [1, 2, 1, 0, 2, 0]}, "the same in all rows of a bag; got several in bag 'b'"),
        ({"counts": [[1, 2, 0]]}, "`counts` must be 1-dimensional"),
    ],
)
def test_counts_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        read_counts(INDEX, **given)


def test_ids_that_are_refused():
    with pytest.raises(ValueError, match="`bags` must be without missing values; got 1 missing"):
        read_bags(["a", None, "b"], 3)
    with pytest.raises(ValueError, match="`bags` must be one id a row, 4; got 3"):
        read_bags([1, 2, 3], 4)
    with pytest.raises(ValueError, match="`bags` must be 1-dimensional"):
        read_bags([[1, 2]], 2)


def test_random_bags():
    y = np.random.default_rng(0).random(1003) < 0.3
    made = make_bags(y, size=10, random_state=1)
    assert sorted(made.sizes) == [3] + [10] * 100
    assert made.bags[0] == 0
    assert [made.counts[b] for b in range(101)] == [y[made.bags == b].sum() for b in range(101)]
    np.testing.assert_allclose(made.proportions, made.counts / made.sizes)
    again = make_bags(y, size=10, random_state=1)
    np.testing.assert_array_equal(made.bags, again.bags)
    first = np.unique(made.bags, return_index=True)[1]
    assert (np.diff(first) > 0).all()  # numbered as they appear
    assert np.corrcoef(made.bags, np.arange(1003))[0, 1] < 0.9


def test_bags_of_features_and_clusters():
    columns = np.array([["x", "u"], ["x", "v"], ["y", "u"], ["x", "u"], ["y", "u"]])
    made = make_bags([1, 0, 1, 1, 0], kind="feature", X=columns)
    assert made.bags.tolist() == [0, 1, 2, 0, 2]
    assert made.counts.tolist() == [2, 0, 1]
    points = np.repeat([0.0, 10.0, 20.0], 8)
    made = make_bags(np.ones(24), kind="cluster", size=8, X=points, random_state=0)
    assert made.bags.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_skewed_bags_are_purer_than_random_ones():
    y = np.arange(4000) % 4 == 0

    def spread(**arguments):
        return make_bags(y, size=20, random_state=0, **arguments).proportions.var()

    # Variances of a proportion: p(1-p)/m, and p(1-p)(1/m + (1 - 1/m)/(concentration + 1)) for Beta.
    random, skewed = 0.1875 / 20, 0.1875 * (1 / 20 + 0.95 / 2)
    assert spread() == pytest.approx(random, rel=0.3)
    assert spread(kind="skewed") == pytest.approx(skewed, rel=0.25)
    made = make_bags(y, size=20, kind="skewed", random_state=0)
    assert (made.sizes == 20).all()
    assert made.counts.sum() == 1000
    assert make_bags(np.zeros(5), size=2, kind="skewed", random_state=0).counts.tolist() == [0, 0, 0]


def test_private_noise_is_two_sided_geometric():
    y = np.zeros(40000)
    made = make_bags(y, size=2, epsilon=0.7, random_state=0)
    decay = np.exp(-0.7)
    # P(k) = (1 - a) / (1 + a) a^|k|
    for k in (-2, -1, 0, 1, 2):
        expected = (1 - decay) / (1 + decay) * decay ** abs(k)
        assert (made.counts == k).mean() == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [0, 2]}, "`y` must be labels 0 and 1"),
        ({"y": []}, "`y` must be labels 0 and 1"),
        ({"size": 0}, "`size` must be at least 1"),
        ({"kind": "pure"}, "`kind` must be one of"),
        ({"kind": "feature"}, "`X` must be given for kind='feature'"),
        ({"kind": "cluster", "X": [1.0]}, "must be of the same length"),
        ({"epsilon": 0}, "`epsilon` must be in"),
        ({"concentration": 0}, "`concentration` must be in"),
    ],
)
def test_bad_input_of_make_bags(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_bags(**{"y": [0, 1], **arguments})
