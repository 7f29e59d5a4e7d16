"""Mean map where classes may look different from bag to bag, alike in bags that are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg

from noisy_labels.proportions.bag_labels import BagIndex
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.mean_map import MeanMap
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from sparse_data.checks import check_count, check_in_range

Floats = NDArray[np.float64]

_RIDGE = 1e-6  # makes the system positive definite where no bag tells of a class


def laplacian_mean_operator(
    means: Floats, shares: Floats, sizes: NDArray[np.int64], similarity: csr_array, *, smoothness: float
) -> Floats:
    r"""Estimate the mean of :math:`(2y - 1)\, x` by means of the classes in each bag.

    .. math:: \min_B \sum_j w_j \lVert \bar x_j - \pi_j b_j^+ - (1 - \pi_j) b_j^- \rVert^2
              + \frac{\gamma}{2} \sum_{jk} S_{jk} \big(\lVert b_j^+ - b_k^+ \rVert^2
              + \lVert b_j^- - b_k^- \rVert^2\big), \qquad
              M = \frac{1}{n} \sum_j m_j \big(\pi_j b_j^+ - (1 - \pi_j)\, b_j^-\big)

    Parameters
    ----------
    means : float array of shape (n_bags, n_features)
    shares : float array of shape (n_bags,)
        π.
    sizes : int array of shape (n_bags,)
        m; the weights w are sizes over their mean.
    similarity : csr_array of shape (n_bags, n_bags)
        S, symmetric.
    smoothness : float
        γ > 0.

    Returns
    -------
    float array of shape (n_features,)

    References
    ----------
    Patrini et al., "(Almost) No Label No Cry", 2014.
    """
    n_bags = shares.size
    weight = sizes / sizes.mean()
    laplacian = diags_array(similarity.sum(axis=1)) - similarity
    smooth = smoothness * laplacian + _RIDGE * eye_array(n_bags)
    both = diags_array(weight * shares * (1 - shares))
    system = block_array(
        [
            [smooth + diags_array(weight * shares**2), both],
            [both, smooth + diags_array(weight * (1 - shares) ** 2)],
        ],
        format="csr",
    )
    mixture = np.concatenate([weight * shares, weight * (1 - shares)])
    signed = np.concatenate([weight * shares, -weight * (1 - shares)]) / n_bags
    # M is linear in the bags' means, so that one solution of the symmetric system serves all features.
    solution = cg(system, signed, rtol=1e-8, maxiter=20 * n_bags)[0]
    return np.asarray((mixture * solution).reshape(2, n_bags).sum(axis=0) @ means)


class LaplacianMeanMap(MeanMap):
    r"""Logistic regression by means of the classes in each bag: LMM of Patrini et al.

    `laplacian_mean_operator` over nearest neighbours among the bags' means, then as `MeanMap`.

    Parameters
    ----------
    penalty : float, default=10.0
        λ > 0.
    smoothness : float, default=10.0
        γ > 0: how alike a class is in bags that are alike; `MeanMap` where it is large.
    n_neighbors : int, default=10
        Bags that a bag is likened to; the paper likens it to all.

    Attributes
    ----------
    coef_, intercept_, loss_, transduce_proba_, classes_
        As of `MeanMap`.

    References
    ----------
    Patrini et al., "(Almost) No Label No Cry", 2014.
    """

    def __init__(self, penalty: float = 10.0, *, smoothness: float = 10.0, n_neighbors: int = 10) -> None:
        super().__init__(penalty)
        self.smoothness = smoothness
        self.n_neighbors = n_neighbors

    def _operator(self, rows: Floats, index: BagIndex | BagMembership, shares: Floats) -> Floats:
        check_in_range("smoothness", self.smoothness, 0, 1e12, closed="right")
        check_count("n_neighbors", self.n_neighbors)
        means = index.means(rows)
        similarity = neighbour_graph(means, n_neighbors=self.n_neighbors, metric="euclidean")
        return laplacian_mean_operator(means, shares, index.sizes, similarity, smoothness=self.smoothness)
