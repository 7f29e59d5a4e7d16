"""The posterior of each label given a classifier's logits and what is known of the counts in bags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from scipy.special import expit, log_expit, logsumexp

from noisy_labels.proportions.bag_labels import BagIndex, read_index
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.count_kernels import count_messages
from noisy_labels.proportions.count_potentials import CountPotential
from sparse_data import Bags
from sparse_data.checks import check_count, check_finite, check_ndim, check_one_of
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]
Method = Literal["auto", "exact", "saddlepoint"]

# The least size and variance of bags that are approximated.  A bag of 65,536 takes a quarter of the exact
# time then, with an error of some 1e-5.
_APPROXIMATED = {"auto": (1 << 16, 1000.0), "saddlepoint": (0, 0.25), "exact": (np.iinfo(np.int64).max, 0.0)}


@dataclass(frozen=True, eq=False, repr=False)
class CountFactor:
    """The factor that ties the labels of each bag: bags of rows and their log φ.

    Attributes
    ----------
    index : BagIndex or BagMembership
    table : Bags
        log φ(c), c = 0..m, of each bag.
    method : {"auto", "exact", "saddlepoint"}
    """

    index: BagIndex | BagMembership
    table: Bags
    method: Method = "auto"

    def take(self, bags: NDArray[np.int64]) -> tuple[NDArray[np.int64], CountFactor]:
        """Return the rows of some bags and the factor of these bags over these rows alone."""
        rows, index = self.index.take(bags)
        return rows, CountFactor(index, self.table[bags], self.method)

    def of_members(
        self, logits: Floats, *, normaliser: bool = True, tilts: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return the messages to members, bag by bag, and the log-likelihood of each bag.

        `logits` are those of the members, free of what their own bag tells them; for `tilts` see
        `member_messages`.
        """
        return member_messages(
            logits,
            self.index.rows.offsets,
            self.table,
            method=self.method,
            normaliser=normaliser,
            tilts=tilts,
        )

    def messages(self, logits: Floats) -> Floats:
        """Return what the bag tells each row: the log odds of its label, shape (n_rows,)."""
        return self.run(logits, normaliser=False)[0]

    def run(self, logits: Floats, *, normaliser: bool = True) -> tuple[Floats, Floats]:
        """Return the messages, and the log-likelihood log Σ e(c) φ(c) of each bag (empty if not wanted)."""
        in_bags, log_z = self.of_members(logits[self.index.rows.values], normaliser=normaliser)
        return self.index.of_rows(in_bags), log_z

    def likelihood(self, logits: Floats, *, tilts: Floats | None = None) -> tuple[Floats, Floats]:
        """Return the log-likelihood of each bag, shape (n_bags,), and the gradient of their sum.

        For `tilts` see `member_messages`.
        """
        own = logits[self.index.rows.values]
        told, log_z = self.of_members(own, tilts=tilts)
        return log_z, self.index.of_rows(expit(own + told) - expit(own))

    def share(self) -> float:
        """Return the share of positives among all members of bags."""
        return float(self.expected_counts().sum() / self.index.sizes.sum())

    def expected_counts(self) -> Floats:
        """Return Σ c φ(c) / Σ φ(c) of each bag: its count before any row is looked at."""
        offsets, segment = self.table.offsets, self.table.segment_ids
        weight = np.exp(self.table.values - np.maximum.reduceat(self.table.values, offsets[:-1])[segment])
        count = np.arange(segment.size) - offsets[segment]
        sums = np.add.reduceat(np.stack([weight, weight * count]), offsets[:-1], axis=1)
        return np.asarray(sums[1] / sums[0])


def member_messages(
    logits: Floats,
    offsets: NDArray[np.int64],
    table: Bags,
    *,
    method: Method = "auto",
    normaliser: bool = False,
    tilts: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return messages to members that lie bag by bag, and log Σ e(c) φ(c) of each bag (empty if not wanted).

    Parameters
    ----------
    logits : float array of shape (n_members,)
        What each member brings to its bag.
    offsets : int64 array of shape (n_bags + 1,)
    table : Bags
        log φ(c), c = 0..m, of each bag.
    tilts : float array of shape (n_bags,), optional
        Where the search for the tilts begins, written to: kept from call to call, it saves most of it.
    """
    smallest, variance = _APPROXIMATED[method]
    messages, log_z = count_messages(
        logits.astype(np.float64, copy=False),
        offsets,
        table.values,
        saddlepoint_from=int(smallest),
        least_variance=float(variance),
        normaliser=normaliser,
        tilts=tilts,
    )
    # What doubles cannot hold, the logarithmic domain can, slowly.
    broken = np.flatnonzero(np.isnan(messages))
    if not broken.size:
        return messages, log_z
    for bag in np.unique(np.searchsorted(offsets, broken, side="right") - 1):
        members = slice(offsets[bag], offsets[bag + 1])
        told = log_domain_messages(logits[members], table[bag])
        messages[members] = told[0]
        log_z[bag : bag + 1] = told[1]
    return messages, log_z


def count_posterior(
    logits: ArrayLike, bags: ArrayLike | Bags, potential: CountPotential, *, method: Method = "auto"
) -> Floats:
    r"""Return P(y = 1) of each row, given the logits of independent labels and the counts of their bags.

    .. math:: P(y) \propto \prod_i e^{r_i y_i} \prod_b \phi_b\Big(\sum_{i \in b} y_i\Big), \qquad
              P(y_i = 1) = \sigma(r_i + \mu_i), \qquad
              \mu_i = \log \frac{\sum_c e_{-i}(c)\, \phi(c + 1)}{\sum_c e_{-i}(c)\, \phi(c)}

    with :math:`e_{-i}(c)` the probability that the other members of the bag have c positives.  This is the
    expectation step of learning from label proportions, whatever model made the logits; the gradient of the
    log-likelihood of the counts with respect to the logits is the posterior minus :math:`\sigma(r)`.

    Parameters
    ----------
    logits : array_like of shape (n_rows,)
        r, finite.
    bags : array_like of shape (n_rows,) or Bags
        The bag of each row, by ids of any dtype, or the row numbers of each bag.
    potential : CountPotential
        For the bags in order of first appearance.
    method : {"auto", "exact", "saddlepoint"}, default="auto"
        "exact" is a product tree.  "saddlepoint" replaces e by a Gaussian around the same tilt where
        :math:`\phi` is Gaussian in the count or one count alone: errors of .15 in bags of 8, .001 in bags of
        512, 1e-5 in bags of 65,536.  "auto" takes it from there on.

    Returns
    -------
    float array of shape (n_rows,)

    Raises
    ------
    TypeError, ValueError
        For NaN or infinite logits, lengths that differ, or a potential that does not fit the bags.

    References
    ----------
    Shukla et al., "A Unified Approach to Count-Based Weakly-Supervised Learning", 2023, arXiv:2311.13718.
    Tarlow et al., "Fast Exact Inference for Recursive Cardinality Models", 2012.

    Examples
    --------
    >>> from noisy_labels.proportions.count_potentials import ExactCount
    >>> count_posterior([2.0, 0.0, -1.0, 0.5], ["a", "a", "b", "b"], ExactCount([1, 1])).round(3)
    array([0.881, 0.119, 0.182, 0.818])
    """
    r = check_ndim("logits", check_finite("logits", logits), 1).astype(np.float64)
    factor = count_factor(bags, potential, r.size, method=method)
    # A logit of 1e3 against a message of -inf is settled by the message.
    return np.asarray(expit(r + factor.messages(r)))


def count_factor(
    bags: ArrayLike | Bags | sparray | BagIndex | BagMembership,
    potential: CountPotential,
    n_rows: int,
    *,
    method: Method = "auto",
) -> CountFactor:
    """Read bags (see `read_index`) and potential once, for messages to many logits."""
    check_one_of("method", method, tuple(_APPROXIMATED))
    check_count("n_rows", n_rows, 0)
    check_type("potential", potential, CountPotential, "Pass one, such as ExactCount(counts).")
    index = bags if isinstance(bags, BagIndex | BagMembership) else read_index(bags, n_rows)
    return CountFactor(index, potential.log_values(index.sizes), method)


def log_domain_messages(logits: ArrayLike, log_potential: ArrayLike) -> tuple[Floats, float]:
    r"""Return the messages of one bag to its members: the definition, without tilt, tree or underflow.

    .. math:: F_i = (1 - p_i, p_i) * F_{i-1}, \quad G_{i-1}(c) = (1 - p_i)\, G_i(c) + p_i\, G_i(c + 1),
              \quad \mu_i = \log \sum_c F_{i-1}(c)\, G_i(c + 1) - \log \sum_c F_{i-1}(c)\, G_i(c)

    Parameters
    ----------
    logits : array_like of shape (m,)
    log_potential : array_like of shape (m + 1,)

    Returns
    -------
    messages : float array of shape (m,)
    log_z : float
        :math:`\log \sum_c e(c) \phi(c) = \log G_0(0)`.
    """
    r = np.asarray(logits, dtype=np.float64)
    zero, one = log_expit(-r), log_expit(r)
    prefixes = [np.zeros(1)]
    for i in range(r.size):
        longer = np.append(prefixes[-1], -np.inf)
        prefixes.append(np.logaddexp(zero[i] + longer, one[i] + np.roll(longer, 1)))
    suffix = np.asarray(log_potential, dtype=np.float64)
    messages = np.empty_like(r)
    for i in range(r.size - 1, -1, -1):
        messages[i] = logsumexp(prefixes[i] + suffix[1:]) - logsumexp(prefixes[i] + suffix[:-1])
        suffix = np.logaddexp(zero[i] + suffix[:-1], one[i] + suffix[1:])
    return messages, float(suffix[0])
