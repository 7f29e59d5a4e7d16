"""Gold loss correction: the transition matrix from a small trusted set (Hendrycks et al., 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_finite, check_ids_in_range, check_ndim, check_same_length


def transition_gold(true_labels: ArrayLike, pred_probs: ArrayLike) -> NDArray[np.float64]:
    r"""Average the noisy predictions over the trusted examples of each class.

    .. math:: \hat T_{ij} = \frac{1}{|A_i|} \sum_{x \in A_i} \hat p(\tilde y = j \mid x)

    Parameters
    ----------
    true_labels : int array of shape (n,)
        Trusted classes 0, ..., n_classes - 1; each of them must occur.
    pred_probs : array of shape (n, n_classes)
        Probabilities on the trusted examples, of a model that was trained on other, noisy labels.

    Returns
    -------
    float array of shape (n_classes, n_classes)

    Raises
    ------
    TypeError, ValueError
        For labels that are no columns of `pred_probs`, or a class without trusted example.

    References
    ----------
    Hendrycks, Mazeika, Wilson and Gimpel, "Using trusted data to train deep networks on labels corrupted by
    severe noise", 2018, arXiv:1802.05300.

    Examples
    --------
    >>> transition_gold([0, 0, 1], [[0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    probabilities = check_finite("pred_probs", check_ndim("pred_probs", pred_probs, 2)).astype(np.float64)
    n_classes = probabilities.shape[1]
    codes = check_ids_in_range("true_labels", check_ndim("true_labels", true_labels, 1), n_classes)
    check_same_length(true_labels=codes, pred_probs=probabilities)
    counts = np.bincount(codes, minlength=n_classes)
    if (counts == 0).any():
        raise ValueError(
            f"`true_labels` must hold each of the {n_classes} classes; got none of class {counts.argmin()}. "
            "Label at least one example of it."
        )
    sums = np.zeros((n_classes, n_classes))
    np.add.at(sums, codes, probabilities)
    if not (sums.sum(axis=1) > 0).all():
        raise ValueError("`pred_probs` must be above 0 for each class; got zeros. Pass probabilities.")
    return np.asarray(sums / sums.sum(axis=1, keepdims=True))
