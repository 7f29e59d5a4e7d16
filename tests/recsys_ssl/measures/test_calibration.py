import numpy as np
import pytest
from scipy.stats import binomtest

from recsys_ssl.measures.calibration import (
    equal_mass_bins,
    expected_calibration_error,
    reliability_table,
    wilson_interval,
)


def drawn(n, seed=0):
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(0.5, 3, size=n)
    return (generator.random(n) < probabilities).astype(int), probabilities, generator.random(n)


def test_bins_of_different_values_hold_equally_many():
    _, probabilities, _ = drawn(1000)
    places = equal_mass_bins(probabilities, 10)
    assert np.bincount(places).tolist() == [100] * 10
    order = np.argsort(probabilities)
    np.testing.assert_array_equal(places[order], np.repeat(np.arange(10), 100))


def test_bins_hold_equal_weight():
    _, probabilities, weights = drawn(5000)
    masses = np.bincount(equal_mass_bins(probabilities, 10, sample_weight=weights), weights=weights)
    np.testing.assert_allclose(masses, weights.sum() / 10, rtol=0.01)


def test_integer_weights_are_repeated_rows():
    labels, probabilities, _ = drawn(200)
    times = np.random.default_rng(1).integers(1, 4, size=200)
    weighted = expected_calibration_error(labels, probabilities, sample_weight=times)
    repeated = expected_calibration_error(np.repeat(labels, times), np.repeat(probabilities, times))
    assert weighted == pytest.approx(repeated)


def test_equal_values_share_a_bin_in_any_order():
    probabilities = np.repeat([0.1, 0.2, 0.3], [70, 20, 10])
    order = np.random.default_rng(0).permutation(100)
    places = equal_mass_bins(probabilities, 10)
    assert places[[0, 70, 90]].tolist() == [3, 8, 9]
    np.testing.assert_array_equal(equal_mass_bins(probabilities[order], 10), places[order])


def test_calibration_error_equals_a_loop():
    labels, probabilities, weights = drawn(1000)
    for w in (np.ones(1000), weights):
        places = equal_mass_bins(probabilities, 7, sample_weight=w)
        expected = 0.0
        for place in range(7):
            inside = places == place
            gap = np.average(probabilities[inside], weights=w[inside]) - np.average(
                labels[inside], weights=w[inside]
            )
            expected += w[inside].sum() / w.sum() * abs(gap)
        found = expected_calibration_error(labels, probabilities, 7, sample_weight=w)
        assert found == pytest.approx(expected)


def test_calibration_error_of_a_known_bias():
    """One bin holds everything, and its gap is the planted one."""
    labels = np.repeat([0, 1], [90, 10])
    assert expected_calibration_error(labels, np.full(100, 0.3)) == pytest.approx(0.2)
    assert expected_calibration_error(labels, np.full(100, 0.1)) == pytest.approx(0)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_equal_those_of_scipy(confidence):
    for positive, total in [(0, 10), (3, 10), (10, 10), (2, 5000)]:
        low, high = wilson_interval(np.array([float(positive)]), np.array([float(total)]), confidence)
        expected = binomtest(positive, total).proportion_ci(confidence, method="wilson")
        assert low[0] == pytest.approx(expected.low, abs=1e-12)
        assert high[0] == pytest.approx(expected.high, abs=1e-12)


def test_table_equals_a_loop():
    labels, probabilities, _ = drawn(1000)
    table = reliability_table(labels, probabilities, 8)
    places = equal_mass_bins(probabilities, 8)
    assert len(table) == 8
    for place, row in enumerate(table.itertuples()):
        inside = places == place
        assert row.low == probabilities[inside].min()
        assert row.high == probabilities[inside].max()
        assert row.predicted == pytest.approx(probabilities[inside].mean())
        assert row.observed == pytest.approx(labels[inside].mean())
        assert (row.n_rows, row.n_positive) == (inside.sum(), labels[inside].sum())
        expected = binomtest(int(labels[inside].sum()), int(inside.sum())).proportion_ci(method="wilson")
        assert (row.observed_low, row.observed_high) == pytest.approx((expected.low, expected.high))


def test_calibrated_probabilities_lie_in_their_intervals():
    labels, probabilities, _ = drawn(20000, seed=3)
    table = reliability_table(labels, probabilities, 20)
    inside = (table["observed_low"] <= table["predicted"]) & (table["predicted"] <= table["observed_high"])
    assert inside.sum() >= 17  # 19 are expected


def test_table_leaves_empty_bins_out_and_takes_one_class():
    table = reliability_table([0, 0, 0, 0], [0.1, 0.1, 0.1, 0.9], 4)
    assert table["n_rows"].tolist() == [3, 1]
    assert table["observed_low"].tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize("function", [reliability_table, expected_calibration_error])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.1]), "`labels` and `probabilities` must be of the same length"),
        (([0, 2], [0.1, 0.2]), "`labels` must be 0 or 1"),
        (([0, 1], [0.1, float("nan")]), "`probabilities` must be finite"),
        (([0, 1], [0.1, 1.2]), r"`probabilities` must be in \[0, 1\]"),
        (([], []), "`labels` must be non-empty"),
        (([0, 1], [0.1, 0.2], 0), "`n_bins` must be at least 1"),
    ],
)
def test_bad_input(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_bad_confidence():
    with pytest.raises(ValueError, match="`confidence` must be in"):
        reliability_table([0, 1], [0.1, 0.2], confidence=1.0)
