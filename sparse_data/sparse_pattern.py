"""Sparse matrices whose pattern stays while values change: attention over edges, dropout of features."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class SparsePattern:
    """Where a matrix has entries, row by row.

    Parameters
    ----------
    offsets : int64 tensor of shape (n_rows + 1,)
        Entries of row i are those from ``offsets[i]`` to ``offsets[i + 1]``.
    columns : int64 tensor of shape (n_entries,)
        Distinct within a row.
    n_columns : int

    Examples
    --------
    >>> pattern = SparsePattern.from_entries(torch.tensor([[1, 0, 1], [2, 0, 1]]), (2, 3))
    >>> pattern.columns.tolist(), pattern.offsets.tolist()
    ([0, 1, 2], [0, 1, 3])
    """

    def __init__(self, offsets: Tensor, columns: Tensor, n_columns: int) -> None:
        self.offsets = offsets
        self.columns = columns
        self.n_columns = n_columns

    @classmethod
    def from_entries(cls, entries: Tensor, shape: tuple[int, int]) -> Self:
        """Make a pattern of rows and columns, int64 of shape (2, n_entries), in any order."""
        n_rows, n_columns = shape
        keys = (entries[0] * n_columns + entries[1]).unique()
        rows = keys // max(n_columns, 1)
        return cls(offsets_of(rows, n_rows), keys % max(n_columns, 1), n_columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @cached_property
    def counts(self) -> Tensor:
        """Entries of each row, int64 of shape (n_rows,)."""
        return self.offsets.diff()

    @cached_property
    def rows(self) -> Tensor:
        """The row of each entry, int64 of shape (n_entries,)."""
        return torch.arange(self.n_rows, device=self.columns.device).repeat_interleave(self.counts)

    @cached_property
    def transposition(self) -> tuple[SparsePattern, Tensor]:
        """The transposed pattern, and the entry of this one that each of its entries is."""
        order = self.columns.argsort(stable=True)
        offsets = offsets_of(self.columns[order], self.n_columns)
        return SparsePattern(offsets, self.rows[order], self.n_rows), order

    def take(self, rows: Tensor) -> tuple[SparsePattern, Tensor]:
        """Return the pattern of some rows, and the entry of this one that each of its entries is."""
        counts = self.counts[rows]
        offsets = counts.new_zeros(len(rows) + 1)
        torch.cumsum(counts, 0, out=offsets[1:])
        shifts = (self.offsets[rows] - offsets[:-1]).repeat_interleave(counts)
        entries = torch.arange(len(shifts), device=shifts.device) + shifts
        return SparsePattern(offsets, self.columns[entries], self.n_columns), entries

    def with_values(self, values: Tensor) -> Tensor:
        """Return the CSR tensor with these values of the entries."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support")
            return torch.sparse_csr_tensor(
                self.offsets, self.columns, values, (self.n_rows, self.n_columns), check_invariants=False
            )


def offsets_of(sorted_rows: Tensor, n_rows: int) -> Tensor:
    """Return where each row begins among sorted entries, int64 of shape (n_rows + 1,)."""
    offsets = sorted_rows.new_zeros(n_rows + 1)
    torch.cumsum(torch.bincount(sorted_rows, minlength=n_rows), 0, out=offsets[1:])
    return offsets


def pattern_matmul(pattern: SparsePattern, values: Tensor, dense: Tensor) -> Tensor:
    r"""Return the product of a sparse and a dense matrix, with gradients for the values of both.

    .. math:: y_i = \sum_{j \in N(i)} v_{ij} x_j

    No message is written out: time is that of a sparse product, memory that of the result.

    Parameters
    ----------
    pattern : SparsePattern
        Of n rows and m columns.
    values : float tensor of shape (n_entries,)
    dense : float tensor of shape (m, d)

    Returns
    -------
    tensor of shape (n, d)

    Examples
    --------
    >>> pattern = SparsePattern.from_entries(torch.tensor([[0, 1, 1], [0, 1, 2]]), (2, 3))
    >>> pattern_matmul(pattern, torch.tensor([1.0, 2.0, 3.0]), torch.eye(3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]]
    """
    product: Tensor = _PatternMatmul.apply(values, dense, pattern)
    return product


class _PatternMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dense: Tensor, pattern: SparsePattern) -> Tensor:
        ctx.save_for_backward(values, dense)
        ctx.pattern = pattern
        return sparse_product(pattern.with_values(values), dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, dense = ctx.saved_tensors
        pattern: SparsePattern = ctx.pattern
        of_values = of_dense = None
        gradient = gradient.contiguous()
        if ctx.needs_input_grad[0]:
            empty = pattern.with_values(torch.zeros_like(values))
            of_values = torch.sparse.sampled_addmm(empty, gradient, dense.T, beta=0.0).values()
        if ctx.needs_input_grad[1]:
            transposed, order = pattern.transposition
            of_dense = sparse_product(transposed.with_values(values.index_select(0, order)), gradient)
        return of_values, of_dense, None


def sparse_product(sparse: Tensor, dense: Tensor) -> Tensor:
    """Return the product of a CSR and a dense matrix, by the faster of two ways; without gradients."""
    if dense.is_cpu and dense.shape[1] >= 64:  # for wide rows torch's reduction is faster than MKL's product
        product: Tensor = torch.sparse.mm(sparse, dense, "sum")
        return product
    return sparse @ dense
