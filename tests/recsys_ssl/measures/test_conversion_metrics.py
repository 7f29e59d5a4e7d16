import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

import recsys_ssl
from recsys_ssl.measures.auc_of_groups import grouped_auc
from recsys_ssl.measures.calibration import expected_calibration_error
from recsys_ssl.measures.conversion_metrics import evaluate_funnel

N = 2000


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture(scope="module")
def funnel():
    """Draw a planted funnel and the predictions of a noisy model with many ties."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(N, 3))
    ctr, cvr = sigmoid(x[:, 0] + x[:, 1] - 0.5), sigmoid(x[:, 0] - x[:, 2] - 1)
    clicks = (generator.random(N) < ctr).astype(int)
    potential = (generator.random(N) < cvr).astype(int)
    noisy = {
        name: np.round(sigmoid(np.log(p / (1 - p)) + generator.normal(0, 1, N)), 2).clip(0.01, 0.99)
        for name, p in (("ctr", ctr), ("cvr", cvr), ("shared_ctr", ctr))
    }
    return {
        "clicks": clicks,
        "conversions": clicks * potential,
        "potential": potential,
        "truth": cvr,
        "groups": generator.integers(300, size=N),
        "weights": generator.random(N),
        **noisy,
    }


def value(table, prediction, label, population, metric):
    keys = {"prediction": prediction, "label": label, "population": population, "metric": metric}
    found = table[(table[list(keys)] == list(keys.values())).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_every_metric_is_that_of_its_rows(funnel, weighted):
    weights = funnel["weights"] if weighted else None
    table = evaluate_funnel(
        funnel["clicks"],
        funnel["conversions"],
        {"ctr": funnel["ctr"], "cvr": funnel["cvr"]},
        groups=funnel["groups"],
        sample_weight=weights,
        shared_ctr=funnel["shared_ctr"],
        potential_conversions=funnel["potential"],
    )
    everywhere, clicked = np.ones(N, bool), funnel["clicks"] == 1
    cases = {
        ("ctr", "clicks", "all"): (funnel["ctr"], funnel["clicks"], everywhere),
        ("cvr", "conversions", "clicked"): (funnel["cvr"], funnel["conversions"], clicked),
        ("ctcvr", "conversions", "all"): (funnel["ctr"] * funnel["cvr"], funnel["conversions"], everywhere),
        ("shared_ctr * cvr", "conversions", "all"): (
            funnel["shared_ctr"] * funnel["cvr"],
            funnel["conversions"],
            everywhere,
        ),
        ("cvr", "potential_conversions", "all"): (funnel["cvr"], funnel["potential"], everywhere),
    }
    assert len(table) == 7 * len(cases)
    for case, (p, y, rows) in cases.items():
        p, y, w = p[rows], y[rows], (funnel["weights"] if weighted else np.ones(N))[rows]
        predicted, observed = (w * p).sum() / w.sum(), (w * y).sum() / w.sum()
        expected = {
            "auc": roc_auc_score(y, p, sample_weight=w),
            "log_loss": -(w * np.log(np.where(y == 1, p, 1 - p))).sum() / w.sum(),
            "mean_ratio": predicted / observed,
            "log_bias": math.log(predicted / observed),
            "bias": predicted - observed,
            "calibration_error": expected_calibration_error(y, p, 10, sample_weight=w),
            "grouped_auc": grouped_auc(y, p, funnel["groups"][rows], sample_weight=w),
        }
        for metric, number in expected.items():
            row = value(table, *case, metric)
            assert row["value"] == pytest.approx(number), (case, metric)
            if metric != "grouped_auc":
                assert (row["n_rows"], row["n_positive"]) == (rows.sum(), y.sum())


def test_grouped_rows_are_those_of_groups_with_both_classes(funnel):
    table = evaluate_funnel(
        funnel["clicks"], funnel["conversions"], {"cvr": funnel["cvr"]}, groups=funnel["groups"]
    )
    n_rows = n_positive = 0
    clicked = funnel["clicks"] == 1
    for group in range(300):
        labels = funnel["conversions"][clicked & (funnel["groups"] == group)]
        if 0 < labels.sum() < labels.size:
            n_rows, n_positive = n_rows + labels.size, n_positive + labels.sum()
    row = value(table, "cvr", "conversions", "clicked", "grouped_auc")
    assert (row["n_rows"], row["n_positive"]) == (n_rows, n_positive)


def test_groups_without_both_classes_give_nan(funnel):
    table = evaluate_funnel(
        funnel["clicks"], funnel["conversions"], {"cvr": funnel["cvr"]}, groups=np.arange(N)
    )
    row = value(table, "cvr", "conversions", "clicked", "grouped_auc")
    assert math.isnan(row["value"])
    assert row["n_rows"] == 0


def test_the_cvr_of_clicked_rows_does_not_depend_on_others(funnel):
    cvr = np.where(funnel["clicks"] == 1, funnel["cvr"], 0.123)
    before, after = (
        evaluate_funnel(funnel["clicks"], funnel["conversions"], {"cvr": p}) for p in (funnel["cvr"], cvr)
    )
    assert before.equals(after)


def test_the_truth_is_unbiased_over_the_entire_space_and_clicked_rows_are_not(funnel):
    """Clicks favour what converts: the mean over clicked rows is too high for the entire space."""
    of_clicked = np.full(N, funnel["conversions"].sum() / funnel["clicks"].sum())
    arguments = {"potential_conversions": funnel["potential"]}
    labels = funnel["clicks"], funnel["conversions"]
    truth = evaluate_funnel(*labels, {"cvr": funnel["truth"]}, **arguments)
    naive = evaluate_funnel(*labels, {"cvr": of_clicked}, **arguments)
    where = ("cvr", "potential_conversions", "all")
    assert abs(value(truth, *where, "log_bias")["value"]) < 0.08
    assert value(naive, *where, "log_bias")["value"] > 0.15
    assert value(naive, "cvr", "conversions", "clicked", "log_bias")["value"] == pytest.approx(0)
    assert value(naive, *where, "auc")["value"] == 0.5


def test_what_is_given_is_measured(funnel):
    labels = funnel["clicks"], funnel["conversions"]
    own = evaluate_funnel(*labels, {"ctcvr": funnel["cvr"], "ctr": funnel["ctr"], "cvr": funnel["cvr"]})
    row = value(own, "ctcvr", "conversions", "all", "auc")
    assert row["value"] == pytest.approx(roc_auc_score(funnel["conversions"], funnel["cvr"]))
    only = evaluate_funnel(*labels, {"ctr": funnel["ctr"]})
    assert only["prediction"].unique().tolist() == ["ctr"]
    assert "grouped_auc" not in set(only["metric"])
    # A funnel without a conversion has a pCTR all the same.
    evaluate_funnel(funnel["clicks"], np.zeros(N), {"ctr": funnel["ctr"]})


def test_certain_probabilities_have_a_finite_log_loss(funnel):
    p = np.where(np.arange(N) % 2, 0.0, 1.0)
    table = evaluate_funnel(funnel["clicks"], funnel["conversions"], {"ctr": p})
    found = value(table, "ctr", "clicks", "all", "log_loss")["value"]
    assert found == pytest.approx(log_loss(funnel["clicks"], p))
    assert np.isfinite(found)
    table = evaluate_funnel(funnel["clicks"], funnel["conversions"], {"ctr": np.zeros(N)})
    assert value(table, "ctr", "clicks", "all", "log_bias")["value"] == -math.inf


GOOD = {
    "clicks": [0, 1, 1, 1],
    "conversions": [0, 0, 1, 0],
    "predictions": {"ctr": [0.1, 0.6, 0.5, 0.7], "cvr": [0.9, 0.3, 0.8, 0.4]},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clicks": [1, 1, 1, 1]}, "`clicks` must hold both 0 and 1; got 4 row"),
        ({"conversions": [0, 0, 0, 0]}, "`conversions` must hold both 0 and 1 among clicked impressions"),
        ({"conversions": [0, 1, 1, 1]}, "`conversions` must hold both 0 and 1 among clicked impressions"),
        ({"conversions": [1, 0, 1, 0]}, r"got 1 conversion\(s\) without a click, first at position 0"),
        ({"clicks": [0, 1, 1, 2]}, "`clicks` must be 0 or 1"),
        ({"clicks": [0, 1, 1, float("nan")]}, "`clicks` must be 0 or 1; got 1 other"),
        ({"clicks": [0, 1, 1]}, "must be of the same length"),
        ({"predictions": {}}, "`predictions` must hold ctr, cvr or ctcvr; got none"),
        ({"predictions": {"pctr": [0.1] * 4}}, "`predictions` must be one of 'ctr', 'cvr', 'ctcvr'"),
        ({"predictions": {"ctr": [0.1] * 3}}, "`clicks` and `ctr` must be of the same length"),
        ({"predictions": {"ctr": [0.1, 0.2, 0.3, float("nan")]}}, r"`predictions\['ctr'\]` must be finite"),
        ({"predictions": {"cvr": [0.1, 0.2, 0.3, 1.2]}}, r"`predictions\['cvr'\]` must be in \[0, 1\]"),
        ({"predictions": {"ctr": [[0.1]] * 4}}, r"`predictions\['ctr'\]` must be 1-dimensional"),
        ({"predictions": {"ctr": [0.1] * 4}, "shared_ctr": [0.1] * 4}, "`predictions` must hold 'cvr'"),
        ({"shared_ctr": [0.1] * 3}, "must be of the same length"),
        ({"groups": [1, 2, 3]}, "`clicks` and `groups` must be of the same length"),
        ({"groups": ["a", "b", "", "c"]}, "`groups` must be without missing values"),
        ({"sample_weight": [1, 1, -1, 1]}, "`sample_weight` must be non-negative"),
        ({"sample_weight": [1, 1, 0, 1]}, "`conversions` must hold both 0 and 1 among clicked impressions"),
        ({"potential_conversions": [0, 1, 1, 0]}, "`potential_conversions` must equal `conversions`"),
        ({"potential_conversions": [0, 1]}, "must be of the same length"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        evaluate_funnel(**{**GOOD, **changes})


MODULES = "binary_labels", "calibration", "conversion_metrics", "auc_of_groups", "label_leak", "streaming_auc"


@pytest.mark.parametrize("module", MODULES)
def test_no_metric_needs_keras(module):
    source = Path(recsys_ssl.__file__).parent / "measures" / f"{module}.py"
    assert "keras" not in source.read_text(encoding="utf-8")
