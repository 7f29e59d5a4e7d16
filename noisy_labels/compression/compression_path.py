"""How accurate a classifier is with its first k features, for all k at once, and which k to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.compression.effective_rank import effective_rank
from sparse_data.checks import (
    check_finite,
    check_ids_in_range,
    check_in_range,
    check_ndim,
    check_nonempty,
    check_one_of,
    check_same_length,
)
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]
VALUES_AT_ONCE = 1 << 22  # of the logits of all sizes, 32 MiB
PENALTY = 1e-5


@dataclass(frozen=True, eq=False)
class CompressionPath:
    """What validation says of every number of features.

    Attributes
    ----------
    accuracy : float array of shape (D,)
        With the first 1, 2, ..., D features.
    size : int
        k*, the number of features that was chosen.
    effective_rank : float
        Of the validation features, all D of them.
    effective_rank_kept : float
        Of the first k*.
    labels : {"noisy", "clean"}
        Which kind of labels it was measured on.
    """

    accuracy: Floats
    size: int
    effective_rank: float
    effective_rank_kept: float
    labels: str

    def __str__(self) -> str:
        return (
            f"{self.size} of {len(self.accuracy)} features, accuracy {self.accuracy[self.size - 1]:.4f} on "
            f"{self.labels} labels (all features: {self.accuracy[-1]:.4f}); effective rank "
            f"{self.effective_rank_kept:.1f} of {self.effective_rank:.1f}"
        )


@np.errstate(over="ignore", invalid="ignore")  # what overflows is infinite
def logits_of_every_size(features: ArrayLike, kernel: ArrayLike) -> Floats:
    r"""Return the logits with the first k features for all k, by one cumulative sum.

    .. math:: \ell^{(k)}_c = \sum_{j \le k} z_j W_{jc}

    Parameters
    ----------
    features : array of shape (n, D)
        z, not masked.
    kernel : array of shape (D, n_classes)
        W, of a linear classifier without bias.

    Returns
    -------
    float64 array of shape (n, D, n_classes)

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit or a number is not finite.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, "Compressing features for learning with noisy labels", 2022,
    arXiv:2206.13140.

    Examples
    --------
    >>> logits_of_every_size([[1.0, 2.0]], [[1.0, 0.0], [0.0, 3.0]]).tolist()
    [[[1.0, 0.0], [1.0, 6.0]]]
    """
    z, weights = _read(features, kernel)
    return np.asarray(np.cumsum(z[:, :, None] * weights[None], axis=1))


@np.errstate(over="ignore", invalid="ignore")  # what overflows is infinite
def accuracy_of_every_size(
    features: Sequence[ArrayLike], kernels: Sequence[ArrayLike], labels: ArrayLike
) -> Floats:
    r"""Return the accuracy with the first 1, 2, ..., D features.

    Of several networks the logits are averaged.  Time and memory are those of :math:`n D C` numbers, in
    blocks of rows.

    Parameters
    ----------
    features : sequence of arrays of shape (n, D)
        One a network.
    kernels : sequence of arrays of shape (D, n_classes)
    labels : int array of shape (n,)
        Columns of the kernels.

    Returns
    -------
    float64 array of shape (D,)

    Raises
    ------
    TypeError, ValueError
        If there are no rows, or shapes or labels do not fit.

    Examples
    --------
    >>> accuracy_of_every_size([[[1.0, 2.0], [2.0, 0.0]]], [[[1.0, 0.0], [0.0, 3.0]]], [1, 0]).tolist()
    [0.5, 1.0]
    """
    check_type("features", features, (list, tuple), "Pass one array a network.")
    check_type("kernels", kernels, (list, tuple), "Pass one array a network.")
    check_same_length(features=features, kernels=kernels)
    pairs = [_read(z, kernel) for z, kernel in zip(features, kernels, strict=True)]
    if len({(z.shape, kernel.shape) for z, kernel in pairs}) != 1:
        raise ValueError(
            "`features` and `kernels` must be of the same shapes in all networks; got "
            f"{[z.shape for z, _ in pairs]}. Average networks of one width only."
        )
    n_rows, n_features = pairs[0][0].shape
    n_classes = pairs[0][1].shape[1]
    codes = check_ids_in_range("labels", check_nonempty("labels", check_ndim("labels", labels, 1)), n_classes)
    check_same_length(labels=codes, features=pairs[0][0])
    right = np.zeros(n_features)
    block = max(VALUES_AT_ONCE // (n_features * n_classes), 1)
    for start in range(0, n_rows, block):
        rows = slice(start, start + block)
        logits = sum(np.cumsum(z[rows, :, None] * kernel[None], axis=1) for z, kernel in pairs)
        right += (np.argmax(logits, axis=2) == codes[rows, None]).sum(axis=0)
    return np.asarray(right / n_rows)


def choose_size(accuracy: ArrayLike, *, penalty: float = PENALTY) -> int:
    r"""Return the number of features with the best penalised accuracy, the smallest one among equals.

    .. math:: k^* = \arg\max_k \; \mathrm{acc}_k - 10^{-5} (k - 1)

    Parameters
    ----------
    accuracy : array of shape (D,)
        Of 1, 2, ..., D features.
    penalty : float, default=1e-5
        At least 0.

    Returns
    -------
    int
        In 1..D; one feature is a choice like any other.

    Raises
    ------
    TypeError, ValueError
        If there is no accuracy, or one is not finite.

    Examples
    --------
    >>> choose_size([0.8, 0.9, 0.9])
    2
    """
    values = check_finite("accuracy", check_nonempty("accuracy", check_ndim("accuracy", accuracy, 1)))
    check_in_range("penalty", penalty, 0, np.inf, closed="left")
    return int(np.argmax(values - penalty * np.arange(values.size))) + 1


def compression_path(
    features: Sequence[ArrayLike], kernels: Sequence[ArrayLike], labels: ArrayLike, *, kind: str
) -> CompressionPath:
    """Measure every number of features, choose one, and report the effective rank before and after.

    Parameters
    ----------
    features, kernels, labels
        As of :func:`accuracy_of_every_size`.
    kind : {"noisy", "clean"}
        Which labels these are; it is only passed on to the report.

    Returns
    -------
    CompressionPath
        Ranks are of the first network's features.

    Raises
    ------
    TypeError, ValueError
        As :func:`accuracy_of_every_size`, and for another `kind`.

    Examples
    --------
    >>> print(compression_path([np.eye(2)], [np.eye(2)], [0, 1], kind="noisy"))
    2 of 2 features, accuracy 1.0000 on noisy labels (all features: 1.0000); effective rank 2.0 of 2.0
    """
    check_one_of("kind", kind, ("noisy", "clean"))
    accuracy = accuracy_of_every_size(features, kernels, labels)
    size = choose_size(accuracy)
    first = np.asarray(features[0])
    return CompressionPath(accuracy, size, effective_rank(first), effective_rank(first[:, :size]), kind)


def _read(features: ArrayLike, kernel: ArrayLike) -> tuple[Floats, Floats]:
    z = check_finite("features", check_ndim("features", features, 2)).astype(np.float64)
    weights = check_finite("kernel", check_ndim("kernel", kernel, 2)).astype(np.float64)
    if z.shape[1] != weights.shape[0]:
        raise ValueError(
            f"`kernel` must have a row for each of the {z.shape[1]} features; got shape {weights.shape}. "
            "Pass the kernel of the layer that reads these features."
        )
    return z, weights
