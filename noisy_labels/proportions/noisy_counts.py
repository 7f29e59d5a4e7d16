"""Counts of bags that were published with noise or withheld where small: the matching potentials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.proportions.count_potentials import CountPotential, one_a_bag, positive_a_bag
from sparse_data.checks import check_in_range

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GaussianCount(CountPotential):
    r"""The count was published with Gaussian noise: :math:`\phi(c) = e^{-(T - c)^2 / (2 \sigma^2)}`.

    Parameters
    ----------
    counts : float array of shape (n_bags,)
        T.
    scale : float or array of shape (n_bags,)
        σ > 0.
    """

    counts: ArrayLike
    scale: ArrayLike

    @np.errstate(over="ignore")  # what is infinitely far is impossible
    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        noisy = one_a_bag("counts", self.counts, sizes)
        scale = positive_a_bag("scale", self.scale, sizes)
        return -0.5 * ((noisy[bag] - count) / scale[bag]) ** 2


@dataclass(frozen=True, eq=False)
class DiscreteLaplaceCount(CountPotential):
    r"""The count got two-sided geometric noise: :math:`\phi(c) = e^{-|T - c| \epsilon / \Delta}`.

    Parameters
    ----------
    counts : float array of shape (n_bags,)
        T; noise may have pushed it below 0 or above m.
    epsilon : float or array of shape (n_bags,)
        Privacy budget ε > 0.
    sensitivity : float, default=1.0
        Δ: how much one person can change a count.
    """

    counts: ArrayLike
    epsilon: ArrayLike
    sensitivity: float = 1.0

    @np.errstate(over="ignore")  # what is infinitely far is impossible
    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        noisy = one_a_bag("counts", self.counts, sizes)
        epsilon = positive_a_bag("epsilon", self.epsilon, sizes)
        sensitivity = float(check_in_range("sensitivity", self.sensitivity, 0, closed="neither"))
        return -np.abs(noisy[bag] - count) * epsilon[bag] / sensitivity


@dataclass(frozen=True, eq=False)
class SuppressedCount(CountPotential):
    r"""Noisy counts of which the small ones were withheld.

    .. math:: \phi(c) = e^{-|T - c| \epsilon} \text{ where T is published, else } P(T < \tau \mid c)

    Parameters
    ----------
    counts : float array of shape (n_bags,)
        T; NaN where it was withheld.
    threshold : int
        τ: counts below it are withheld.
    epsilon : float, default=inf
        Of the two-sided geometric noise that was added before; inf for none.
    """

    counts: ArrayLike
    threshold: int
    epsilon: float = np.inf

    @np.errstate(over="ignore")  # what is infinitely far is impossible
    def _log_potential(self, count: Ints, size: Ints, bag: Ints, sizes: Ints) -> ArrayLike:
        # An unsigned number has no negative.
        epsilon = float(check_in_range("epsilon", self.epsilon, 0, closed="neither"))
        check_in_range("threshold", self.threshold)
        noisy = one_a_bag("counts", self.counts, sizes, finite=False)[bag]
        spare = np.floor(self.threshold) - 1.0 - count  # the largest noise with which T stays below τ
        if np.isinf(epsilon):
            return np.where(np.where(np.isnan(noisy), spare >= 0, noisy == count), 0.0, -np.inf)
        decay = np.exp(-epsilon)
        # P(noise <= k) of the two-sided geometric distribution, on either side of zero.
        above = np.log1p(-(decay ** (np.maximum(spare, 0) + 1)) / (1 + decay))
        below = epsilon * np.minimum(spare, 0) - np.log1p(decay)
        withheld = np.where(spare >= 0, above, below)
        return np.where(np.isnan(noisy), withheld, -np.abs(noisy - count) * epsilon)
