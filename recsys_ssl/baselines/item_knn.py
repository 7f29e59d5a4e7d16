"""Item nearest neighbours: cosine between item columns, with shrinkage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from recsys_ssl.recommenders.recommender import Recommender
from sparse_data import checks
from sparse_data.datasets import Interactions
from sparse_data.ops_numba import top_k

ITEMS_AT_ONCE = 512


class ItemKNN(Recommender):
    r"""Score an item by its similarity to the items that the user has.

    .. math:: s_{ij} = \frac{x_i^\top x_j}{\lVert x_i \rVert \lVert x_j \rVert + h}, \qquad
              \hat y_{ui} = \sum_{j \in N(i)} x_{uj} s_{ij}

    with x_i the column of item i in the users x items matrix, h the shrinkage, which takes the weight
    from similarities that rest on few users, and N(i) the items most similar to i, without i.

    Parameters
    ----------
    n_neighbors : int, default=100
        Size of N(i).
    shrinkage : float, default=10.0
        At least 0.

    Attributes
    ----------
    similarity_ : csr_array of float32, shape (n_items, n_items)
        Row i holds the similarities to N(i).

    References
    ----------
    Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation algorithms",
    2001.
    Ferrari Dacrema, Cremonesi and Jannach, "Are we really making much progress?", 2019, arXiv:1907.06902.

    Examples
    --------
    >>> from sparse_data.datasets import Interactions
    >>> log = Interactions(user_ids=["u", "u", "v", "v", "w"], item_ids=["a", "b", "a", "b", "c"])
    >>> item_ids, cosines = ItemKNN(shrinkage=0).fit(log).similar_items("a", k=1)
    >>> item_ids.tolist(), cosines.round(5).tolist()
    ([['b']], [[1.0]])
    """

    def __init__(self, n_neighbors: int = 100, *, shrinkage: float = 10.0) -> None:
        self.n_neighbors = n_neighbors
        self.shrinkage = shrinkage

    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        del interactions
        checks.check_count("n_neighbors", self.n_neighbors)
        checks.check_in_range("shrinkage", self.shrinkage, 0, 1e30, hint="Weights are float32.")
        self.weights_ = weights
        n_items = weights.shape[1]
        norms = np.sqrt(weights.multiply(weights).sum(axis=0)).astype(np.float32)
        by_item = csr_array(weights.T)
        n_kept = min(self.n_neighbors, n_items)
        rows = []
        for start in range(0, n_items, ITEMS_AT_ONCE):
            stop = min(start + ITEMS_AT_ONCE, n_items)
            block = (by_item[start:stop] @ weights).toarray()
            scale = norms[start:stop, None] * norms + np.float32(self.shrinkage)
            np.divide(block, scale, out=block, where=scale > 0)
            block[np.arange(stop - start), np.arange(start, stop)] = 0.0
            values, columns = top_k(block, n_kept)
            indptr = np.arange(stop - start + 1) * n_kept
            part = csr_array((values.ravel(), columns.ravel(), indptr), shape=(stop - start, n_items))
            part.eliminate_zeros()
            rows.append(part)
        self.similarity_ = csr_array(vstack(rows))
        self._transposed = csr_array(self.similarity_.T)

    def _score_block(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = (self.weights_[users] @ self._transposed).toarray()
        return scores

    def _similar_block(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        similarity: NDArray[np.float32] = self.similarity_[items].toarray()
        return similarity
