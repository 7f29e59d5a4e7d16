"""Retrieve, then rank: candidates of a retriever in the order of expected conversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.embeddings.id_lookup import UNKNOWN, allowed_mask, as_ids, check_k, ids_of, lookup
from recsys_ssl.encoding.entity_features import EntityFeatures
from recsys_ssl.funnels.encoded_impressions import part_of
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.recommenders.recommender import Recommender
from sparse_data import checks
from sparse_data.datasets.columns import to_columns
from sparse_data.type_checks import check_type

Encoded = dict[str, NDArray[Any]]

PAIRS_AT_ONCE = 1 << 16


class Candidates(NamedTuple):
    """What a retriever hands over, in its order, and what a classifier says; of shape (n, candidates).

    Attributes
    ----------
    columns : ndarray of int
        Places in the retriever's ``item_ids_``, UNKNOWN where a user has fewer candidates.
    relevance, chances : ndarray of float
        Scores of the retriever and probabilities of the classifier, -inf where there is no item.
    """

    columns: NDArray[Any]
    relevance: NDArray[Any]
    chances: NDArray[np.float64]


def rank_by_conversion(
    retriever: Recommender,
    classifier: EntireSpaceClassifier,
    user_ids: ArrayLike,
    *,
    k: int = 10,
    candidates: int = 100,
    by: str = "ctcvr",
    users: Any = None,
    items: Any = None,
    context: Mapping[str, Any] | None = None,
    filter_seen: bool = True,
    allow: ArrayLike | None = None,
    deny: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return of the candidates of each user the `k` that the classifier expects most of.

    A feature of the classifier is read where it is: ``user_id`` and ``item_id`` are the pair's ids, others
    are columns of `users`, of `items`, or of `context`. An entity that its table does not describe has
    missing features.

    Parameters
    ----------
    retriever : TwoTowerRetriever or another Recommender
        Fitted.
    classifier : EntireSpaceClassifier
        Fitted.
    user_ids : array_like of shape (n,), or one id
        Users that are not in the retriever's log get the popularity prior as candidates, with a warning.
    k : int, default=10
    candidates : int, default=100
        Items a user that the retriever hands over; at least `k`. At most all that are allowed are.
    by : {"ctcvr", "cvr"}, default="ctcvr"
        The probability of click and conversion, or that of a conversion once there is a click, for those who
        pay for the click.
    users, items : table or mapping of columns, optional
        Side tables with the columns "user_id" and "item_id", as of the retriever's `fit`.
    context : mapping of str to value or array_like of shape (n,), optional
        Features of the request, such as its hour or device: one value, or one a user.
    filter_seen, allow, deny
        As of the retriever's `recommend`.

    Returns
    -------
    item_ids : ndarray of shape (n, k)
        Best first; of equal ones the retriever's order. Where a user has fewer than k candidates, the rest is
        -1, or an empty string where ids are strings.
    scores : float64 ndarray of shape (n, k)
        Probabilities; -inf where nothing is left.

    Raises
    ------
    ValueError
        If a feature of the classifier is nowhere or in two places, a table holds ids of another kind,
        `candidates` is below `k`, or fewer than `k` items are allowed.
    """
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
    return best_candidates(found, found.chances, k, retriever.item_ids_)


def judged_candidates(
    retriever: Recommender,
    classifier: EntireSpaceClassifier,
    user_ids: ArrayLike,
    *,
    k: int,
    candidates: int,
    by: str,
    users: Any,
    items: Any,
    context: Mapping[str, Any] | None,
    filter_seen: bool,
    allow: ArrayLike | None,
    deny: ArrayLike | None,
) -> Candidates:
    """Retrieve the candidates of each user and ask the classifier; parameters are `rank_by_conversion`'s."""
    check_is_fitted(classifier)
    checks.check_one_of("by", by, ("ctcvr", "cvr"))
    check_type("context", context, (Mapping, type(None)), "Pass columns by name.")
    ids = as_ids("user_ids", user_ids)
    checks.check_count("candidates", candidates, minimum=checks.check_count("k", k))
    allowed = allowed_mask(retriever.item_ids_, allow, deny)
    n_allowed = retriever.item_ids_.size if allowed is None else int(allowed.sum())
    check_k(k, n_allowed)
    found, relevance = retriever.recommend(
        ids, min(candidates, n_allowed), filter_seen=filter_seen, allow=allow, deny=deny
    )
    of_users, of_items = _encoded_sides(classifier, ids, retriever.item_ids_, users, items, context or {})
    columns = lookup("item_ids", found.ravel(), retriever.item_ids_).reshape(found.shape)
    columns[np.isneginf(relevance)] = UNKNOWN
    return Candidates(columns, relevance, _scores(classifier, of_users, of_items, columns, by))


def best_candidates(
    found: Candidates, scores: NDArray[np.float64], k: int, item_ids: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return ids and scores of the k highest candidates, equal ones in the retriever's order."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    ranked = np.take_along_axis(found.columns, best, axis=1)
    return ids_of(ranked, item_ids), np.take_along_axis(scores, best, axis=1)


def _scores(
    classifier: EntireSpaceClassifier, of_users: Encoded, of_items: Encoded, columns: NDArray[Any], by: str
) -> NDArray[np.float64]:
    """Return the probability of every candidate, -inf where there is none."""
    scores = np.full(columns.shape, -np.inf)
    rows, places = np.nonzero(columns != UNKNOWN)
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        row, place = rows[start : start + PAIRS_AT_ONCE], places[start : start + PAIRS_AT_ONCE]
        pairs = {name: values[row] for name, values in of_users.items()}
        pairs |= {name: values[columns[row, place]] for name, values in of_items.items()}
        scores[row, place] = classifier.predict_encoded(pairs)[by]
    return scores


def _encoded_sides(
    classifier: EntireSpaceClassifier,
    user_ids: NDArray[Any],
    item_ids: NDArray[Any],
    users: Any,
    items: Any,
    context: Mapping[str, Any],
) -> tuple[Encoded, Encoded]:
    """Return the encoded features of the users with the context, and those of the catalogue."""
    tables = {
        "users": {} if users is None else to_columns(users),
        "items": {} if items is None else to_columns(items),
        "context": _context_columns(context, len(user_ids)),
    }
    sides: dict[str, list[str]] = {name: [] for name in tables}
    for feature in classifier.encoder_.features:
        places = [name for name, table in tables.items() if feature.name in table]
        if feature.name in ("user_id", "item_id"):
            places = [f"{feature.name[:4]}s"]
        if len(places) != 1:
            raise ValueError(
                f"`{feature.name}` must be a column of one of users, items and context, as the classifier "
                f"reads it; got it in {places or 'none'}. Pass the side table, and rename what is in two."
            )
        sides[places[0]].append(feature.name)
    of_users = _encoded(classifier, "user_id", user_ids, tables["users"], sides["users"])
    of_request = part_of(classifier.encoder_, sides["context"]).transform(
        {name: tables["context"][name] for name in sides["context"]}
    )
    of_items = _encoded(classifier, "item_id", item_ids, tables["items"], sides["items"])
    return {**of_users, **of_request}, of_items


def _encoded(
    classifier: EntireSpaceClassifier,
    id_name: str,
    ids: NDArray[Any],
    table: Mapping[str, Any],
    names: list[str],
) -> Encoded:
    known = classifier.encoder_.vocabularies_.get(id_name, np.empty(0, dtype=np.int64))
    others = part_of(classifier.encoder_, [name for name in names if name != id_name])
    encoded = EntityFeatures(id_name, others, known).encode(ids, dict(table) or None)
    return {name: values for name, values in encoded.items() if name in names}


def _context_columns(context: Mapping[str, Any], n_users: int) -> dict[str, Any]:
    check_type("context", context, Mapping, "Pass values by the names of features.")
    columns = {name: [value] * n_users if np.isscalar(value) else value for name, value in context.items()}
    found = to_columns(columns)
    for name, column in found.items():
        checks.check_same_length(**{"user_ids": np.empty(n_users), name: column})
    return found
