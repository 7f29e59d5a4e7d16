"""Couplings between binary labels and the messages along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, sparray
from scipy.special import expit

from noisy_labels.proportions.edge_kernels import LARGEST_COUPLING, update_edges
from sparse_data.checks import check_finite

Floats = NDArray[np.float64]

_BLOCK = 1 << 16  # pairs at once: what they take must not grow with their number


@dataclass(eq=False, repr=False)
class IsingGraph:
    """Couplings of pairs of nodes, and the odds of the messages to the lower and the upper node of each."""

    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    decay: Floats
    to_lower: Floats
    to_upper: Floats
    strongest: float  # sum of the sizes of the couplings of any one node

    def update(self, totals: Floats, damping: float) -> tuple[Floats, float]:
        """Pass all messages once; return the sums of their log odds at the nodes and the largest change."""
        pairs = (self.lower, self.upper, self.decay, self.to_lower, self.to_upper)
        return update_edges(totals, *pairs, damping=damping, strongest=self.strongest)

    def log_pairs(self, beliefs: Floats) -> float:
        """Return Σ log Z of pairs of nodes, each with what all but the other tell it."""
        starts = range(0, self.lower.size, _BLOCK)
        return sum(self._log_pairs(beliefs, slice(start, start + _BLOCK)) for start in starts)

    def _log_pairs(self, beliefs: Floats, part: slice) -> float:
        one = beliefs[self.lower[part]] - np.log(self.to_lower[part])
        two = beliefs[self.upper[part]] - np.log(self.to_upper[part])
        a, b = expit(one), expit(two)
        differ = np.log1p((self.decay[part] - 1) * (a + b - 2 * a * b))
        return float((np.logaddexp(0.0, one) + np.logaddexp(0.0, two) + differ).sum())


def check_graph(graph: sparray, n_nodes: int) -> None:
    """Raise unless `graph` is a sparse matrix over the nodes."""
    if not issparse(graph) or graph.shape != (n_nodes, n_nodes):
        got = f"shape {graph.shape}" if issparse(graph) else type(graph).__name__
        raise ValueError(
            f"`graph` must be a sparse matrix of shape {(n_nodes, n_nodes)}; got {got}. Pass a csr_array."
        )
    if graph.dtype.kind not in "biuf":
        raise TypeError(f"`graph` must be numeric; got dtype {graph.dtype}. Convert it to numbers.")


def read_ising_graph(graph: sparray, n_nodes: int) -> IsingGraph:
    """Check a symmetric sparse matrix of couplings, and list its pairs; couplings beyond 150 are 150."""
    check_graph(graph, n_nodes)
    matrix = csr_array(graph, dtype=np.float64)
    check_finite("graph", matrix.data)
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy()  # the graph itself is not altered
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    node = np.repeat(np.arange(n_nodes, dtype=np.int32), np.diff(matrix.indptr))
    above, below = matrix.indices > node, matrix.indices < node
    lower, upper, coupling = node[above], matrix.indices[above].astype(np.int32), matrix.data[above]
    mirror = csr_array((matrix.data[below], (matrix.indices[below], node[below])), shape=matrix.shape)
    mirror.sort_indices()
    counts = np.bincount(lower, minlength=n_nodes)
    same = np.array_equal(np.diff(mirror.indptr), counts) and np.array_equal(mirror.indices, upper)
    if not same or not np.allclose(mirror.data, coupling, rtol=1e-6, atol=0):
        raise ValueError(
            "`graph` must be symmetric; got entries without their mirror. Pass `graph.maximum(graph.T)`."
        )
    coupling = np.clip(0.5 * (coupling + mirror.data), -LARGEST_COUPLING, LARGEST_COUPLING)
    strongest = np.bincount(lower, np.abs(coupling), n_nodes) + np.bincount(upper, np.abs(coupling), n_nodes)
    messages = np.ones((2, lower.size))
    sums = float(strongest.max(initial=0))
    return IsingGraph(lower, upper, np.exp(-coupling), messages[0], messages[1], sums)
