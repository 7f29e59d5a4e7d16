from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from sparse_data.datasets.funnel import make_funnel


@pytest.fixture(scope="module")
def planted():
    return make_funnel(
        40_000,
        n_users=400,
        n_items=300,
        click_rate=0.2,
        conversion_rate=0.15,
        correlation=0.6,
        random_state=0,
    )


def test_rates(planted):
    assert abs(planted.p_click.mean() - 0.2) < 1e-9
    assert abs(planted.p_conversion.mean() - 0.15) < 1e-9
    shown = planted.impressions
    for drawn, p in ((shown.clicks, planted.p_click), (planted.potential_conversions, planted.p_conversion)):
        error = np.sqrt((p * (1 - p)).sum())
        assert abs(drawn.sum() - p.sum()) < 4 * error
    np.testing.assert_array_equal(shown.conversions, shown.clicks & planted.potential_conversions)
    np.testing.assert_allclose(planted.p_click_conversion, planted.p_click * planted.p_conversion)


def test_probabilities_by_hand(planted):
    for row in (0, 7, 39_999):
        user, item = (int(planted.impressions.columns[name][row]) for name in ("user_id", "item_id"))
        logits = []
        for factors, intercept in (
            (planted.click_factors, planted.click_intercept),
            (planted.conversion_factors, planted.conversion_intercept),
        ):
            dot = sum(float(planted.user_factors[user, d] * factors[item, d]) for d in range(8))
            logits.append(intercept + 2 * dot / 8**0.5)
        wanted = [1 / (1 + np.exp(-logit)) for logit in logits]
        np.testing.assert_allclose([planted.p_click[row], planted.p_conversion[row]], wanted, rtol=1e-10)
        np.testing.assert_allclose(
            [float(p[0]) for p in planted.probabilities([user], [item])], wanted, rtol=1e-10
        )


def test_draws_are_calibrated(planted):
    # Within every tenth of the true probability the drawn share is the mean probability.
    pairs = (
        (planted.impressions.clicks, planted.p_click),
        (planted.potential_conversions, planted.p_conversion),
        (planted.impressions.conversions, planted.p_click_conversion),
    )
    for drawn, p in pairs:
        for tenth in np.array_split(np.argsort(p), 10):
            error = np.sqrt((p[tenth] * (1 - p[tenth])).sum())
            assert abs(drawn[tenth].sum() - p[tenth].sum()) < 4.5 * error + 1


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.6, 1.0])
def test_correlation(rho):
    planted = make_funnel(10, n_users=2, n_items=20_000, dim=4, correlation=rho, random_state=1)
    for user in planted.user_factors:
        clicks, conversions = planted.click_factors @ user, planted.conversion_factors @ user
        assert abs(np.corrcoef(clicks, conversions)[0, 1] - rho) < 0.03
    np.testing.assert_allclose(planted.conversion_factors.std(), 1, atol=0.02)


def test_selection_bias_grows_with_strength():
    # How much the potential conversion rate of the clicks exceeds that of all impressions.
    bias = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        planted = make_funnel(60_000, n_users=2000, n_items=1000, strength=strength, random_state=2)
        bias.append(
            np.average(planted.p_conversion, weights=planted.p_click) / planted.p_conversion.mean() - 1
        )
        if strength == 0:
            np.testing.assert_allclose(planted.p_click, 0.1, rtol=1e-9)
    assert abs(bias[0]) < 1e-9
    assert np.all(np.diff(bias) > 0.1)
    opposite = make_funnel(60_000, n_users=2000, n_items=1000, correlation=-0.5, random_state=2)
    assert np.average(opposite.p_conversion, weights=opposite.p_click) < 0.9 * opposite.p_conversion.mean()


def test_oracle_auc(planted):
    shown = planted.impressions
    clicked = shown.clicks == 1
    assert 0.8 < roc_auc_score(shown.clicks, planted.p_click) < 0.95
    assert 0.8 < roc_auc_score(shown.conversions[clicked], planted.p_conversion[clicked]) < 0.95
    assert 0.8 < roc_auc_score(planted.potential_conversions, planted.p_conversion) < 0.95
    # The click probability says less of conversions than the right one.
    assert roc_auc_score(planted.potential_conversions, planted.p_click) < 0.8


def test_exposure(planted):
    columns = planted.impressions.columns
    assert list(columns) == ["user_id", "item_id", "segment", "category", "brand", "position"]
    weights = np.array([1 / rank for rank in range(1, 301)])
    np.testing.assert_allclose(np.sort(planted.item_popularity)[::-1], weights / weights.sum(), rtol=1e-12)
    assert stats.chisquare(np.bincount(columns["item_id"]), 40_000 * planted.item_popularity).pvalue > 0.001
    assert stats.chisquare(np.bincount(columns["user_id"])).pvalue > 0.001
    assert stats.chisquare(np.bincount(columns["position"])).pvalue > 0.001
    for key, name, size in (("user_id", "segment", 8), ("item_id", "category", 16), ("item_id", "brand", 48)):
        assert columns[name].min() >= 0
        assert columns[name].max() < size
        pairs = np.unique(np.stack([columns[key], columns[name]]), axis=1)
        assert pairs.shape[1] == len(np.unique(columns[key]))


def test_fields_tell_of_their_factors():
    planted = make_funnel(30_000, n_users=10, n_items=600, correlation=0.0, random_state=3)
    columns = planted.impressions.columns
    first = np.unique(columns["item_id"], return_index=True)[1]
    for name, own, other in (
        ("category", planted.click_factors, planted.conversion_factors),
        ("brand", planted.conversion_factors, planted.click_factors),
    ):
        items, values = columns["item_id"][first], columns[name][first]
        groups = [items[values == value] for value in np.unique(values)]
        lengths = {
            kind: np.mean([np.linalg.norm(factors[group].mean(axis=0)) for group in groups if len(group) > 9])
            for kind, factors in (("own", own), ("other", other))
        }
        assert lengths["own"] > 1.5 * lengths["other"]


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = make_funnel(500, n_users=50, n_items=20, random_state=4)
    monkeypatch.setattr("sparse_data.datasets.funnel._BLOCK_ROWS", 7)
    np.testing.assert_array_equal(
        whole.p_click, make_funnel(500, n_users=50, n_items=20, random_state=4).p_click
    )


def test_seed_decides_and_global_state_is_left_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (make_funnel(500, n_users=50, n_items=20, random_state=seed) for seed in (5, 5, 6))
    for name in one.impressions.columns:
        np.testing.assert_array_equal(one.impressions.columns[name], two.impressions.columns[name])
    np.testing.assert_array_equal(one.impressions.clicks, two.impressions.clicks)
    np.testing.assert_array_equal(one.potential_conversions, two.potential_conversions)
    assert (one.impressions.columns["item_id"] != other.impressions.columns["item_id"]).any()
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n": 0}, "`n` must be at least 1"),
        ({"n_users": 0}, "`n_users` must be at least 1"),
        ({"n_items": 0}, "`n_items` must be at least 1"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"strength": 1.1}, r"`strength` must be in \[0, 1\]; got 1.1"),
        ({"correlation": -1.1}, r"`correlation` must be in \[-1, 1\]"),
        ({"click_rate": 0.0}, r"`click_rate` must be in \(0, 1\)"),
        ({"conversion_rate": 1.0}, r"`conversion_rate` must be in \(0, 1\)"),
        ({"strength": float("nan")}, "`strength` must be in"),
    ],
)
def test_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        make_funnel(**{"n": 10, **arguments})


def test_unknown_pairs(planted):
    with pytest.raises(ValueError, match=r"`item_ids` must be in \[0, 300\)"):
        planted.probabilities([0], [300])
    with pytest.raises(ValueError, match="must be of the same length"):
        planted.probabilities([0, 1], [3])
