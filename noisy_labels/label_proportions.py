"""The default for learning from label proportions: bag ridge, count posterior, any classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from noisy_labels.bag_classifier import BagClassifier, Values
from noisy_labels.bag_ridge import ridge_direction, warn_of_few_bags
from noisy_labels.count_calibration import calibrate_scores, probability_slope
from noisy_labels.count_messages import CountFactor
from noisy_labels.count_potentials import CountPotential
from noisy_labels.loopy_propagation import belief_propagation
from noisy_labels.nearest_neighbours import neighbour_graph
from noisy_labels.soft_labels import fit_soft_labels, positive_logits
from sparse_data import Bags
from sparse_data.checks import check_count, check_in_range

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Of all rows, numbers of those to fit to, what is known of their bags, numbers of those to score.
FitAndScore = Callable[[Floats, Ints, CountFactor, Ints], Floats]


class LabelProportionsClassifier(BagClassifier):
    r"""Expectation-maximisation from label proportions, started by bag ridge, around any classifier.

    1. `ridge_direction` on all bags but a fold scores the rows of this fold; the likelihood of the counts
       turns the scores of all folds into logits.
    2. The exact posterior of each label given the count of its bag, smoothed by belief propagation over
       nearest neighbours: see `belief_propagation`.
    3. `estimator` is fitted to these soft labels; further rounds take its logits, bags held out by folds,
       for those of step 1.

    Parameters
    ----------
    estimator : classifier, optional
        With `sample_weight` and `predict_proba`; HistGradientBoostingClassifier when None.
    coupling : float, default=0.2
        Strength λ of the agreement of neighbours; 0 for no graph.
    n_neighbors : int, default=10
    n_rounds : int, default=1
        Times that the estimator is fitted.
    cv : int, default=10
        Folds of bags; 1 to score the bags that were fitted to.
    random_state : int, RandomState or None
        Of the folds and of the default estimator.

    Attributes
    ----------
    estimator_ : classifier
        The last one fitted.
    transduce_proba_ : float array of shape (n_rows, 2)
        P(class) of the training rows given the count of their own bag: the soft labels.
    classes_ : array of shape (2,)
        0 and 1 if bags were given.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(400, 2)), np.arange(400) // 8
    >>> counts = np.bincount(bags, X[:, 0] > 0.3)
    >>> model = LabelProportionsClassifier(LogisticRegression(), random_state=0)
    >>> model = model.fit(X, bags=bags, counts=counts)
    >>> bool(np.mean(model.predict(X) == (X[:, 0] > 0.3)) > 0.95)
    True
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        coupling: float = 0.2,
        n_neighbors: int = 10,
        n_rounds: int = 1,
        cv: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.coupling = coupling
        self.n_neighbors = n_neighbors
        self.n_rounds = n_rounds
        self.cv = cv
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
        graph: sparray | None = None,
    ) -> LabelProportionsClassifier:
        """Fit to the counts of bags, or to labels.

        Parameters
        ----------
        X : array_like of shape (n_rows, n_features)
        y : array_like of shape (n_rows,), optional
            Labels of two classes, each row a bag of one.  Not looked at if `bags` is given.
        bags : array_like of shape (n_rows,) or Bags, optional
            The bag of each row, see `read_bags`.
        proportions, counts : optional
            One of them with `bags`, see `read_counts`.
        graph : sparse matrix of shape (n_rows, n_rows), optional
            Symmetric weights to use in place of nearest neighbours.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For NaN in `X`, bags and counts that do not fit, or parameters out of range.

        Warns
        -----
        UserWarning
            If there are fewer bags than features.
        """
        rows, factor = self._read_fit(X, y, bags, proportions, counts)
        check_in_range("coupling", self.coupling, 0)
        check_count("n_rounds", self.n_rounds)
        check_count("cv", self.cv)
        if bags is not None:
            warn_of_few_bags(factor, rows.shape[1])
        rng = check_random_state(self.random_state)
        estimator = self.estimator
        if estimator is None:
            seed = int(rng.randint(np.iinfo(np.int32).max))
            estimator = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        folds = rng.permutation(factor.index.ids.size) % min(self.cv, factor.index.ids.size)
        if self.coupling > 0 and graph is None and bags is not None:
            graph = neighbour_graph(StandardScaler().fit_transform(rows), n_neighbors=self.n_neighbors)
        couplings = None if graph is None or self.coupling == 0 else graph * self.coupling
        scores = _held_out_scores(rows, factor, folds, _ridge_scores)
        positive = _soft_labels(scores, factor, couplings, probability_slope(factor))
        for _ in range(self.n_rounds - 1):
            round_scores = partial(_estimator_scores, estimator, positive)
            scores = _held_out_scores(rows, factor, folds, round_scores)
            positive = _soft_labels(scores, factor, couplings, 1.0)
        self.estimator_ = fit_soft_labels(estimator, rows, positive)
        self.transduce_proba_ = np.stack([1 - positive, positive], axis=1)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the log odds of `classes_[1]`, shape (n_rows,)."""
        rows = self._read_predict(X)
        return positive_logits(self.estimator_, rows)


def _held_out_scores(X: Floats, factor: CountFactor, folds: Ints, fit_and_score: FitAndScore) -> Floats:
    """Return scores of all rows, those of each fold of bags from a fit to the other folds."""
    scores = np.empty(X.shape[0])
    for fold in range(folds.max() + 1):
        own = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold) if folds.max() > 0 else own
        train, train_factor = factor.take(others)
        test = factor.index.rows[own].values
        scores[test] = fit_and_score(X, train, train_factor, test)
    return scores


def _ridge_scores(X: Floats, train: Ints, train_factor: CountFactor, test: Ints) -> Floats:
    weights, intercept, _ = ridge_direction(X[train], train_factor)
    return np.asarray(X[test] @ weights + intercept)


def _estimator_scores(
    estimator: BaseEstimator, positive: Floats, X: Floats, train: Ints, train_factor: CountFactor, test: Ints
) -> Floats:
    return positive_logits(fit_soft_labels(estimator, X[train], positive[train]), X[test])


def _soft_labels(
    scores: Floats, factor: CountFactor, couplings: sparray | None, expected_slope: float
) -> Floats:
    """Return P(y = 1) of each row, given its score, its neighbours and the count of its bag."""
    slope, intercept = calibrate_scores(scores, factor, expected_slope=expected_slope)
    logits = slope * scores + intercept
    return belief_propagation(logits, graph=couplings, factor=factor).probabilities
