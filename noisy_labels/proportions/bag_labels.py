"""Bags of rows and what is known of their labels, read and checked."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse, sparray

from noisy_labels.proportions.bag_membership import BagMembership, member_means, read_membership
from noisy_labels.proportions.count_potentials import CountPotential, ExactCount
from sparse_data import Bags
from sparse_data.checks import check_finite, check_ids_in_range, check_ndim, check_no_missing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class BagIndex:
    """Which rows each bag holds.

    Attributes
    ----------
    ids : array of shape (n_bags,)
        The bags' names, in order of first appearance.
    rows : Bags
        Row numbers, bag by bag.
    codes : int64 array of shape (n_rows,)
        Position in `ids` of each row's bag.
    """

    ids: NDArray[Any]
    rows: Bags
    codes: Ints

    @property
    def sizes(self) -> Ints:
        """Rows of each bag, shape (n_bags,)."""
        return self.rows.lengths

    @property
    def n_rows(self) -> int:
        """Number of rows, each in one bag."""
        return self.codes.size

    def means(self, values: Floats) -> Floats:
        """Return the mean over the rows of each bag of values of shape (n_rows,) or (n_rows, n_columns)."""
        return member_means(self.rows, values)

    def of_rows(self, members: Floats) -> Floats:
        """Return values of members, bag by bag, in the order of the rows, shape (n_rows, ...)."""
        values = np.empty_like(members)
        values[self.rows.values] = members
        return values

    def groups(self) -> tuple[Ints, int]:
        """Return the group of each row, and the number of groups: the bags, which share no rows."""
        return self.codes, self.ids.size

    def take(self, bags: Ints) -> tuple[Ints, BagIndex]:
        """Return the rows of some bags and the index of these bags over these rows alone."""
        chosen = self.rows[bags]
        rows = Bags(np.arange(chosen.values.size), chosen.offsets)
        return chosen.values, BagIndex(self.ids[bags], rows, rows.segment_ids)


def read_bags(bags: ArrayLike | Bags, n_rows: int) -> BagIndex:
    """Find the rows of each bag.

    Parameters
    ----------
    bags : array_like of shape (n_rows,) or Bags
        The bag of each row, by an id of any dtype; rows of a bag need not be neighbours.  Or the row numbers
        of each bag, each row once.
    n_rows : int

    Returns
    -------
    BagIndex

    Raises
    ------
    ValueError
        If lengths differ, an id is missing, a bag has no rows, or a row is in no bag or in two.

    Examples
    --------
    >>> read_bags(["b", "a", "b"], 3).rows
    Bags(n_bags=2, n_values=3, dtype=<i8): [0 2], [1]
    """
    if isinstance(bags, Bags):
        return _read_row_numbers(bags, n_rows)
    ids = check_no_missing("bags", check_ndim("bags", bags, 1), "Give every row the id of its bag.")
    if ids.size != n_rows:
        raise ValueError(f"`bags` must be one id a row, {n_rows}; got {ids.size}. Pass the bag of each row.")
    if ids.dtype.kind == "O":
        if not all(isinstance(name, Hashable) for name in ids):
            raise TypeError("`bags` must hold ids; got lists or the like among them. Pass one id a row.")
        place: dict[Hashable, int] = {}
        codes = np.fromiter((place.setdefault(name, len(place)) for name in ids), np.int64, ids.size)
        distinct = np.empty(len(place), dtype=object)
        distinct[:] = list(place)
    else:
        found, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        distinct, codes = found[order], rank[inverse]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=distinct.size))])
    return BagIndex(distinct, Bags(np.argsort(codes, kind="stable"), offsets), codes.astype(np.int64))


def read_index(bags: ArrayLike | Bags | sparray, n_rows: int) -> BagIndex | BagMembership:
    """Find the rows of each bag: of a sparse membership, see `read_membership`, or else see `read_bags`."""
    if issparse(bags):
        return BagMembership(read_membership(bags, n_rows), n_rows)
    return read_bags(bags, n_rows)


def _read_row_numbers(bags: Bags, n_rows: int) -> BagIndex:
    values = check_ids_in_range("bags", bags.values, n_rows, "Bags hold row numbers.").astype(np.int64)
    often = np.bincount(values, minlength=n_rows)
    if (often != 1).any():
        row = int((often != 1).argmax())
        raise ValueError(
            f"`bags` must hold every row once; got row {row} {often[row]} times. Drop rows without a bag, "
            "and give each row one bag."
        )
    if (bags.lengths == 0).any():
        raise ValueError(f"`bags` must have rows; got none in bag {bags.lengths.argmin()}. Drop empty bags.")
    codes = np.empty(n_rows, dtype=np.int64)
    codes[values] = bags.segment_ids
    return BagIndex(np.arange(len(bags)), Bags(values, bags.offsets), codes)


def read_counts(
    index: BagIndex | BagMembership,
    *,
    proportions: ArrayLike | Mapping[Any, float] | None = None,
    counts: ArrayLike | Mapping[Any, float] | CountPotential | None = None,
) -> CountPotential:
    """Return what is known of the counts of the bags as a potential.

    Parameters
    ----------
    index : BagIndex or BagMembership
    proportions : array_like, mapping or pandas.Series, optional
        Share of positives of each bag: of shape (n_bags,) in order of first appearance, or (n_rows,) with
        the same value in all rows of a bag, or keyed by bag id.
    counts : the same, or a CountPotential, optional
        Number of positives instead of the share; a potential for noisy or partial counts.  Exactly one of
        the two must be given.

    Returns
    -------
    CountPotential

    Raises
    ------
    ValueError
        If a value is missing, NaN or outside of its range, if a key fits no bag, if rows of one bag differ,
        or if counts are no whole numbers.

    Warns
    -----
    UserWarning
        If a proportion is no whole number of labels; the nearest one is taken.
    """
    if (proportions is None) == (counts is None):
        got = "neither" if counts is None else "both"
        raise ValueError(f"One of `proportions` and `counts` must be given with `bags`; got {got}.")
    if isinstance(counts, CountPotential):
        return counts
    if counts is not None:
        return ExactCount(_one_a_bag("counts", counts, index))
    shares = _one_a_bag("proportions", proportions, index)
    bad = (shares < 0) | (shares > 1)
    if bad.any():
        raise ValueError(
            f"`proportions` must be in [0, 1]; got {shares[bad][0]:g} for bag {_shown(index, bad)}. Pass "
            "noisy ones as `counts=DiscreteLaplaceCount(...)` or `GaussianCount(...)`."
        )
    exact = shares * index.sizes
    whole = np.round(exact)
    distance = np.abs(exact - whole)
    if (distance > 1e-6 * np.maximum(index.sizes, 1)).any():
        worst = int(distance.argmax())
        warnings.warn(
            f"`proportions` should be whole numbers of labels; bag {_shown(index, [worst])} of "
            f"{index.sizes[worst]} has {exact[worst]:.4g}. The nearest is taken; pass "
            "`counts=IntervalCount(...)` for rounded shares.",
            UserWarning,
            stacklevel=3,
        )
    return ExactCount(whole)


def in_order_of_bags(name: str, values: Mapping[Any, Any], ids: NDArray[Any]) -> list[Any]:
    """Return the values of a mapping for bags in order, if it has one for each of them and no others."""
    keys = ids.tolist()
    missing = [key for key in keys if key not in values]
    spare = set(values) - set(keys)
    if missing or spare:
        which = f"none for bag {missing[0]!r}" if missing else f"one for {next(iter(spare))!r}, without rows"
        raise ValueError(f"`{name}` must have one value for each bag with rows; got {which}.")
    return [values[key] for key in keys]


def _one_a_bag(name: str, values: Any, index: BagIndex | BagMembership) -> Floats:
    n_bags = index.ids.size
    if hasattr(values, "to_dict") and not isinstance(values, Mapping):
        if values.index.has_duplicates:
            raise ValueError(f"`{name}` must have one value a bag id; got an id twice. Aggregate it first.")
        values = values.to_dict()
    if isinstance(values, Mapping):
        values = in_order_of_bags(name, values, index.ids)
    array: Floats = check_finite(name, check_ndim(name, values, 1)).astype(np.float64)
    if array.size == n_bags:
        return array
    if isinstance(index, BagMembership):
        raise ValueError(f"`{name}` must be one value a bag, {n_bags}; got {array.size}. Pass one a bag.")
    if array.size != index.codes.size:
        raise ValueError(
            f"`{name}` must be one value a bag, {n_bags}, or one a row, {index.codes.size}; got "
            f"{array.size}. Bags are those ids that occur in `bags`, in order of first appearance."
        )
    of_bag: Floats = array[index.rows.values[index.rows.offsets[:-1]]]
    unequal = array != of_bag[index.codes]
    if unequal.any():
        bag = _shown(index, [index.codes[unequal.argmax()]])
        raise ValueError(f"`{name}` must be the same in all rows of a bag; got several in bag {bag}.")
    return of_bag


def _shown(index: BagIndex | BagMembership, which: Any) -> str:
    """Return the first of some bags' ids as a message shows it."""
    return repr(index.ids[which].tolist()[0])
