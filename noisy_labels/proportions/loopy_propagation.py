"""Loopy belief propagation over binary labels: an Ising graph and one count factor a bag."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.ising_graph import IsingGraph, read_ising_graph
from sparse_data.checks import check_count, check_finite, check_in_range, check_ndim

Floats = NDArray[np.float64]

_CERTAIN = 30.0  # log odds that a message of certainty has left against everything else
_PATIENCE = 10  # passes without a smaller change before the damping rises
_DAMPING_STEPS = (0.8, 0.95)
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class Beliefs:
    """What belief propagation found.

    Attributes
    ----------
    probabilities : float array of shape (n_nodes,)
        Marginals P(y = 1); exact where graph and bags together form a tree.
    logits : float array of shape (n_nodes,)
        Their log odds.
    log_partition : float
        Bethe approximation of the logarithm of the sum over all labellings (minus the Bethe free energy);
        exact on trees.
    residuals : float array of shape (n_iter,)
        Largest change of a message in each pass.
    converged : bool
        Whether the last of them is below the tolerance.
    """

    probabilities: Floats
    logits: Floats
    log_partition: float
    residuals: Floats
    converged: bool

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
    factor: CountFactor | None = None,
    max_iter: int = 100,
    tol: float = 1e-3,
    damping: float = 0.5,
) -> Beliefs:
    r"""Find the marginals of binary labels that like to agree with neighbours and fit the counts of bags.

    .. math:: P(y) \propto \exp\Big(\sum_i r_i y_i - \sum_{(i,j) \in E} J_{ij} 1[y_i \ne y_j]\Big)
              \prod_b \phi_b\Big(\sum_{i \in b} y_i\Big)

    All messages of the graph are sent at once; a bag sends exact messages of its count.  If the largest
    change does not fall for ten passes, the damping rises to .8, then to .95.

    Parameters
    ----------
    logits : array_like of shape (n_nodes,)
        r, the log odds of each label alone.
    graph : sparse matrix of shape (n_nodes, n_nodes), optional
        Symmetric couplings J; negative ones repel.  The diagonal is ignored; beyond 150 they are as good as
        infinite, and are taken for 150.
    factor : CountFactor, optional
        Of `count_factor(bags, potential, n_nodes)`.
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
    r = check_ndim("logits", check_finite("logits", logits), 1).astype(np.float64)
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    check_in_range("damping", damping, 0, 1, closed="left")
    if factor is not None and factor.index.codes.size != r.size:
        raise ValueError(
            f"`factor` must be over {r.size} rows; got {factor.index.codes.size}. Build it with count_factor."
        )
    edges = None if graph is None else read_ising_graph(graph, r.size)
    from_bag, from_edges, residuals = _pass_messages(r, edges, factor, max_iter, tol, damping)
    converged = edges is None or residuals[-1] <= tol
    if not converged:
        warnings.warn(
            f"Belief propagation did not converge in {max_iter} passes: messages still change by "
            f"{residuals[-1]:.2g}. Weaken the couplings, raise `max_iter` or `damping`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    beliefs = r + from_edges + from_bag
    bethe = _log_partition(r, beliefs, from_bag, factor, edges)
    return Beliefs(expit(beliefs), beliefs, bethe, np.array(residuals), converged)


def _pass_messages(
    r: Floats,
    edges: IsingGraph | None,
    factor: CountFactor | None,
    max_iter: int,
    tol: float,
    damping: float,
) -> tuple[Floats, Floats, list[float]]:
    """Return what bag and edges tell each node in the end, and the largest change of each pass."""
    largest = _CERTAIN + np.abs(r).max(initial=0) + (0 if edges is None else edges.strongest)
    from_bag, from_edges = np.zeros_like(r), np.zeros_like(r)
    residuals: list[float] = []
    old = _Damping(damping)
    for iteration in range(max_iter):
        change = 0.0
        if factor is not None:
            told = np.clip(factor.messages(r + from_edges), -largest, largest)
            if iteration and edges is not None:
                told = old.weight * from_bag + (1 - old.weight) * told
            change, from_bag = float(np.abs(told - from_bag).max(initial=0)), told
        if edges is not None:
            from_edges, moved = edges.update(r + from_edges + from_bag, old.weight)
            change = max(change, moved)
        residuals.append(change)
        if change <= tol or edges is None:
            break
        old.adapt(change)
    return from_bag, from_edges, residuals


def _softplus(x: Floats) -> Floats:
    return np.asarray(np.logaddexp(0.0, x))


def _log_partition(
    r: Floats, beliefs: Floats, from_bag: Floats, factor: CountFactor | None, edges: IsingGraph | None
) -> float:
    """Return Σ log Z of nodes and factors minus Σ log Z of their pairs, at the present messages."""
    n_factors = np.zeros_like(r)
    total = 0.0
    if factor is not None:
        n_factors += 1
        to_bag = beliefs - from_bag
        total += _softplus(to_bag).sum() + factor.run(to_bag)[1].sum()
    if edges is not None:
        n_factors += np.bincount(edges.lower, minlength=r.size) + np.bincount(edges.upper, minlength=r.size)
        starts = range(0, edges.lower.size, _BLOCK)
        total += sum(_log_pairs(beliefs, edges, slice(start, start + _BLOCK)) for start in starts)
    return float(total + (_softplus(beliefs) * (1 - n_factors)).sum())


def _log_pairs(beliefs: Floats, edges: IsingGraph, part: slice) -> float:
    """Return Σ log Z of pairs of nodes, each with what all but the other tell it."""
    one = beliefs[edges.lower[part]] - np.log(edges.to_lower[part])
    two = beliefs[edges.upper[part]] - np.log(edges.to_upper[part])
    a, b = expit(one), expit(two)
    differ = np.log1p((edges.decay[part] - 1) * (a + b - 2 * a * b))
    return float((_softplus(one) + _softplus(two) + differ).sum())
