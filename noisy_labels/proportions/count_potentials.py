"""What is known about the number of positives in each bag: log φ(c) for c = 0..m."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data import Bags
from sparse_data.checks import check_finite, check_in_range, check_integers, check_ndim, check_numeric
from sparse_data.type_checks import check_callable, naming

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_ROWS = 2**31


class CountPotential(ABC):
    """The log-potential of the number of positives in each of several bags.

    A subclass gives log φ(c) up to a constant, for every bag and count at once.
    """

    def log_values(self, sizes: ArrayLike) -> Bags:
        """Return log φ(c), c = 0..m, for each bag.

        Parameters
        ----------
        sizes : int array of shape (n_bags,)
            Members m of each bag.

        Returns
        -------
        Bags
            Of m + 1 float values a bag.

        Raises
        ------
        ValueError
            If the potential does not fit the bags, is NaN or +inf, or allows no count of some bag.
        """
        m = _whole_sizes(sizes)
        offsets = np.concatenate([[0], np.cumsum(m + 1)])
        bag = np.repeat(np.arange(m.size), m + 1)
        count = np.arange(offsets[-1]) - offsets[bag]
        log_potential = self._log_potential(count, m[bag], bag, m)
        values = check_numeric("log_potential", log_potential).astype(np.float64)
        if values.shape != count.shape or np.isnan(values).any() or np.isposinf(values).any():
            raise ValueError(
                f"`log_potential` must be one number below +inf for each of the {count.size} counts; got "
                f"shape {values.shape} or NaN or +inf. Use -inf for counts that cannot be."
            )
        table = Bags(values, offsets)
        best = np.maximum.reduceat(values, offsets[:-1]) if m.size else values
        if np.isneginf(best).any():
            known = ", ".join(f"`{name}`" for name in vars(self)) or "`log_potential`"
            raise ValueError(
                f"{known} must allow some count of 0..{m[np.isneginf(best)][0]} in bag "
                f"{np.isneginf(best).argmax()}; got log φ = -inf for all. Check its count against its size."
            )
        return table

    @abstractmethod
    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        """Return log φ for flat arrays of counts, of the sizes of their bags, and of the bags' positions."""


@dataclass(frozen=True, eq=False)
class ExactCount(CountPotential):
    r"""The count is known: :math:`\phi(c) = 1[c = s]`.

    Parameters
    ----------
    counts : int array of shape (n_bags,)
        s, within 0..m; whole numbers.

    Examples
    --------
    >>> ExactCount([1]).log_values([2])[0]
    array([-inf,   0., -inf])
    """

    counts: ArrayLike

    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        s = one_a_bag("counts", self.counts, sizes)
        bad = (s != np.round(s)) | (s < 0) | (s > sizes)
        if bad.any():
            raise ValueError(
                f"`counts` must be whole numbers from 0 to the size of their bag; got {s[bad][0]:g} for bag "
                f"{bad.argmax()} of {sizes[bad][0]}. Use DiscreteLaplaceCount or GaussianCount for noise."
            )
        return np.where(count == s[bag], 0.0, -np.inf)


@dataclass(frozen=True, eq=False)
class QuadraticCount(CountPotential):
    r"""The penalty of belief propagation for label proportions: :math:`\phi(c) = e^{-\lambda (c - s)^2}`.

    Parameters
    ----------
    counts : float array of shape (n_bags,)
        s; may lie between or outside of the possible counts.
    strength : float or array of shape (n_bags,)
        λ > 0.

    References
    ----------
    Havaldar et al., "Learning from Label Proportions: Bootstrapping Supervised Learners via Belief
    Propagation", 2024, arXiv:2310.08056.
    """

    counts: ArrayLike
    strength: ArrayLike = 10.0

    @np.errstate(over="ignore")  # what is infinitely far is impossible
    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        s = one_a_bag("counts", self.counts, sizes)
        strength = positive_a_bag("strength", self.strength, sizes)
        return -strength[bag] * (count - s[bag]) ** 2


@dataclass(frozen=True, eq=False)
class IntervalCount(CountPotential):
    r"""The count lies between two numbers, as after rounding: :math:`\phi(c) = 1[low \le c \le high]`.

    Parameters
    ----------
    low, high : float arrays of shape (n_bags,)
        Ends, included; -inf and inf are allowed.
    """

    low: ArrayLike
    high: ArrayLike

    @classmethod
    @np.errstate(over="ignore")  # ends may be infinite
    def from_proportions(cls, proportions: ArrayLike, half_width: float, sizes: ArrayLike) -> IntervalCount:
        """Return the counts of proportions that were rounded to within `half_width`.

        Examples
        --------
        >>> IntervalCount.from_proportions([0.3], 0.05, [10]).log_values([10])[0]
        array([-inf, -inf, -inf,   0., -inf, -inf, -inf, -inf, -inf, -inf, -inf])
        """
        m = _whole_sizes(sizes)
        share = one_a_bag("proportions", proportions, m)
        check_in_range("half_width", half_width, 0, 1)
        slack = 1e-9 * (1 + m)  # an end that is a whole number must not fall out by rounding
        return cls(m * (share - half_width) - slack, m * (share + half_width) + slack)

    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        low = one_a_bag("low", self.low, sizes, finite=False)
        high = one_a_bag("high", self.high, sizes, finite=False)
        return np.where((count >= low[bag]) & (count <= high[bag]), 0.0, -np.inf)


@dataclass(frozen=True, eq=False)
class AtLeastOne(CountPotential):
    r"""Multiple-instance learning: a positive bag has :math:`c \ge 1`, a negative one :math:`c = 0`.

    Parameters
    ----------
    positive : bool array of shape (n_bags,), optional
        Which bags are positive; all when None.
    """

    positive: ArrayLike | None = None

    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        positive = np.ones(sizes.size) if self.positive is None else self.positive
        label = one_a_bag("positive", positive, sizes)
        if not np.isin(label, (0, 1)).all():
            raise ValueError(f"`positive` must be true or false; got {label}. Pass one bool a bag.")
        return np.where((count >= 1) == (label[bag] == 1), 0.0, -np.inf)


@dataclass(frozen=True, eq=False)
class CustomCount(CountPotential):
    """Any log-potential.

    Parameters
    ----------
    log_potential : callable
        Of three int arrays of one shape: counts c, sizes m of their bags, and positions of the bags.  Returns
        log φ of each; -inf for counts that cannot be.

    Examples
    --------
    >>> even = CustomCount(lambda c, m, bag: np.where(c % 2 == 0, 0.0, -np.inf))
    >>> even.log_values([3])[0]
    array([  0., -inf,   0., -inf])
    """

    log_potential: Callable[[Ints, Ints, Ints], Any]

    def __post_init__(self) -> None:
        check_callable("log_potential", self.log_potential, "Pass a function of counts, sizes and bags.")

    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        with naming("log_potential", "a function of three arrays: counts, sizes and bags"):
            return self.log_potential(count, size, bag)  # type: ignore[no-any-return]


def _whole_sizes(sizes: ArrayLike) -> Ints:
    """Return sizes of bags whose counts fit into memory."""
    m = check_ndim("sizes", check_integers("sizes", sizes), 1)
    if m.size and (m.min() < 0 or m.astype(np.float64).sum() > _MOST_ROWS):
        raise ValueError(
            f"`sizes` must be at least 0 and add up to at most {_MOST_ROWS}; got {m.min()} to {m.max()}. "
            "Pass the number of rows of each bag."
        )
    return m.astype(np.int64)


def one_a_bag(name: str, values: ArrayLike, sizes: Ints, *, finite: bool = True) -> Floats:
    """Return `values` as floats if they are one a bag, else raise ValueError."""
    array = check_ndim(name, check_finite(name, values) if finite else check_numeric(name, values), 1)
    if array.size != sizes.size:
        raise ValueError(f"`{name}` must be one a bag, {sizes.size}; got {array.size}. Pass one value a bag.")
    return array.astype(np.float64)


def positive_a_bag(name: str, values: ArrayLike, sizes: Ints) -> Floats:
    """Return one number, or one a bag, as floats of shape (n_bags,) if all are above 0, else raise."""
    array = check_finite(name, values)
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be above 0; got {array.min()}. Pass a positive number.")
    if array.ndim == 0:
        return np.full(sizes.size, float(array))
    return one_a_bag(name, array, sizes)
