"""Coding rates of Yu et al. (2020): how many bits embeddings need, together and class by class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparse_data.checks import check_count, check_in_range

# Of its columns, below which a class has its products of rows decomposed, not those of columns: these are
# needed anyway, for the rate of all rows, and their gradient comes with that of all rows.
_SMALLER_SIDE = 0.75


def coding_rate(Z: Tensor, *, eps: float, gamma1: float = 1.0) -> Tensor:
    r"""Return the rate of all embeddings together.

    .. math:: R(Z) = \tfrac12 \log\det\Big(I_d + \frac{\gamma_1 d}{N \epsilon} Z^\top Z\Big)

    Parameters
    ----------
    Z : float tensor of shape (N, d)
    eps : float
        The squared precision, above 0; the papers' :math:`\epsilon^2`.
    gamma1 : float, default=1.0

    Returns
    -------
    tensor of shape ()

    Raises
    ------
    TypeError, ValueError
        If `Z` is no finite floating matrix with a row, or a number is out of range.

    References
    ----------
    Yu et al., "Learning Diverse and Discriminative Representations via the Principle of Maximal Coding Rate
    Reduction", 2020, arXiv:2006.08558.

    Examples
    --------
    >>> Z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(float(coding_rate(Z, eps=0.5)), 4)
    1.0986
    """
    _check(Z, eps, gamma1)
    return _rates(Z, Z.new_zeros(len(Z), dtype=torch.long), eps, gamma1, classes=False)[0]


def class_coding_rate(Z: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    r"""Return the rate of the embeddings coded class by class.

    .. math:: R_c(Z, y) = \sum_c \frac{n_c}{2 N} \log\det\Big(I_d + \frac{d}{n_c \epsilon} Z_c^\top Z_c\Big)

    Parameters
    ----------
    Z : float tensor of shape (N, d)
    labels : integer tensor of shape (N,)
        Classes from 0; some may be empty.
    eps : float

    Returns
    -------
    tensor of shape ()

    Raises
    ------
    TypeError, ValueError
        As `coding_rate`, and for labels that do not fit.

    References
    ----------
    Yu et al., 2020, arXiv:2006.08558.

    Examples
    --------
    >>> Z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(float(class_coding_rate(Z, torch.tensor([0, 1, 0, 1]), eps=0.5)), 4)
    0.8047
    """
    _check(Z, eps, 1.0)
    return _rates(Z, _checked_labels(labels, len(Z)), eps, 1.0, whole=False)[1]


def rate_reduction(Z: Tensor, labels: Tensor, *, eps: float, gamma1: float = 1.0) -> Tensor:
    r"""Return how much the classes save: :math:`\Delta R = R(Z) - R_c(Z, y)`, to be maximised.

    Parameters
    ----------
    Z : float tensor of shape (N, d)
    labels : integer tensor of shape (N,)
    eps : float
    gamma1 : float, default=1.0
        Inside R.

    Returns
    -------
    tensor of shape ()

    Raises
    ------
    TypeError, ValueError
        As `class_coding_rate`.

    References
    ----------
    Yu et al., 2020, arXiv:2006.08558.

    Examples
    --------
    >>> Z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(float(rate_reduction(Z, torch.tensor([0, 1, 0, 1]), eps=0.5)), 4)
    0.2939
    """
    _check(Z, eps, gamma1)
    whole, classes = _rates(Z, _checked_labels(labels, len(Z)), eps, gamma1)
    return whole - classes


def coding_rate_loss(
    Z: Tensor, labels: Tensor, *, eps: float, gamma1: float = 1.0, gamma2: float = 2.0
) -> Tensor:
    r"""Return the loss of ERASE, :math:`-\gamma_2 R(Z) + \gamma_1 R_c(Z, y)`.

    Both rates come from one pass: the Gram matrix of all rows is the sum of those of the classes.  A class
    of few rows takes the smaller side, :math:`\det(I_d + a Z^\top Z) = \det(I_n + a Z Z^\top)`.
    On a mini-batch N is the size of the batch.

    Parameters
    ----------
    Z : float tensor of shape (N, d)
    labels : integer tensor of shape (N,)
    eps : float
    gamma1, gamma2 : float, default=1.0, 2.0
        :math:`\gamma_1` is inside R, too.

    Returns
    -------
    tensor of shape ()

    Raises
    ------
    TypeError, ValueError
        As `class_coding_rate`.

    References
    ----------
    Chen et al., "ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance", 2024,
    arXiv:2312.08852.

    Examples
    --------
    >>> Z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(float(coding_rate_loss(Z, torch.tensor([0, 1, 0, 1]), eps=0.5)), 4)
    -1.3925
    """
    _check(Z, eps, gamma1)
    check_in_range("gamma2", gamma2, 0)
    whole, classes = _rates(Z, _checked_labels(labels, len(Z)), eps, gamma1)
    return gamma1 * classes - gamma2 * whole


def _rates(
    Z: Tensor, labels: Tensor, eps: float, gamma1: float, *, whole: bool = True, classes: bool = True
) -> tuple[Tensor, Tensor]:
    n_rows, dim = Z.shape
    order = labels.argsort(stable=True) if classes else None
    sizes = [size for size in torch.bincount(labels).tolist() if size] if classes else []
    scale = gamma1 * dim / (n_rows * eps) if whole else 0.0
    return _Rates.apply(Z, order, sizes, scale, dim / eps)  # type: ignore[no-any-return]


class _Rates(torch.autograd.Function):
    """Both rates, for the gradient of half the log-determinant of I + aZᵀZ is aZ(I + aZᵀZ)⁻¹."""

    @staticmethod
    def forward(
        ctx: Any, Z: Tensor, order: Tensor | None, sizes: list[int], scale: float, class_scale: float
    ) -> tuple[Tensor, Tensor]:
        dim = Z.shape[1]
        rows = Z if order is None else Z.index_select(0, order)
        classes, factors = Z.new_zeros(()), []
        gram = Z.new_zeros(dim, dim)
        for own_rows, size in zip(rows.split(sizes) if sizes else (), sizes, strict=True):
            wide = size < _SMALLER_SIDE * dim
            own = _gram(own_rows.T if wide else own_rows)
            if scale:
                gram += _gram(own_rows) if wide else own
            factor, half_logdet = _cholesky(own, class_scale / size)
            factors.append(factor)
            classes = classes + size / len(Z) * half_logdet
        whole = Z.new_zeros(())
        if scale:
            if not sizes:
                gram = _gram(Z if len(Z) >= dim else Z.T)
            factor, whole = _cholesky(gram, scale)
            factors.append(factor)
        ctx.save_for_backward(rows, *factors)
        ctx.order, ctx.sizes, ctx.scale, ctx.class_scale = order, sizes, scale, class_scale
        return whole, classes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_whole: Tensor, of_classes: Tensor) -> tuple[Tensor | None, ...]:
        rows, *factors = ctx.saved_tensors
        n_rows, dim = rows.shape
        inverse = torch.cholesky_inverse(factors[-1]).mul_(of_whole * ctx.scale) if ctx.scale else None
        if not ctx.sizes:
            assert inverse is not None
            gradient = rows @ inverse if n_rows >= dim else inverse @ rows
            return gradient, None, None, None, None
        gradient = torch.empty_like(rows)
        places = ctx.order.split(ctx.sizes)
        for own_rows, own_places, factor in zip(rows.split(ctx.sizes), places, factors, strict=False):
            own = torch.cholesky_inverse(factor).mul_(of_classes * ctx.class_scale / n_rows)
            if len(own) == dim:
                part = own_rows @ (own if inverse is None else own.add_(inverse))
            else:
                part = own @ own_rows
                part = part if inverse is None else part.addmm_(own_rows, inverse)
            gradient.index_copy_(0, own_places, part)
        return gradient, None, None, None, None


def _gram(rows: Tensor) -> Tensor:
    """Return the products of all columns; NumPy sees that they are symmetric, and does half the work."""
    if not rows.is_cpu:
        return rows.T @ rows
    columns = rows.detach().numpy()
    return torch.from_numpy(columns.T @ columns)


def _cholesky(gram: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the factor of I + scale * gram and half the logarithm of its determinant."""
    matrix = gram * scale
    matrix.diagonal().add_(1)
    factor, info = torch.linalg.cholesky_ex(matrix)
    half_logdet = factor.diagonal().log().sum()
    if int(info) or not bool(half_logdet.isfinite()):
        raise ValueError(
            "`Z` must be finite and not too large for its dtype; got embeddings without a coding rate. "
            "Normalise the rows, or pass float64."
        )
    return factor, half_logdet


def _check(Z: Tensor, eps: float, gamma1: float) -> None:
    check_in_range("eps", eps, 0, closed="neither")
    check_in_range("gamma1", gamma1, 0, closed="neither")
    if not isinstance(Z, Tensor) or Z.dtype not in (torch.float32, torch.float64):
        got = Z.dtype if isinstance(Z, Tensor) else type(Z).__name__
        raise TypeError(f"`Z` must be a floating tensor; got {got}. Convert it with .float().")
    if Z.ndim != 2 or not Z.numel():
        raise ValueError(f"`Z` must be of shape (N, d); got {tuple(Z.shape)}. Pass one row a node.")


def _checked_labels(labels: Tensor, n_rows: int) -> Tensor:
    if not isinstance(labels, Tensor):
        raise TypeError(f"`labels` must be a tensor; got {type(labels).__name__}. Use torch.as_tensor.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"`labels` must be of an integer dtype; got {labels.dtype}. Convert it with .long().")
    if labels.shape != (n_rows,):
        raise ValueError(
            f"`labels` must be of shape ({n_rows},); got {tuple(labels.shape)}. Pass one class a row of `Z`."
        )
    labels = labels.long()
    if int(labels.min()) < 0:
        raise ValueError(f"`labels` must be from 0; got {int(labels.min())}. Leave unlabelled rows out.")
    check_count("labels", int(labels.max()), 0, "Number the classes from 0.", maximum=2**24)
    return labels
