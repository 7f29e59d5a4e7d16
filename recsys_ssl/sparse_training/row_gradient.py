"""The gradient of a table as the rows that a batch touched, and what is said of one that is not finite."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensor = Any  # a tensor of whichever backend Keras runs on

REFUSAL = (
    "Every gradient must be finite; got NaN or infinity. The step changed nothing. "
    "Lower the learning rate, or look for NaN in the inputs and for ids that are no rows."
)


class RowGradient(NamedTuple):
    r"""Rows of a table and the gradient of each: :math:`\partial L / \partial W_r` for the touched *r* alone.

    Attributes
    ----------
    rows : integer tensor of shape (n,)
        Different rows. Where shapes must be fixed there are as many as lookups; those too many lie at
        ``num_rows`` and above, where nothing is read or written.
    values : float32 tensor of shape (n, dim)
        The sum over the lookups of a row.
    """

    rows: Tensor
    values: Tensor
