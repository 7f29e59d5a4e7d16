"""Products with a fixed sparse matrix against the dense one."""

from __future__ import annotations

import pytest
import torch

from graph.fixed_matrix import FixedMatrix
from sparse_data.sparse_pattern import SparsePattern


@pytest.mark.parametrize("width", [1, 7, 64])  # narrow and wide rows have kernels of their own
def test_product_and_gradient(width):
    torch.manual_seed(0)
    dense = torch.randn(6, 9) * (torch.rand(6, 9) < 0.3)
    entries = dense.nonzero().T
    fixed = FixedMatrix(SparsePattern.from_entries(entries, (6, 9)), dense[entries[0], entries[1]])
    x = torch.randn(9, width, requires_grad=True)
    weights = torch.randn(6, width)
    product = fixed.times(x)
    torch.testing.assert_close(product, dense @ x)
    (product * weights).sum().backward()
    torch.testing.assert_close(x.grad, dense.T @ weights)
