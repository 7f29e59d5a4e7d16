"""Groups of items by how often they occur in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.embeddings.id_lookup import as_ids
from sparse_data import checks

HEAD_SHARE = 0.5
MID_SHARE = 0.8


def popularity_slices(counts: ArrayLike) -> dict[str, NDArray[np.bool_]]:
    """Divide items into head, mid, tail and unseen by their training counts.

    Items are sorted by falling count, and among equal counts by position.  The head is the shortest run
    of first items that holds at least 50 % of the interactions, the mid goes on until at least 80 % are
    reached, the tail is the rest.  Items with a count of 0 are unseen.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Interactions of each item in the training log.

    Returns
    -------
    dict of str to bool array of shape (n_items,)
        Masks "head", "mid", "tail", "unseen"; each item is in exactly one.

    Examples
    --------
    >>> masks = popularity_slices([5, 3, 1, 1, 0])
    >>> {name: mask.nonzero()[0].tolist() for name, mask in masks.items()}
    {'head': [0], 'mid': [1], 'tail': [2, 3], 'unseen': [4]}
    """
    values = checks.check_non_negative("counts", checks.check_ndim("counts", counts, 1)).astype(np.float64)
    order = np.argsort(-values, kind="stable")
    before = np.empty(values.size)
    before[order] = np.concatenate([[0.0], np.cumsum(values[order])[:-1]]) if values.size else 0.0
    total = values.sum()
    unseen = values == 0
    head = ~unseen & (before < HEAD_SHARE * total)
    mid = ~unseen & ~head & (before < MID_SHARE * total)
    return {"head": head, "mid": mid, "tail": ~unseen & ~head & ~mid, "unseen": unseen}


def popularity_deciles(item_ids: ArrayLike) -> dict[str, NDArray[Any]]:
    """Divide the items of a log into ten groups of equal size, from the rarest to the most frequent.

    The result can be given to `evaluate_retriever(..., slices=...)`, to plot recall by decile.

    Parameters
    ----------
    item_ids : array of shape (n_interactions,)
        The item of each training interaction.

    Returns
    -------
    dict of str to array of item ids
        Keys "1" (rarest) to "10"; among equal counts the larger id is taken to be the rarer.

    Examples
    --------
    >>> deciles = popularity_deciles(np.repeat(np.arange(20), np.arange(20, 0, -1)))
    >>> deciles["1"].tolist(), deciles["10"].tolist()
    ([18, 19], [0, 1])
    """
    ids, counts = np.unique(as_ids("item_ids", item_ids), return_counts=True)
    rank = np.empty(ids.size, dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(ids.size - 1, -1, -1)
    decile = rank * 10 // max(ids.size, 1)
    return {str(number + 1): ids[decile == number] for number in range(10)}
