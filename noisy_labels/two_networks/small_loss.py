"""Rules that select rows of a batch by their losses, as weights 0 and 1 so that shapes stay the same."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any
# Rows to keep are counted in float32; this keeps (1 - 0.9) * 10 from becoming 0.
ROUNDING = 1e-4


def cross_entropy(codes: Tensor, logits: Tensor) -> Tensor:
    r"""Return :math:`-\log \mathrm{softmax}(\ell)_{\tilde y}` of each row.

    Parameters
    ----------
    codes : int tensor of shape (n,)
    logits : float tensor of shape (n, n_classes)

    Returns
    -------
    float tensor of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> round(float(cross_entropy(np.array([0]), np.zeros((1, 2), dtype="float32"))[0]), 4)
    0.6931
    """
    return ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)


def smallest_losses(losses: Tensor, forget_rate: Tensor, *, among: Tensor | None = None) -> Tensor:
    r"""Return 1 for the rows with the smallest losses and 0 for the others.

    .. math:: w_i = [\mathrm{rank}_i < \lfloor (1 - \mathrm{forget}) \, n \rfloor]

    At least one row is kept where there is one; of equal losses the first rows are.

    Parameters
    ----------
    losses : float tensor of shape (n,)
    forget_rate : scalar tensor or float
        In [0, 1).
    among : bool tensor of shape (n,), optional
        Rows that may be kept, n above is their number.

    Returns
    -------
    float tensor of shape (n,)
        Without a gradient.

    References
    ----------
    Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels", 2018,
    arXiv:1804.06872.

    Examples
    --------
    >>> import numpy as np
    >>> losses = np.array([3.0, 1.0, 2.0, 4.0], dtype="float32")
    >>> ops.convert_to_numpy(smallest_losses(losses, 0.5)).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    losses = ops.stop_gradient(ops.convert_to_tensor(losses))
    allowed = ops.ones_like(losses) if among is None else ops.cast(among, losses.dtype)
    ranked = ops.where(allowed > 0, losses, float("inf"))
    ranks = ops.argsort(ops.argsort(ranked))
    n_kept = ops.floor((1 - ops.cast(forget_rate, losses.dtype)) * ops.sum(allowed) + ROUNDING)
    kept = ops.cast(ranks, losses.dtype) < ops.maximum(n_kept, 1.0)
    return ops.cast(kept, losses.dtype) * allowed


def disagreeing_small_losses(losses: Tensor, logits: Tensor, peer: Tensor, forget_rate: Tensor) -> Tensor:
    r"""Return 1 for the rows with the smallest losses among those that the two networks class differently.

    Where they agree on all rows, all rows count.

    Parameters
    ----------
    losses : float tensor of shape (n,)
        Of the network that selects.
    logits, peer : float tensors of shape (n, n_classes)
        Of both networks.
    forget_rate : scalar tensor or float

    Returns
    -------
    float tensor of shape (n,)

    References
    ----------
    Yu et al., "How does disagreement help generalization against label corruption?", 2019, arXiv:1901.04215.

    Examples
    --------
    >>> import numpy as np
    >>> one, other = np.array([[1, 0], [1, 0]], dtype="float32"), np.array([[0, 1], [1, 0]], dtype="float32")
    >>> losses = np.array([3.0, 1.0], dtype="float32")
    >>> ops.convert_to_numpy(disagreeing_small_losses(losses, one, other, 0.5)).tolist()
    [1.0, 0.0]
    """
    disagrees = ops.not_equal(ops.argmax(logits, axis=-1), ops.argmax(peer, axis=-1))
    chosen = smallest_losses(losses, forget_rate, among=disagrees)
    return ops.where(ops.any(disagrees), chosen, ops.ones_like(chosen))


def joint_losses(codes: Tensor, logits: Tensor, peer: Tensor, agreement: float) -> Tensor:
    r"""Return the loss of JoCoR of each row.

    .. math:: (1 - \lambda) (CE_1 + CE_2) + \lambda (KL(p_1 \| p_2) + KL(p_2 \| p_1))

    Parameters
    ----------
    codes : int tensor of shape (n,)
    logits, peer : float tensors of shape (n, n_classes)
    agreement : float
        λ.

    Returns
    -------
    float tensor of shape (n,)

    References
    ----------
    Wei, Feng, Chen and An, "Combating noisy labels by agreement: a joint training method with
    co-regularization", 2020, arXiv:2003.02752.

    Examples
    --------
    >>> import numpy as np
    >>> same = np.zeros((1, 2), dtype="float32")
    >>> round(float(joint_losses(np.array([0]), same, same, 0.0)[0]), 4)
    1.3863
    """
    first, second = ops.log_softmax(logits), ops.log_softmax(peer)
    # The sum of both divergences is the sum of (p1 - p2)(log p1 - log p2).
    divergence = ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1)
    supervised = cross_entropy(codes, logits) + cross_entropy(codes, peer)
    return (1 - agreement) * supervised + agreement * divergence


def mean_of_selected(losses: Tensor, weights: Tensor) -> Tensor:
    r"""Return :math:`\sum_i w_i \ell_i / \sum_i w_i`: divided once, by the rows kept; 0 without any.

    Parameters
    ----------
    losses, weights : float tensors of shape (n,)

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.array([1.0, 1.0, 0.0], dtype="float32")
    >>> float(mean_of_selected(np.array([1.0, 2.0, 9.0], dtype="float32"), weights))
    1.5
    """
    weights = ops.convert_to_tensor(weights)
    return ops.sum(weights * losses) / ops.maximum(ops.sum(weights), 1.0)
