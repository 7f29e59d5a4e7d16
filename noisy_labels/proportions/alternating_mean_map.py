"""Alternating mean map: the likeliest labels that fit the counts, and a logistic model of them, in turn."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisy_labels.proportions.bag_labels import BagIndex
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.laplacian_mean_map import LaplacianMeanMap
from noisy_labels.proportions.mean_map import MeanMap, fit_to_operator
from noisy_labels.proportions.soft_labels import decode_labels
from sparse_data.checks import check_count, check_in_range, check_one_of

Floats = NDArray[np.float64]


class AlternatingMeanMap(LaplacianMeanMap):
    r"""Logistic regression that chooses its own labels: AMM of Patrini et al., the minimising variant.

    .. math:: \min_{w, b} \min_{y\,:\, \sum_{i \in b} y_i = s_b \forall b}
              \frac1n \sum_i \log\big(1 + e^{-2 (2 y_i - 1) f_i}\big) + \frac{\lambda}{2 n} \lVert w \rVert^2

    From a mean map on, the rows of highest score in each bag, as many as its count says, are positive, and
    the weights are fitted to them, until the loss falls no more.

    Parameters
    ----------
    penalty : float, default=10.0
        λ > 0.
    start : {"mean", "laplacian"}, default="laplacian"
        `MeanMap` or `LaplacianMeanMap` for the first weights.
    smoothness, n_neighbors
        As of `LaplacianMeanMap`.
    max_iter : int, default=30
    tol : float, default=1e-3
        Least change of the loss.

    Attributes
    ----------
    n_iter_ : int
    coef_, intercept_, loss_, transduce_proba_, classes_
        As of `MeanMap`.

    References
    ----------
    Patrini et al., "(Almost) No Label No Cry", 2014.
    """

    def __init__(
        self,
        penalty: float = 10.0,
        *,
        start: Literal["mean", "laplacian"] = "laplacian",
        smoothness: float = 10.0,
        n_neighbors: int = 10,
        max_iter: int = 30,
        tol: float = 1e-3,
    ) -> None:
        super().__init__(penalty, smoothness=smoothness, n_neighbors=n_neighbors)
        self.start = start
        self.max_iter = max_iter
        self.tol = tol

    def _fit_weights(self, rows: Floats, factor: CountFactor) -> tuple[Floats, float]:
        check_one_of("start", self.start, ("mean", "laplacian"))
        check_count("max_iter", self.max_iter)
        check_in_range("tol", self.tol, 0)
        weights, loss = super()._fit_weights(rows, factor)[0], np.inf
        self.n_iter_ = 0
        while self.n_iter_ < self.max_iter:
            scores = rows @ weights[:-1] + weights[-1]
            labels = decode_labels(scores, factor, "count")
            operator = (2 * labels - 1) @ rows / rows.shape[0]
            found, lower = fit_to_operator(rows, operator, float(labels.mean()), penalty=self.penalty)
            self.n_iter_ += 1
            fall, weights, loss = loss - lower, found, lower
            if fall <= self.tol:
                break
        return weights, float(loss)

    def _operator(self, rows: Floats, index: BagIndex | BagMembership, shares: Floats) -> Floats:
        kind = MeanMap if self.start == "mean" else LaplacianMeanMap
        return kind._operator(self, rows, index, shares)
