"""What all recommenders share: vocabularies, seen items, filters, blocked top-k and their errors."""

from __future__ import annotations

import abc
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.embeddings.id_lookup import (
    UNKNOWN,
    allowed_mask,
    as_ids,
    check_k,
    check_known,
    ids_of,
    lookup,
)
from recsys_ssl.recommenders.blocked_top_k import block_size, blocked_top_k
from sparse_data import checks
from sparse_data.datasets.columns import to_columns
from sparse_data.datasets.interactions import Interactions
from sparse_data.type_checks import check_flag


class Recommender(BaseEstimator, abc.ABC):  # type: ignore[misc]
    """The half of fit, recommend, similar_items and score that does not depend on the model.

    A subclass writes `_fit`, `_score_block` and `_item_vectors` (or `_similar_block`), or derives from
    `FactorRecommender`, which has the last three.

    Attributes
    ----------
    user_ids_ : array of shape (n_users,)
        The users of the log, sorted.  Row r of any fitted array belongs to user_ids_[r].
    item_ids_ : array of shape (n_items,)
        The catalogue, sorted.
    seen_ : csr_array of bool, shape (n_users, n_items)
        The pairs of the log.
    popularity_ : float64 array of shape (n_items,)
        Rows of the log for each item.
    """

    user_ids_: NDArray[Any]
    item_ids_: NDArray[Any]
    seen_: csr_array
    popularity_: NDArray[np.float64]

    def fit(self, interactions: Any, users: Any = None, items: Any = None) -> Self:
        """Learn from a log.

        Parameters
        ----------
        interactions : Interactions or data frame
            One row an interaction.  A pair that occurs more than once is one pair; where the log has
            weights they are added up.  A frame has the columns `user_id` and `item_id`.
        users, items : data frame or mapping, optional
            Side tables with the columns `user_id` and `item_id`.  Models without features ignore them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the log is empty or holds a negative weight.
        """
        log = as_interactions(interactions, users, items)
        # On a copy, so that a fit that fails or is interrupted leaves an earlier one as it was.
        fresh = clone(self)
        fresh._fit(fresh._learn_vocabulary(log), log)
        self.__dict__.update(vars(fresh))
        return self

    def _learn_vocabulary(self, interactions: Interactions) -> csr_array:
        """Set the fitted attributes of the log; return its weights as float32 users x items."""
        checks.check_nonempty("interactions", interactions.user_ids)
        self.user_ids_, self.item_ids_ = self._audience(interactions), self._catalogue(interactions)
        users = lookup("user_ids", interactions.user_ids, self.user_ids_)
        items = lookup("item_ids", interactions.item_ids, self.item_ids_)
        shape = (self.user_ids_.size, self.item_ids_.size)
        weights = interactions.weights
        if weights is None:
            log = csr_array((np.ones(users.size, dtype=np.float32), (users, items)), shape=shape)
            log.sum_duplicates()
            log.data[:] = 1.0
        else:
            log = csr_array((np.asarray(weights, dtype=np.float32), (users, items)), shape=shape)
            log.sum_duplicates()
        self.seen_ = csr_array((np.ones(log.nnz, dtype=np.bool_), log.indices, log.indptr), shape=shape)
        self.popularity_ = np.bincount(items, minlength=shape[1]).astype(np.float64)
        return log

    def _audience(self, interactions: Interactions) -> NDArray[Any]:
        """Return the sorted ids of the users that the model knows: by default those of the log."""
        return np.unique(interactions.user_ids)

    def _catalogue(self, interactions: Interactions) -> NDArray[Any]:
        """Return the sorted ids of the items that the model can rank: by default those of the log."""
        return np.unique(interactions.item_ids)

    @abc.abstractmethod
    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        """Learn from `weights`, float32 users x items; the vocabularies are set."""

    @abc.abstractmethod
    def _score_block(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of all items for rows of `user_ids_`, shape (len(users), n_items)."""

    def _score_into(self, users: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write `_score_block(users)` into `out`; worth overriding where that saves an allocation."""
        out[...] = self._score_block(users)

    def _score_unknown(self, user_ids: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scores of all items for users that are not in the log: the popularity prior."""
        prior = (self.popularity_ / max(self.popularity_.sum(), 1.0)).astype(np.float32)
        return np.broadcast_to(prior, (user_ids.size, prior.size))

    def _item_vectors(self) -> NDArray[np.floating[Any]]:
        """Return the vectors whose cosine is the similarity of two items, shape (n_items, dim)."""
        raise NotImplementedError(f"{type(self).__name__} must define `_item_vectors` or `_similar_block`")

    def _similar_block(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the similarity of rows of `item_ids_` to all items, shape (len(items), n_items)."""
        vectors = self._item_vectors()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        # An item with the zero vector is similar to nothing.
        unit = (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
        similarity: NDArray[np.float32] = unit[items] @ unit.T
        return similarity

    def recommend(
        self,
        user_ids: ArrayLike,
        k: int = 10,
        *,
        filter_seen: bool = True,
        allow: ArrayLike | None = None,
        deny: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the `k` best items of each user, over the whole catalogue, exactly.

        Parameters
        ----------
        user_ids : array of shape (n,), or one id
            Users that are not in the log get the popularity prior, with one warning that counts them.
        k : int
            At least 1 and at most the number of allowed items.
        filter_seen : bool, default=True
            Leave out what the user has in the log.
        allow, deny : arrays of item ids, optional
            Recommend only what is in `allow` and nothing that is in `deny`.  Ids that the model does not
            know are ignored.

        Returns
        -------
        item_ids : array of shape (n, k)
            Best first; among equal scores the smaller id first.  Where a user has fewer than k items
            left, the rest is -1, or an empty string where ids are strings.
        scores : float32 array of shape (n, k)
            -inf where nothing is left.

        Raises
        ------
        ValueError
            If `k` is below 1 or above the number of allowed items.
        """
        check_is_fitted(self)
        check_flag("filter_seen", filter_seen)
        ids = as_ids("user_ids", user_ids)
        allowed = allowed_mask(self.item_ids_, allow, deny)
        n_allowed = self.item_ids_.size if allowed is None else int(allowed.sum())
        check_k(k, n_allowed)
        columns, scores = self._rank(
            ids,
            self._rows_of_users(ids),
            k,
            seen=self.seen_ if filter_seen else None,
            allowed=allowed,
        )
        return ids_of(columns, self.item_ids_), scores

    def similar_items(self, item_ids: ArrayLike, k: int = 10) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the `k` items most similar to each item, the item itself left out.

        Parameters
        ----------
        item_ids : array of shape (n,), or one id
        k : int
            At least 1 and below the number of items.

        Returns
        -------
        item_ids : array of shape (n, k)
        scores : float32 array of shape (n, k)
            Similarities; the cosine of the item vectors unless the model says otherwise.

        Raises
        ------
        ValueError
            If an item is unknown, or `k` is below 1 or not below the number of items.
        """
        check_is_fitted(self)
        ids = as_ids("item_ids", item_ids)
        items = check_known("item_ids", ids, lookup("item_ids", ids, self.item_ids_))
        n_items = self.item_ids_.size
        check_k(k, n_items - 1)
        itself = csr_array((np.ones(ids.size), items, np.arange(ids.size + 1)), shape=(ids.size, n_items))

        def similarity_into(start: int, stop: int, out: NDArray[np.float32]) -> None:
            out[...] = self._similar_block(items[start:stop])

        columns, scores = blocked_top_k(similarity_into, ids.size, n_items, k, seen=itself)
        return ids_of(columns, self.item_ids_), scores

    def score(self, user_ids: ArrayLike, item_ids: ArrayLike) -> NDArray[np.float32]:
        """Return the score of each pair; higher is better, and the scale is the model's.

        Parameters
        ----------
        user_ids, item_ids : arrays of shape (n,)
            Pair i is user_ids[i], item_ids[i].  Unknown users get the popularity prior, with a warning.

        Returns
        -------
        scores : float32 array of shape (n,)

        Raises
        ------
        ValueError
            If the lengths differ or an item is unknown.
        """
        check_is_fitted(self)
        users, items = as_ids("user_ids", user_ids), as_ids("item_ids", item_ids)
        checks.check_same_length(user_ids=users, item_ids=items)
        columns = check_known("item_ids", items, lookup("item_ids", items, self.item_ids_))
        rows = self._rows_of_users(users)
        scores = np.empty(users.size, dtype=np.float32)
        # A user's scores are computed once, however many of the pairs are theirs.
        order = np.argsort(users, kind="stable")
        _, first = np.unique(users[order], return_index=True)
        size = block_size(self.item_ids_.size)
        for start in range(0, first.size, size):
            stop = first[start + size] if start + size < first.size else users.size
            pairs = order[first[start] : stop]
            leaders = order[first[start : start + size]]
            block = np.empty((leaders.size, self.item_ids_.size), dtype=np.float32)
            self._score_users_into(users[leaders], rows[leaders], block)
            within = np.searchsorted(first[start : start + size], np.arange(first[start], stop), "right") - 1
            scores[pairs] = block[within, columns[pairs]]
        return scores

    def _rows_of_users(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        rows = lookup("user_ids", ids, self.user_ids_)
        n_unknown = int((rows == UNKNOWN).sum())
        if n_unknown:
            warnings.warn(
                f"{n_unknown} of {ids.size} users are not in the log of `fit` and get the popularity prior.",
                UserWarning,
                stacklevel=3,
            )
        return rows

    def _rank(
        self,
        ids: NDArray[Any],
        rows: NDArray[np.int64],
        k: int,
        *,
        seen: csr_array | None,
        seen_rows: NDArray[np.int64] | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the columns and scores of the `k` best items; `seen` has the users of the log as rows."""

        def score_into(start: int, stop: int, out: NDArray[np.float32]) -> None:
            self._score_users_into(ids[start:stop], rows[start:stop], out)

        return blocked_top_k(
            score_into,
            rows.size,
            self.item_ids_.size,
            k,
            seen=seen,
            seen_rows=rows if seen_rows is None else seen_rows,
            allowed=allowed,
        )

    def _score_users_into(self, ids: NDArray[Any], rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Score known users by the model and the others by `_score_unknown`."""
        unknown = rows == UNKNOWN
        if not unknown.any():
            self._score_into(rows, out)
            return
        if not unknown.all():
            out[~unknown] = self._score_block(rows[~unknown])
        out[unknown] = self._score_unknown(ids[unknown])


def as_interactions(interactions: Any, users: Any = None, items: Any = None) -> Interactions:
    """Return `interactions` (Interactions or a frame) with the given side tables in place of its own."""
    if not isinstance(interactions, Interactions):
        interactions = Interactions.from_frame(interactions)
    log: Interactions = interactions
    if users is not None:
        log = log.replace(users=to_columns(users))
    if items is not None:
        log = log.replace(items=to_columns(items))
    return log
