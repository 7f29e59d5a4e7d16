"""What classifiers that learn from bags share: how `fit` reads them, predictions, a score without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from noisy_labels.proportions.bag_labels import read_bags, read_counts
from noisy_labels.proportions.count_messages import CountFactor, count_factor
from noisy_labels.proportions.count_potentials import CountPotential, ExactCount
from sparse_data import Bags

Floats = NDArray[np.float64]
Values = ArrayLike | Mapping[Any, float]


class BagClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A binary classifier fitted to bags of rows of which only the counts of positives are known."""

    classes_: NDArray[Any]

    @abstractmethod
    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the log odds of `classes_[1]`, shape (n_rows,)."""

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return P(class) of each row, whatever its bag, shape (n_rows, 2)."""
        positive = expit(self.decision_function(X))
        return np.stack([1 - positive, positive], axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likelier class of each row, shape (n_rows,)."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(np.int64)])

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> float:
        """Return the mean log-likelihood of the counts of bags; without bags, the accuracy on labels `y`.

        With bags that were held out this is what to choose parameters by when there are no labels.
        """
        if bags is None:
            return float(super().score(X, y, sample_weight))
        logits = self.decision_function(X)
        index = read_bags(bags, logits.size)
        potential = read_counts(index, proportions=proportions, counts=counts)
        return float(count_factor(index, potential, logits.size).run(logits)[1].mean())

    def _read_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        bags: ArrayLike | Bags | None,
        proportions: Values | None,
        counts: Values | CountPotential | None,
    ) -> tuple[Floats, CountFactor]:
        """Check what `fit` was given; without bags, each row is a bag of one whose count is its label."""
        if bags is not None:
            rows = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
            index = read_bags(bags, rows.shape[0])
            potential = read_counts(index, proportions=proportions, counts=counts)
            self.classes_ = np.array([0, 1])
            return rows, count_factor(index, potential, rows.shape[0])
        if proportions is not None or counts is not None:
            raise ValueError(
                "`bags` must be given with `proportions` or `counts`; got None. Pass an id a row."
            )
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        if type_of_target(labels, input_name="y", raise_unknown=True) != "binary":
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(labels)}. Pass labels of two classes, or bags."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if self.classes_.size < 2:
            raise ValueError(
                f"`y` must hold two classes; got one class, {self.classes_[0]!r}. Add the other."
            )
        return rows, count_factor(
            np.arange(rows.shape[0]), ExactCount(codes.astype(np.float64)), rows.shape[0]
        )

    def _read_predict(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class CountScoreClassifier(BagClassifier):
    """A classifier by one score a row, to which the counts of the training bags are added afterwards."""

    transduce_proba_: Floats

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> Self:
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
        positive = expit(logits + factor.messages(logits))
        self.transduce_proba_ = np.stack([1 - positive, positive], axis=1)
        return self

    @abstractmethod
    def _fit_logits(self, rows: Floats, factor: CountFactor, *, bagged: bool) -> Floats:
        """Fit, and return the log odds of the training rows; `bagged` unless they came with labels."""
