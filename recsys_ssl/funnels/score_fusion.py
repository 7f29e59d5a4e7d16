"""Retrieve, then rank by both: what the retriever found relevant times the chance of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.funnels.conversion_ranking import best_candidates, judged_candidates
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.recommenders.recommender import Recommender
from sparse_data import checks


def fused_scores(relevance: ArrayLike, chances: ArrayLike, *, weight: float = 1.0) -> NDArray[np.float64]:
    r"""Return the logarithm of relevance times chance.

    .. math:: f(u, i) = s(u, i) + \beta \log \hat p(u, i)

    A softmax over the catalogue makes :math:`s(u, i) / \tau` the logarithm of P(click on i | u) up to a
    constant of the user, so that with pCVR as :math:`\hat p` and :math:`\beta = \tau` the order is that of
    expected conversions.

    Parameters
    ----------
    relevance : array_like of float
        Scores s; -inf where there is no item.
    chances : array_like of float, of the same shape
        Probabilities in [0, 1]; what stands beside a relevance of -inf is not looked at.
    weight : float, default=1.0
        β, at least 0: 1 fits a dot product, the temperature a cosine; for scores that are no logarithms it is
        to be chosen on validation.

    Returns
    -------
    float64 ndarray of the same shape

    Raises
    ------
    ValueError
        If shapes differ, a relevance is NaN or +inf, a chance is out of range or `weight` is negative.

    Examples
    --------
    >>> fused_scores([2.0, 1.0], [0.1, 0.9]).round(2)
    array([-0.3 ,  0.89])
    """
    checks.check_in_range("weight", weight, low=0)
    scores = checks.check_numeric("relevance", relevance).astype(np.float64)
    found = checks.check_numeric("chances", chances).astype(np.float64)
    if scores.shape != found.shape:
        raise ValueError(
            f"`chances` must be of the shape of `relevance`, {scores.shape}; got {found.shape}. "
            "Give one chance an item."
        )
    absent = np.isneginf(scores)
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("`relevance` must be finite or -inf; got NaN or inf. Mark absent items by -inf.")
    inside = (found >= 0) & (found <= 1)
    if not (inside | absent).all():
        worst = found[~(inside | absent)][0]
        raise ValueError(
            f"`chances` must be in [0, 1]; got {worst}. Give probabilities, not their logarithms."
        )
    if not weight:
        return scores.copy()
    logarithms = np.full(scores.shape, -np.inf)
    np.log(found, out=logarithms, where=~absent & (found > 0))
    return scores + weight * logarithms


def rank_by_fused_scores(
    retriever: Recommender,
    classifier: EntireSpaceClassifier,
    user_ids: ArrayLike,
    *,
    k: int = 10,
    candidates: int = 100,
    by: str = "cvr",
    weight: float = 1.0,
    users: Any = None,
    items: Any = None,
    context: Mapping[str, Any] | None = None,
    filter_seen: bool = True,
    allow: ArrayLike | None = None,
    deny: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    r"""Return the `k` candidates of each user with the largest :math:`s(u, i) + \beta \log \hat p(u, i)`.

    The retriever has seen who chose what in the whole catalogue and ranks relevance better than a classifier
    of impressions does; the classifier knows what relevance does not, the chance of a conversion.
    :func:`~recsys_ssl.funnels.conversion_ranking.rank_by_conversion` orders by the latter alone.

    Parameters
    ----------
    retriever : TwoTowerRetriever or another Recommender
        Fitted on clicks.
    classifier : EntireSpaceClassifier
        Fitted.
    user_ids : array_like of shape (n,), or one id
    k : int, default=10
    candidates : int, default=100
        Items a user that the retriever hands over; at least `k`.
    by : {"cvr", "ctcvr"}, default="cvr"
        The retriever is the model of clicks; with "ctcvr" that of the classifier counts as well.
    weight : float, default=1.0
        β of :func:`fused_scores`.
    users, items, context, filter_seen, allow, deny
        As of :func:`~recsys_ssl.funnels.conversion_ranking.rank_by_conversion`.

    Returns
    -------
    item_ids : ndarray of shape (n, k)
        Best first; -1, or an empty string, where a user has fewer than k candidates.
    scores : float64 ndarray of shape (n, k)
        -inf where nothing is left.

    Raises
    ------
    ValueError
        As of :func:`~recsys_ssl.funnels.conversion_ranking.rank_by_conversion`, or if `weight` is negative.
    """
    checks.check_in_range("weight", weight, low=0)
    check_is_fitted(retriever)
    found = judged_candidates(
        retriever,
        classifier,
        user_ids,
        k=k,
        candidates=candidates,
        by=by,
        users=users,
        items=items,
        context=context,
        filter_seen=filter_seen,
        allow=allow,
        deny=deny,
    )
    scores = fused_scores(found.relevance, found.chances, weight=weight)
    return best_candidates(found, scores, k, retriever.item_ids_)
