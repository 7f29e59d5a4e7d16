"""One log of impressions out of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.checks import check_nonempty
from sparse_data.datasets.impressions import Impressions
from sparse_data.type_checks import check_type


def concatenate_impressions(parts: Sequence[Impressions]) -> Impressions:
    """Return the rows of several logs with the same columns, one log after the other.

    Parameters
    ----------
    parts : sequence of Impressions
        At least one. Integers and strings of a column may not be mixed.

    Returns
    -------
    Impressions

    Raises
    ------
    ValueError
        If there is no part, or the parts differ in their columns or in whether they have groups.

    Examples
    --------
    >>> one = Impressions({"ad": [7]}, clicks=[1], conversions=[0])
    >>> concatenate_impressions([one, one])
    Impressions(2 rows; 2 clicks; 0 conversions; ad)
    """
    check_type("parts", parts, (list, tuple), "Pass a list of logs.")
    check_nonempty("parts", np.arange(len(parts)), hint="Pass at least one log.")
    for part in parts:
        check_type("parts", part, Impressions, "Pass a list of logs.")
    names = list(parts[0].columns)
    for part in parts:
        if set(part.columns) != set(names) or (part.group is None) != (parts[0].group is None):
            raise ValueError(
                f"`parts` must have the same columns, and a group all or none; got {part} after {parts[0]}. "
                "Drop what not all of them have."
            )
    groups = [part.group for part in parts if part.group is not None]
    return Impressions(
        {name: _joined(name, [part.columns[name] for part in parts]) for name in names},
        np.concatenate([part.clicks for part in parts]),
        np.concatenate([part.conversions for part in parts]),
        None if not groups else _joined("group", groups),
    )


def _joined(name: str, columns: Sequence[Any]) -> Any:
    kinds = {(isinstance(column, Bags), _values(column).dtype.kind == "U") for column in columns}
    if len(kinds) > 1:
        raise ValueError(
            f"`{name}` must hold values of one kind in all parts; got numbers, strings or lists by turns. "
            "Convert the column to one of them."
        )
    if not isinstance(columns[0], Bags):
        return np.concatenate(columns)
    lengths = np.concatenate([column.lengths for column in columns])
    weights = [
        np.ones(len(column.values)) if column.weights is None else column.weights for column in columns
    ]
    return Bags(
        np.concatenate([column.values for column in columns]),
        np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        None if all(column.weights is None for column in columns) else np.concatenate(weights),
    )


def _values(column: Any) -> NDArray[Any]:
    return np.asarray(column.values if isinstance(column, Bags) else column)
