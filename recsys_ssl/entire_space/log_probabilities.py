"""Cross entropies of probabilities and of their products, from logits: float32 is enough for rare events."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from recsys_ssl.entire_space.batch_rows import as_rows

Tensor = Any

LOG_2 = math.log(2.0)


def log_product(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    r"""Logarithm of the product of two probabilities, :math:`\log \sigma(a) + \log \sigma(b)`.

    Parameters
    ----------
    logits_a, logits_b : tensors of shape (batch,)

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> round(float(log_product(-60.0, 0.0)), 4)
    -60.6931
    """
    return -(ops.softplus(-ops.convert_to_tensor(logits_a)) + ops.softplus(-ops.convert_to_tensor(logits_b)))


def log_one_minus_product(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    r"""Logarithm of what the product of two probabilities leaves, :math:`\log(1 - \sigma(a) \sigma(b))`.

    With the softplus :math:`s(x) = \log(1 + e^x)` and :math:`a \le b` it is :math:`s(a - s(b)) - s(a)`,
    since :math:`1 - \sigma(a) \sigma(b) = \sigma(-a) + \sigma(a) \sigma(-b)`: finite, with its gradient,
    wherever the logits are, also where the product *p* rounds to 1. Below :math:`p = 1/2` it is
    :math:`\log(1 - p)` itself, which keeps the digits of rare events.

    Parameters
    ----------
    logits_a, logits_b : tensors of shape (batch,)

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> round(float(log_one_minus_product(50.0, 50.0)), 4)  # log(2) - 50
    -49.3069
    """
    one, other = ops.convert_to_tensor(logits_a), ops.convert_to_tensor(logits_b)
    # The gradients of a minimum and a maximum would not fit together where both are equal.
    ordered = one <= other
    low, high = ops.where(ordered, one, other), ops.where(ordered, other, one)
    often = ops.softplus(low - ops.softplus(high)) - ops.softplus(low)
    log_p = log_product(one, other)
    is_rare = log_p < -LOG_2
    rare = ops.log1p(-ops.exp(ops.where(is_rare, log_p, -ops.ones_like(log_p))))
    return ops.where(is_rare, rare, often)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross entropy of an event, :math:`-y \log \sigma(l) - (1 - y) \log(1 - \sigma(l))`.

    Parameters
    ----------
    logits : tensor of shape (batch,)
    labels : tensor of shape (batch,)
        In [0, 1].

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> [round(float(row), 4) for row in cross_entropy([0.0, -60.0, -60.0], [1, 1, 0])]
    [0.6931, 60.0, 0.0]
    """
    logits, labels = as_rows(logits, labels)
    return labels * ops.softplus(-logits) + (1 - labels) * ops.softplus(logits)


def product_cross_entropy(logits_a: Tensor, logits_b: Tensor, labels: Tensor) -> Tensor:
    r"""Cross entropy of an event of probability :math:`p = \sigma(a) \sigma(b)`.

    Parameters
    ----------
    logits_a, logits_b : tensors of shape (batch,)
    labels : tensor of shape (batch,)
        In [0, 1].

    Returns
    -------
    tensor of shape (batch,)

    Examples
    --------
    >>> [round(float(row), 4) for row in product_cross_entropy([0.0, 60.0], [0.0, 60.0], [1, 0])]
    [1.3863, 59.3069]
    """
    one, other, labels = as_rows(logits_a, logits_b, labels)
    return -labels * log_product(one, other) - (1 - labels) * log_one_minus_product(one, other)
