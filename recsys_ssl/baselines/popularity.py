"""Popularity: the same list for everybody, the obvious thing to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_ssl.recommenders.recommender import Recommender
from sparse_data.datasets import Interactions


class Popularity(Recommender):
    r"""Rank items by how often they occur in the log.

    .. math:: \hat y_{ui} = c_i / \sum_j c_j

    with :math:`c_i` the weight of item i in the log.  It knows no similarity of items: `similar_items`
    gives the most popular others.

    Examples
    --------
    >>> from sparse_data.datasets import Interactions
    >>> log = Interactions(user_ids=["u", "v", "w", "w"], item_ids=["a", "a", "a", "b"])
    >>> item_ids, scores = Popularity().fit(log).recommend(["u", "w"], k=1, filter_seen=False)
    >>> item_ids.tolist()
    [['a'], ['a']]
    """

    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        del interactions
        total = weights.sum(axis=0)
        self.item_scores_ = (total / max(total.sum(), np.finfo(np.float32).tiny)).astype(np.float32)

    def _score_block(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.broadcast_to(self.item_scores_, (users.size, self.item_ids_.size))

    def _similar_block(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._score_block(items)
