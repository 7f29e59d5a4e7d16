"""Labels of a funnel that contradict each other are found before training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.measures.binary_labels import check_binary, check_weights
from sparse_data import checks

DROP = "Drop these impressions, they are errors of the log."


def check_funnel_labels(
    clicks: ArrayLike,
    conversions: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    actions: ArrayLike | None = None,
) -> None:
    """Raise for labels that no funnel from impression over click to conversion can give.

    Parameters
    ----------
    clicks, conversions : array_like of shape (n,) or (n, 1)
        0 or 1; a conversion needs a click.
    sample_weight : array_like of shape (n,) or (n, 1), optional
        Finite and not negative; one at least is positive.
    actions : array_like of shape (n,) or (n, 1), optional
        0 or 1, whether something between click and conversion was done; it needs a click.

    Raises
    ------
    TypeError
        If an array holds no numbers.
    ValueError
        If a label is neither 0 nor 1, a conversion or an action comes without a click, a weight is negative,
        infinite or NaN, all weights are 0, or the arrays are empty or differ in length.

    Examples
    --------
    >>> check_funnel_labels([0, 1, 1], [0, 1, 0])
    >>> check_funnel_labels([0, 1], [1, 0])
    Traceback (most recent call last):
    ...
    ValueError: `conversions` must be 0 where there is no click; got 1 without a click, first at row 0. ...
    """
    columns = {
        "clicks": clicks,
        "conversions": conversions,
        "actions": actions,
        "sample_weight": sample_weight,
    }
    given = {
        name: _column(name, values)
        for name, values in columns.items()
        if values is not None or name in ("clicks", "conversions")
    }
    checks.check_same_length(**given)
    weights = given.pop("sample_weight", None)
    labels = {name: check_binary(name, column) for name, column in given.items()}
    for name in ("conversions", "actions"):
        alone = labels[name] & ~labels["clicks"] if name in labels else np.zeros(1, bool)
        if alone.any():
            raise ValueError(
                f"`{name}` must be 0 where there is no click; got {int(alone.sum())} without a click, first "
                f"at row {int(alone.argmax())}. {DROP}"
            )
    if weights is not None:
        check_weights(weights, len(weights))


def _column(name: str, values: Any) -> NDArray[Any]:
    """Return a vector of numbers from one or from a column, or raise."""
    array = checks.check_nonempty(name, values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be numeric; got dtype {array.dtype}. Convert it to numbers.")
    return checks.check_ndim(name, array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array, 1)
