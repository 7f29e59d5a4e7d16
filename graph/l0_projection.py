"""Projection of weights on the ball of vectors with few non-zero entries."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from graph.smallest import smallest_mask
from sparse_data.checks import check_in_range, check_one_of


@torch.no_grad()
def project_l0_(
    params: Tensor | Iterable[Tensor],
    sparsity: float,
    *,
    scope: Literal["global", "tensor"] = "global",
) -> list[Tensor]:
    r"""Set the :math:`k = \lceil p |\theta| \rceil` weights of smallest magnitude to zero, in place.

    .. math:: \theta \leftarrow \arg\min_{\theta'} \|\theta - \theta'\|_2 \quad\text{subject to}\quad
              \|\theta'\|_0 \le \lfloor (1 - p) |\theta| \rfloor

    Exactly so many entries survive; of equal magnitudes the last go first.

    Parameters
    ----------
    params : tensor or iterable of tensors
        Of one device.
    sparsity : float
        p, in [0, 1]; 0 changes nothing.
    scope : {"global", "tensor"}, default="global"
        Whether all tensors share one threshold, as in the paper, or each loses the same share.

    Returns
    -------
    list of bool tensors
        True where a weight survives, one tensor for each of `params`.

    Raises
    ------
    TypeError
        If `params` are no float tensors.
    ValueError
        If `sparsity` lies outside [0, 1], there are no weights or one of them is NaN. Nothing has been
        changed then.

    References
    ----------
    Seo, Yun and Yang, "TEDDY", 2024, arXiv:2402.01261.

    Examples
    --------
    >>> weights = torch.tensor([0.1, -3.0, 0.5, 2.0])
    >>> _ = project_l0_(weights, 0.5)
    >>> weights
    tensor([ 0., -3.,  0.,  2.])
    """
    sparsity = float(check_in_range("sparsity", sparsity, 0, 1))
    check_one_of("scope", scope, get_args(Literal["global", "tensor"]))
    tensors = _tensors([params] if isinstance(params, Tensor) else params)
    if not sum(tensor.numel() for tensor in tensors):
        raise ValueError("`params` must hold weights; got none. Pass the parameters of a model.")
    groups = [tensors] if scope == "global" else [[tensor] for tensor in tensors]
    magnitudes = [torch.cat([tensor.flatten() for tensor in group]).abs_() for group in groups]
    total = sum(float(values.sum()) for values in magnitudes)
    if math.isnan(total):
        raise ValueError("`params` must not be NaN; got NaN. Training has diverged: lower the learning rate.")
    dropped = [smallest_mask(values, _ceil_share(sparsity, len(values))) for values in magnitudes]
    kept = (~torch.cat(dropped)).split([tensor.numel() for tensor in tensors])
    masks = [part.reshape(tensor.shape) for tensor, part in zip(tensors, kept, strict=True)]
    for tensor, mask in zip(tensors, masks, strict=True):
        if math.isfinite(total):
            tensor.mul_(mask.view(torch.uint8))  # several times faster than to fill, or to multiply by bool
        else:
            tensor.masked_fill_(~mask, 0)
    return masks


def _tensors(params: Iterable[Tensor]) -> list[Tensor]:
    tensors = list(params) if isinstance(params, Iterable) else [params]
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"`params` must be float tensors; got {got}. Pass the parameters of a model.")
    return tensors


def _ceil_share(share: float, total: int) -> int:
    """Return ceil(share * total), with the share read as a decimal: 0.07 of 100 is 7."""
    return math.ceil(round(share * total, 6))
