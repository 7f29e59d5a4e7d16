"""Scores of models by the counts of held-out bags: choice of parameters without one label of a row."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from noisy_labels.proportions.bag_classifier import class_probabilities
from noisy_labels.proportions.bag_factor import Factor, Values, read_factor
from noisy_labels.proportions.bag_labels import read_index
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.count_potentials import CountPotential
from sparse_data import Bags
from sparse_data.checks import check_finite, check_ndim, check_one_of
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]


def count_log_likelihood(logits: ArrayLike, factor: Factor) -> float:
    r"""Return the mean over bags of the log-likelihood of their counts, :math:`\log \sum_c e_b(c) \phi_b(c)`.

    It is proper: no other probabilities of independent labels score higher in the mean than the true ones.

    Parameters
    ----------
    logits : array_like of shape (n_rows,) or, of several classes, (n_rows, n_classes)
    factor : CountFactor or ClassCountFactor
        Of `count_factor(bags, potential, n_rows)`.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        For NaN or infinite logits, or another number of them than the bags have rows.

    Examples
    --------
    >>> from noisy_labels.proportions.count_messages import count_factor
    >>> from noisy_labels.proportions.count_potentials import ExactCount
    >>> factor = count_factor([0, 0], ExactCount([1]), 2)
    >>> round(count_log_likelihood([0.0, 0.0], factor), 4)  # the logarithm of a half
    -0.6931
    """
    r = _checked(logits, factor)
    return float(factor.run(r)[1].mean())


def count_error(logits: ArrayLike, factor: Factor) -> float:
    r"""Return the mean over bags of :math:`\big| \sum_{i \in b} \sigma(r_i) - s_b \big| / m_b`.

    Of several classes it is half the sum of their errors.  In large bags it sees little but the mean of the
    probabilities: `count_log_likelihood` chooses better.

    Parameters
    ----------
    logits : array_like of shape (n_rows,) or (n_rows, n_classes)
    factor : CountFactor or ClassCountFactor
        s is the mean count under :math:`\phi` alone.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `count_log_likelihood`.
    """
    r = _checked(logits, factor)
    predicted = factor.index.means(class_probabilities(r))
    counts = factor.expected_counts()
    if counts.ndim == 1:
        counts = np.stack([factor.index.sizes - counts, counts], axis=1)
    errors = 0.5 * np.abs(predicted - counts / factor.index.sizes[:, None]).sum(axis=1)
    return float(errors.mean())


class CountScorer(BaseEstimator):
    """A scorer for `GridSearchCV` and `cross_validate`: the counts of the bags held out.

    Bags and counts reach it by metadata routing, sliced by rows: pass `bags` as ids and `counts` (or
    `proportions`) as one value a row, and split by bag (`GroupKFold` with `groups=bags`).  It asks for all
    three by itself.  Any classifier with `decision_function` or `predict_proba` can be scored.

    Parameters
    ----------
    measure : {"log_likelihood", "error"}, default="log_likelihood"
        `count_log_likelihood`, or minus `count_error`.

    Examples
    --------
    >>> from sklearn import config_context
    >>> from sklearn.model_selection import GridSearchCV, GroupKFold
    >>> from noisy_labels.proportions.bag_ridge import BagRidge
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(320, 2)), np.arange(320) // 8
    >>> counts = np.bincount(bags, X[:, 0] > 0)[bags]
    >>> with config_context(enable_metadata_routing=True):
    ...     model = BagRidge().set_fit_request(bags=True, counts=True)
    ...     grid = {"alphas": [[0.01], [100.0]]}
    ...     search = GridSearchCV(model, grid, scoring=CountScorer(), cv=GroupKFold(4))
    ...     search.fit(X, bags=bags, counts=counts, groups=bags).best_params_
    {'alphas': [0.01]}
    """

    __metadata_request__score: ClassVar[dict[str, bool | str]] = {
        "estimator": UNUSED,
        "bags": True,
        "proportions": True,
        "counts": True,
    }

    def __init__(self, measure: Literal["log_likelihood", "error"] = "log_likelihood") -> None:
        self.measure = measure

    def score(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> float:
        """Return the score of a fitted estimator on bags of rows; `y` is not looked at.

        Raises
        ------
        ValueError
            If bags or counts are missing or do not fit.
        """
        check_one_of("measure", self.measure, ("log_likelihood", "error"))
        if bags is None:
            raise ValueError("`bags` must be given to CountScorer; got None. Pass an id a row.")
        logits = _logits(estimator, X)
        index = read_index(bags, logits.shape[0])
        numbers = np.arange(2 if logits.ndim == 1 else logits.shape[1])
        classes = np.asarray(getattr(estimator, "classes_", numbers))
        factor = read_factor(index, proportions=proportions, counts=counts, classes=classes)[0]
        if self.measure == "error":
            return -count_error(logits, factor)
        return count_log_likelihood(logits, factor)

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike | None = None, **bags: Any) -> float:
        """Return `score`, as scikit-learn asks for it."""
        return self.score(estimator, X, y, **bags)


def _logits(estimator: Any, X: ArrayLike) -> Floats:
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(X), dtype=np.float64)
    chances = np.clip(estimator.predict_proba(X), 1e-15, 1 - 1e-15)
    if chances.shape[1] > 2:
        return np.asarray(np.log(chances))
    return np.asarray(np.log(chances[:, 1]) - np.log1p(-chances[:, 1]))


def _checked(logits: ArrayLike, factor: Factor) -> Floats:
    hint = "Make it by count_factor(bags, potential, n_rows)."
    check_type("factor", factor, (CountFactor, ClassCountFactor), hint)
    ndim = 2 if isinstance(factor, ClassCountFactor) else 1
    r = check_ndim("logits", check_finite("logits", logits), ndim)
    n_rows = factor.index.n_rows
    if r.shape[0] != n_rows:
        raise ValueError(
            f"`logits` must be one a row of the bags, {n_rows}; got {r.shape[0]}. Pass one a row."
        )
    return r.astype(np.float64)
