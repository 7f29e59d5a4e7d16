"""Warnings where a label has found its way among the features, or a model is too good to be true."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from recsys_ssl.measures.binary_labels import check_both_classes, check_funnel, check_probabilities
from sparse_data import checks
from sparse_data.type_checks import check_type

SUSPICIOUS = 0.99
# One positive row among many is first or last by chance too often, in one column of fifty.
FEWEST_OF_A_CLASS = 5

Target = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # labels, and the rows where they count


def label_leak_warnings(
    features: Any,
    clicks: ArrayLike,
    conversions: ArrayLike,
    *,
    predictions: Mapping[str, ArrayLike] | None = None,
    threshold: float = SUSPICIOUS,
) -> list[str]:
    r"""Warn of features that nearly are a label, and of models whose area under the curve is near 1.

    Each column alone is a score: for clicks on all impressions, for conversions on the clicked ones. With
    *A* its area under the ROC curve, it is suspicious where :math:`\max(A, 1 - A)` reaches the threshold. A
    missing value is a value of its own, as a field that is filled after the click gives the click away by
    being there. A column of text is scored by the rate of each category in one half of the rows, on the
    other half: ids, which tell every row apart, score nothing. With fewer than five rows of a class nothing
    is suspicious, as chance alone reaches the threshold.

    Parameters
    ----------
    features : mapping of str to array_like, pandas.DataFrame, or array_like of shape (n, d)
        Columns of shape (n,).
    clicks, conversions : array_like of shape (n,)
        0 or 1; a conversion needs a click.
    predictions : mapping of {"ctr", "cvr", "ctcvr"} to array_like of shape (n,), optional
        Probabilities of a model: `ctr` is judged by clicks, `cvr` by conversions on clicked impressions and
        `ctcvr` by conversions on all.
    threshold : float, default=0.99
        In (0.5, 1].

    Returns
    -------
    list of str
        Names of the suspicious columns in their order, then of predictions as ``"prediction ctr"``.

    Warns
    -----
    UserWarning
        One for each finding, with what to do.

    Raises
    ------
    ValueError
        If lengths differ, labels are no funnel or of one class, or a prediction is unknown or out of range.

    Examples
    --------
    >>> clicks, conversions = np.tile([0, 1, 1, 1], 5), np.tile([0, 0, 1, 0], 5)
    >>> columns = {"price": np.arange(20) % 7, "paid": 9.5 * conversions}
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     label_leak_warnings(columns, clicks, conversions)
    ['paid']
    """
    checks.check_in_range("threshold", threshold, 0.5, 1, closed="right")
    clicked, converted = check_funnel(clicks, conversions)
    check_both_classes("clicks", clicked)
    check_both_classes("conversions", converted[clicked], " among clicked impressions")
    columns = _columns(features)
    for name, column in columns.items():
        checks.check_ndim(f"features[{name!r}]", column, 1)
        checks.check_same_length(clicks=clicked, **{f"features[{name!r}]": column})
    everywhere = np.ones(clicked.size, dtype=np.bool_)
    targets = {
        "clicks": (clicked, everywhere),
        "conversions of clicked impressions": (converted, clicked),
        "conversions": (converted, everywhere),
    }
    messages = _of_columns(columns, list(targets.items())[:2], threshold)
    judged = dict(zip(("ctr", "cvr", "ctcvr"), targets.values(), strict=True))
    messages |= _of_predictions(predictions or {}, judged, threshold)
    for message in messages.values():
        warnings.warn(message, UserWarning, stacklevel=2)
    return list(messages)


def _of_columns(
    columns: Mapping[str, NDArray[Any]], targets: Sequence[tuple[str, Target]], threshold: float
) -> dict[str, str]:
    messages = {}
    for name, column in columns.items():
        areas = {label: _area(column[rows], target[rows]) for label, (target, rows) in targets}
        label = max(areas, key=lambda key: areas[key])
        if areas[label] >= threshold:
            messages[name] = (
                f"The feature {name!r} alone orders {label} with an AUC of {areas[label]:.4f}: it is the "
                "label or was written after it. Remove it from the features."
            )
    return messages


def _of_predictions(
    predictions: Mapping[str, ArrayLike], judged: Mapping[str, Target], threshold: float
) -> dict[str, str]:
    messages = {}
    for name, values in check_type("predictions", predictions, Mapping, "Pass arrays by name.").items():
        target, rows = judged[checks.check_one_of("predictions", name, tuple(judged))]
        probabilities = check_probabilities(f"predictions[{name!r}]", values)
        checks.check_same_length(clicks=target, **{f"predictions[{name!r}]": probabilities})
        few = min(target[rows].sum(), (~target[rows]).sum()) < FEWEST_OF_A_CLASS
        area = 0.5 if few else float(roc_auc_score(target[rows], probabilities[rows]))
        if area >= threshold:
            messages[f"prediction {name}"] = (
                f"The prediction {name!r} has an AUC of {area:.4f}, which no honest model of clicks or "
                "conversions reaches. Look for a label among its features and for test rows in training."
            )
    return messages


def _columns(features: Any) -> dict[str, NDArray[Any]]:
    if hasattr(features, "items"):  # a mapping or a pandas frame
        return {str(name): checks.check_array(str(name), column) for name, column in features.items()}
    table = checks.check_ndim("features", features, 2, hint="Pass a mapping of names to columns.")
    return {f"column {place}": table[:, place] for place in range(table.shape[1])}


def _area(column: NDArray[Any], target: NDArray[np.bool_]) -> float:
    """Return the area under the curve of a column or of its reverse, whichever is larger."""
    if min(target.sum(), (~target).sum()) < FEWEST_OF_A_CLASS:
        return 0.5
    if column.dtype.kind in "biufmM":
        # Ranks: infinite values and missing ones, which are the largest, are then numbers like others.
        _, scores = np.unique(column, return_inverse=True)
        area = float(roc_auc_score(target, scores))
        return max(area, 1 - area)
    _, codes = np.unique(column.astype(str), return_inverse=True)
    seen = _every_other(target)
    totals = np.bincount(codes[seen], minlength=codes.max() + 1)
    positives = np.bincount(codes[seen], weights=target[seen], minlength=codes.max() + 1)
    rates = (positives + target.mean()) / (totals + 1)  # an unseen category has the mean rate
    return float(roc_auc_score(target[~seen], rates[codes[~seen]]))


def _every_other(target: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a half of the rows that holds half of each class."""
    place = np.where(target, np.cumsum(target), np.cumsum(~target))
    return np.asarray(place % 2 == 0)
