"""Accuracies and order of models by prevalence: against rows that are really taken away."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.audits.benchmark_curves import benchmark_stability


def three_models(seed=0, n=1000):
    """Return models that know the right labels, the wrong ones, or a bit of both; 5 % of labels are wrong."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 5, n)
    wrong = rng.random(n) < 0.05
    given = np.where(wrong, (right + 1) % 5, right)

    def guesses(of_right, learns):
        hit = np.where(wrong & (rng.random(n) < learns), given, right)
        return np.where(rng.random(n) < of_right, hit, rng.integers(0, 5, n))

    models = {"large": guesses(0.95, 0.9), "small": guesses(0.93, 0.0), "poor": guesses(0.5, 0.5)}
    return models, given, right


def test_accuracy_of_the_whole_set_and_of_the_corrected_rows():
    models, given, right = three_models()
    found = benchmark_stability(models, given, right)
    assert found.names == ("large", "small", "poor")
    assert found.prevalence == (given != right).mean()
    wrong = given != right
    for place, guesses in enumerate(models.values()):
        assert found.given[place, 0] == pytest.approx((guesses == given).mean())
        assert found.corrected[place, 0] == pytest.approx((guesses == right).mean())
        assert found.given[place, -1] == pytest.approx((guesses == given)[wrong].mean())
        assert found.corrected[place, -1] == pytest.approx((guesses == right)[wrong].mean())


def test_expectation_over_rows_taken_away():
    models, given, right = three_models()
    wrong = given != right
    rng = np.random.default_rng(1)
    kept = int(wrong.sum())  # as many right rows as wrong ones: prevalence 1/2
    found = benchmark_stability(models, given, right, prevalences=[0.5])
    draws = []
    for _ in range(400):
        rows = np.r_[np.flatnonzero(wrong), rng.choice(np.flatnonzero(~wrong), kept, replace=False)]
        draws.append([(guesses[rows] == given[rows]).mean() for guesses in models.values()])
    error = 4 * np.std(draws, axis=0) / 20
    assert (np.abs(np.mean(draws, axis=0) - found.given[:, 0]) < error + 1e-9).all()


@pytest.mark.parametrize("seed", range(8))
def test_flips_from_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    right, n = rng.integers(0, 2, 60), 60
    given = np.where(np.arange(n) < 10, 1 - right, right)
    models = {name: np.where(rng.random(n) < 0.5, given, 1 - given) for name in "abcd"}
    found = benchmark_stability(models, given, right, prevalences=np.linspace(1 / 6, 1, 50_001))
    expected = {}
    for first in range(4):
        for second in range(first + 1, 4):
            by_given = np.sign(np.round(found.given[first] - found.given[second], 9))
            by_right = np.sign(np.round(found.corrected[first] - found.corrected[second], 9))
            differs = np.flatnonzero(by_given * by_right < 0)
            if differs.size:
                expected["abcd"[first], "abcd"[second]] = found.prevalences[differs[0]]
    told = {(first, second): prevalence for first, second, prevalence in found.flips}
    assert told.keys() == expected.keys()
    for pair, prevalence in expected.items():
        assert told[pair] == pytest.approx(prevalence, abs=1e-4)
    assert [flip[2] for flip in found.flips] == sorted(told.values())


def test_the_model_that_learned_the_errors_falls_behind():
    models, given, right = three_models()
    flips = benchmark_stability(models, given, right).flips
    assert flips[0][:2] == ("large", "small")
    assert flips[0][2] < 0.2


def test_bad_input():
    models, given, right = three_models()
    with pytest.raises(ValueError, match="`predictions` must hold at least one model"):
        benchmark_stability({}, given, right)
    with pytest.raises(ValueError, match="`corrected` must differ from `labels` in some rows"):
        benchmark_stability(models, given, given)
    with pytest.raises(ValueError, match="`labels` and `corrected` must be of the same length"):
        benchmark_stability(models, given, right[:9])
    with pytest.raises(ValueError, match="`labels` and `poor` must be of the same length"):
        benchmark_stability({"poor": [0, 1]}, given, right)
    with pytest.raises(ValueError, match=r"`prevalences` must be in \[0.0"):
        benchmark_stability(models, given, right, prevalences=[0.0, 1.0])
