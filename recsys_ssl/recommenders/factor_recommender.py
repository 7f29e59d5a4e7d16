"""Recommenders that score by an inner product of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_ssl.embeddings.id_lookup import lookup
from recsys_ssl.recommenders.blocked_top_k import blocked_top_k
from recsys_ssl.recommenders.recommender import Recommender
from sparse_data import Bags


class FactorRecommender(Recommender):
    """A recommender whose score is the inner product of a user and an item vector, plus an item bias.

    `_fit` sets `user_factors_` (n_users, dim) and `item_factors_` (n_items, dim), float32, and may set
    `item_bias_` (n_items,).  A model that computes the vectors of users when they are asked for overrides
    `_user_vectors`.
    """

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    item_bias_: NDArray[np.float32] | None = None

    def _user_vectors(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.user_factors_[users]

    def _item_vectors(self) -> NDArray[np.floating[Any]]:
        return self.item_factors_

    def _score_into(self, users: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        np.matmul(self._user_vectors(users), self.item_factors_.T, out=out)
        if self.item_bias_ is not None:
            out += self.item_bias_

    def _score_block(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        out = np.empty((users.size, self.item_ids_.size), dtype=np.float32)
        self._score_into(users, out)
        return out

    def _rank_vectors(
        self,
        queries: NDArray[np.float32],
        liked: Bags,
        k: int,
        *,
        filter_seen: bool,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the columns and scores of the `k` best items for vectors of users who are not in the log.

        `liked` holds what they have seen, as rows of `item_ids_`; with an empty bag the vector says nothing
        and `_score_unknown` takes its place.
        """
        n_items = self.item_ids_.size
        data = np.ones(len(liked.values), dtype=np.bool_)
        seen = csr_array((data, liked.values, liked.offsets), shape=(len(liked), n_items))
        empty = liked.lengths == 0

        def score_into(start: int, stop: int, out: NDArray[np.float32]) -> None:
            np.matmul(queries[start:stop], self.item_factors_.T, out=out)
            without = np.flatnonzero(empty[start:stop])
            if without.size:
                out[without] = self._score_unknown(without)

        return blocked_top_k(
            score_into, len(liked), n_items, k, seen=seen if filter_seen else None, allowed=allowed
        )

    def _extend_catalogue(self, item_ids: NDArray[Any], vectors: NDArray[np.float32]) -> None:
        """Add items that nobody has seen, with their vectors; `item_ids_` stays sorted."""
        merged = np.union1d(self.item_ids_, item_ids)
        old, new = lookup("item_id", self.item_ids_, merged), lookup("item_id", item_ids, merged)
        factors = np.empty((len(merged), vectors.shape[1]), dtype=np.float32)
        factors[old], factors[new] = self.item_factors_, vectors
        popularity = np.zeros(len(merged))
        popularity[old] = self.popularity_
        shape = (len(self.user_ids_), len(merged))
        seen = csr_array((self.seen_.data, old[self.seen_.indices], self.seen_.indptr), shape=shape)
        self.item_ids_, self.item_factors_, self.popularity_, self.seen_ = merged, factors, popularity, seen
