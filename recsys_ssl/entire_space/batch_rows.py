"""The impressions of a batch as rows, and their weighted mean."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


def as_rows(logits: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Return tensors of shape (batch,) and of the dtype of the first one.

    A column of shape (batch, 1) beside a vector of shape (batch,) would pair every row with every other.

    Parameters
    ----------
    logits : float tensor of shape (batch,) or (batch, 1)
    *others : tensors of the same shapes
        Of any dtype, such as labels that are integers.

    Returns
    -------
    tuple of tensors

    Raises
    ------
    ValueError
        If they are known to differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> [tuple(rows.shape) for rows in as_rows(np.zeros((3, 1)), [True, False, True])]
    [(3,), (3,)]
    """
    first = ops.convert_to_tensor(logits)
    dtype = keras.backend.standardize_dtype(first.dtype)
    dtype = dtype if "float" in dtype else keras.backend.floatx()
    rows = tuple(ops.reshape(ops.cast(values, dtype), (-1,)) for values in (first, *others))
    lengths = {row.shape[0] for row in rows} - {None}  # None where a compiled step does not know it
    if len(lengths) > 1:
        raise ValueError(
            f"`logits` and labels must be of the same length; got {sorted(lengths)}. "
            "Pass one value an impression."
        )
    return rows


def weighted_mean(values: Tensor, *weights: Tensor | None) -> Tensor:
    r"""Mean of rows, :math:`\sum_i w_i x_i / \sum_i w_i`; 0 where all weights are 0.

    A row of weight 0 is as one that is absent, one of weight 2 as two rows.

    Parameters
    ----------
    values : tensor of shape (batch,)
    *weights : tensors of shape (batch,) or None
        The weight of a row is their product; None counts as 1.

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> float(weighted_mean([1.0, 2.0, 9.0], [1, 3, 0], None))
    1.75
    """
    given = [weight for weight in weights if weight is not None]
    if not given:
        return ops.mean(values)
    values, product, *rest = as_rows(values, *given)
    for weight in rest:
        product = product * weight
    total = ops.sum(product)
    return ops.sum(product * values) / ops.where(total == 0, ops.ones_like(total), total)
