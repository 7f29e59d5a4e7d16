"""The label noise of the published tables of ERASE, draw by draw."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.transitions.noise_matrices import symmetric_noise_matrix
from sparse_data.checks import (
    check_count,
    check_ids_in_range,
    check_in_range,
    check_integers,
    check_ndim,
    check_one_of,
)

ProtocolKind = Literal["symm", "asymm"]
_MOST_CLASSES = 2**14  # whose table of noise still fits into memory


def erase_protocol_labels(
    y: ArrayLike,
    train_mask: ArrayLike,
    rate: float,
    kind: ProtocolKind = "symm",
    *,
    n_classes: int | None = None,
    seed: int = 123,
) -> NDArray[np.int64]:
    r"""Return the labels with the training nodes corrupted as in the tables of ERASE.

    ``"symm"`` is `symmetric_noise_matrix`; ``"asymm"`` turns each class, with probability r, into one other
    class that is drawn for it.  NumPy's legacy generator is asked first for the target of every class, in
    their order, then for one class a training node, in the order of the nodes: the same on every version
    of NumPy.  The labels of all other nodes, validation included, stay clean.

    Parameters
    ----------
    y : int array of shape (n_nodes,)
        Classes from 0; -1 where unknown, which no training node may be.
    train_mask : bool array of shape (n_nodes,)
    rate : float
        r in [0, 1].
    kind : {"symm", "asymm"}, default="symm"
    n_classes : int, optional
        The largest label plus 1 by default.
    seed : int, default=123
        That of the tables; 234 for CoraFull.

    Returns
    -------
    int64 array of shape (n_nodes,)

    Raises
    ------
    TypeError, ValueError
        For training nodes without a label, a mask of another length, or arguments out of range.

    References
    ----------
    Chen et al., "ERASE: error-resilient representation learning on graphs for label noise tolerance", 2024,
    arXiv:2312.08852.

    Examples
    --------
    >>> erase_protocol_labels([0, 1, 2, 0, 1, 2], [True] * 5 + [False], 1.0, "asymm").tolist()
    [1, 2, 0, 1, 2, 2]
    """
    check_in_range("rate", rate, 0, 1)
    check_one_of("kind", kind, ("symm", "asymm"))
    labels = check_ndim("y", check_integers("y", y), 1).astype(np.int64)
    mask = check_ndim("train_mask", train_mask, 1)
    if mask.dtype != np.bool_ or mask.shape != labels.shape:
        raise ValueError(
            f"`train_mask` must be a bool a label; got {mask.dtype} of shape {mask.shape} for {labels.size} "
            "labels. Pass one value a node."
        )
    size = int(labels.max(initial=-1)) + 1 if n_classes is None else n_classes
    size = check_count("n_classes", size, 2, "Number the classes from 0.", maximum=_MOST_CLASSES)
    check_ids_in_range(
        "y of the training nodes", labels[mask], size, "Take unlabelled nodes out of the mask."
    )
    generator = np.random.RandomState(check_count("seed", seed, 0, maximum=2**32 - 1))
    classes = np.arange(size)
    if kind == "symm":
        matrix = symmetric_noise_matrix(size, rate)
    else:
        targets = [generator.choice(np.delete(classes, own)) for own in classes]
        matrix = (1 - rate) * np.eye(size) + rate * np.eye(size)[targets]
    noisy = labels.astype(np.int64)
    noisy[mask] = [generator.choice(size, p=matrix[own]) for own in noisy[mask]]
    return noisy
