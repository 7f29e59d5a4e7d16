"""The graph over which labels are smoothed: nearest neighbours with weights that fall with distance."""

from __future__ import annotations

import importlib
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from noisy_labels.proportions.nearest_cells import nearest_in_cells, row_distances
from sparse_data.checks import check_count, check_moderate, check_ndim, check_nonempty, check_one_of

Metric = Literal["cosine", "euclidean"]
Weights = Literal["symmetric", "raw"]
Search = Literal["auto", "exact", "cells", "approximate"]

_MANY = 65_536  # rows beyond which exact search takes minutes
_EXPANSION = 64  # candidates of the approximate search


def neighbour_graph(
    X: ArrayLike,
    *,
    n_neighbors: int = 10,
    metric: Metric = "cosine",
    weights: Weights = "symmetric",
    search: Search = "auto",
) -> csr_array:
    r"""Join each row to its nearest neighbours.

    .. math:: k_{ij} = e^{-\lVert x_i - x_j \rVert / \ell}, \qquad
              w_{ij} = \bar d \, \frac{k_{ij}}{\sqrt{d_i d_j}}, \qquad d_i = \sum_j k_{ij}

    with :math:`\ell` the median distance of neighbours and :math:`\bar d` the mean degree.  Without the
    division by degrees, rows in crowded places are drawn to the majority whatever their features say.

    Parameters
    ----------
    X : array_like of shape (n_rows, n_features)
    n_neighbors : int, default=10
        k; all other rows where there are fewer.
    metric : {"cosine", "euclidean"}, default="cosine"
        Cosine neighbours are those of rows scaled to length 1; their distance is that of the scaled rows.
    weights : {"symmetric", "raw"}, default="symmetric"
        "raw" is the paper's :math:`e^{-\lVert x_i - x_j \rVert}` on the rows as they are.
    search : {"auto", "exact", "cells", "approximate"}, default="auto"
        "cells" looks into the cells of k-means next to a row's own, see `nearest_in_cells`: seconds for
        100,000 rows.  "approximate" is a navigable small-world graph (HNSW, of usearch), some thirty times
        as long, which also finds the neighbours of rows that lie in no clusters; it needs the extra `ann`.
        Both compute in float32.  "auto" is exact up to 65,536 rows, then "cells".

    Returns
    -------
    csr_array of shape (n_rows, n_rows)
        Symmetric, with an empty diagonal: j is a neighbour of i, or i of j.

    Raises
    ------
    ValueError
        If `X` is NaN, infinite or not two-dimensional, or an argument is out of its range.
    ImportError
        For an approximate search without usearch.

    References
    ----------
    Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", 2016, arXiv:1603.09320.
    Havaldar et al., "Learning from Label Proportions: Bootstrapping Supervised Learners via Belief
    Propagation", 2024, arXiv:2310.08056.

    Examples
    --------
    >>> graph = neighbour_graph([[0.0], [1.0], [5.0]], n_neighbors=1, metric="euclidean", weights="raw")
    >>> graph.toarray().round(3)
    array([[0.   , 0.368, 0.   ],
           [0.368, 0.   , 0.018],
           [0.   , 0.018, 0.   ]])
    """
    rows = check_ndim("X", check_moderate("X", X), 2).astype(np.float64, copy=False)
    if len(rows):
        check_nonempty("X", rows, "Give each row at least one feature.")
    check_count("n_neighbors", n_neighbors)
    check_one_of("metric", metric, ("cosine", "euclidean"))
    check_one_of("weights", weights, ("symmetric", "raw"))
    check_one_of("search", search, ("auto", "exact", "cells", "approximate"))
    n = rows.shape[0]
    k = min(n_neighbors, n - 1)
    if k < 1:
        return csr_array((n, n), dtype=np.float64)
    points = normalize(rows) if metric == "cosine" else rows
    if search == "exact" or (search == "auto" and n <= _MANY):
        distance, neighbour = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    elif search == "approximate":
        distance, neighbour = _approximate(points, k)
    else:
        neighbour = nearest_in_cells(points, k)
        distance = row_distances(points, neighbour)
    if weights == "raw":
        kernel = np.exp(-row_distances(rows, neighbour))
    else:
        median = float(np.median(distance))
        kernel = np.exp(-distance / median) if median > 0 else np.ones_like(distance)
    one_way = csr_array((kernel.ravel(), neighbour.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    graph = csr_array(one_way.maximum(one_way.T))
    if weights == "symmetric":
        degree = graph.sum(axis=1)
        scale = np.divide(1.0, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
        graph.data *= np.repeat(scale, np.diff(graph.indptr)) * scale[graph.indices] * degree.mean()
    graph.sort_indices()
    return graph


def _approximate(points: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distances and numbers of nearly the k nearest other rows, nearest first."""
    try:
        usearch = importlib.import_module("usearch.index")
    except ImportError as error:
        raise ImportError(
            "search=\"approximate\" needs usearch: pip install 'sparselabels[ann]'", name="usearch"
        ) from error
    vectors = points.astype(np.float32)
    graph = usearch.Index(ndim=vectors.shape[1], metric="l2sq", dtype="f32", expansion_search=_EXPANSION)
    numbers = np.arange(vectors.shape[0])
    graph.add(numbers, vectors)
    found = graph.search(vectors, k + 1)
    keys, squares = found.keys.astype(np.int64), found.distances
    # The row itself is the nearest as a rule, but rows that are equal may come before it.
    own = keys == numbers[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (numbers.size, k)
    return np.sqrt(squares[~own].reshape(shape)).astype(np.float64), keys[~own].reshape(shape)
