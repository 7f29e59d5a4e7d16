"""Attention over edges against a loop over the targets, with its gradients."""

from __future__ import annotations

import pytest
import torch

from sparse_data.sparse_attention import attention_weights, pattern_of_heads
from sparse_data.sparse_pattern import SparsePattern, pattern_matmul


def edge_attention(pattern, source, target, values):
    return pattern_matmul(pattern, attention_weights(pattern, source, target), values)


def draw(n_targets=5, n_sources=7, width=3, seed=0):
    """Return a pattern with an entry in every row, and float64 arguments."""
    generator = torch.Generator().manual_seed(seed)
    met = torch.rand(n_targets, n_sources, generator=generator) < 0.4
    met[:, :n_targets] |= torch.eye(n_targets, dtype=torch.bool)
    numbers = [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(True)
        for shape in ((n_sources,), (n_targets,), (n_sources, width))
    ]
    return met, SparsePattern.from_entries(met.nonzero().T, (n_targets, n_sources)), numbers


def by_target(met, source, target, values):
    """Compute the equation, a target at a time."""
    rows = []
    for own, own_target in zip(met, target, strict=True):
        logits = source[own] + own_target
        rows.append(torch.where(logits > 0, logits, 0.2 * logits).softmax(0) @ values[own])
    return torch.stack(rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_loop(seed):
    met, pattern, numbers = draw(seed=seed)
    weights = torch.randn(5, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    wanted, found = by_target(met, *numbers), edge_attention(pattern, *numbers)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), numbers),
        torch.autograd.grad((wanted * weights).sum(), numbers),
    )


def test_gradients_where_values_are_given():
    met, pattern, (source, target, values) = draw()
    found = edge_attention(pattern, source, target, values.detach())
    wanted = by_target(met, source, target, values.detach())
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), (source, target)),
        torch.autograd.grad(wanted.square().sum(), (source, target)),
    )


def test_logits_of_any_size_are_finite():
    _, pattern, (source, target, values) = draw()
    found = edge_attention(pattern, 1e4 * source, -1e4 * target, values)
    assert found.isfinite().all()
    assert all(part.isfinite().all() for part in torch.autograd.grad(found.sum(), (source, target, values)))


@pytest.mark.parametrize("heads", [1, 3])
def test_heads_do_not_meet(heads):
    met, pattern, _ = draw()
    many, entries = pattern_of_heads(pattern, heads)
    assert torch.equal(pattern.columns[entries], many.columns // heads)
    assert torch.equal(pattern.rows[entries], many.rows // heads)
    dense = many.with_values(torch.ones(len(many.columns))).to_dense()
    assert torch.equal(dense, torch.kron(met.float(), torch.eye(heads)))
