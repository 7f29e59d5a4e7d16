"""Proportions of bags averaged over nearest neighbours, twice: a baseline that assumes no form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from noisy_labels.proportions.bag_classifier import CountScoreClassifier
from noisy_labels.proportions.count_calibration import calibrate_scores, probability_slope
from noisy_labels.proportions.count_messages import CountFactor
from sparse_data.checks import check_count

Floats = NDArray[np.float64]


class SmoothedProportions(CountScoreClassifier):
    r"""The mean of the proportions of neighbours' bags, smoothed once more.

    .. math:: g_i = \frac1k \sum_{j \in N_k(i)} \pi_{b(j)}, \qquad
              f(x) = \frac1k \sum_{j \in N_k(x)} g_j

    over the k training rows of the most similar direction (cosine of standardised features); the likelihood
    of the counts turns f into log odds.  The local share of positives stands out of the noise by
    :math:`\delta \sqrt{k / (m\, p\, (1 - p))}`: k must grow with the size m of bags.

    Parameters
    ----------
    n_neighbors : int, default=200
        k; all other rows where there are fewer.

    Attributes
    ----------
    transduce_proba_ : float array of shape (n_rows, 2)
        P(class) of the training rows given the count of their own bag.
    classes_ : array of shape (2,)
        0 and 1 if bags were given.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(400, 2)), np.arange(400) // 4
    >>> model = SmoothedProportions(20).fit(X, bags=bags, counts=np.bincount(bags, X[:, 0] > 0))
    >>> bool(np.mean(model.predict(X) == (X[:, 0] > 0)) > 0.85)
    True
    """

    _several_classes = False
    _overlapping = False

    def __init__(self, n_neighbors: int = 200) -> None:
        self.n_neighbors = n_neighbors

    def _fit_logits(self, rows: Floats, factor: CountFactor, *, bagged: bool) -> Floats:
        del bagged
        check_count("n_neighbors", self.n_neighbors)
        self._scaler = StandardScaler().fit(rows)
        k = min(self.n_neighbors, rows.shape[0] - 1)
        self._search = NearestNeighbors(n_neighbors=k).fit(self._directions(rows))
        sizes = factor.index.sizes
        of_row = factor.index.of_rows(np.repeat(factor.expected_counts() / sizes, sizes))
        neighbours = self._search.kneighbors(return_distance=False)
        self._once = of_row[neighbours].mean(axis=1)
        scores = self._once[neighbours].mean(axis=1)
        slope = probability_slope(factor)
        self._slope, self._intercept = calibrate_scores(scores, factor, expected_slope=slope)
        return np.asarray(self._slope * scores + self._intercept)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the log odds of `classes_[1]`, shape (n_rows,)."""
        rows = self._read_predict(X)
        neighbours = self._search.kneighbors(self._directions(rows), return_distance=False)
        return np.asarray(self._slope * self._once[neighbours].mean(axis=1) + self._intercept)

    def _directions(self, X: Floats) -> Floats:
        return np.asarray(normalize(self._scaler.transform(X)))
