"""How probable a candidate is when a batch brings its positives and uniform draws.

Yang et al., Mixed Negative Sampling for Learning Two-tower Neural Networks in Recommendations, WWW 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data import checks


def mixed_sampling_log_probability(
    q: NDArray[Any], *, batch: int, uniform: int, corpus: int
) -> NDArray[np.float64]:
    r"""Log probability of a candidate under mixed negative sampling.

    A batch brings :math:`B` items drawn with their frequency :math:`q_j` and :math:`B'` drawn uniformly from
    the :math:`n` items of the corpus, so that :math:`Q^*_j = (B q_j + B' / n) / (B + B')`.

    Parameters
    ----------
    q : ndarray of shape (n_items,)
        Probability that a training pair holds the item, in [0, 1].
    batch : int
        Number of positives in a batch, B.
    uniform : int
        Number of uniformly drawn negatives in a batch, B'.
    corpus : int
        Number of items in the catalogue, n.

    Returns
    -------
    ndarray of shape (n_items,)
        Minus infinity nowhere as long as ``uniform`` is positive; items of no chance get the smallest
        positive probability when it is 0, since they never appear among the candidates.

    Raises
    ------
    ValueError
        If a probability is outside [0, 1] or a number too small.

    References
    ----------
    Yang et al. (2020), Mixed negative sampling for learning two-tower neural networks in recommendations.

    Examples
    --------
    >>> import numpy as np
    >>> log_q = mixed_sampling_log_probability(np.array([0.5, 0.1]), batch=3, uniform=2, corpus=4)
    >>> np.exp(log_q).round(2).tolist()
    [0.4, 0.16]
    """
    q = checks.check_non_negative("q", q).astype(np.float64)
    checks.check_in_range("q", q.max(initial=0.0), high=1, hint="Pass probabilities, not counts.")
    checks.check_count("batch", batch)
    checks.check_count("uniform", uniform, minimum=0)
    checks.check_count("corpus", corpus)
    mixture = (batch * q + uniform / corpus) / (batch + uniform)
    return np.log(np.maximum(mixture, np.finfo(np.float64).tiny))
