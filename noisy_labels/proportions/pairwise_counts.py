"""The quadratic penalty of a bag as edges between all pairs of its rows: the form of the paper's code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from noisy_labels.proportions.bag_labels import BagIndex

Floats = NDArray[np.float64]

LARGEST_BAG = 64


def pairwise_counts(index: BagIndex, counts: Floats, strength: float) -> tuple[Floats, csr_array]:
    r"""Return logits and couplings whose energy is the penalty of the counts.

    .. math:: -\lambda \Big(\sum_i y_i - s\Big)^2
              = -\lambda (m - 2 s) \sum_i y_i + \lambda \sum_{i < j} 1[y_i \ne y_j] - \lambda s^2

    so that pairs of a bag repel.  Belief propagation over them rarely converges where
    :math:`2 \lambda (m - 1) p (1 - p)` exceeds 3, whereas one count factor is exact: this form is for
    comparisons.

    Parameters
    ----------
    index : BagIndex
    counts : float array of shape (n_bags,)
        s.
    strength : float
        λ.

    Returns
    -------
    logits : float array of shape (n_rows,)
    graph : csr_array of shape (n_rows, n_rows)

    Raises
    ------
    ValueError
        If a bag has more than 64 rows: the number of edges grows with the square.
    """
    sizes = index.sizes
    if sizes.max() > LARGEST_BAG:
        raise ValueError(
            f"Bags must have at most {LARGEST_BAG} rows for pairwise factors; got one of {sizes.max()}. Use "
            'bag_factor="count".'
        )
    n_rows = index.codes.size
    members = csr_array((np.ones(n_rows), index.rows.values, index.rows.offsets), shape=(sizes.size, n_rows))
    pairs = csr_array(members.T @ members)
    pairs.setdiag(0.0)
    pairs.eliminate_zeros()
    return (-strength * (sizes - 2 * counts))[index.codes], pairs * -strength
