import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recsys_ssl.measures.auc_of_groups import auc_by_group, grouped_auc


def drawn(n, seed=0, n_groups=30, n_scores=8):
    generator = np.random.default_rng(seed)
    return (
        generator.integers(2, size=n),
        generator.integers(n_scores, size=n) / 10,  # with many ties
        generator.integers(n_groups, size=n) * 7 - 50,
        generator.random(n),
    )


def by_pairs(labels, scores, weights):
    """Compute the area pair by pair."""
    won = total = 0.0
    for left in np.flatnonzero(labels == 1):
        for right in np.flatnonzero(labels == 0):
            pair = weights[left] * weights[right]
            won += pair * ((scores[left] > scores[right]) + 0.5 * (scores[left] == scores[right]))
            total += pair
    return won / total if total else math.nan


@pytest.mark.parametrize("weighted", [False, True])
def test_every_group_equals_a_loop_over_pairs_and_scikit_learn(weighted):
    labels, scores, groups, weights = drawn(200)
    labels[groups == groups[0]] = 1  # a group of one class
    weights = weights if weighted else np.ones(200)
    found = auc_by_group(labels, scores, groups, sample_weight=weights if weighted else None)
    assert found.groups.tolist() == sorted(set(groups.tolist()))
    for group, auc, weight in zip(*found, strict=True):
        inside = groups == group
        expected = by_pairs(labels[inside], scores[inside], weights[inside])
        assert auc == pytest.approx(expected, nan_ok=True)
        assert weight == pytest.approx(weights[inside].sum())
        if not math.isnan(expected):
            assert auc == pytest.approx(
                roc_auc_score(labels[inside], scores[inside], sample_weight=weights[inside])
            )
    assert math.isnan(found.auc[found.groups == groups[0]][0])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_is_weighted_by_impressions_of_groups_with_both_classes(weighted):
    labels, scores, groups, weights = drawn(300, seed=1, n_groups=60)
    weights = weights if weighted else np.ones(300)
    total = counted = 0.0
    for group in set(groups.tolist()):
        inside = groups == group
        if 0 < labels[inside].sum() < inside.sum():
            area = roc_auc_score(labels[inside], scores[inside], sample_weight=weights[inside])
            total += weights[inside].sum() * area
            counted += weights[inside].sum()
    assert counted < weights.sum()  # some groups do not count
    assert grouped_auc(labels, scores, groups, sample_weight=weights) == pytest.approx(total / counted)


def test_groups_of_any_kind_and_rows_in_any_order():
    labels, scores, groups, _ = drawn(100)
    expected = grouped_auc(labels, scores, groups)
    order = np.random.default_rng(2).permutation(100)
    names = np.char.add("u", groups.astype(str))
    assert grouped_auc(labels[order], scores[order], groups[order]) == pytest.approx(expected)
    assert grouped_auc(labels, scores, names) == pytest.approx(expected)
    assert grouped_auc(labels, scores, names.astype(object)) == pytest.approx(expected)
    assert grouped_auc(labels, np.exp(scores), groups) == pytest.approx(expected)


def test_what_is_constant_within_groups_adds_nothing():
    labels, _, groups, _ = drawn(100)
    assert grouped_auc(labels, groups.astype(float), groups) == 0.5


def test_rows_of_no_weight_do_not_count():
    found = auc_by_group([0, 1, 1], [0.1, 0.2, 0.0], [0, 0, 0], sample_weight=[1, 1, 0])
    assert found.auc.tolist() == [1.0]
    assert math.isnan(auc_by_group([0, 1], [0.1, 0.2], [0, 0], sample_weight=[1, 0]).auc[0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-2, 2), st.integers(0, 2), st.integers(0, 3)),
        min_size=1,
        max_size=25,
    ).filter(lambda rows: any(row[3] for row in rows))
)
def test_any_data_equal_a_loop_over_pairs(rows):
    labels, scores, groups, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = auc_by_group(labels, scores, groups, sample_weight=weights)
    for group, auc in zip(found.groups, found.auc, strict=True):
        inside = groups == group
        expected = by_pairs(labels[inside], scores[inside], weights[inside])
        assert auc == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0, 2]}, "`labels` must be 0 or 1"),
        ({"scores": [0.1, float("nan")]}, "`scores` must be finite"),
        ({"scores": [0.1]}, "must be of the same length; got 2 and 1 and 2"),
        ({"groups": ["a", None]}, "`groups` must be without missing values"),
        ({"groups": ["a", "b"]}, r"`groups` must hold one with labels of both classes; got 2 group\(s\)"),
        ({"labels": [1, 1]}, "`groups` must hold one with labels of both classes"),
        ({"sample_weight": [1, -1]}, "`sample_weight` must be non-negative"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"labels": [0, 1], "scores": [0.1, 0.2], "groups": ["a", "a"], **changes}
    with pytest.raises(ValueError, match=message):
        grouped_auc(**arguments)
