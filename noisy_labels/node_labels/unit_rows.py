"""Rows divided by their L1 norm, with gradients of few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def unit_rows(h: Tensor) -> Tensor:
    r"""Return :math:`h_i / \|h_i\|_1`; a row of zeros stays, and has no gradient.

    Parameters
    ----------
    h : float tensor of shape (n, d)

    Examples
    --------
    >>> unit_rows(torch.tensor([[1.0, -3.0], [0.0, 0.0]])).tolist()
    [[0.25, -0.75], [0.0, 0.0]]
    """
    rows: Tensor = _UnitRows.apply(h, False)
    return rows


def positive_unit_rows(h: Tensor) -> Tensor:
    r"""Return :math:`\max(0, h_i) / \|h_i\|_1`, the norm being that of the whole row.

    Parameters
    ----------
    h : float tensor of shape (n, d)

    Examples
    --------
    >>> positive_unit_rows(torch.tensor([[1.0, -3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.0], [0.0, 0.0]]
    """
    rows: Tensor = _UnitRows.apply(h, True)
    return rows


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, positive: bool) -> Tensor:
        norms = torch.linalg.vector_norm(h, 1, dim=1, keepdim=True)
        scales = torch.where(norms > torch.finfo(h.dtype).tiny, norms.reciprocal(), 0.0)
        rows = h.relu() if positive else h * scales
        if positive:
            rows.mul_(scales)
        ctx.save_for_backward(rows, scales)
        ctx.positive = positive
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, scales = ctx.saved_tensors
        along = torch.einsum("ij,ij->i", gradient, rows)[:, None]
        if ctx.positive:  # g - along where positive, else along: an entry of exactly 0 counts as negative
            of_h = (gradient - 2 * along).mul_(rows > 0).add_(along)
        else:
            of_h = rows.sign().mul_(-along).add_(gradient)
        return of_h.mul_(scales), None
