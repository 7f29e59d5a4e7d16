"""Loopy belief propagation over labels: a graph of those that like to agree, and one count factor a bag."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from scipy.special import expit, logsumexp, softmax
from sklearn.exceptions import ConvergenceWarning

from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.ising_graph import IsingGraph, read_ising_graph
from noisy_labels.proportions.potts_graph import PottsGraph, read_potts_graph
from sparse_data.checks import check_count, check_finite, check_in_range, check_ndim

Floats = NDArray[np.float64]

_CERTAIN = 30.0  # log odds that a message of certainty has left against everything else
_PATIENCE = 10  # passes without a smaller change before the damping rises
_DAMPING_STEPS = (0.75, 0.96875)  # of which 1 - d is a power of a half, which is fast

Edges = IsingGraph | PottsGraph
Factor = CountFactor | ClassCountFactor


@dataclass(frozen=True, eq=False, repr=False)
class Beliefs:
    """What belief propagation found.

    Attributes
    ----------
    probabilities : float array of shape (n_nodes,) or (n_nodes, n_classes)
        Marginals P(y = 1), or P(class); exact where graph and bags together form a tree.
    logits : float array of the same shape
        Their log odds, or logarithms up to a constant a row.
    residuals : float array of shape (n_iter,)
        Largest change of a message in each pass.
    converged : bool
        Whether the last of them is below the tolerance.
    """

    probabilities: Floats
    logits: Floats
    residuals: Floats
    converged: bool
    _bethe: Callable[[], float]

    @cached_property
    def log_partition(self) -> float:
        """Bethe approximation of the logarithm of the sum over all labellings, exact on trees.

        It is minus the Bethe free energy, and computed when asked for.
        """
        return self._bethe()

    @property
    def n_iter(self) -> int:
        """Number of passes."""
        return self.residuals.size


@dataclass(eq=False, repr=False)
class _Damping:
    """Weight of old messages, which rises when changes have not fallen for a while."""

    weight: float
    smallest: float = np.inf
    waited: int = 0

    def adapt(self, change: float) -> None:
        self.waited = 0 if change < self.smallest else self.waited + 1
        self.smallest = min(self.smallest, change)
        if self.waited == _PATIENCE:
            heavier = [step for step in _DAMPING_STEPS if step > self.weight]
            self.weight, self.waited, self.smallest = (heavier or [self.weight])[0], 0, change


def belief_propagation(
    logits: ArrayLike,
    *,
    graph: sparray | None = None,
    factor: Factor | None = None,
    max_iter: int = 100,
    tol: float = 1e-3,
    damping: float = 0.5,
) -> Beliefs:
    r"""Find the marginals of labels that like to agree with neighbours and fit the counts of bags.

    .. math:: P(y) \propto \exp\Big(\sum_i r_i y_i - \sum_{(i,j) \in E} J_{ij} 1[y_i \ne y_j]\Big)
              \prod_b \phi_b\Big(\sum_{i \in b} y_i\Big)

    for labels 0 and 1; of several classes, each has its own r and counts.  All messages of the graph are sent
    at once; a bag sends exact messages of its count.  If the largest change does not fall for ten passes, the
    damping rises to .75, then to .97.

    Parameters
    ----------
    logits : array_like of shape (n_nodes,) or (n_nodes, n_classes)
        r, the log odds of each label alone, or the logits of its classes.
    graph : sparse matrix of shape (n_nodes, n_nodes), optional
        Symmetric couplings J; negative ones repel.  The diagonal is ignored; beyond 150 they are as good as
        infinite, and are taken for 150.
    factor : CountFactor or ClassCountFactor, optional
        Of `count_factor(bags, potential, n_nodes)`, whose bags may overlap.
    max_iter : int, default=100
    tol : float, default=1e-3
        Stop when no message changes by more, in log odds.
    damping : float, default=0.5
        Weight of the old message, in [0, 1); 0, .5 and .75 are fast, powers of other numbers slow.

    Returns
    -------
    Beliefs

    Raises
    ------
    ValueError
        For logits or couplings that are NaN or infinite, shapes that differ, or a graph that is not
        symmetric.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` passes do not reach `tol`.

    References
    ----------
    Havaldar et al., "Learning from Label Proportions: Bootstrapping Supervised Learners via Belief
    Propagation", 2024, arXiv:2310.08056.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> chain = csr_array([[0.0, 1.0], [1.0, 0.0]])
    >>> belief_propagation([2.0, 0.0], graph=chain).probabilities.round(3)
    array([0.881, 0.676])
    """
    r = check_finite("logits", logits).astype(np.float64)
    r = r if r.ndim == 2 else check_ndim("logits", r, 1)
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    damping = float(check_in_range("damping", damping, 0, 1, closed="left"))
    if factor is not None:
        _check_factor(factor, r)
    edges = None if graph is None else _read_graph(graph, r)
    from_bags, from_edges, residuals = _pass_messages(r, edges, factor, max_iter, tol, damping)
    overlapping = factor is not None and isinstance(factor.index, BagMembership)
    converged = (edges is None and not overlapping) or residuals[-1] <= tol
    if not converged:
        warnings.warn(
            f"Belief propagation did not converge in {max_iter} passes: messages still change by "
            f"{residuals[-1]:.2g}. Weaken the couplings, raise `max_iter` or `damping`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    beliefs = r + from_edges
    if factor is not None:
        beliefs = beliefs + factor.index.of_rows(from_bags)
    probabilities = expit(beliefs) if r.ndim == 1 else softmax(beliefs, axis=1)
    bethe = partial(_log_partition, beliefs, from_bags, factor, edges)
    return Beliefs(probabilities, beliefs, np.array(residuals), converged, bethe)


def _check_factor(factor: Factor, r: Floats) -> None:
    if factor.index.n_rows != r.shape[0]:
        raise ValueError(
            f"`factor` must be over {r.shape[0]} rows; got {factor.index.n_rows}. Build it with count_factor."
        )
    n_classes = factor.counts.shape[1] if isinstance(factor, ClassCountFactor) else 1
    if n_classes != (1 if r.ndim == 1 else r.shape[1]):
        raise ValueError(
            f"`logits` must have a column for each of {n_classes} classes of `factor`; got shape {r.shape}. "
            "Pass log odds of shape (n_nodes,) with a CountFactor."
        )


def _read_graph(graph: sparray, r: Floats) -> Edges:
    return read_ising_graph(graph, r.size) if r.ndim == 1 else read_potts_graph(graph, *r.shape)


def _pass_messages(
    r: Floats, edges: Edges | None, factor: Factor | None, max_iter: int, tol: float, damping: float
) -> tuple[Floats, Floats, list[float]]:
    """Return what bags tell members and edges tell nodes in the end, and the largest change of each pass."""
    largest = _CERTAIN + np.abs(r).max(initial=0) + (0 if edges is None else edges.strongest)
    overlapping = factor is not None and isinstance(factor.index, BagMembership)
    alone = edges is None and not overlapping
    n_members = 0 if factor is None else factor.index.rows.values.size
    begin = {"tilts": np.zeros(len(factor.table))} if isinstance(factor, CountFactor) else {}
    from_bags, from_edges = np.zeros((n_members, *r.shape[1:])), np.zeros_like(r)
    from_bag = np.zeros_like(r)
    residuals: list[float] = []
    old = _Damping(damping)
    for iteration in range(max_iter):
        change = 0.0
        if factor is not None:
            total = r + from_edges + from_bag if overlapping else r + from_edges
            own = total[factor.index.rows.values]
            own = own - from_bags if overlapping else own
            told = np.clip(factor.of_members(own, normaliser=False, **begin)[0], -largest, largest)
            if iteration and not alone:
                told = old.weight * from_bags + (1 - old.weight) * told
            change, from_bags = float(np.abs(told - from_bags).max(initial=0)), told
            from_bag = factor.index.of_rows(from_bags)
        if edges is not None:
            from_edges, moved = edges.update(r + from_edges + from_bag, old.weight)
            change = max(change, moved)
        residuals.append(change)
        if change <= tol or alone:
            break
        old.adapt(change)
    return from_bags, from_edges, residuals


def _log_sum(x: Floats) -> Floats:
    """Return the log of the sum over the classes of a label, by log odds of one or by logits of all."""
    return np.asarray(np.logaddexp(0.0, x) if x.ndim == 1 else logsumexp(x, axis=1))


@np.errstate(over="ignore", invalid="ignore")  # log odds near the largest double have no finite sum
def _log_partition(beliefs: Floats, from_bags: Floats, factor: Factor | None, edges: Edges | None) -> float:
    """Return Σ log Z of nodes and factors minus Σ log Z of their pairs, at the present messages."""
    n_nodes = beliefs.shape[0]
    n_factors = np.zeros(n_nodes)
    total = 0.0
    if factor is not None:
        members = factor.index.rows.values
        n_factors += np.bincount(members, minlength=n_nodes)
        to_bags = beliefs[members] - from_bags
        total += _log_sum(to_bags).sum() + factor.of_members(to_bags)[1].sum()
    if edges is not None:
        n_factors += np.bincount(edges.lower, minlength=n_nodes) + np.bincount(edges.upper, minlength=n_nodes)
        total += edges.log_pairs(beliefs)
    return float(total + (_log_sum(beliefs) * (1 - n_factors)).sum())
