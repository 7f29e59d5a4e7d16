import warnings

import numpy as np
import pandas as pd
import pytest

from recsys_ssl.measures.label_leak import label_leak_warnings

N = 4000
GENERATOR = np.random.default_rng(0)
QUALITY = GENERATOR.normal(size=N)
CLICKS = (GENERATOR.random(N) < 1 / (1 + np.exp(2 - QUALITY))).astype(int)
CONVERSIONS = CLICKS * (GENERATOR.random(N) < 0.2)
HONEST = {
    "quality": QUALITY,
    "user": np.arange(N),
    "user_name": np.char.add("u", np.arange(N).astype(str)),
    "city": GENERATOR.choice(["a", "b", "c"], size=N),
    "shop": np.char.add("s", GENERATOR.integers(800, size=N).astype(str)),  # as many as rows of a click
    "gaps": np.where(GENERATOR.random(N) < 0.3, np.nan, QUALITY),
    "constant": np.ones(N),
}
MOSTLY = np.where(GENERATOR.random(N) < 0.002, 1 - CLICKS, CLICKS)


@pytest.fixture(autouse=True)
def honest_features_raise_no_warning():
    assert label_leak_warnings(HONEST, CLICKS, CONVERSIONS) == []


@pytest.mark.parametrize(
    ("column", "label"),
    [
        (CLICKS, "clicks"),
        (-3.0 * CLICKS, "clicks"),  # reversed
        (MOSTLY, "clicks"),
        (np.where(CLICKS == 1, "yes", "no"), "clicks"),
        (np.where(CLICKS == 1, "yes", "no").astype(object), "clicks"),
        (np.where(CLICKS == 1, QUALITY, np.nan), "clicks"),  # written after the click
        (np.where(CLICKS == 1, np.inf, QUALITY), "clicks"),
        (CONVERSIONS, "conversions of clicked impressions"),
        (CONVERSIONS.astype(bool), "conversions of clicked impressions"),
        (1 - CONVERSIONS, "conversions of clicked impressions"),
        (np.where(CONVERSIONS == 1, "paid", "open"), "conversions of clicked impressions"),
    ],
)
def test_a_label_among_the_features(column, label):
    with pytest.warns(UserWarning, match=f"The feature 'leak' alone orders {label} with an AUC of") as caught:
        found = label_leak_warnings({**HONEST, "leak": column}, CLICKS, CONVERSIONS)
    assert found == ["leak"]
    assert len(caught) == 1
    assert "Remove it from the features" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_frames_and_matrices():
    columns = {"quality": QUALITY, "leak": CLICKS}
    with pytest.warns(UserWarning, match="'leak'"):
        assert label_leak_warnings(pd.DataFrame(columns), CLICKS, CONVERSIONS) == ["leak"]
    with pytest.warns(UserWarning, match="'column 1'"):
        found = label_leak_warnings(np.column_stack(list(columns.values())), CLICKS, CONVERSIONS)
    assert found == ["column 1"]


def test_predictions_too_good_to_be_true():
    honest = 1 / (1 + np.exp(2 - QUALITY))
    good = {"ctr": honest, "cvr": np.full(N, 0.2), "ctcvr": honest / 5}
    assert label_leak_warnings({}, CLICKS, CONVERSIONS, predictions=good) == []
    for name, labels in [("ctr", CLICKS), ("cvr", CONVERSIONS), ("ctcvr", CONVERSIONS)]:
        with pytest.warns(UserWarning, match=f"The prediction '{name}' has an AUC of 1.0000") as caught:
            found = label_leak_warnings(
                {}, CLICKS, CONVERSIONS, predictions={**good, name: 0.1 + 0.8 * labels}
            )
        assert found == [f"prediction {name}"]
        assert len(caught) == 1
    # pCVR is judged on clicked impressions: to know the click is no merit there.
    assert label_leak_warnings({}, CLICKS, CONVERSIONS, predictions={"cvr": 0.5 * CLICKS}) == []


def test_the_threshold():
    quality = {"quality": QUALITY}
    with pytest.warns(UserWarning, match="'quality'"):
        assert label_leak_warnings(quality, CLICKS, CONVERSIONS, threshold=0.6) == ["quality"]


def test_few_rows_raise_no_alarm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            label_leak_warnings({"x": [1, 2, 3]}, [0, 1, 1], [0, 0, 1], predictions={"cvr": [0, 0, 1]}) == []
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clicks": [0, 0, 0], "conversions": [0, 0, 0]}, "`clicks` must hold both 0 and 1"),
        ({"conversions": [0, 0, 0]}, "`conversions` must hold both 0 and 1 among clicked impressions"),
        ({"conversions": [1, 0, 1]}, r"1 conversion\(s\) without a click"),
        ({"features": {"x": [1, 2]}}, r"`clicks` and `features\['x'\]` must be of the same length"),
        ({"features": {"x": [[1], [2], [3]]}}, r"`features\['x'\]` must be 1-dimensional"),
        ({"features": [1, 2, 3]}, "`features` must be 2-dimensional"),
        ({"predictions": {"click": [0, 1, 0]}}, "`predictions` must be one of 'ctr', 'cvr', 'ctcvr'"),
        ({"predictions": {"ctr": [0, 2, 0]}}, r"`predictions\['ctr'\]` must be in \[0, 1\]"),
        ({"predictions": {"ctr": [0, 1]}}, "must be of the same length"),
        ({"threshold": 0.5}, "`threshold` must be in"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"features": {"x": [1, 2, 3]}, "clicks": [0, 1, 1], "conversions": [0, 0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        label_leak_warnings(**arguments)
