"""Couplings between labels of several classes and the messages along them: a Potts model."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import sparray

from noisy_labels.proportions.ising_graph import read_ising_graph

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(eq=False, repr=False)
class PottsGraph:
    """Couplings of pairs of nodes, and the log messages to the lower and the upper node of each."""

    lower: Ints
    upper: Ints
    decay: Floats
    to_lower: Floats
    to_upper: Floats
    strongest: float  # sum of the sizes of the couplings of any one node

    def update(self, totals: Floats, damping: float) -> tuple[Floats, float]:
        r"""Pass all messages once; return their sums at the nodes and the largest change.

        .. math:: m_{j \to i}(k) = \log\big(e^{-J} + (1 - e^{-J})\, p_j(k)\big), \qquad
                  p_j = \operatorname{softmax}(T_j - m_{i \to j})

        Parameters
        ----------
        totals : float array of shape (n_nodes, n_classes)
            T, what the nodes are told, all old messages included.
        damping : float
            Weight of the old message.
        """
        sums = np.zeros_like(totals)
        pairs = (self.lower, self.upper, self.decay, self.to_lower, self.to_upper)
        change = _pass(totals, *pairs, damping, sums)
        return sums, change

    def log_pairs(self, beliefs: Floats) -> float:
        """Return Σ log Z of pairs of nodes, each with what all but the other tell it."""
        return float(_log_pairs(beliefs, self.lower, self.upper, self.decay, self.to_lower, self.to_upper))


def read_potts_graph(graph: sparray, n_nodes: int, n_classes: int) -> PottsGraph:
    """Check a symmetric sparse matrix of couplings as `read_ising_graph` does, and list its pairs."""
    pairs = read_ising_graph(graph, n_nodes)
    messages = np.zeros((2, pairs.lower.size, n_classes))
    return PottsGraph(pairs.lower, pairs.upper, pairs.decay, messages[0], messages[1], pairs.strongest)


_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel  # type: ignore[misc]
def _softmax(total, message, out):  # type: ignore[no-untyped-def]
    """Write softmax(total - message) to `out`; return the logarithm of its denominator."""
    peak = -np.inf
    for k in range(out.size):
        out[k] = total[k] - message[k]
        peak = max(peak, out[k])
    weight = 0.0
    for k in range(out.size):
        out[k] = np.exp(out[k] - peak)
        weight += out[k]
    for k in range(out.size):
        out[k] /= weight
    return peak + np.log(weight)


@_kernel  # type: ignore[misc]
def _pass(totals, lower, upper, decay, to_lower, to_upper, damping, sums):  # type: ignore[no-untyped-def]
    n_classes = totals.shape[1]
    one, two = np.empty(n_classes), np.empty(n_classes)
    largest = 0.0
    for p in range(lower.size):
        i, j, kept = lower[p], upper[p], decay[p]
        _softmax(totals[i], to_lower[p], one)
        _softmax(totals[j], to_upper[p], two)
        for said, messages, node in ((two, to_lower, i), (one, to_upper, j)):
            for k in range(n_classes):
                new = np.log(kept + (1 - kept) * said[k])
                step = (1 - damping) * (new - messages[p, k])
                messages[p, k] += step
                largest = max(largest, abs(step))
                sums[node, k] += messages[p, k]
    return largest


@_kernel  # type: ignore[misc]
def _log_pairs(beliefs, lower, upper, decay, to_lower, to_upper):  # type: ignore[no-untyped-def]
    n_classes = beliefs.shape[1]
    one, two = np.empty(n_classes), np.empty(n_classes)
    total = 0.0
    for p in range(lower.size):
        total += _softmax(beliefs[lower[p]], to_lower[p], one)
        total += _softmax(beliefs[upper[p]], to_upper[p], two)
        alike = 0.0
        for k in range(n_classes):
            alike += one[k] * two[k]
        total += np.log(decay[p] + (1 - decay[p]) * alike)
    return total
