"""Scores of the rows of a log by models that have not seen them: what the rest of the log says of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from recsys_ssl.embeddings.id_lookup import lookup
from recsys_ssl.recommenders.recommender import Recommender, as_interactions
from sparse_data import checks
from sparse_data.datasets.interactions import Interactions
from sparse_data.type_checks import check_seed

# A draw is something that the user has already with less than one half of chance, but for the heaviest users.
DRAWS = 20


def out_of_fold_scores(
    model: Recommender,
    interactions: Interactions,
    *,
    n_folds: int = 5,
    random_state: int | np.random.Generator | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Score each row of a log, and beside it one that the log does not hold, by a model of the other folds.

    .. math:: s_r = f_{-k(r)}(u_r, i_r), \qquad s'_r = f_{-k(r)}(u_r, j_r), \quad j_r \sim q,
              \; (u_r, j_r) \notin S

    The rows of each user are dealt out to the folds k in turn; rows of one and the same pair go to one fold.
    The item j beside it is drawn by popularity q, as if somebody clicked at random on what is shown:
    rows whose scores look like these may be accidents.

    Parameters
    ----------
    model : Recommender
        Cloned and fitted once a fold; it may be fitted or not and stays as it is.
    interactions : Interactions or data frame
        With n rows.
    n_folds : int, default=5
        At least 2.
    random_state : int, Generator or None
        Of the folds and of the items drawn.

    Returns
    -------
    own : float64 ndarray of shape (n,)
        NaN where the other folds know nothing of the user or of the item: of such rows nothing can be said.
    others : float64 ndarray of shape (n,)
        NaN likewise, and for users who have nearly everything.

    Raises
    ------
    TypeError
        If `model` is no Recommender.
    ValueError
        If the log is empty or `n_folds` is below 2.

    References
    ----------
    Northcutt, Jiang and Chuang (2021), Confident learning, arXiv:1911.00068, whose probabilities are out of
    sample.

    Examples
    --------
    >>> from recsys_ssl import EASE
    >>> from sparse_data import datasets
    >>> log = datasets.make_checkerboard(20)  # even users like even items
    >>> own, others = out_of_fold_scores(EASE(1.0), log, random_state=0)
    >>> bool(np.median(own) > np.nanmedian(others))
    True
    """
    if not isinstance(model, Recommender):
        raise TypeError(f"`model` must be a Recommender; got {type(model).__name__}. Take EASE() or IALS().")
    checks.check_count("n_folds", n_folds, minimum=2)
    log = as_interactions(interactions)
    checks.check_nonempty("interactions", log.user_ids)
    generator = np.random.default_rng(check_seed("random_state", random_state))
    fold, other_items = _folds_and_others(log, n_folds, generator)
    own, others = np.full(len(log), np.nan), np.full(len(log), np.nan)
    for number in np.unique(fold):
        held_out = np.flatnonzero(fold == number)
        if len(held_out) == len(log):  # a single pair: nothing is left to learn from
            break
        fitted = clone(model).fit(log.take(fold != number))
        for items, scores in ((log.item_ids, own), (other_items, others)):
            known = np.isin(log.user_ids[held_out], fitted.user_ids_)
            known &= np.isin(items[held_out], fitted.item_ids_)
            rows = held_out[known]
            if rows.size:
                scores[rows] = fitted.score(log.user_ids[rows], items[rows])
    others[np.asarray(other_items == log.item_ids)] = np.nan
    return own, others


def _folds_and_others(
    log: Interactions, n_folds: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the fold of each row, and an item that its user does not have, its own where none is found."""
    item_ids = np.unique(log.item_ids)
    user_ids, users = np.unique(log.user_ids, return_inverse=True)
    items = lookup("item_ids", log.item_ids, item_ids)
    pairs, pair_of = np.unique(users * item_ids.size + items, return_inverse=True)
    # In random order, then by user: place within the user, from a start of the user's own.
    order = generator.permutation(pairs.size)
    owners = pairs[order] // item_ids.size
    order = order[np.argsort(owners, kind="stable")]
    sizes = np.bincount(owners, minlength=user_ids.size)
    place = np.arange(pairs.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    fold = np.empty(pairs.size, dtype=np.int64)
    fold[order] = (place + np.repeat(generator.integers(n_folds, size=user_ids.size), sizes)) % n_folds

    drawn, pending = items.copy(), np.arange(items.size)
    for _ in range(DRAWS):
        found = generator.choice(items, size=pending.size)
        new = ~np.isin(users[pending] * item_ids.size + found, pairs)
        drawn[pending[new]] = found[new]
        pending = pending[~new]
    return fold[pair_of], item_ids[drawn]
