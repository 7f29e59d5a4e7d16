import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from recsys_ssl.funnels.funnel_calibration import FunnelCalibration, logistic_map

N = 4000
GENERATOR = np.random.default_rng(0)
TRUTH = expit(GENERATOR.normal(-1.0, 1.5, size=N))
LABELS = (GENERATOR.random(N) < TRUTH).astype(int)
WEIGHTS = GENERATOR.integers(0, 4, size=N).astype(float)


def funnel(n=N, seed=1):
    generator = np.random.default_rng(seed)
    ctr, cvr = expit(generator.normal(-1.0, 1.0, size=(2, n)))
    clicks = generator.random(n) < ctr
    return clicks, clicks & (generator.random(n) < cvr), {"ctr": ctr, "cvr": cvr, "ctcvr": ctr * cvr}


def test_the_logistic_map_takes_a_known_distortion_back():
    a, b = logistic_map(LABELS, expit((logit(TRUTH) + 1.0) / 2.0))
    assert a == pytest.approx(2.0, abs=0.15)
    assert b == pytest.approx(-1.0, abs=0.15)


def test_the_logistic_map_against_scikit_learn():
    positive, negative = WEIGHTS[LABELS == 1].sum(), WEIGHTS[LABELS == 0].sum()
    # Targets between 0 and 1 are rows of both classes.
    target = np.where(LABELS == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = np.tile(logit(TRUTH), 2)[:, None]
    both = np.repeat([1, 0], N)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fitted.fit(x, both, np.concatenate([WEIGHTS * target, WEIGHTS * (1 - target)]))
    found = logistic_map(LABELS, TRUTH, sample_weight=WEIGHTS)
    np.testing.assert_allclose(found, [fitted.coef_[0, 0], fitted.intercept_[0]], atol=1e-4)


def test_the_logistic_map_reverses_no_order_and_bears_separated_classes():
    assert logistic_map(1 - LABELS, TRUTH)[0] == 0.0
    a, b = logistic_map([0, 0, 1, 1], [0.0, 0.1, 0.9, 1.0])
    assert np.isfinite([a, b]).all()
    assert a > 0


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_means_agree_with_labels_after_calibration(kind):
    clicks, conversions, true = funnel()
    wrong = {"ctr": true["ctr"] ** 0.5, "cvr": true["cvr"] ** 0.5, "ctcvr": true["ctcvr"] ** 0.5}
    found = FunnelCalibration.learn(kind, clicks, conversions, wrong).apply(wrong)
    assert found["ctr"].sum() == pytest.approx(clicks.sum(), rel=0.01)
    assert found["ctcvr"].sum() == pytest.approx(conversions.sum(), rel=0.02)
    assert abs(found["ctr"] - true["ctr"]).mean() < 0.2 * abs(wrong["ctr"] - true["ctr"]).mean()
    np.testing.assert_allclose(found["ctr"] * found["cvr"], found["ctcvr"], atol=1e-12)


def test_isotonic_against_scikit_learn():
    clicks, conversions, true = funnel()
    weights = WEIGHTS[: len(clicks)]
    new = funnel(seed=2)[2]
    found = FunnelCalibration.learn("isotonic", clicks, conversions, true, sample_weight=weights).apply(new)
    expected = {}
    for name, labels in (("ctr", clicks), ("ctcvr", conversions)):
        regression = IsotonicRegression(out_of_bounds="clip").fit(true[name], labels, weights)
        expected[name] = regression.predict(new[name])
    np.testing.assert_allclose(found["ctr"], expected["ctr"], atol=1e-12)
    np.testing.assert_allclose(found["ctcvr"], np.minimum(expected["ctcvr"], expected["ctr"]), atol=1e-12)


def test_cvr_stays_where_ctr_becomes_zero():
    maps = np.array([[0.2, 0.3], [0.0, 0.5]])
    ctcvr = np.array([[0.0, 1.0], [0.0, 1.0]])
    found = FunnelCalibration("isotonic", maps, ctcvr).apply(
        {"ctr": np.array([0.1, 0.3]), "cvr": np.array([0.7, 0.7]), "ctcvr": np.array([0.07, 0.21])}
    )
    np.testing.assert_allclose(found["ctr"], [0.0, 0.5])
    np.testing.assert_allclose(found["ctcvr"], [0.0, 0.21])
    np.testing.assert_allclose(found["cvr"], [0.7, 0.42])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["logistic", "isotonic"]),
    st.integers(0, 1000),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_a_calibrated_funnel_is_a_funnel(kind, seed, pairs):
    clicks, conversions, _ = funnel(60, seed)
    clicks[:3], conversions[:3] = [True, True, False], [True, False, False]
    noise = np.random.default_rng(seed).random((2, 60))
    learned = FunnelCalibration.learn(kind, clicks, conversions, {"ctr": noise[0], "ctcvr": noise[1]})
    ctr, cvr = np.array(pairs).T
    given_ = {"ctr": ctr, "cvr": cvr, "ctcvr": ctr * cvr}
    before = {name: values.copy() for name, values in given_.items()}
    found = learned.apply(given_)
    for name, values in found.items():
        assert ((values >= 0) & (values <= 1)).all()
        np.testing.assert_array_equal(given_[name], before[name])
    assert (found["ctcvr"] <= found["ctr"]).all()
    order = np.argsort(ctr)
    assert (np.diff(found["ctr"][order]) >= 0).all()


def test_errors():
    with pytest.raises(ValueError, match="must hold both 0 and 1"):
        logistic_map([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="`sample_weight` must be"):
        logistic_map([0, 1], [0.1, 0.2], sample_weight=[1, np.nan])
    with pytest.raises(ValueError, match="`calibrate` must be one of"):
        FunnelCalibration.learn("spline", [0, 1], [0, 1], {"ctr": [0.1, 0.2], "ctcvr": [0.1, 0.2]})
