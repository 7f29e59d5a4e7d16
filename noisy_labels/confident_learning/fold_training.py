"""Estimators trained on parts of labelled data, and their predictions on the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from noisy_labels.confident_learning.label_folds import Fold


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Which rows an estimator is trained on, as what classes and with what weights.

    Attributes
    ----------
    rows, codes : int arrays of shape (n_used,)
        A row may occur more than once.
    weights : float array of shape (n_used,), optional
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    def within(self, rows: NDArray[np.int64], n_rows: int) -> TrainingSet:
        """Return the part that lies in `rows`."""
        inside = np.zeros(n_rows, dtype=bool)
        inside[rows] = True
        kept = inside[self.rows]
        return TrainingSet(
            self.rows[kept], self.codes[kept], None if self.weights is None else self.weights[kept]
        )


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Features, class codes and what else goes with each row."""

    X: Any
    codes: NDArray[np.int64]
    classes: NDArray[Any]
    groups: Any = None
    fit_params: Mapping[str, Any] = field(default_factory=dict)

    def take(self, rows: NDArray[np.int64]) -> LabelledData:
        """Return some rows; fit parameters with one value a row go along."""
        groups = None if self.groups is None else _safe_indexing(self.groups, rows)
        return LabelledData(
            _safe_indexing(self.X, rows), self.codes[rows], self.classes, groups, self._params(rows)
        )

    def as_given(self) -> TrainingSet:
        """Return all rows with the labels that they came with."""
        return TrainingSet(np.arange(len(self.codes)), self.codes)

    def _params(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        return {
            name: _safe_indexing(value, rows) if _is_one_a_row(value, len(self.codes)) else value
            for name, value in self.fit_params.items()
        }

    def train(self, estimator: Any, training: TrainingSet) -> Any:
        """Return a clone of the estimator, fitted."""
        params = self._params(training.rows)
        if training.weights is not None:
            name = weight_parameter(estimator)
            if name is None:
                raise ValueError(
                    f"`estimator` must accept sample_weight for this action; got {type(estimator).__name__}. "
                    "Choose action='prune' or 'relabel'."
                )
            given = params.get(name)
            params[name] = training.weights if given is None else np.asarray(given) * training.weights
        X = _safe_indexing(self.X, training.rows)
        return clone(estimator).fit(X, self.classes[training.codes], **params)


def weight_parameter(estimator: Any) -> str | None:
    """Return the name of the fit parameter for sample weights, None where there is none.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> weight_parameter(make_pipeline(LogisticRegression()))
    'logisticregression__sample_weight'
    """
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_parameter(last)
        return None if name is None else f"{step}__{name}"
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    inner = getattr(estimator, "estimator", None)  # a search hands its fit parameters on
    return None if inner is None else weight_parameter(inner)


def class_probabilities(fitted: Any, X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities in columns of `classes`, 0 for a class that the estimator has not seen.

    Without `predict_proba`, the softmax of the decision function takes its place.
    """
    if hasattr(fitted, "predict_proba"):
        predicted = np.asarray(fitted.predict_proba(X), dtype=np.float64)
    elif hasattr(fitted, "decision_function"):
        scores = np.asarray(fitted.decision_function(X), dtype=np.float64)
        predicted = softmax(np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores, axis=1)
    else:
        raise TypeError(
            f"`estimator` must have predict_proba or decision_function; got {type(fitted).__name__}. Wrap it "
            "in CalibratedClassifierCV."
        )
    probabilities = np.zeros((len(predicted), classes.size))
    probabilities[:, np.searchsorted(classes, fitted.classes_)] = predicted
    return probabilities


def out_of_sample_probabilities(
    estimator: Any, data: LabelledData, training: TrainingSet, folds: Sequence[Fold]
) -> NDArray[np.float64]:
    """Return the probabilities of each row from estimators that were not trained on it.

    Parameters
    ----------
    estimator : estimator
    data : LabelledData
    training : TrainingSet
        What may be trained on; a fold uses the part in its training rows.
    folds : list of pairs of int arrays
        From `label_folds`; the predictions of a row that is tested several times are averaged.

    Returns
    -------
    float array of shape (n, n_classes)
    """
    n_rows = len(data.codes)
    sums, times = np.zeros((n_rows, data.classes.size)), np.zeros((n_rows, 1))
    for train, test in folds:
        fitted = data.train(estimator, training.within(train, n_rows))
        sums[test] += class_probabilities(fitted, _safe_indexing(data.X, test), data.classes)
        times[test] += 1
    return sums / times


def _is_one_a_row(value: Any, n_rows: int) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not (hasattr(value, "__len__") or hasattr(value, "shape")):
        return False
    return bool(np.ndim(value)) and _num_samples(value) == n_rows
