"""Recommenders that score by an inner product of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.recommender import Recommender


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
