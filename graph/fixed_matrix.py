"""Products with a sparse matrix that never changes: features as they are given, a graph without masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparse_data.sparse_pattern import SparsePattern, sparse_product


class FixedMatrix:
    """A sparse matrix and its transpose in CSR, so that neither is put together again in every step.

    Parameters
    ----------
    pattern : SparsePattern
        Of n rows and m columns.
    values : float tensor of shape (n_entries,)
        Without gradient.

    Examples
    --------
    >>> pattern = SparsePattern.from_entries(torch.tensor([[0, 1, 1], [0, 1, 2]]), (2, 3))
    >>> FixedMatrix(pattern, torch.tensor([1.0, 2.0, 3.0])).times(torch.eye(3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]]
    """

    def __init__(self, pattern: SparsePattern, values: Tensor) -> None:
        transposed, order = pattern.transposition
        self.matrix = pattern.with_values(values)
        self.transpose = transposed.with_values(values[order])

    def times(self, dense: Tensor) -> Tensor:
        """Return the product with a dense matrix of shape (m, d), with its gradient."""
        product: Tensor = _Product.apply(dense, self)
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, fixed: FixedMatrix) -> Tensor:
        ctx.fixed = fixed
        return sparse_product(fixed.matrix, dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return sparse_product(ctx.fixed.transpose, gradient.contiguous()), None
