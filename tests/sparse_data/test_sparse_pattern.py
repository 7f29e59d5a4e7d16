"""Sparse products with a fixed pattern, against dense matrices."""

from __future__ import annotations

import pytest
import torch

from sparse_data.sparse_pattern import SparsePattern, pattern_matmul


@pytest.fixture
def pattern() -> SparsePattern:
    """Four rows, one of them empty, three columns, entries out of order and one of them twice."""
    entries = torch.tensor([[3, 0, 0, 1, 3, 0], [2, 1, 0, 2, 0, 1]])
    return SparsePattern.from_entries(entries, (4, 3))


def as_dense(pattern, values):
    dense = values.new_zeros(pattern.n_rows, pattern.n_columns)
    for row in range(pattern.n_rows):
        for entry in range(int(pattern.offsets[row]), int(pattern.offsets[row + 1])):
            dense[row, pattern.columns[entry]] = values[entry]
    return dense


def test_entries_are_sorted_and_distinct(pattern):
    assert pattern.rows.tolist() == [0, 0, 1, 3, 3]
    assert pattern.columns.tolist() == [0, 1, 2, 0, 2]
    assert pattern.counts.tolist() == [2, 1, 0, 2]


def test_transposition_and_rows(pattern):
    values = torch.arange(1.0, 6.0)
    transposed, order = pattern.transposition
    assert torch.equal(as_dense(transposed, values[order]), as_dense(pattern, values).T)
    taken, entries = pattern.take(torch.tensor([3, 2, 0]))
    assert torch.equal(as_dense(taken, values[entries]), as_dense(pattern, values)[[3, 2, 0]])


def test_product_and_gradients(pattern):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    dense = torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(pattern_matmul(pattern, values, dense), as_dense(pattern, values) @ dense)
    assert torch.autograd.gradcheck(lambda *given: pattern_matmul(pattern, *given), (values, dense))


def test_wide_products_and_gradients(pattern):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    dense = torch.randn(3, 70, generator=generator, dtype=torch.float64, requires_grad=True)
    expected = as_dense(pattern, values) @ dense
    torch.testing.assert_close(pattern_matmul(pattern, values, dense), expected)
    gradients = torch.autograd.grad((pattern_matmul(pattern, values, dense) ** 2).sum(), (values, dense))
    torch.testing.assert_close(gradients, torch.autograd.grad((expected**2).sum(), (values, dense)))


def test_no_rows_and_no_entries():
    empty = SparsePattern.from_entries(torch.zeros(2, 0, dtype=torch.long), (2, 3))
    assert pattern_matmul(empty, torch.zeros(0), torch.ones(3, 2)).tolist() == [[0, 0], [0, 0]]
