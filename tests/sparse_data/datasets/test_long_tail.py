from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from sparse_data.datasets import make_interactions


@pytest.fixture(scope="module")
def planted():
    return make_interactions(300, 200, 6_050, dim=4, power=1.2, affinity=1.5, random_state=0)


def test_shapes(planted):
    log = planted.interactions
    assert len(log) == 6_050
    assert planted.user_factors.shape == (300, 4)
    assert planted.item_factors.shape == (200, 4)
    assert planted.item_popularity.shape == (200,)
    assert set(np.bincount(log.user_ids, minlength=300)) == {20, 21}
    assert len(np.unique(log.user_ids * 200 + log.item_ids)) == 6_050


def test_time_goes_in_rounds(planted):
    log = planted.interactions
    assert log.timestamps.tolist() == list(range(6_050))
    for start in range(0, 6_000, 300):
        assert sorted(log.user_ids[start : start + 300]) == list(range(300))
    assert log.user_ids[:300].tolist() != log.user_ids[300:600].tolist()


def test_popularity_follows_the_power_law(planted):
    weights = np.array([rank**-1.2 for rank in range(1, 201)])
    np.testing.assert_allclose(np.sort(planted.item_popularity)[::-1], weights / weights.sum(), rtol=1e-12)
    assert planted.item_popularity[0] != planted.item_popularity.max()


def test_preference_and_choice_by_hand(planted):
    for user in (3, 299):
        expected = []
        for item in range(200):
            dot = sum(float(planted.user_factors[user, d] * planted.item_factors[item, d]) for d in range(4))
            expected.append(1.5 * dot / 2.0)
        np.testing.assert_allclose(planted.preference([user])[0], expected, rtol=1e-12)
        weights = planted.item_popularity * np.exp(expected)
        np.testing.assert_allclose(
            planted.choice_probabilities([user])[0], weights / weights.sum(), rtol=1e-12
        )


def test_first_choices_follow_the_probabilities():
    # Many users without affinity all choose by popularity: a chi-squared test of their first choices.
    many = make_interactions(20_000, 12, 20_000, affinity=0, power=0.8, random_state=1)
    counts = np.bincount(many.interactions.item_ids, minlength=12)
    assert stats.chisquare(counts, 20_000 * many.item_popularity).pvalue > 0.001


def test_first_choices_follow_the_preferences():
    many = make_interactions(20_000, 12, 20_000, affinity=2, power=0.8, random_state=2)
    expected = many.choice_probabilities(np.arange(20_000)).sum(axis=0)
    counts = np.bincount(many.interactions.item_ids, minlength=12)
    # Users differ, so the counts vary less than multinomial ones: the test errs on the safe side.
    assert stats.chisquare(counts, expected).pvalue > 0.001
    met = many.choice_probabilities(np.arange(20_000))[many.interactions.user_ids, many.interactions.item_ids]
    # E[p(choice)] = mean over users of sum_i p_i^2
    wanted = (many.choice_probabilities(np.arange(20_000)) ** 2).sum(axis=1)
    assert abs(met.mean() - wanted.mean()) < 4 * met.std() / np.sqrt(20_000)


def test_second_choice_is_renormalised():
    # Plackett and Luce: P(second = j) = sum over i != j of p_i p_j / (1 - p_i).
    many = make_interactions(20_000, 5, 40_000, affinity=0, power=1.5, random_state=3)
    p = many.item_popularity
    expected = [sum(p[i] * p[j] / (1 - p[i]) for i in range(5) if i != j) for j in range(5)]
    counts = np.bincount(many.interactions.item_ids[20_000:], minlength=5)
    assert stats.chisquare(counts, 20_000 * np.array(expected)).pvalue > 0.001


def test_every_cell_can_be_drawn():
    full = make_interactions(7, 5, 35, random_state=0).interactions
    assert sorted((full.user_ids * 5 + full.item_ids).tolist()) == list(range(35))


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = make_interactions(50, 20, 500, random_state=4)
    monkeypatch.setattr("sparse_data.datasets.long_tail._BLOCK_CELLS", 140)
    blocks = make_interactions(50, 20, 500, random_state=4)
    np.testing.assert_array_equal(whole.interactions.item_ids, blocks.interactions.item_ids)


def test_seed_decides_and_global_state_is_left_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (make_interactions(50, 20, 500, random_state=5).interactions for _ in range(2))
    other = make_interactions(50, 20, 500, random_state=6).interactions
    np.testing.assert_array_equal(one.item_ids, two.item_ids)
    assert one.items["tags"] == two.items["tags"]
    assert (one.item_ids != other.item_ids).any()
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_feature_parameters_leave_the_log_alone():
    one = make_interactions(50, 20, 500, redundancy=0, tag_noise=0, random_state=7).interactions
    two = make_interactions(50, 20, 500, redundancy=1, tag_noise=1, random_state=7).interactions
    np.testing.assert_array_equal(one.item_ids, two.item_ids)
    np.testing.assert_array_equal(one.items["brand"], two.items["brand"])


def mutual_information(first, second) -> float:
    """In nats, from the counts."""
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    total = 0.0
    for a, b in set(pairs):
        joint = pairs.count((a, b)) / len(pairs)
        total += joint * np.log(joint / (np.mean(first == a) * np.mean(second == b)))
    return total


def test_redundancy_ties_department_to_category():
    tied, between, free = (
        make_interactions(10, 800, 10, redundancy=share, random_state=8).interactions.items
        for share in (1, 0.5, 0)
    )
    names = dict(zip(tied["category"].tolist(), tied["department"].tolist(), strict=True))
    assert [names[name] for name in tied["category"].tolist()] == tied["department"].tolist()
    assert len(set(names.values())) == len(names)
    shared = [mutual_information(items["category"], items["department"]) for items in (tied, between, free)]
    assert shared[0] > shared[1] > shared[2]


def test_tags_and_their_noise():
    clean = make_interactions(10, 500, 10, tag_noise=0, random_state=9).interactions.items["tags"]
    noisy = make_interactions(10, 500, 10, tag_noise=0.5, random_state=9).interactions.items["tags"]
    assert set(clean.lengths) == {3}
    kept = np.mean([len(set(a.tolist()) & set(b.tolist())) / 3 for a, b in zip(clean, noisy, strict=True)])
    # A tag stays unless replaced (0.5); few of the random tags hit a right one by chance.
    assert 0.46 < kept < 0.56
    assert noisy.lengths.min() >= 1


def test_fields_tell_of_the_factors(planted):
    items = planted.interactions.items
    first = planted.item_factors[:, 0]
    bands = [first[items["price_band"] == f"price_band_{band:02d}"] for band in range(8)]
    assert [len(band) for band in bands] == [25] * 8
    assert all(low.max() < high.min() for low, high in itertools.pairwise(bands))
    # Items of one category point the same way: their mean length is far above that of random groups.
    groups = [planted.item_factors[items["category"] == name] for name in np.unique(items["category"])]
    lengths = [np.linalg.norm(group.mean(axis=0)) for group in groups if len(group) >= 10]
    assert min(lengths) > 0.9
    assert planted.interactions.users["segment"].shape == (300,)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_users": 0}, "`n_users` must be at least 1"),
        ({"n_items": 0}, "`n_items` must be at least 1"),
        ({"n_interactions": 9}, r"`n_interactions` must be in \[10, 50\]; got 9"),
        ({"n_interactions": 51}, r"`n_interactions` must be in \[10, 50\]; got 51"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"power": -1}, "`power` must be in"),
        ({"affinity": -1}, "`affinity` must be in"),
        ({"redundancy": 1.1}, "`redundancy` must be in"),
        ({"tag_noise": float("nan")}, "`tag_noise` must be in"),
    ],
)
def test_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        make_interactions(**{"n_users": 10, "n_items": 5, "n_interactions": 20, **arguments})


def test_unknown_user(planted):
    with pytest.raises(ValueError, match=r"`user_ids` must be in \[0, 300\)"):
        planted.preference([300])


def test_a_power_that_leaves_no_popularity_is_refused():
    with pytest.raises(ValueError, match="`power` must leave each of 8 items popularity above 0; got 1e"):
        make_interactions(5, 8, 20, power=1e300)
