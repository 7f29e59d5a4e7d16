"""What models of a funnel are measured by, each metric on the impressions where it is defined."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import log_loss, roc_auc_score

from recsys_ssl.measures.auc_of_groups import auc_by_group
from recsys_ssl.measures.binary_labels import (
    check_binary,
    check_both_classes,
    check_funnel,
    check_probabilities,
    check_weights,
)
from recsys_ssl.measures.calibration import expected_calibration_error
from sparse_data import checks
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]
PREDICTIONS = ("ctr", "cvr", "ctcvr")


class _Comparison(NamedTuple):
    """A prediction against a label, on the rows where the comparison makes sense."""

    prediction: str
    label: str
    population: str
    probabilities: Floats
    positive: NDArray[np.bool_]
    rows: NDArray[np.bool_]


def evaluate_funnel(
    clicks: ArrayLike,
    conversions: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    shared_ctr: ArrayLike | None = None,
    potential_conversions: ArrayLike | None = None,
) -> Any:
    r"""Measure a model of clicks and conversions.

    Compared are pCTR with clicks on all impressions, pCVR with conversions on the clicked ones alone, and
    pCTCVR with conversions on all. Each has the metrics

    - ``auc``, ``log_loss``;
    - ``grouped_auc``, with `groups`: the mean over groups that hold both classes, weighted by their rows;
    - ``mean_ratio`` :math:`\sum w \hat p / \sum w y`, ``log_bias`` its logarithm, ``bias`` the difference of
      the two means, and ``calibration_error`` over ten bins of equal mass.

    Parameters
    ----------
    clicks, conversions : array_like of shape (n,)
        0 or 1; a conversion needs a click.
    predictions : mapping of {"ctr", "cvr", "ctcvr"} to array_like of shape (n,)
        Probabilities for all impressions; those given are measured. Without ``"ctcvr"`` it is the product of
        the two others, where both are given.
    groups : array_like of shape (n,), optional
        Such as the users.
    sample_weight : array_like of shape (n,), optional
    shared_ctr : array_like of shape (n,), optional
        pCTR of a network that was trained on clicks alone. Its product with pCVR, against conversions on all
        impressions, is the paper's comparison of models of pCVR, in rows of the prediction
        ``"shared_ctr * cvr"``: models then differ by nothing else.
    potential_conversions : array_like of shape (n,), optional
        Whether an impression would convert if it were clicked, known for planted funnels only. pCVR is
        compared with it on all impressions, where real data have no labels.

    Returns
    -------
    pandas.DataFrame
        A row a metric: `prediction`, `label`, `population`, `metric`, `value`, `n_rows`, `n_positive`. A
        grouped AUC is NaN, of 0 rows, where no group holds both classes.

    Raises
    ------
    TypeError
        If an array is not numeric.
    ValueError
        If lengths differ, a label is neither 0 nor 1 or of one class alone, a conversion comes without a
        click, a potential conversion disagrees with what a click has shown, a probability is NaN or outside
        [0, 1], or a prediction is unknown or none is given.

    References
    ----------
    Ma et al. (2018), Entire space multi-task model, SIGIR, arXiv 1804.07931.

    Examples
    --------
    >>> table = evaluate_funnel(
    ...     [0, 1, 1, 1], [0, 0, 1, 0], {"ctr": [0.1, 0.6, 0.5, 0.7], "cvr": [0.9, 0.3, 0.8, 0.4]}
    ... )
    >>> table[table["metric"] == "auc"][["prediction", "population", "value"]].values.tolist()
    [['ctr', 'all', 1.0], ['cvr', 'clicked', 1.0], ['ctcvr', 'all', 1.0]]
    """
    clicked, converted = check_funnel(clicks, conversions)
    size = clicked.size
    given = _predictions(predictions, shared_ctr, size)
    potential = None
    if potential_conversions is not None:
        potential = _potential(potential_conversions, clicked, converted)
    weights = check_weights(sample_weight, size)
    keys = None
    if groups is not None:
        keys = checks.check_no_missing("groups", checks.check_ndim("groups", groups, 1))
        checks.check_same_length(clicks=clicked, groups=keys)
    comparisons = _comparisons(given, clicked, converted, potential)
    counted = weights > 0
    for one in comparisons:
        where = " among clicked impressions" if one.population == "clicked" else ""
        check_both_classes(one.label, one.positive[one.rows & counted], where)
    lines = [line for one in comparisons for line in _lines(one, weights, keys)]
    return importlib.import_module("pandas").DataFrame(lines)


def _predictions(
    predictions: Mapping[str, ArrayLike], shared_ctr: ArrayLike | None, size: int
) -> dict[str, Floats]:
    if not check_type("predictions", predictions, Mapping, "Pass arrays by name."):
        raise ValueError("`predictions` must hold ctr, cvr or ctcvr; got none. Pass what a model predicts.")
    named = {
        checks.check_one_of("predictions", name, PREDICTIONS): check_probabilities(
            f"predictions[{name!r}]", p
        )
        for name, p in predictions.items()
    }
    if shared_ctr is not None:
        if "cvr" not in named:
            raise ValueError(
                "`predictions` must hold 'cvr' where `shared_ctr` is given; got "
                f"{list(named)}. Add pCVR, or leave out shared_ctr."
            )
        named["shared_ctr"] = check_probabilities("shared_ctr", shared_ctr)
    for name, values in named.items():
        checks.check_same_length(**{"clicks": np.empty(size), name: values})
    if "ctcvr" not in named and {"ctr", "cvr"} <= named.keys():
        named["ctcvr"] = named["ctr"] * named["cvr"]
    return named


def _potential(
    labels: ArrayLike, clicked: NDArray[np.bool_], converted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    potential = check_binary("potential_conversions", labels)
    checks.check_same_length(clicks=clicked, potential_conversions=potential)
    other = clicked & (potential != converted)
    if other.any():
        raise ValueError(
            f"`potential_conversions` must equal `conversions` where `clicks` is 1; got {int(other.sum())} "
            f"other row(s), first at position {int(other.argmax())}. Pass what made the conversions."
        )
    return potential


def _comparisons(
    given: Mapping[str, Floats],
    clicked: NDArray[np.bool_],
    converted: NDArray[np.bool_],
    potential: NDArray[np.bool_] | None,
) -> list[_Comparison]:
    everywhere = np.ones(clicked.size, dtype=np.bool_)
    comparisons = []
    if "ctr" in given:
        comparisons.append(_Comparison("ctr", "clicks", "all", given["ctr"], clicked, everywhere))
    if "cvr" in given:
        comparisons.append(_Comparison("cvr", "conversions", "clicked", given["cvr"], converted, clicked))
    if "ctcvr" in given:
        comparisons.append(_Comparison("ctcvr", "conversions", "all", given["ctcvr"], converted, everywhere))
    if "shared_ctr" in given:
        product = given["shared_ctr"] * given["cvr"]
        comparisons.append(
            _Comparison("shared_ctr * cvr", "conversions", "all", product, converted, everywhere)
        )
    if potential is not None and "cvr" in given:
        comparisons.append(
            _Comparison("cvr", "potential_conversions", "all", given["cvr"], potential, everywhere)
        )
    return comparisons


def _lines(one: _Comparison, weights: Floats, groups: NDArray[Any] | None) -> list[dict[str, Any]]:
    positive, p, w = one.positive[one.rows], one.probabilities[one.rows], weights[one.rows]
    n_rows, n_positive = positive.size, int(positive.sum())
    predicted, observed = float(np.average(p, weights=w)), float(np.average(positive, weights=w))
    values = {
        "auc": float(roc_auc_score(positive, p, sample_weight=w)),
        "log_loss": float(log_loss(positive, p, sample_weight=w, labels=[False, True])),
        "mean_ratio": predicted / observed,
        "log_bias": math.log(predicted / observed) if predicted else -math.inf,
        "bias": predicted - observed,
        "calibration_error": expected_calibration_error(positive, p, sample_weight=w),
    }
    counts = dict.fromkeys(values, (n_rows, n_positive))
    if groups is not None:
        keys, auc, weight = auc_by_group(positive, p, groups[one.rows], sample_weight=w)
        both = ~np.isnan(auc)
        inside = both[np.searchsorted(keys, groups[one.rows])]
        values["grouped_auc"] = float(np.average(auc[both], weights=weight[both])) if both.any() else math.nan
        counts["grouped_auc"] = (int(inside.sum()), int(positive[inside].sum()))
    where = {"prediction": one.prediction, "label": one.label, "population": one.population}
    return [
        {**where, "metric": name, "value": value, "n_rows": counts[name][0], "n_positive": counts[name][1]}
        for name, value in values.items()
    ]
