"""The area under the ROC curve within groups, such as the impressions of each user."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.measures.binary_labels import check_binary, check_weights
from sparse_data import checks

Floats = NDArray[np.float64]


class GroupAUC(NamedTuple):
    """One entry a group, in the order of the sorted keys; `auc` is NaN where a class is missing."""

    groups: NDArray[Any]
    auc: Floats
    weight: Floats


def auc_by_group(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> GroupAUC:
    r"""Area under the ROC curve of every group, by one sort and no loop.

    .. math:: \mathrm{AUC}_g = \frac{\sum_{i \in g^+} \sum_{j \in g^-} w_i w_j
              \left([s_i > s_j] + \tfrac12 [s_i = s_j]\right)}
              {\sum_{i \in g^+} w_i \, \sum_{j \in g^-} w_j}

    Parameters
    ----------
    labels : array_like of shape (n,)
        0 or 1.
    scores : array_like of shape (n,)
    groups : array_like of shape (n,)
        Integers or strings.
    sample_weight : array_like of shape (n,), optional

    Returns
    -------
    GroupAUC
        The keys, their areas, and the sums of their weights.

    Raises
    ------
    TypeError
        If labels or scores are not numeric.
    ValueError
        If lengths differ, a label is neither 0 nor 1, a score is not finite, a group is missing or a weight
        negative.

    Examples
    --------
    >>> auc_by_group([0, 1, 0, 1, 1], [0.2, 0.8, 0.6, 0.6, 0.1], ["a", "a", "b", "b", "c"]).auc.tolist()
    [1.0, 0.5, nan]
    """
    positive = check_binary("labels", labels)
    values = checks.check_finite("scores", checks.check_ndim("scores", scores, 1))
    keys = checks.check_no_missing("groups", checks.check_ndim("groups", groups, 1))
    checks.check_same_length(labels=positive, scores=values, groups=keys)
    weights = check_weights(sample_weight, positive.size)
    try:
        names, codes = np.unique(keys, return_inverse=True)
    except TypeError:
        raise TypeError("`groups` must be of one type; got several. Convert them to text.") from None
    order = np.lexsort((values, codes))
    codes, values = codes[order], values[order]
    ahead = np.ones(codes.size, dtype=np.bool_)  # whether a row starts a run of one score in one group
    ahead[1:] = (codes[1:] != codes[:-1]) | (values[1:] != values[:-1])
    runs = np.flatnonzero(ahead)
    of_positives = np.add.reduceat(np.where(positive[order], weights[order], 0.0), runs)
    of_negatives = np.add.reduceat(np.where(positive[order], 0.0, weights[order]), runs)
    of_run = codes[runs]
    positives, negatives = (np.bincount(of_run, weights=part) for part in (of_positives, of_negatives))
    below = np.cumsum(of_negatives) - of_negatives
    below -= below[np.searchsorted(of_run, of_run)]  # counted from the group's first run on
    won = np.bincount(of_run, weights=of_positives * (below + of_negatives / 2))
    pairs = positives * negatives
    auc = np.divide(won, pairs, out=np.full(names.size, np.nan), where=pairs > 0)
    return GroupAUC(names, auc, np.asarray(positives + negatives, dtype=np.float64))


def grouped_auc(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Mean of the areas under the ROC curves of groups, weighted by their impressions (GAUC).

    .. math:: \frac{\sum_g n_g \mathrm{AUC}_g}{\sum_g n_g}

    over the groups that hold both classes, with :math:`n_g` their rows (or the sum of their weights). Scores
    of different groups are never compared: what tells users apart, but not the items of a user, adds nothing.

    Parameters
    ----------
    labels, scores, groups, sample_weight
        As in :func:`auc_by_group`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If no group holds both classes, or the input is wrong.

    References
    ----------
    Zhu et al. (2017), Optimized cost per click in Taobao display advertising, KDD, arXiv 1703.02091.

    Examples
    --------
    >>> grouped_auc([0, 1, 0, 1, 1], [0.2, 0.8, 0.6, 0.6, 0.1], [7, 7, 8, 8, 9])
    0.75
    """
    _, auc, weight = auc_by_group(labels, scores, groups, sample_weight=sample_weight)
    both = ~np.isnan(auc)
    if not both.any():
        raise ValueError(
            f"`groups` must hold one with labels of both classes; got {auc.size} group(s) without. "
            "Group by something coarser, or evaluate on more rows."
        )
    return float(np.average(auc[both], weights=weight[both]))
