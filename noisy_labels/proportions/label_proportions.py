"""The default for learning from label proportions: bag ridge, count posterior, any classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

from noisy_labels.proportions.bag_classifier import BagClassifier, class_probabilities
from noisy_labels.proportions.bag_factor import Factor, Values
from noisy_labels.proportions.bag_ridge import fit_bag_ridge, warn_of_few_bags
from noisy_labels.proportions.count_calibration import scale_scores
from noisy_labels.proportions.count_potentials import CountPotential
from noisy_labels.proportions.held_out_folds import HeldOutFolds, label_probabilities, lay_folds
from noisy_labels.proportions.input_scales import with_normal_scores
from noisy_labels.proportions.ising_graph import check_graph
from noisy_labels.proportions.loopy_propagation import belief_propagation
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.soft_labels import drawn_labels, fit_soft_labels, soft_label_logits
from sparse_data import Bags
from sparse_data.checks import check_count, check_in_range
from sparse_data.type_checks import random_state_of

Floats = NDArray[np.float64]

_DRAWN_FROM = 8  # times `max_round_rows`: a million rows lose .0004 of AUC by it, 65,536 would lose .003


class LabelProportionsClassifier(BagClassifier):
    r"""Expectation-maximisation from label proportions, started by bag ridge, around any classifier.

    1. `fit_bag_ridge` on features and their normal scores; each row is scored by all bags but its own, and
       the likelihood of the counts turns scores into logits.
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
        See `neighbour_graph`.
    n_rounds : int, default=3
        Rounds at most: one that does not make the counts of held-out bags likelier by two standard errors is
        thrown away and the last.  1 for speed: the estimator is then fitted once.  There is one where bags
        overlap so that more than half of the rows hang together: none of those can be held out.
    cv : int, default=3
        Folds of bags that further rounds hold out in turn, each a fit of the estimator.
    max_round_rows : int, default=65_536
        With more rows, these fits take a random sample of whole bags of so many rows, and the last one
        thinned soft labels, see `fit_soft_labels`, or from eight times as many rows on one label a row drawn
        from them: all steps together, but for the search for neighbours, then take no longer than a single
        fit to all soft labels.
    random_state : int, RandomState or None
        Of the folds and of the default estimator.

    Attributes
    ----------
    estimator_ : classifier
        The last one fitted.
    transduce_proba_ : float array of shape (n_rows, n_classes)
        P(class) of the training rows given the count of their own bag: the soft labels.
    n_rounds_ : int
        Rounds that the soft labels come from.
    classes_ : array of shape (n_classes,)
        0, 1, ... if bags were given, or the columns of a DataFrame.

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
        n_rounds: int = 3,
        cv: int = 3,
        max_round_rows: int = 65_536,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.coupling = coupling
        self.n_neighbors = n_neighbors
        self.n_rounds = n_rounds
        self.cv = cv
        self.max_round_rows = max_round_rows
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | sparray | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
        graph: sparray | None = None,
    ) -> LabelProportionsClassifier:
        """Fit to the counts of bags, or to labels.

        Parameters
        ----------
        X : array_like of shape (n_rows, n_features)
        y : array_like of shape (n_rows,), optional
            Labels, each row a bag of one.  Not looked at if `bags` is given.
        bags : array_like of shape (n_rows,), Bags or sparse matrix of shape (n_bags, n_rows), optional
            The bag of each row, see `read_bags`; or a membership, for bags that overlap.
        proportions, counts : optional
            One of them with `bags`, see `read_factor`.
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
        if graph is not None:
            check_graph(graph, rows.shape[0])
        check_in_range("coupling", self.coupling, 0)
        check_count("n_rounds", self.n_rounds)
        check_count("cv", self.cv, 2)
        check_count("max_round_rows", self.max_round_rows)
        if bags is not None:
            warn_of_few_bags(factor, rows.shape[1])
        rng = random_state_of("random_state", self.random_state)
        estimator = self.estimator
        if estimator is None:
            seed = int(rng.randint(np.iinfo(np.int32).max))
            estimator = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        couplings = None if graph is None or self.coupling == 0 else graph * self.coupling
        if self.coupling > 0 and graph is None and bags is not None:
            couplings = neighbour_graph(StandardScaler().fit_transform(rows), n_neighbors=self.n_neighbors)
            couplings.data *= self.coupling
        logits = self._soft_labels(rows, factor, couplings, estimator, rng)
        self.transduce_proba_ = class_probabilities(logits)
        times = rows.shape[0] / self.max_round_rows
        targets = label_probabilities(logits)
        if times >= _DRAWN_FROM:
            targets = drawn_labels(targets, rng)
        thinned_by = rng if 1 < times < _DRAWN_FROM else None
        self.estimator_ = fit_soft_labels(estimator, rows, targets, thinned_by=thinned_by)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return log odds of `classes_[1]`, shape (n_rows,), or logits of all, (n_rows, n_classes)."""
        rows = self._read_predict(X)
        return soft_label_logits(self.estimator_, rows, self.classes_.size)

    def _soft_labels(
        self,
        rows: Floats,
        factor: Factor,
        couplings: sparray | None,
        estimator: BaseEstimator,
        rng: np.random.RandomState,
    ) -> Floats:
        """Return logits given neighbours and counts, of ridge and then of as many rounds as are kept."""
        scores = fit_bag_ridge(with_normal_scores(rows), factor).held_out_scores
        logits = _calibrated(scores, factor, probabilities=True)
        likelihood = factor.run(logits)[1]
        logits = belief_propagation(logits, graph=couplings, factor=factor).logits
        folds = lay_folds(factor, self.cv, max_rows=self.max_round_rows, rng=rng)
        self.n_rounds_ = 1
        if folds is None:
            return logits
        while self.n_rounds_ < self.n_rounds:
            tried = self._likelier_round(folds, estimator, rows, logits, likelihood)
            if tried is None:
                break
            models, found, likelihood[folds.bags] = tried
            if folds.drawn_by is not None:
                scores = folds.logits(models, rows, np.arange(rows.shape[0]), self.classes_.size)
                found = _calibrated(scores, factor, probabilities=False)
            logits = belief_propagation(found, graph=couplings, factor=factor).logits
            self.n_rounds_ += 1
        return logits

    def _likelier_round(
        self, folds: HeldOutFolds, estimator: BaseEstimator, rows: Floats, logits: Floats, likelihood: Floats
    ) -> tuple[list[Any], Floats, Floats] | None:
        """Return models, held-out logits and log-likelihoods of bags; None if these are not clearly higher.

        Of a sample, whose fits are most of the cost, a first fold without any gain says so for the others.
        """
        models: list[Any] = []
        for model in folds.fit(estimator, rows, logits):
            models.append(model)
            if len(models) == 1 and folds.drawn_by is not None:
                first = folds.first()
                if self._held_out(first, models, rows)[1].sum() <= likelihood[first.bags].sum():
                    return None
        found, now = self._held_out(folds, models, rows)
        gain = now - likelihood[folds.bags]
        return (models, found, now) if gain.sum() > _two_errors(gain) else None

    def _held_out(self, folds: HeldOutFolds, models: list[Any], rows: Floats) -> tuple[Floats, Floats]:
        """Return logits by models that have not seen the bags, and the log-likelihoods of these."""
        scores = folds.logits(models, rows, folds.rows, self.classes_.size)
        found = _calibrated(scores, folds.factor, probabilities=False)
        return found, folds.factor.run(found)[1]


def _two_errors(gain: Floats) -> float:
    """Return two standard errors of the sum."""
    return float(2 * gain.std() * np.sqrt(gain.size))


def _calibrated(scores: Floats, factor: Factor, *, probabilities: bool) -> Floats:
    return scale_scores(scores, factor, probabilities=probabilities).logits(scores)
