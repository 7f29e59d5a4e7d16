"""What every metric of a funnel asks of labels, probabilities and weights before it counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data import checks

Floats = NDArray[np.float64]


def check_binary(name: str, labels: ArrayLike) -> NDArray[np.bool_]:
    """Return labels of shape (n,) as bools if all of them are 0 or 1, else raise.

    Raises
    ------
    TypeError
        If they are not numeric.
    ValueError
        If they are empty, not one-dimensional, or another value (NaN included) is among them.

    Examples
    --------
    >>> check_binary("clicks", [0, 2, 1])
    Traceback (most recent call last):
    ...
    ValueError: `clicks` must be 0 or 1; got 1 other value(s), first 2 at position 1. Drop ...
    """
    array = checks.check_nonempty(name, checks.check_ndim(name, labels, 1))
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert it to 0 and 1.")
    bad = (array != 0) & (array != 1)  # true of NaN as well
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"`{name}` must be 0 or 1; got {int(bad.sum())} other value(s), first {array[first]} at position "
            f"{first}. Drop or encode these rows."
        )
    return np.asarray(array == 1)


def check_both_classes(name: str, labels: NDArray[np.bool_], where: str = "") -> None:
    """Raise ValueError unless both classes are among the labels.

    Examples
    --------
    >>> check_both_classes("conversions", np.array([False]), " among clicked impressions")
    Traceback (most recent call last):
    ...
    ValueError: `conversions` must hold both 0 and 1 among clicked impressions; got 1 row(s), 0 of them 1. ...
    """
    positive = int(labels.sum())
    if not 0 < positive < labels.size:
        raise ValueError(
            f"`{name}` must hold both 0 and 1{where}; got {labels.size} row(s), {positive} of them 1. "
            "Evaluate on more rows: the area under the curve compares rows of the two classes."
        )


def check_probabilities(name: str, values: ArrayLike) -> Floats:
    """Return values of shape (n,) as float64 if all of them lie in [0, 1], else raise.

    Raises
    ------
    TypeError
        If they are not numeric.
    ValueError
        If they are empty, not one-dimensional, NaN or outside.

    Examples
    --------
    >>> check_probabilities("cvr", [0.5, 1.5])
    Traceback (most recent call last):
    ...
    ValueError: `cvr` must be in [0, 1]; got 1 value(s) outside, first 1.5 at position 1. Apply ...
    """
    array = checks.check_finite(name, checks.check_nonempty(name, checks.check_ndim(name, values, 1)))
    bad = (array < 0) | (array > 1)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"`{name}` must be in [0, 1]; got {int(bad.sum())} value(s) outside, first {array[first]} at "
            f"position {first}. Apply the sigmoid to logits, clip a ratio of probabilities."
        )
    return array.astype(np.float64)


def check_weights(sample_weight: ArrayLike | None, size: int) -> Floats:
    """Return one float64 weight a row, ones where None is given, or raise.

    Raises
    ------
    ValueError
        If their number is another, one is negative or not finite, or all are 0.
    """
    if sample_weight is None:
        return np.ones(size)
    weights = checks.check_ndim("sample_weight", sample_weight, 1)
    checks.check_same_length(labels=np.empty(size), sample_weight=weights)
    checks.check_moderate("sample_weight", weights)
    checks.check_non_negative("sample_weight", weights)
    if not weights.any():
        raise ValueError("`sample_weight` must hold a positive number; got zeros alone. Weight some rows.")
    return weights.astype(np.float64)


def check_funnel(clicks: ArrayLike, conversions: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both labels as bools if every conversion has a click, else raise.

    Examples
    --------
    >>> check_funnel([0, 1], [1, 1])
    Traceback (most recent call last):
    ...
    ValueError: `conversions` must be 0 where `clicks` is 0; got 1 conversion(s) without a click, first at ...
    """
    clicked, converted = check_binary("clicks", clicks), check_binary("conversions", conversions)
    checks.check_same_length(clicks=clicked, conversions=converted)
    alone = converted & ~clicked
    if alone.any():
        raise ValueError(
            f"`conversions` must be 0 where `clicks` is 0; got {int(alone.sum())} conversion(s) without a "
            f"click, first at position {int(alone.argmax())}. Drop these rows, they are errors of the log."
        )
    return clicked, converted
