"""Rows of L1 norm 1 against the composition of PyTorch's own functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from noisy_labels.node_labels.unit_rows import positive_unit_rows, unit_rows

PEERS = {
    unit_rows: lambda h: normalize(h, p=1.0, dim=1),
    positive_unit_rows: lambda h: normalize(h, p=1.0, dim=1).relu(),
}


@pytest.mark.parametrize("function", PEERS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_its_peer(function, dtype):
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(9, 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(True)
    weights = torch.randn(9, 5, generator=generator, dtype=torch.float64).to(dtype)
    kept = h.detach().clone()
    found, wanted = function(h), PEERS[function](h)
    torch.testing.assert_close(found, wanted)
    (gradient,) = torch.autograd.grad((found * weights).sum(), h)
    torch.testing.assert_close(gradient, torch.autograd.grad((wanted * weights).sum(), h)[0])
    assert torch.equal(h, kept)


@pytest.mark.parametrize("function", PEERS, ids=lambda function: function.__name__)
def test_a_row_of_zeros_stays_and_has_no_gradient(function):
    h = torch.tensor([[0.0, 0.0], [1.0, -3.0]], requires_grad=True)
    rows = function(h)
    assert rows[0].tolist() == [0.0, 0.0]
    rows.square().sum().backward()
    assert h.grad[0].tolist() == [0.0, 0.0]
    assert h.grad.isfinite().all()
    assert h.grad[1].abs().max() > 0
