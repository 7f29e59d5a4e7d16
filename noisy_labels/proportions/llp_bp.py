"""LLP-BP of Havaldar et al. (2024): belief propagation makes labels, a network learns them, in turn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from noisy_labels.proportions.bag_classifier import BagClassifier, class_probabilities
from noisy_labels.proportions.bag_factor import Factor, Values
from noisy_labels.proportions.bag_labels import BagIndex
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.count_messages import count_factor
from noisy_labels.proportions.count_potentials import CountPotential, QuadraticCount
from noisy_labels.proportions.hidden_layer import last_hidden_layer
from noisy_labels.proportions.ising_graph import check_graph
from noisy_labels.proportions.loopy_propagation import Beliefs, belief_propagation
from noisy_labels.proportions.nearest_neighbours import Metric, Weights, neighbour_graph
from noisy_labels.proportions.pairwise_counts import pairwise_counts
from noisy_labels.proportions.soft_labels import (
    Decoding,
    decode_labels,
    fit_soft_labels,
    soft_label_logits,
)
from sparse_data import Bags
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.type_checks import random_state_of

Floats = NDArray[np.float64]


class LLPBeliefPropagationClassifier(BagClassifier):
    r"""Label propagation under counts of bags, and a network that learns the labels; the two in turn.

    .. math:: P(y) \propto \exp\Big(-\lambda_b \sum_b \Big(\sum_{i \in b} y_i - s_b\Big)^2
              - \lambda_s \sum_{(i,j) \in E} w_{ij} (y_i - y_j)^2\Big)

    The marginals of this distribution are the labels that `estimator` is fitted to.  In later rounds,
    neighbours are those in the features that it has learned.  What differs from the paper by default: one
    exact factor a bag in place of all pairs of its rows, weights divided by degrees, soft labels; every one
    can be switched back.  It is at its best with small bags and smooth features; compare it with
    `LabelProportionsClassifier` and `BagRidge`, and see `permuted_bag_test`.

    Parameters
    ----------
    estimator : classifier, optional
        With `sample_weight` and `predict_proba`; an MLPClassifier when None.  It is given standardised
        features.
    embed : callable, optional
        Of the fitted estimator and X; returns the features for the next graph.  The last hidden layer of an
        MLPClassifier when None; needed for other estimators if `n_rounds` > 1.
    bag_factor : {"count", "pairwise"}, default="count"
        "pairwise" is the paper's form, which seldom converges; for bags of at most 64.
    bag_strength : float or None, default=10.0
        :math:`\lambda_b`; None takes counts for exact.  Not used if `counts` is a CountPotential, or of more
        than two classes: these are exact.
    coupling : float, default=1.0
        :math:`\lambda_s`; 0 for no graph.
    n_neighbors : int, default=10
    metric : {"cosine", "euclidean"}, default="cosine"
    weights : {"symmetric", "raw"}, default="symmetric"
        See `neighbour_graph`; "raw" is the paper's.
    targets : {"soft", "threshold", "count"}, default="soft"
        Marginals; 1 where they reach a half (the paper's); or 1 for as many of each bag as its count says.
    n_rounds : int, default=2
    max_iter : int, default=100
        Passes of belief propagation.
    tol : float, default=0.01
    damping : float, default=0.5
    random_state : int, RandomState or None
        Of the default estimator.

    Attributes
    ----------
    estimator_ : classifier
        The last one fitted.
    beliefs_ : list of Beliefs
        Of each round, with residuals and convergence.
    n_iter_ : int
        Passes of belief propagation in the last round.
    transduce_proba_ : float array of shape (n_rows, n_classes)
        Marginals of the training rows.
    classes_ : array of shape (n_classes,)
        0, 1, ... if bags were given, or the columns of a DataFrame.

    References
    ----------
    Havaldar et al., "Learning from Label Proportions: Bootstrapping Supervised Learners via Belief
    Propagation", 2024, arXiv:2310.08056.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = make_blobs(200, centers=2, random_state=0)
    >>> bags = np.arange(200) // 4
    >>> model = LLPBeliefPropagationClassifier(LogisticRegression(), n_rounds=1)
    >>> bool(model.fit(X, bags=bags, counts=np.bincount(bags, y)).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        embed: Callable[[Any, Floats], ArrayLike] | None = None,
        bag_factor: Literal["count", "pairwise"] = "count",
        bag_strength: float | None = 10.0,
        coupling: float = 1.0,
        n_neighbors: int = 10,
        metric: Metric = "cosine",
        weights: Weights = "symmetric",
        targets: Decoding = "soft",
        n_rounds: int = 2,
        max_iter: int = 100,
        tol: float = 0.01,
        damping: float = 0.5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.embed = embed
        self.bag_factor = bag_factor
        self.bag_strength = bag_strength
        self.coupling = coupling
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.weights = weights
        self.targets = targets
        self.n_rounds = n_rounds
        self.max_iter = max_iter
        self.tol = tol
        self.damping = damping
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
    ) -> LLPBeliefPropagationClassifier:
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
            Symmetric weights to use in place of nearest neighbours, in all rounds.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For NaN in `X`, bags and counts that do not fit, or parameters out of range.

        Warns
        -----
        ConvergenceWarning
            If belief propagation does not converge.
        """
        rows, factor = self._read_fit(X, y, bags, proportions, counts)
        if graph is not None:
            check_graph(graph, rows.shape[0])
        self._check_parameters()
        softened = self._softened(factor, counts)
        self._scaler = StandardScaler().fit(rows)
        rows = self._scaler.transform(rows)
        estimator = self.estimator
        if estimator is None:
            seed = int(random_state_of("random_state", self.random_state).randint(np.iinfo(np.int32).max))
            estimator = MLPClassifier((128, 64), early_stopping=False, max_iter=15, random_state=seed)
        learned, self.beliefs_ = rows, []
        for iteration in range(self.n_rounds):
            if iteration:
                learned = np.asarray(self._embedding(rows))
            beliefs = self._propagate(learned, factor, softened, graph)
            self.beliefs_.append(beliefs)
            targets = decode_labels(beliefs.probabilities, factor, self.targets)
            with warnings.catch_warnings():
                if self.estimator is None:  # its few passes over the data are meant to be few
                    warnings.simplefilter("ignore", ConvergenceWarning)
                self.estimator_ = fit_soft_labels(estimator, rows, targets)
        self.n_iter_ = beliefs.n_iter
        self.transduce_proba_ = class_probabilities(beliefs.logits)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return log odds of `classes_[1]`, shape (n_rows,), or logits of all, (n_rows, n_classes)."""
        rows = self._read_predict(X)
        return soft_label_logits(self.estimator_, self._scaler.transform(rows), self.classes_.size)

    def _softened(self, factor: Factor, counts: Values | CountPotential | None) -> Factor:
        """Return the factor whose counts may be missed at a price."""
        alike = isinstance(factor, ClassCountFactor) or isinstance(factor.index, BagMembership)
        if alike and (self.bag_factor == "pairwise" or self.targets == "count"):
            raise ValueError(
                '`bag_factor="pairwise"` and `targets="count"` must be for two classes in bags that do not '
                'overlap; got others. Use "count" and "soft".'
            )
        if isinstance(factor, ClassCountFactor) or isinstance(counts, CountPotential):
            return factor
        if self.bag_strength is None:
            return factor
        penalty = QuadraticCount(factor.expected_counts(), self.bag_strength)
        return count_factor(factor.index, penalty, factor.index.n_rows)

    def _check_parameters(self) -> None:
        check_one_of("bag_factor", self.bag_factor, ("count", "pairwise"))
        check_one_of("targets", self.targets, ("soft", "threshold", "count"))
        check_in_range("coupling", self.coupling, 0)
        check_count("n_rounds", self.n_rounds)
        if self.bag_strength is not None:
            check_in_range("bag_strength", self.bag_strength, 0, closed="neither")
        elif self.bag_factor == "pairwise":
            raise ValueError('`bag_strength` must be a number for bag_factor="pairwise"; got None. Pass one.')
        if self.n_rounds > 1 and self.embed is None and not isinstance(self.estimator, MLPClassifier | None):
            raise ValueError(
                f"`embed` must be given for several rounds with {type(self.estimator).__name__}; got None. "
                "Pass a function of the fitted estimator and X, or n_rounds=1."
            )

    def _embedding(self, rows: Floats) -> ArrayLike:
        if self.embed is not None:
            return self.embed(self.estimator_, rows)
        return last_hidden_layer(self.estimator_, rows)

    def _propagate(self, learned: Floats, factor: Factor, softened: Factor, graph: sparray | None) -> Beliefs:
        """Return the marginals with neighbours in `learned`, or in `graph` if it is given."""
        n_classes = self.classes_.size
        logits = np.zeros(learned.shape[0] if n_classes == 2 else (learned.shape[0], n_classes))
        couplings = None
        if self.coupling > 0:
            if graph is None:
                graph = neighbour_graph(
                    learned, n_neighbors=self.n_neighbors, metric=self.metric, weights=self.weights
                )
            couplings = graph * self.coupling
        own: Factor | None = softened
        if self.bag_factor == "pairwise" and isinstance(factor.index, BagIndex):
            logits, pairs = pairwise_counts(
                factor.index, factor.expected_counts(), float(self.bag_strength or 0)
            )
            couplings, own = pairs if couplings is None else couplings + pairs, None
        return belief_propagation(
            logits, graph=couplings, factor=own, max_iter=self.max_iter, tol=self.tol, damping=self.damping
        )
