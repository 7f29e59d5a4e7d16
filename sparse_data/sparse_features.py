"""Features of nodes, dense or sparse, as the first layer of a graph network needs them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import dropout

from sparse_data.sparse_pattern import SparsePattern, pattern_matmul


class SparseRows:
    """A sparse matrix of features, of which an encoder needs products only.

    Parameters
    ----------
    pattern : SparsePattern
    values : float tensor of shape (n_entries,)
    """

    def __init__(self, pattern: SparsePattern, values: Tensor) -> None:
        self.pattern = pattern
        self.values = values
        self.shape = (pattern.n_rows, pattern.n_columns)

    def __getitem__(self, rows: Tensor) -> SparseRows:
        pattern, entries = self.pattern.take(rows)
        return SparseRows(pattern, self.values[entries])

    def dense(self) -> Tensor:
        """Return the matrix with its zeros."""
        return self.pattern.with_values(self.values).to_dense()


Features = Tensor | SparseRows
# Of more than this share of values that are not 0, a dense product is the faster one.
SPARSE_SHARE = 0.05


def read_features(x: Tensor, *, most: float = SPARSE_SHARE) -> Features:
    """Return a dense matrix as it is, or as `SparseRows` where at most a share of its values are not 0."""
    entries = x != 0
    if int(entries.sum()) > most * x.numel():
        return x
    return SparseRows(SparsePattern.from_entries(entries.nonzero().T, (x.shape[0], x.shape[1])), x[entries])


def project(x: Features, weight: Tensor) -> Tensor:
    """Return the product of features (n, f) and the transposed weight (d, f), shape (n, d)."""
    if isinstance(x, SparseRows):
        return pattern_matmul(x.pattern, x.values, weight.T.contiguous())
    return x @ weight.T


def drop(x: Features, rate: float, training: bool) -> Features:
    """Set features to 0 at random and scale the others up, in training."""
    if isinstance(x, SparseRows):
        return SparseRows(x.pattern, dropout(x.values, rate, training))
    return dropout(x, rate, training)
