"""Couplings between binary labels and the messages along them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, sparray

from noisy_labels.edge_kernels import update_edges
from sparse_data.checks import check_finite

Floats = NDArray[np.float64]


@dataclass(eq=False, repr=False)
class IsingGraph:
    """Symmetric couplings as CSR, with the messages to each node and the entry of the opposite message."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    reverse: NDArray[np.int32]
    decay: Floats
    messages: Floats
    strongest: float  # sum of the sizes of the couplings of any one node
    spare: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.spare = np.empty_like(self.messages)

    def update(self, totals: Floats, damping: float) -> tuple[Floats, float]:
        """Pass all messages once; return their sums at the nodes and the largest change."""
        arrays = (self.indptr, self.indices, self.reverse, self.decay, self.messages, self.spare)
        sums, change = update_edges(totals, *arrays, damping=damping)
        self.messages, self.spare = self.spare, self.messages
        return sums, change


def read_ising_graph(graph: sparray, n_nodes: int) -> IsingGraph:
    """Check a symmetric sparse matrix of couplings and find the entry of each opposite message."""
    if not issparse(graph) or graph.shape != (n_nodes, n_nodes):
        got = f"shape {graph.shape}" if issparse(graph) else type(graph).__name__
        raise ValueError(f"`graph` must be a sparse matrix of shape {(n_nodes, n_nodes)}; got {got}.")
    matrix = csr_array(graph, dtype=np.float64, copy=True)
    check_finite("graph", matrix.data)
    matrix.setdiag(0.0)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    # The entry numbers of the transpose are those of the opposite messages.
    numbers = csr_array((np.arange(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    opposite = numbers.T.tocsr()
    opposite.sort_indices()
    same = np.array_equal(opposite.indptr, matrix.indptr) and np.array_equal(opposite.indices, matrix.indices)
    if not same or not np.allclose(matrix.data[opposite.data], matrix.data, rtol=1e-6, atol=0):
        raise ValueError(
            "`graph` must be symmetric; got entries without their mirror. Pass `graph.maximum(graph.T)`."
        )
    coupling = 0.5 * (matrix.data + matrix.data[opposite.data])
    return IsingGraph(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        opposite.data.astype(np.int32),
        np.exp(-np.clip(coupling, -700.0, 700.0)),
        np.zeros(matrix.nnz),
        float(abs(matrix).sum(axis=1).max(initial=0)),
    )
