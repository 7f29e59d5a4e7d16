"""What is known of the labels in bags, of two classes or several, read into the factor that ties them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.proportions.bag_labels import BagIndex, in_order_of_bags, read_counts
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.class_counts import check_class_counts
from noisy_labels.proportions.count_messages import CountFactor, count_factor
from noisy_labels.proportions.count_potentials import CountPotential, ExactCount
from sparse_data.checks import check_finite, check_ndim

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Values = ArrayLike | Mapping[Any, Any]
Factor = CountFactor | ClassCountFactor

_MOST_ROWS = 2**31


def read_factor(
    index: BagIndex | BagMembership,
    *,
    proportions: Values | None = None,
    counts: Values | CountPotential | None = None,
    classes: NDArray[Any] | None = None,
) -> tuple[Factor, NDArray[Any]]:
    """Return the factor of bags and their counts, and the classes.

    Parameters
    ----------
    index : BagIndex or BagMembership
    proportions, counts : optional
        Exactly one of them.  With one value a bag, those of the positives: see `read_counts`.  With one value
        a bag and class: an array of shape (n_bags, n_classes), or (n_rows, n_classes) with the same values
        in all rows of a bag; a mapping of bag ids to such rows; or a DataFrame whose index are the bag ids
        and whose columns are the classes.
    classes : array of shape (n_classes,), optional
        Those of a model that is fitted, which counts have to be of.

    Returns
    -------
    factor : CountFactor or, of more than two classes, ClassCountFactor
    classes : array of shape (n_classes,)
        The columns of a DataFrame, else 0, 1, ...

    Raises
    ------
    ValueError
        If values are missing, NaN or out of range, or counts do not sum to the sizes of the bags.

    Warns
    -----
    UserWarning
        If proportions are no whole numbers of labels; near ones with the right sum are taken.

    Examples
    --------
    >>> from noisy_labels.proportions.bag_labels import read_bags
    >>> factor, classes = read_factor(read_bags(["a", "a", "b"], 3), counts={"b": [0, 0, 1], "a": [1, 1, 0]})
    >>> factor.counts.tolist(), classes.tolist()
    ([[1, 1, 0], [0, 0, 1]], [0, 1, 2])
    """
    name, values = ("counts", counts) if proportions is None else ("proportions", proportions)
    if not _by_class(values) or (proportions is not None and counts is not None):
        potential = read_counts(index, proportions=proportions, counts=counts)
        _check_number(name, 2, classes)
        return count_factor(index, potential, index.n_rows), np.array([0, 1])
    array, classes = _one_a_bag_and_class(name, values, index, classes)
    whole = check_class_counts(
        _whole_counts(array) if proportions is None else _nearest_counts(array, index), index, classes.size
    )
    if classes.size == 2:
        return count_factor(index, ExactCount(whole[:, 1]), index.n_rows), classes
    return ClassCountFactor(index, whole), classes


def _by_class(values: Any) -> bool:
    """Return whether there is a value for each class of a bag, rather than for the bag alone."""
    if isinstance(values, Mapping):
        return any(np.ndim(value) > 0 for value in values.values() if not isinstance(value, str))
    if values is None or isinstance(values, CountPotential):
        return False
    try:
        return np.ndim(values) == 2
    except ValueError:  # ragged, as `read_counts` will say
        return False


def _one_a_bag_and_class(
    name: str, values: Any, index: BagIndex | BagMembership, wanted: NDArray[Any] | None
) -> tuple[Floats, NDArray[Any]]:
    classes = None
    if hasattr(values, "columns"):
        if values.index.has_duplicates or values.columns.has_duplicates:
            raise ValueError(f"`{name}` must have one row a bag id and one column a class; got one twice.")
        if wanted is not None:
            if set(values.columns) != set(wanted.tolist()):
                raise ValueError(
                    f"`{name}` must have the classes of the model as columns, {wanted.tolist()}; got "
                    f"{values.columns.tolist()}. Rename them."
                )
            values = values[wanted.tolist()]
        classes = np.asarray(values.columns)
        values = dict(zip(values.index.tolist(), values.to_numpy(), strict=True))
    if isinstance(values, Mapping):
        values = in_order_of_bags(name, values, index.ids)
    array = check_finite(name, check_ndim(name, values, 2)).astype(np.float64)
    n_bags = index.ids.size
    if array.shape[1] < 2:
        raise ValueError(f"`{name}` must have a column for each of two classes or more; got {array.shape}.")
    if array.shape[0] != n_bags and isinstance(index, BagIndex) and array.shape[0] == index.n_rows:
        array = _same_in_bags(name, array, index)
    if array.shape[0] != n_bags:
        raise ValueError(
            f"`{name}` must have one row a bag, {n_bags}; got {array.shape[0]}. Bags are those ids that "
            "occur in `bags`, in order of first appearance."
        )
    _check_number(name, array.shape[1], wanted)
    return array, np.arange(array.shape[1]) if classes is None else classes


def _check_number(name: str, n_classes: int, wanted: NDArray[Any] | None) -> None:
    if wanted is not None and n_classes != wanted.size:
        raise ValueError(
            f"`{name}` must be of the {wanted.size} classes of the model; got {n_classes}. Pass them "
            "as for fit."
        )


def _same_in_bags(name: str, array: Floats, index: BagIndex) -> Floats:
    of_bag: Floats = array[index.rows.values[index.rows.offsets[:-1]]]
    unequal = (array != of_bag[index.codes]).any(axis=1)
    if unequal.any():
        bag = index.ids[index.codes[unequal.argmax()]]
        raise ValueError(f"`{name}` must be the same in all rows of a bag; got several in bag {bag!r}.")
    return of_bag


def _whole_counts(counts: Floats) -> Ints:
    bad = (counts != np.round(counts)) | (np.abs(counts) > _MOST_ROWS)
    if bad.any():
        raise ValueError(f"`counts` must be whole numbers; got {counts[bad][0]:g}. Round them, keeping sums.")
    return counts.astype(np.int64)


def _nearest_counts(shares: Floats, index: BagIndex | BagMembership) -> Ints:
    """Return the counts of shares: rounded down, and one more where the largest remainders are."""
    bad = (shares < 0).any(axis=1) | (np.abs(shares.sum(axis=1) - 1) > 1e-6)
    if bad.any():
        bag = int(bad.argmax())
        raise ValueError(
            f"`proportions` must be at least 0 and sum to 1; got {shares[bag].tolist()} for bag "
            f"{index.ids[bag]!r}. Pass the share of every class."
        )
    exact = shares * index.sizes[:, None]
    whole = np.floor(exact + 1e-6 * index.sizes[:, None])
    lacking = index.sizes - whole.sum(axis=1)
    rank = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1)
    whole += rank < lacking[:, None]
    if (np.abs(exact - whole) > 1e-6 * index.sizes[:, None]).any():
        warnings.warn(
            "`proportions` should be whole numbers of labels; got others. Counts near them, with the right "
            "sum, are taken.",
            UserWarning,
            stacklevel=4,
        )
    return whole.astype(np.int64)
