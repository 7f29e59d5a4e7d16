"""The posterior of each label among several classes, given the count of every class in its bag."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax

from noisy_labels.proportions.bag_labels import BagIndex, read_bags
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.class_count_kernels import lattice_posteriors
from sparse_data import Bags
from sparse_data.checks import check_finite, check_integers, check_ndim, check_one_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Method = Literal["auto", "exact", "second_order", "first_order"]

_LARGEST_LATTICE = 100_000  # states of a bag for which "auto" is exact
_LARGEST_TABLE = 8_000_000  # states times members: 64 MB
_FEW_STEPS = 5  # where the tilt is but to keep weights within doubles
_MAX_STEPS = 500
_TOLERANCE = 1e-10
_LEAST_VARIANCE = 1e-12  # keeps matrices of classes without any label invertible
_IMPOSSIBLE = -60.0  # log of a weight that no product of forty underflows with


def class_count_posterior(
    logits: ArrayLike, bags: ArrayLike | Bags, counts: ArrayLike, *, method: Method = "auto"
) -> Floats:
    r"""Return P(class) of each row, given the logits of independent labels and the counts of their bags.

    .. math:: P(y) \propto \prod_i e^{r_{i y_i}} \prod_{b, k} 1\Big[\sum_{i \in b} 1[y_i = k] = s_{bk}\Big]

    Exactly, over the lattice of partial counts; or by tilting, with u such that the expected counts of
    :math:`\tilde p_i = \operatorname{softmax}(r_i + u)` are s, and a Gaussian around it:

    .. math:: \mu_{ik} = u_k - \tfrac12\, \delta_{ik}^\top V_{-i}^{+}\, \delta_{ik}, \qquad
              \delta_{ik} = e_k - \tilde p_i, \qquad
              V_{-i} = \sum_{j \ne i} \operatorname{diag} \tilde p_j - \tilde p_j \tilde p_j^\top

    Parameters
    ----------
    logits : array_like of shape (n_rows, n_classes)
        r, finite.
    bags : array_like of shape (n_rows,) or Bags
        The bag of each row, by ids of any dtype, or the row numbers of each bag.
    counts : int array of shape (n_bags, n_classes)
        s, for the bags in order of first appearance; rows sum to the sizes of the bags.
    method : {"auto", "exact", "second_order", "first_order"}, default="auto"
        "first_order" is :math:`\tilde p`: the transport plan of Sinkhorn's iteration.  Its mean error is .02
        in bags of 12 of three classes, that of "second_order" .01, and less in larger bags.  "auto" is exact
        in bags whose lattice has at most 100,000 states, of second order in others.

    Returns
    -------
    float array of shape (n_rows, n_classes)

    Raises
    ------
    ValueError
        For logits that are not finite, or counts that do not fit the bags.

    References
    ----------
    Liu et al., "Two-stage Training for Learning from Label Proportions", 2021, arXiv:2105.10635.

    Examples
    --------
    >>> logits = [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    >>> class_count_posterior(logits, [0, 0, 0], [[1, 1, 1]]).round(3)
    array([[0.828, 0.112, 0.06 ],
           [0.112, 0.635, 0.253],
           [0.06 , 0.253, 0.687]])
    """
    r = check_ndim("logits", check_finite("logits", logits), 2).astype(np.float64)
    check_one_of("method", method, ("auto", "exact", "second_order", "first_order"))
    index = read_bags(bags, r.shape[0])
    s = check_class_counts(counts, index, r.shape[1])
    return index.of_rows(member_posteriors(r[index.rows.values], index.rows, s, method=method)[0])


def member_posteriors(
    logits: Floats, rows: Bags, s: Ints, *, method: Method = "auto", largest_lattice: int = _LARGEST_LATTICE
) -> tuple[Floats, Floats]:
    r"""Return P(class) of members that lie bag by bag, and the log-likelihood of the counts of each bag.

    .. math:: \log P(s) \approx \sum_i \log \sum_k p_{ik} e^{u_k} - \sum_k u_k s_k
              - \tfrac12 \log \det (2 \pi V + I)

    where it is not exact, without the last class in V.

    Parameters
    ----------
    logits : float array of shape (n_members, n_classes)
    rows : Bags
        Whose offsets tell the members of each bag.
    s : int array of shape (n_bags, n_classes)
    method : as of `class_count_posterior`
    largest_lattice : int
        States for which "auto" is exact.

    Returns
    -------
    posterior : float array of shape (n_members, n_classes)
    log_likelihood : float array of shape (n_bags,)
    """
    bag = rows.segment_ids
    own = logits - logsumexp(logits, axis=1, keepdims=True)
    states = np.prod(s + 1.0, axis=1) / (s.max(axis=1) + 1)
    exact = (states <= largest_lattice) & (states * rows.lengths <= _LARGEST_TABLE)
    exact = np.full(exact.size, method == "exact") if method != "auto" else exact
    tilt = np.where(s > 0, 0.0, -np.inf)
    for some, n_steps in ((exact, _FEW_STEPS), (~exact, _MAX_STEPS)):
        if some.any():
            tilt[some] = _tilts(own[some[bag]], rows[some], s[some], n_steps)
    tilted = own + tilt[bag]
    total = logsumexp(tilted, axis=1)
    found = np.exp(tilted - total[:, None])
    untilt = (np.where(s > 0, tilt, 0.0) * s).sum(axis=1)
    log_z = np.add.reduceat(total, rows.offsets[:-1]) - untilt
    if not exact.all():
        rough = ~exact[bag]
        corrected, entropy = _second_order(found, rows, rough)
        log_z -= np.where(exact, 0.0, entropy)
        if method != "first_order":
            found[rough] = corrected
    if exact.any():
        chosen = np.flatnonzero(exact)
        log_z[chosen] = _exact(tilted, rows, s, chosen, found)[chosen] - untilt[chosen]
    return found, log_z


def check_class_counts(counts: ArrayLike, index: BagIndex | BagMembership, n_classes: int) -> Ints:
    """Return counts of shape (n_bags, n_classes) if they are whole and sum to the bags' sizes, else raise."""
    s = check_ndim("counts", check_integers("counts", counts), 2).astype(np.int64)
    if s.shape != (index.ids.size, n_classes):
        raise ValueError(
            f"`counts` must be of shape (n_bags, n_classes), {(index.ids.size, n_classes)}; got {s.shape}. "
            "Pass one count a bag and class."
        )
    wrong = (s < 0).any(axis=1) | (s.sum(axis=1) != index.sizes)
    if wrong.any():
        bag = int(wrong.argmax())
        raise ValueError(
            f"`counts` must be at least 0 and sum to the size of the bag; got {s[bag].tolist()} for bag "
            f"{bag} of {index.sizes[bag]}. Count every row of the bag once."
        )
    return s


def _tilts(log_chances: Floats, rows: Bags, s: Ints, n_steps: int) -> Floats:
    """Return u of each bag by Sinkhorn's iteration, -inf for classes without any label."""
    bag, starts = rows.segment_ids, rows.offsets[:-1]
    wanted = np.log(np.maximum(s, 1))
    u = np.where(s > 0, 0.0, -np.inf)
    for _ in range(n_steps):
        scores = log_chances + u[bag]
        scores -= logsumexp(scores, axis=1, keepdims=True)
        peak = np.maximum.reduceat(scores, starts, axis=0)
        peak = np.where(np.isfinite(peak), peak, 0.0)
        sums = np.add.reduceat(np.exp(scores - peak[bag]), starts, axis=0)
        step = np.where(s > 0, wanted - peak - np.log(np.where(s > 0, sums, 1.0)), 0.0)
        u = u + step
        if np.abs(step).max(initial=0) < _TOLERANCE:
            break
    return u


def _second_order(tilted: Floats, rows: Bags, rough: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return posteriors with the Gaussian correction for the rows of `rough`, and ½ log det of all bags."""
    n_classes, bag = tilted.shape[1], rows.segment_ids
    unit = np.eye(n_classes - 1)
    p = tilted[:, :-1]  # as probabilities sum to 1, one class says nothing new
    own = p[:, :, None] * (unit - p[:, None, :])
    of_bag = np.add.reduceat(own, rows.offsets[:-1], axis=0)
    inverse = np.linalg.inv(of_bag[bag[rough]] - own[rough] + _LEAST_VARIANCE * unit)
    moved = np.eye(n_classes)[:, :-1] - p[rough][:, None, :]  # row k is e_k - p
    away = np.einsum("ika,ika->ik", moved @ inverse, moved)
    with np.errstate(divide="ignore"):
        posterior = softmax(np.log(tilted[rough]) - 0.5 * np.minimum(away, -2 * _IMPOSSIBLE), axis=1)
    # The unit matrix keeps the chance of counts that are certain at 1.
    return np.asarray(posterior), np.asarray(0.5 * np.linalg.slogdet(2 * np.pi * of_bag + unit)[1])


def _exact(scores: Floats, rows: Bags, s: Ints, chosen: Ints, found: Floats) -> Floats:
    """Write the posteriors of the chosen bags to `found`; return the log weights of their counts."""
    peak = scores.max(axis=1, keepdims=True)
    log_z = np.zeros(s.shape[0])
    lattice_posteriors(np.exp(scores - peak), rows.offsets, s, chosen, found, log_z)
    broken = np.unique(rows.segment_ids[np.isnan(found).any(axis=1)])
    for bag in broken:
        members = slice(rows.offsets[bag], rows.offsets[bag + 1])
        found[members], log_z[bag] = log_domain_class_posterior(scores[members] - peak[members], s[bag])
    return log_z + np.add.reduceat(peak[:, 0], rows.offsets[:-1])


def log_domain_class_posterior(logits: Floats, counts: Ints) -> tuple[Floats, float]:
    r"""Return the posterior of one bag over the whole lattice of partial counts, free of underflow; slow.

    .. math:: F_{i+1}(c) = \sum_k e^{r_{ik}} F_i(c - e_k), \quad G_i(c) = \sum_k e^{r_{ik}} G_{i+1}(c + e_k),
              \quad P(y_i = k) \propto e^{r_{ik}} \sum_c F_i(c)\, G_{i+1}(c + e_k)

    Parameters
    ----------
    logits : float array of shape (m, n_classes)
    counts : int array of shape (n_classes,)

    Returns
    -------
    posterior : float array of shape (m, n_classes)
    log_z : float
        :math:`\log G_0(0)`.
    """
    shape = tuple(counts + 1)
    n_classes = counts.size
    prefixes = [np.full(shape, -np.inf)]
    prefixes[0][(0,) * n_classes] = 0.0
    ends = [
        tuple(slice(a, n + a - 1) if k == axis else slice(None) for axis, n in enumerate(shape))
        for k, a in product(range(n_classes), (0, 1))
    ]
    lower, upper = ends[::2], ends[1::2]
    for row in logits[:-1]:
        after = np.full(shape, -np.inf)
        for k in range(n_classes):
            after[upper[k]] = np.logaddexp(after[upper[k]], row[k] + prefixes[-1][lower[k]])
        prefixes.append(after)
    suffix = np.full(shape, -np.inf)
    suffix[(-1,) * n_classes] = 0.0
    posterior = np.full(logits.shape, -np.inf)
    for i in range(logits.shape[0] - 1, -1, -1):
        before = np.full(shape, -np.inf)
        for k in range(n_classes):
            if counts[k]:
                way = logits[i, k] + suffix[upper[k]]
                posterior[i, k] = logsumexp(prefixes[i][lower[k]] + way)
                before[lower[k]] = np.logaddexp(before[lower[k]], way)
        suffix = before
    return np.asarray(softmax(posterior, axis=1)), float(suffix[(0,) * n_classes])
