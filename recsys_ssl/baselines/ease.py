"""EASE: a linear autoencoder over items with a closed-form solution."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_ssl.recommenders.recommender import Recommender
from sparse_data import checks
from sparse_data.datasets import Interactions


class EASE(Recommender):
    r"""Reconstruct each item of a user from the user's other items.

    .. math:: \min_B \lVert X - X B \rVert_F^2 + \lambda \lVert B \rVert_F^2
              \quad \text{with } \operatorname{diag}(B) = 0

    has the solution, with :math:`P = (X^\top X + \lambda I)^{-1}`,

    .. math:: B_{ij} = -P_{ij} / P_{jj} \; (i \ne j), \qquad \hat Y = X B.

    The matrix B is dense: n_items² numbers of 4 bytes, and three times 8 bytes each while fitting, 0.7 GB
    and 4 GB at 13,000 items.

    Parameters
    ----------
    regularization : float, default=500.0
        λ, above 0; a few hundred to a few thousand, more for more users.

    Attributes
    ----------
    item_weights_ : float32 array of shape (n_items, n_items)
        B.

    References
    ----------
    Steck, "Embarrassingly shallow autoencoders for sparse data", 2019, arXiv:1905.03375.

    Examples
    --------
    >>> from sparse_data.datasets import Interactions
    >>> log = Interactions(user_ids=["u", "u", "v", "v", "w"], item_ids=["a", "b", "a", "b", "a"])
    >>> item_ids, _ = EASE(regularization=1.0).fit(log).recommend("w", k=1)
    >>> item_ids.tolist()
    [['b']]
    """

    def __init__(self, regularization: float = 500.0) -> None:
        self.regularization = regularization

    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        del interactions
        checks.check_in_range("regularization", self.regularization, 0, closed="neither")
        self.weights_ = weights
        gram = (weights.T @ weights).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = _inverse_of_positive_definite(gram)
        # Column j of P over -P_jj.
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0.0)
        self.item_weights_ = inverse.astype(np.float32)

    def _score_block(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.weights_[users] @ self.item_weights_
        return scores

    def _similar_block(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weights with which the items speak for the others: rows of B."""
        return self.item_weights_[items]


def _inverse_of_positive_definite(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse by Cholesky, half the work of a general one; `matrix` is overwritten."""
    # The transpose of a symmetric matrix in C order is the same matrix in the order LAPACK works in.
    factor, failed = scipy.linalg.lapack.dpotrf(matrix.T, lower=1, overwrite_a=1)
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or not (np.diag(inverse) > 0).all():
        raise ValueError(
            "`regularization` must be large enough for these weights; got a singular matrix. Raise it."
        )
    lower = np.tril(inverse)
    return np.asarray(lower + np.tril(lower, -1).T)
