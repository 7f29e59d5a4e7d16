"""Count factors against enumeration, SciPy's Poisson-binomial and golden values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit, logsumexp
from scipy.stats import poisson_binom

from noisy_labels.proportions.bag_labels import read_bags
from noisy_labels.proportions.count_messages import (
    CountFactor,
    count_factor,
    count_posterior,
    log_domain_messages,
)
from noisy_labels.proportions.count_potentials import (
    AtLeastOne,
    CustomCount,
    ExactCount,
    IntervalCount,
    QuadraticCount,
)
from noisy_labels.proportions.noisy_counts import DiscreteLaplaceCount, GaussianCount, SuppressedCount
from sparse_data import Bags

R = [0.5, -1.0, 2.0, 0.0]
INF = float("inf")


def enumerate_bag(logits, log_phi):
    """Posterior of each label and log Σ e(c) φ(c), from all 2^m labellings."""
    logits = np.asarray(logits, dtype=float)
    labellings = np.array(list(product([0, 1], repeat=len(logits))))
    weights = labellings @ log_expit(logits) + (1 - labellings) @ log_expit(-logits)
    weights = weights + np.asarray(log_phi)[labellings.sum(axis=1)]
    log_z = logsumexp(weights)
    return np.exp(weights - log_z) @ labellings, log_z


def laplace_below(k, epsilon):
    """P(noise <= k) of two-sided geometric noise, by summing it up."""
    values = np.arange(-2000, 2001)
    mass = np.exp(-epsilon * np.abs(values))
    return mass[values <= k].sum() / mass.sum()


def one_bag(draw_count, m):
    """Every potential for one bag of m with its log φ, written out."""
    s, c = draw_count, np.arange(m + 1)
    hidden = [np.log(laplace_below(2 - k, 0.8)) for k in range(m + 1)]
    with np.errstate(divide="ignore"):
        return {
            "exact": (ExactCount([s]), np.log(c == s)),
            "quadratic": (QuadraticCount([s + 0.4], 0.7), -0.7 * (c - s - 0.4) ** 2),
            "steep": (QuadraticCount([s], [50.0]), -50.0 * (c - s) ** 2),
            "gaussian": (GaussianCount([s - 0.3], 1.5), -((c - s + 0.3) ** 2) / 4.5),
            "laplace": (DiscreteLaplaceCount([s + 3], 0.8, 2.0), -0.4 * np.abs(c - s - 3)),
            "interval": (IntervalCount([s - 1], [s + 1]), np.log((c >= s - 1) & (c <= s + 1))),
            "reported": (SuppressedCount([s], 3, 0.8), -0.8 * np.abs(c - s)),
            "suppressed": (SuppressedCount([np.nan], 3, 0.8), np.array(hidden)),
            "suppressed exactly": (SuppressedCount([np.nan], 3), np.log(c < 3)),
            "positive": (AtLeastOne(), np.log(c >= 1)),
            "negative": (AtLeastOne([False]), np.log(c == 0)),
            "even": (
                CustomCount(lambda k, size, bag: np.where(k % 2, -INF, 0.1 * k)),
                np.log(c % 2 == 0) + 0.1 * c,
            ),
        }


NAMES = list(one_bag(1, 4))


@pytest.mark.parametrize(
    ("log_phi", "expected"),
    [
        ([-4, -1, 0, -1, -4], [-0.12175168, -0.46716898, 0.09275197, -0.28223218]),
        ([-0.5625, -0.0625, -0.0625, -0.5625, -1.5625], [-0.25104038, -0.38812567, -0.14123786, -0.30516388]),
        ([-INF, 0, -INF, -INF, -INF], [-2.16984602, -2.30635571, -1.10413061, -2.2413113]),
        ([-3, -2, -1, 0, -1], [0.64179411, 0.32214396, 0.70105094, 0.58947124]),
        ([-INF, 0, 0, 0, 0], [0.04454993, 0.02275901, 0.14850253, 0.03345392]),
    ],
)
def test_golden_messages(log_phi, expected):
    factor = CountFactor(read_bags([0] * 4, 4), Bags(np.array(log_phi, dtype=float), [0, 5]))
    np.testing.assert_allclose(factor.messages(np.array(R)), expected, atol=5e-9)
    np.testing.assert_allclose(log_domain_messages(R, log_phi)[0], expected, atol=5e-9)


def test_golden_saddlepoint():
    factor = count_factor([0] * 4, QuadraticCount([2], 1.0), 4, method="saddlepoint")
    expected = [-0.14247842, -0.45364902, 0.09421882, -0.26134548]
    np.testing.assert_allclose(factor.messages(np.array(R)), expected, atol=5e-9)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(logits=st.lists(st.floats(-12, 12), min_size=1, max_size=12), share=st.floats(0, 1))
def test_potentials_against_enumeration(name, logits, share):
    potential, log_phi = one_bag(round(share * len(logits)), len(logits))[name]
    expected, log_z = enumerate_bag(logits, log_phi)
    factor = count_factor(["b"] * len(logits), potential, len(logits))
    np.testing.assert_allclose(count_posterior(logits, ["b"] * len(logits), potential), expected, atol=1e-10)
    r = np.array(logits)
    np.testing.assert_allclose(factor.run(r)[1], log_z, atol=1e-9, rtol=1e-9)
    np.testing.assert_allclose(expit(r + log_domain_messages(r, log_phi)[0]), expected, atol=1e-10)


def test_twelve_members_against_enumeration():
    logits = np.random.default_rng(3).normal(0, 3, 12)
    for potential, log_phi in one_bag(5, 12).values():
        expected, _ = enumerate_bag(logits, log_phi)
        np.testing.assert_allclose(count_posterior(logits, [0] * 12, potential), expected, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 10.0, 400.0])
@pytest.mark.parametrize("m", [15, 31, 33, 130])
def test_tree_against_the_definition(m, scale):
    rng = np.random.default_rng(m)
    logits = rng.normal(0, scale, m)
    for s in (0, 1, m // 3, m - 1, m):
        for potential, log_phi in one_bag(s, m).values():
            factor = count_factor([0] * m, potential, m)
            expected, log_z = log_domain_messages(logits, log_phi)
            got, normaliser = factor.run(logits)
            np.testing.assert_allclose(normaliser, log_z, rtol=1e-9, atol=1e-8)
            np.testing.assert_allclose(expit(logits + got), expit(logits + expected), atol=1e-10)
            # How certain a certain label is may be cut short.
            uncertain = np.abs(logits + expected) < 40
            np.testing.assert_allclose(got[uncertain], expected[uncertain], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("guess", [0.0, 3.0, -11.0, 1e9, INF, np.nan])
@pytest.mark.parametrize("potential", [ExactCount([2, 40, 9]), QuadraticCount([2, 40, 9], 3.0)])
def test_any_guess_of_the_tilt_gives_the_same_messages(potential, guess):
    sizes = np.array([5, 90, 33])
    factor = count_factor(np.repeat(np.arange(3), sizes), potential, int(sizes.sum()), method="exact")
    logits = np.random.default_rng(4).normal(-1, 6, sizes.sum())
    tilts = np.full(3, guess)
    told, log_z = factor.of_members(logits, tilts=tilts)
    members = np.split(logits, [5, 95])
    slow, slow_z = zip(*(log_domain_messages(members[k], factor.table[k]) for k in range(3)), strict=True)
    np.testing.assert_allclose(told, np.concatenate(slow), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_z, slow_z, rtol=1e-10)
    # What was found is a tilt: the tilted chances add up to a count near the given one, and it holds again.
    chances = np.split(expit(logits + np.repeat(tilts, sizes)), [5, 95])
    counts = np.array([own.sum() for own in chances])
    spread = np.sqrt([(own * (1 - own)).sum() for own in chances])
    assert (np.abs(counts - [2, 40, 9]) <= 1.5 + spread).all()
    before = tilts.copy()
    again, _ = factor.of_members(logits, tilts=tilts)
    np.testing.assert_array_equal(tilts, before)
    np.testing.assert_array_equal(again, told)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.1, 2.0, 20.0]),
)
def test_beliefs_sum_to_hard_counts(sizes, seed, scale):
    rng = np.random.default_rng(seed)
    bags = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = np.unique(bags, return_index=True)[1].argsort()
    counts = rng.integers(0, np.array(sizes) + 1)
    posterior = count_posterior(rng.normal(0, scale, len(bags)), bags, ExactCount(counts[order]))
    np.testing.assert_allclose(np.bincount(bags, posterior), counts, atol=1e-9)


@pytest.mark.parametrize("m", [3, 40, 700, 3000])
def test_normaliser_is_the_poisson_binomial(m):
    rng = np.random.default_rng(m)
    logits = rng.normal(-1, 2, m)
    for s in {0, m // 5, m // 3, m}:
        factor = count_factor([0] * m, ExactCount([s]), m)
        expected = poisson_binom(expit(logits)).logpmf(s)
        if expected > -200:
            np.testing.assert_allclose(factor.run(logits)[1], expected, rtol=1e-9)


def test_gradient_of_the_normaliser_is_posterior_minus_probability():
    rng = np.random.default_rng(0)
    logits, bags = rng.normal(size=20), np.arange(20) // 7
    factor = count_factor(bags, QuadraticCount([2, 5, 1], 0.8), 20)
    step = 1e-5
    slopes = [
        (factor.run(logits + step * e)[1].sum() - factor.run(logits - step * e)[1].sum()) / (2 * step)
        for e in np.eye(20)
    ]
    posterior = expit(logits + factor.messages(logits))
    np.testing.assert_allclose(slopes, posterior - expit(logits), atol=1e-8)


@pytest.mark.parametrize("method", ["exact", "auto", "saddlepoint"])
def test_no_nan_at_extreme_logits(method):
    for logits in ([1e3, 1e3], [1e3, -1e3], [1e3, 1e3, -1e3, -1e3], [-1e3] * 5, [1e3, 0.0, -1e3]):
        for s in range(len(logits) + 1):
            with np.errstate(all="raise"):
                posterior = count_posterior(logits, [0] * len(logits), ExactCount([s]), method=method)
            assert np.isfinite(posterior).all()
            if method != "saddlepoint":
                assert posterior.sum() == pytest.approx(s, abs=1e-9)


def test_flipping_labels_negates_messages():
    rng = np.random.default_rng(1)
    logits, bags = rng.normal(0, 2, 50), np.arange(50) // 10
    counts = rng.integers(0, 11, 5)
    one = count_factor(bags, QuadraticCount(counts, 0.6), 50).messages(logits)
    other = count_factor(bags, QuadraticCount(10 - counts, 0.6), 50).messages(-logits)
    np.testing.assert_allclose(one, -other, atol=1e-10)


@pytest.mark.parametrize(("m", "error"), [(33, 0.03), (128, 0.006), (300, 0.0025)])
def test_saddlepoint_errs_as_little_as_it_should(m, error):
    rng = np.random.default_rng(m)
    for deviation in (0.5, 1.0, 3.0):
        logits = rng.normal(0, deviation, m)
        for s in (int(0.15 * m), m // 2, int(0.85 * m)):
            for potential in (ExactCount([s]), QuadraticCount([s], 0.01), QuadraticCount([s], 1.0)):
                exact, near = (
                    count_posterior(logits, [0] * m, potential, method=k) for k in ("exact", "saddlepoint")
                )
                np.testing.assert_allclose(near, exact, atol=error)


def test_auto_switches_in_large_bags_only():
    rng = np.random.default_rng(0)
    n = 1 << 16
    logits = rng.normal(-1, 1, n + 100)
    bags = np.r_[np.zeros(n), np.ones(100)]
    potential = ExactCount([n // 4, 30])
    exact, near, auto = (
        count_factor(bags, potential, n + 100, method=k) for k in ("exact", "saddlepoint", "auto")
    )
    a, b, c = exact.messages(logits), near.messages(logits), auto.messages(logits)
    np.testing.assert_array_equal(c[:n], b[:n])
    np.testing.assert_array_equal(c[n:], a[n:])
    np.testing.assert_allclose(a[:n], b[:n], atol=1e-4)
    np.testing.assert_allclose(exact.run(logits)[1], auto.run(logits)[1], rtol=1e-6)
    assert expit(logits + a)[:n].sum() == pytest.approx(n // 4, abs=1e-8)


def test_threads_give_what_one_bag_at_a_time_gives():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 90, 1600)
    bags = np.repeat(np.arange(1600), sizes)
    assert bags.size > 1 << 16  # enough for threads
    logits, counts = rng.normal(size=bags.size), rng.integers(0, sizes + 1)
    together = count_factor(bags, ExactCount(counts), bags.size).messages(logits)
    for b in (0, 17, 250, 1598, 1599):
        alone = count_factor(bags[bags == b], ExactCount(counts[[b]]), sizes[b]).messages(logits[bags == b])
        np.testing.assert_array_equal(together[bags == b], alone)


def test_bags_of_one_are_their_labels():
    posterior = count_posterior([3.0, -3.0, 0.5], ["x", "y", "z"], ExactCount([0, 1, 1]))
    np.testing.assert_array_equal(posterior, [0.0, 1.0, 1.0])


def test_matched_noise_beats_ignoring_the_bags():
    rng = np.random.default_rng(0)
    n, epsilon = 1 << 14, 1.0
    logits = rng.normal(-2, 1.5, n)
    y = rng.random(n) < expit(logits)
    bags = np.arange(n) // 8
    noise = rng.geometric(1 - np.exp(-epsilon), (2, n // 8))
    noisy = np.bincount(bags, y) + noise[0] - noise[1]

    def loss(posterior):
        posterior = np.clip(posterior, 1e-12, 1 - 1e-12)
        return -np.mean(np.where(y, np.log(posterior), np.log1p(-posterior)))

    matched = loss(count_posterior(logits, bags, DiscreteLaplaceCount(noisy, epsilon)))
    hard = loss(count_posterior(logits, bags, ExactCount(np.clip(noisy, 0, 8))))
    assert matched < loss(expit(logits)) - 0.01 < hard  # .348, .373 and .626 in a table of 131,072 rows


@pytest.mark.parametrize(
    ("logits", "bags", "potential", "message"),
    [
        ([0.0, np.nan], [0, 0], ExactCount([1]), "`logits` must be finite"),
        ([[0.0]], [0], ExactCount([1]), "`logits` must be 1-dimensional"),
        ([0.0, 0.0], [0], ExactCount([1]), "`bags` must be one id a row, 2; got 1"),
        ([0.0, 0.0], [0, np.nan], ExactCount([1]), "`bags` must be without missing"),
        ([0.0, 0.0], [0, 1], ExactCount([1]), "`counts` must be one a bag, 2; got 1"),
        ([0.0, 0.0], [0, 0], ExactCount([1.5]), "`counts` must be whole numbers"),
        ([0.0, 0.0], [0, 0], ExactCount([3]), "got 3 for bag 0 of 2"),
        ([0.0, 0.0], [0, 0], ExactCount([-1]), "got -1 for bag 0 of 2"),
        ([0.0, 0.0], [0, 0], QuadraticCount([1], 0.0), "`strength` must be above 0"),
        ([0.0, 0.0], [0, 0], QuadraticCount([1], [1.0, 2.0]), "`strength` must be one a bag"),
        ([0.0, 0.0], [0, 0], GaussianCount([INF], 1.0), "`counts` must be finite"),
        ([0.0, 0.0], [0, 0], DiscreteLaplaceCount([1], -1.0), "`epsilon` must be above 0"),
        ([0.0, 0.0], [0, 0], DiscreteLaplaceCount([1], 1.0, 0.0), "`sensitivity` must be in"),
        ([0.0, 0.0], [0, 0], SuppressedCount([1], 2, 0.0), "`epsilon` must be in"),
        ([0.0, 0.0], [0, 0], IntervalCount([0.2], [0.8]), "must allow some count of 0..2 in bag 0"),
        ([0.0, 0.0], [0, 0], AtLeastOne([0.5]), "`positive` must be true or false"),
        ([0.0, 0.0], [0, 0], CustomCount(lambda c, m, b: np.nan * c), "must be one number below"),
        ([0.0, 0.0], [0, 0], CustomCount(lambda c, m, b: 0.0), "for each of the 3 counts"),
        (
            [0.0, 0.0],
            Bags.from_lists([[0], []]),
            ExactCount([1, 0]),
            "`bags` must hold every row once; got row 1 0",
        ),
        (
            [0.0, 0.0],
            Bags.from_lists([[0, 1], []]),
            ExactCount([1, 0]),
            "`bags` must have rows; got none in bag 1",
        ),
        ([0.0, 0.0], Bags.from_lists([[0, 1], [1]]), ExactCount([1, 0]), "got row 1 2 times"),
        ([0.0, 0.0], Bags.from_lists([[0, 2]]), ExactCount([1]), r"`bags` must be in \[0, 2\)"),
    ],
)
def test_bad_input(logits, bags, potential, message):
    with pytest.raises(ValueError, match=message):
        count_posterior(logits, bags, potential)


def test_method_must_be_known():
    with pytest.raises(ValueError, match="`method` must be one of 'auto'"):
        count_posterior([0.0], [0], ExactCount([1]), method="fft")


@pytest.mark.parametrize(
    "ids", [["b", "a", "b"], [7, 3, 7], np.array(["b", 4, "b"], dtype=object), [2.5, 0.0, 2.5]]
)
def test_bags_of_any_dtype_in_order_of_appearance(ids):
    posterior = count_posterior([0.3, 0.3, 0.3], ids, ExactCount([2, 0]))
    np.testing.assert_array_equal(posterior, [1.0, 0.0, 1.0])
    rows = Bags.from_lists([[2, 0], [1]])
    np.testing.assert_array_equal(count_posterior([0.3, 0.3, 0.3], rows, ExactCount([2, 0])), posterior)


def test_rounded_proportions():
    potential = IntervalCount.from_proportions([0.34, 1.0], 0.005, [100, 4])
    tables = potential.log_values([100, 4])
    assert np.flatnonzero(tables[0] == 0).tolist() == [34]
    assert np.flatnonzero(tables[1] == 0).tolist() == [4]
    assert np.flatnonzero(
        IntervalCount.from_proportions([0.5], 0.1, [10]).log_values([10])[0] == 0
    ).tolist() == [4, 5, 6]


@pytest.mark.parametrize("sizes", [3, [[1, 2]], [-1], [2**40], [2**70], [0.5], ["a"], [np.nan]])
def test_sizes_that_no_bag_has(sizes):
    with pytest.raises((ValueError, TypeError), match="`sizes` must be"):
        AtLeastOne().log_values(sizes)
