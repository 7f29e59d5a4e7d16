"""Confident learning as a scikit-learn classifier: any estimator, trained on cleaned labels."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import (
    _safe_indexing,
    assert_all_finite,
    check_consistent_length,
    column_or_1d,
    get_tags,
)
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from noisy_labels.confident_learning.fold_training import (
    LabelledData,
    TrainingSet,
    out_of_sample_probabilities,
)
from noisy_labels.confident_learning.label_cleaning import ACTIONS, Action, Verdict, clean_labels
from noisy_labels.confident_learning.label_folds import Fold, label_folds
from noisy_labels.confident_learning.label_issues import Method
from noisy_labels.confident_learning.noisy_validation import (
    NoisyValidation,
    compare_on_noisy_labels,
    looks_in_sample,
)
from noisy_labels.confident_learning.predicted_probabilities import read_labels_and_probabilities
from sparse_data.checks import check_count, check_one_of
from sparse_data.type_checks import naming, random_state_of


def _estimator_has(name: str) -> Any:
    def has(classifier: Any) -> bool:
        getattr(getattr(classifier, "estimator_", classifier.estimator), name)  # raises as the estimator does
        return True

    return has


class ConfidentLearningClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Find the labels that are probably wrong, act on them, and train the estimator on the rest.

    .. math:: q_{ik} \propto \hat p^\tau(y = k \mid x_i) \, \hat T_{k \tilde y_i}

    Each round predicts every row with estimators that were not trained on it, estimates the noise T by
    confident learning and the temperature τ, and takes a label for wrong where another class has a larger
    posterior q.  The estimators of the next round learn from the labels that this one cleaned.  A held-out
    part of the rows then tells, by its noisy labels, whether the cleaning is worth it: where it is worse by
    more than one standard error, the estimator is trained on the labels as given.

    Rows are fitted some ``cv * n_rounds * (1 + validation_folds)`` times.

    Parameters
    ----------
    estimator : classifier of scikit-learn
        With `predict_proba` or `decision_function`; a Pipeline, a search or a wrapped Keras model too.
    method : str, default="auto"
        ``"auto"`` is the rule above; any other name is a method of `find_label_issues`.
    action : {"mend", "prune", "relabel", "reweight", "soften"}, default="mend"
        ``"mend"`` gives the issues whose most probable class has a posterior of .7 or more that class and
        leaves out the others; ``"prune"`` leaves out all of them; ``"relabel"`` gives all of them their most
        probable class; ``"reweight"`` weighs each row by the posterior of its label; ``"soften"`` lets it
        stand for every class with the weight of its posterior.  The last two need an estimator that accepts
        `sample_weight` and look at no single issue.
    cv : int, splitter or iterable, default=5
        Folds of the out-of-sample predictions.  An int is stratified, with classes of any size, and keeps
        groups together where `groups` are given.
    random_state : int, RandomState or None
        For the folds, and for the estimators that have a `random_state` of None.
    n_rounds : int, default=5
        Rounds of cleaning at most; given `pred_probs` there is one.
    calibrate : bool, default=True
        Whether the probabilities are tempered before the posterior.
    validation_folds : int, default=1
        Folds, at most as many as `cv` has, that are held out in turn to compare with doing nothing; 0 cleans
        unasked.

    Attributes
    ----------
    estimator_ : classifier
        Trained on all rows after the action, or on the labels as given where `cleaned_` is False.
    classes_ : array of shape (n_classes,)
    label_issues_ : bool array of shape (n,)
        Rows whose label is taken for wrong, also where cleaning was not worth it.
    label_quality_ : float array of shape (n,)
        q of the given label.
    suggested_labels_ : array of shape (n,)
        The class with the largest q.
    pred_probs_ : float array of shape (n, n_classes)
        Out-of-sample probabilities of the last round.
    transition_ : float array of shape (n_classes, n_classes)
        T, P(given j | true i).
    temperature_ : float
    validation_ : NoisyValidation
        Balanced accuracies on held-out noisy labels: as_given, cleaned, standard_error, n_rows.
    cleaned_ : bool
        Whether `estimator_` learned from cleaned labels.
    n_features_in_, feature_names_in_
        As in scikit-learn, where X has them.

    References
    ----------
    Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021,
    arXiv:1911.00068.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.r_[np.linspace(-2, -1, 20), np.linspace(1, 2, 20)][:, None]
    >>> y = np.array(["left"] * 20 + ["right"] * 20)
    >>> y[[3, 30]] = ["right", "left"]
    >>> model = ConfidentLearningClassifier(LogisticRegression(), random_state=0).fit(X, y)
    >>> np.flatnonzero(model.label_issues_).tolist(), model.score(X[[3, 30]], ["left", "right"])
    ([3, 30], 1.0)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        method: Method = "auto",
        action: Action = "mend",
        cv: Any = 5,
        random_state: Any = None,
        n_rounds: int = 5,
        calibrate: bool = True,
        validation_folds: int = 1,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.action = action
        self.cv = cv
        self.random_state = random_state
        self.n_rounds = n_rounds
        self.calibrate = calibrate
        self.validation_folds = validation_folds

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        groups: Any = None,
        pred_probs: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Clean the labels and train the estimator.

        Parameters
        ----------
        X : array, sparse matrix, DataFrame or list of length n
            Whatever the estimator takes.
        y : array of shape (n,)
            Noisy labels, of any dtype.
        groups : array of shape (n,), optional
            Rows of one group are never on both sides of a fold.
        pred_probs : array of shape (n, n_classes), optional
            Out-of-sample probabilities in the order of the sorted classes, instead of our own.  A warning is
            given where they look as if their model had been trained on these very rows.
        **fit_params
            For the estimator's `fit`, in the folds too: `sample_weight` and other values of length n are cut
            to the rows; with metadata routing enabled, what the estimator requests.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For a parameter out of its range, labels that are missing or continuous, or lengths that differ.
        """
        self._check_parameters()
        data = self._read(X, y, groups, fit_params)
        estimator, seed = self._seeded_estimator()
        if self.classes_.size == 1:
            return self._fit_one_class(estimator, data)
        folds = label_folds(self.cv, data.X, data.codes, groups=data.groups, random_state=seed)
        if pred_probs is None:
            with naming("X", "what the estimator takes"):
                first = out_of_sample_probabilities(estimator, data, data.as_given(), folds)
        else:
            first = np.asarray(read_labels_and_probabilities(data.codes, pred_probs)[1], dtype=np.float64)
            if first.shape[1] != self.classes_.size:
                raise ValueError(
                    f"`pred_probs` must have {self.classes_.size} columns, one a class of `y`; got "
                    f"{first.shape[1]}. Leave out the columns of classes that do not occur."
                )
        given = pred_probs is not None
        verdict, training = self._clean(estimator, data, folds, first, given)
        self.validation_ = self._validate(estimator, data, folds, first, given, seed)
        self.cleaned_ = self.validation_.favours_cleaning
        self.estimator_ = data.train(estimator, training if self.cleaned_ else data.as_given())
        return self._keep(data, verdict)

    def _check_parameters(self) -> None:
        check_one_of("action", self.action, ACTIONS)
        check_count("n_rounds", self.n_rounds)
        check_count("validation_folds", self.validation_folds, 0)
        check_one_of("calibrate", self.calibrate, (True, False))
        if isinstance(self.cv, (int, np.integer)):
            check_count("cv", int(self.cv), 2)
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "__sklearn_tags__"):
            raise TypeError(
                f"`estimator` must be a classifier of scikit-learn's kind; got {self.estimator!r}. Pass an "
                "instance."
            )

    def _read(self, X: Any, y: ArrayLike, groups: Any, fit_params: dict[str, Any]) -> LabelledData:
        with naming("X", "rows, and `y` and `groups` one value for each"):
            validate_data(self, X, skip_check_array=True)  # keeps the names and the number of features
            labels = column_or_1d(y, warn=True)
            assert_all_finite(labels, input_name="y")
            check_classification_targets(labels)
            check_consistent_length(X, labels, groups)
        if issparse(X):
            X = X.tocsr()  # rows of the other formats cannot be cut out
        elif not hasattr(X, "__getitem__"):
            X = np.asarray(X)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if get_config()["enable_metadata_routing"]:
            fit_params = dict(process_routing(self, "fit", **fit_params).estimator.fit)
        return LabelledData(X, codes, self.classes_, groups, fit_params)

    def _seeded_estimator(self) -> tuple[Any, int]:
        estimator, state = clone(self.estimator), random_state_of("random_state", self.random_state)
        if self.random_state is not None:
            names = [
                name
                for name, value in sorted(estimator.get_params().items())
                if name.split("__")[-1] == "random_state" and value is None
            ]
            estimator.set_params(**{name: int(state.randint(2**31 - 1)) for name in names})
        return estimator, int(state.randint(2**31 - 1))

    def _clean(
        self, estimator: Any, data: LabelledData, folds: list[Fold], first: NDArray[np.float64], given: bool
    ) -> tuple[Verdict, TrainingSet]:
        return clean_labels(
            estimator,
            data,
            folds,
            method=self.method,
            action=self.action,
            n_rounds=1 if given else self.n_rounds,
            calibrate=self.calibrate,
            pred_probs=first,
        )

    def _validate(
        self,
        estimator: Any,
        data: LabelledData,
        folds: list[Fold],
        first: NDArray[np.float64],
        given: bool,
        seed: int,
    ) -> NoisyValidation:
        """Clean once more without each of some folds, and compare on their labels."""
        tested, cleaned, plain = [], [], []
        for train, test in folds[: max(self.validation_folds, int(given))]:
            X_test = _safe_indexing(data.X, test)
            as_given = first[test].argmax(axis=1)
            if given:
                fitted = data.train(estimator, data.as_given().within(train, len(data.codes)))
                as_given = np.searchsorted(self.classes_, fitted.predict(X_test))
            tested.append(test)
            plain.append(as_given)
            if self.validation_folds:
                fitted = self._cleaned_without(estimator, data.take(train), first[train], given, seed)
                cleaned.append(np.searchsorted(self.classes_, fitted.predict(X_test)))
        if not tested:
            return NoisyValidation()
        rows, as_given = np.concatenate(tested), np.concatenate(plain)
        if given and looks_in_sample(data.codes[rows], first[rows].argmax(axis=1), as_given):
            warnings.warn(
                "`pred_probs` must be out-of-sample; they agree with `y` far more than a model that has not "
                "seen these rows, so wrong labels will be missed. Use cross_val_predict, or leave them out.",
                UserWarning,
                stacklevel=3,
            )
        if not cleaned:
            return NoisyValidation()
        return compare_on_noisy_labels(data.codes[rows], as_given, np.concatenate(cleaned))

    def _cleaned_without(
        self, estimator: Any, data: LabelledData, given_probs: NDArray[np.float64], given: bool, seed: int
    ) -> Any:
        """Return the estimator after cleaning `data`, the rows that are not held out, from nothing else."""
        cv = self.cv if hasattr(self.cv, "split") or isinstance(self.cv, (int, np.integer)) else 5
        folds = label_folds(cv, data.X, data.codes, groups=data.groups, random_state=seed)
        first = given_probs
        if not given:
            first = out_of_sample_probabilities(estimator, data, data.as_given(), folds)
        _, training = self._clean(estimator, data, folds, first, given)
        return data.train(estimator, training)

    def _fit_one_class(self, estimator: Any, data: LabelledData) -> Self:
        self.estimator_ = data.train(estimator, data.as_given())
        self.validation_, self.cleaned_ = NoisyValidation(), False
        n_rows = len(data.codes)
        certain = np.ones((n_rows, 1))
        return self._keep(data, Verdict(certain, np.eye(1), 1.0, certain, np.zeros(n_rows, dtype=bool)))

    def _keep(self, data: LabelledData, verdict: Verdict) -> Self:
        self.label_issues_ = verdict.issues
        self.label_quality_ = verdict.posterior[np.arange(len(data.codes)), data.codes]
        self.suggested_labels_ = self.classes_[verdict.posterior.argmax(axis=1)]
        self.pred_probs_ = verdict.pred_probs
        self.transition_ = verdict.transition
        self.temperature_ = verdict.temperature
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, shape (n,)."""
        return self._asked("predict", X)

    @available_if(_estimator_has("predict_proba"))  # type: ignore[misc]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of the classes, shape (n, n_classes)."""
        return self._asked("predict_proba", X)

    @available_if(_estimator_has("predict_log_proba"))  # type: ignore[misc]
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms of the probabilities, shape (n, n_classes)."""
        return self._asked("predict_log_proba", X)

    @available_if(_estimator_has("decision_function"))  # type: ignore[misc]
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the estimator's decision function."""
        return self._asked("decision_function", X)

    def _asked(self, method: str, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        with naming("X", "what the estimator takes, as in `fit`"):
            if getattr(X, "ndim", 2) != 1:  # texts, and shapes that the estimator explains better
                validate_data(self, X, reset=False, skip_check_array=True)
            return np.asarray(getattr(self.estimator_, method)(X))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what `fit` takes itself and what it hands to the estimator."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        # Rows are cut alone, so that a matrix of pairs cannot pass through.
        tags.input_tags = replace(inner.input_tags, pairwise=False)
        if inner.classifier_tags is not None:
            tags.classifier_tags = replace(inner.classifier_tags, multi_label=False)
        return tags
