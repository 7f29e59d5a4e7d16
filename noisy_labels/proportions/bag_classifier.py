"""What classifiers that learn from bags share: how `fit` reads them, predictions, a score without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from noisy_labels.proportions.bag_factor import Factor, Values, read_factor
from noisy_labels.proportions.bag_labels import read_index
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.count_potentials import CountPotential
from noisy_labels.proportions.loopy_propagation import belief_propagation
from sparse_data import Bags
from sparse_data.checks import check_moderate
from sparse_data.type_checks import naming

Floats = NDArray[np.float64]


class BagClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A classifier fitted to bags of rows of which only the counts of the classes are known."""

    classes_: NDArray[Any]
    _several_classes: ClassVar[bool] = True  # whether it takes more than two
    _overlapping: ClassVar[bool] = True  # whether it takes bags that share rows

    @abstractmethod
    def decision_function(self, X: ArrayLike) -> Floats:
        """Return log odds of `classes_[1]`, shape (n_rows,), or logits of all, (n_rows, n_classes)."""

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return P(class) of each row, whatever its bag, shape (n_rows, n_classes)."""
        return class_probabilities(self.decision_function(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest class of each row, shape (n_rows,)."""
        logits = self.decision_function(X)
        codes = logits.argmax(axis=1) if logits.ndim == 2 else (logits > 0).astype(np.int64)
        return np.asarray(self.classes_[codes])

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | sparray | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> float:
        """Return the mean log-likelihood of the counts of bags; without bags, the accuracy on labels `y`.

        With bags that were held out this is what to choose parameters by when there are no labels.
        """
        if bags is None:
            if y is None:
                raise ValueError("`bags` or `y` must be given; got neither. Pass the bag of each row.")
            with naming("y", "a label a row of `X`"):
                return float(super().score(X, y, sample_weight))
        logits = self.decision_function(X)
        index = read_index(bags, logits.shape[0])
        factor, _ = read_factor(index, proportions=proportions, counts=counts, classes=self.classes_)
        return float(factor.run(logits)[1].mean())

    def _read_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        bags: ArrayLike | Bags | sparray | None,
        proportions: Values | None,
        counts: Values | CountPotential | None,
    ) -> tuple[Floats, Factor]:
        """Check what `fit` was given; without bags, each row is a bag of one whose count is its label."""
        if bags is not None:
            with naming("X", "rows of numbers"):
                rows = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
            check_moderate("X", rows)
            index = read_index(bags, rows.shape[0])
            factor, self.classes_ = read_factor(index, proportions=proportions, counts=counts)
            self._check_offered(factor)
            return rows, factor
        if proportions is not None or counts is not None:
            raise ValueError(
                "`bags` must be given with `proportions` or `counts`; got None. Pass an id a row."
            )
        with naming("X", "rows of numbers, and `y` a label for each"):
            rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
            check_classification_targets(labels)
        check_moderate("X", rows)
        kind = type_of_target(labels, input_name="y", raise_unknown=True)
        if kind != "binary" and not self._several_classes:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{kind}. Pass labels of two classes, or bags."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if self.classes_.size < 2:
            raise ValueError(
                f"`y` must hold two classes; got one class, {self.classes_[0]!r}. Add the other."
            )
        index = read_index(np.arange(rows.shape[0]), rows.shape[0])
        return rows, read_factor(index, counts=np.eye(self.classes_.size)[codes])[0]

    def _check_offered(self, factor: Factor) -> None:
        others = "Use BagRidge, LabelProportionsClassifier or LLPBeliefPropagationClassifier."
        if self.classes_.size > 2 and not self._several_classes:
            raise ValueError(
                f"`counts` must be of two classes for {type(self).__name__}; got {self.classes_.size}. "
                f"{others}"
            )
        if isinstance(factor.index, BagMembership) and not self._overlapping:
            raise ValueError(
                f"`bags` must be an id a row for {type(self).__name__}; got a sparse membership. {others}"
            )

    def _read_predict(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        with naming("X", "rows of numbers, as in `fit`"):
            rows = validate_data(self, X, dtype=np.float64, reset=False)
        return check_moderate("X", rows)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self._several_classes
        return tags


class CountScoreClassifier(BagClassifier):
    """A classifier by one score a row, to which the counts of the training bags are added afterwards."""

    transduce_proba_: Floats

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | sparray | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> Self:
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

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For NaN in `X`, bags and counts that do not fit, or parameters out of range.
        """
        rows, factor = self._read_fit(X, y, bags, proportions, counts)
        logits = self._fit_logits(rows, factor, bagged=bags is not None)
        self.transduce_proba_ = class_probabilities(belief_propagation(logits, factor=factor).logits)
        return self

    @abstractmethod
    def _fit_logits(self, rows: Floats, factor: Any, *, bagged: bool) -> Floats:
        """Fit, and return the logits of the training rows; `bagged` unless they came with labels."""


def class_probabilities(logits: Floats) -> Floats:
    """Return P(class), shape (n_rows, n_classes), of log odds (n_rows,) or logits (n_rows, n_classes)."""
    if logits.ndim == 2:
        return np.asarray(softmax(logits, axis=1))
    positive = expit(logits)
    return np.stack([1 - positive, positive], axis=1)
