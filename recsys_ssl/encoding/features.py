"""Declare the features of users and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparse_data import Bags, checks
from sparse_data.datasets.columns import to_columns
from sparse_data.type_checks import check_names, check_type

MISSING, OOV, MASK = 0, 1, 2
"""Rows of every embedding table that stand before the vocabulary.

``MISSING``: nothing is known, the vector is zero. ``OOV``: a value that training never saw. ``MASK``: a value
hidden on purpose by self-supervision, never used when serving.
"""
NUM_RESERVED = 3


@dataclass(frozen=True)
class Category:
    """One value a row out of a vocabulary: a user id, a gender, a year.

    Parameters
    ----------
    name : str
        Name of the column.

    Examples
    --------
    >>> Category("gender")
    Category(name='gender')
    """

    name: str


@dataclass(frozen=True)
class MultiCategory:
    """Any number of values a row, pooled: genres, nouns, tags.

    Parameters
    ----------
    name : str
        Name of the column, which holds lists or `Bags`.
    combiner : {"mean", "sum", "sqrtn"}, default="mean"
        How the values' vectors are pooled.

    Examples
    --------
    >>> MultiCategory("genres", combiner="sqrtn").combiner
    'sqrtn'
    """

    name: str
    combiner: str = "mean"

    def __post_init__(self) -> None:
        checks.check_one_of("combiner", self.combiner, ("mean", "sum", "sqrtn"))


@dataclass(frozen=True)
class Dense:
    """A number or a vector a row, standardised to mean 0 and variance 1; NaN is a value that is missing.

    Parameters
    ----------
    name : str
        Name of the column, of shape (n_rows,) or (n_rows, width).

    Examples
    --------
    >>> Dense("age")
    Dense(name='age')
    """

    name: str


Feature = Category | MultiCategory | Dense
_KINDS: dict[str, type[Feature]] = {kind.__name__: kind for kind in (Category, MultiCategory, Dense)}


def to_json(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """Return declarations as JSON-ready dicts, which `from_json` turns back.

    Examples
    --------
    >>> to_json([Category("sex")])
    [{'kind': 'Category', 'name': 'sex'}]
    """
    return [{"kind": type(feature).__name__, **asdict(feature)} for feature in features]


def from_json(entries: Sequence[Mapping[str, Any]]) -> list[Feature]:
    """Return the declarations that `to_json` wrote down.

    Examples
    --------
    >>> from_json(to_json([MultiCategory("tags", combiner="sum")]))
    [MultiCategory(name='tags', combiner='sum')]
    """
    made: list[Feature] = []
    for entry in check_type("declaration", entries, (list, tuple), "Pass what `to_json` wrote."):
        fields = dict(check_type("declaration", entry, Mapping, "Pass what `to_json` wrote."))
        kind = checks.check_one_of("declaration", fields.pop("kind", None), tuple(_KINDS))
        try:
            made.append(_KINDS[kind](**fields))
        except TypeError:
            raise ValueError(
                f"`declaration` must have the fields of {kind}; got {sorted(map(str, fields))}. "
                "Pass what `to_json` wrote."
            ) from None
    return made


def infer_features(columns: Any, *, leave_out: Sequence[str] = ()) -> list[Feature]:
    """Guess a declaration from the columns' types.

    Lists and `Bags` are multi-valued, floating point numbers dense, all else (strings, integers, booleans)
    categories. A category of which most rows have a value of their own (a title, a postcode) says nothing
    that the id does not say already; it is left out. A column of whole numbers of which one is missing
    reaches us as floating point: declare it where it is a category.

    Parameters
    ----------
    columns : table or mapping of columns
    leave_out : sequence of str
        Columns to pass over.

    Returns
    -------
    list of Category, MultiCategory or Dense

    Examples
    --------
    >>> infer_features({"age": [31.0, 40.0, 31.0, 28.0], "sex": ["F", "M", "F", "M"]})
    [Dense(name='age'), Category(name='sex')]
    """
    features: list[Feature] = []
    leave_out = check_names("leave_out", leave_out)
    for name, column in to_columns(columns).items():
        if name in leave_out:
            continue
        if isinstance(column, Bags):
            features.append(MultiCategory(name))
        elif column.dtype.kind == "f":
            features.append(Dense(name))
        elif 2 * len(np.unique(column)) <= len(column):
            features.append(Category(name))
    return features
