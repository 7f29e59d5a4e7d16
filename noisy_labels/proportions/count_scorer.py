"""Scores of models by the counts of held-out bags: choice of parameters without one label of a row."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from noisy_labels.proportions.bag_classifier import Values
from noisy_labels.proportions.bag_labels import read_bags, read_counts
from noisy_labels.proportions.count_messages import CountFactor, count_factor
from noisy_labels.proportions.count_potentials import CountPotential
from sparse_data import Bags
from sparse_data.checks import check_finite, check_ndim, check_one_of

Floats = NDArray[np.float64]


def count_log_likelihood(logits: ArrayLike, factor: CountFactor) -> float:
    r"""Return the mean over bags of the log-likelihood of their counts, :math:`\log \sum_c e_b(c) \phi_b(c)`.

    It is proper: no other probabilities of independent labels score higher in the mean than the true ones.

    Parameters
    ----------
    logits : array_like of shape (n_rows,)
    factor : CountFactor
        Of `count_factor(bags, potential, n_rows)`.

    Returns
    -------
    float

    Examples
    --------
    >>> from noisy_labels.proportions.count_potentials import ExactCount
    >>> factor = count_factor([0, 0], ExactCount([1]), 2)
    >>> round(count_log_likelihood([0.0, 0.0], factor), 4)  # the logarithm of a half
    -0.6931
    """
    return float(factor.run(_checked(logits))[1].mean())


def count_error(logits: ArrayLike, factor: CountFactor) -> float:
    r"""Return the mean over bags of :math:`\big| \sum_{i \in b} \sigma(r_i) - s_b \big| / m_b`.

    In large bags it sees little but the mean of the probabilities: `count_log_likelihood` chooses better.

    Parameters
    ----------
    logits : array_like of shape (n_rows,)
    factor : CountFactor
        s is the mean count under :math:`\phi` alone.

    Returns
    -------
    float
    """
    predicted = factor.index.means(expit(_checked(logits)))
    return float(np.abs(predicted - factor.expected_counts() / factor.index.sizes).mean())


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
        index = read_bags(bags, logits.size)
        factor = count_factor(index, read_counts(index, proportions=proportions, counts=counts), logits.size)
        if self.measure == "error":
            return -count_error(logits, factor)
        return count_log_likelihood(logits, factor)

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike | None = None, **bags: Any) -> float:
        """Return `score`, as scikit-learn asks for it."""
        return self.score(estimator, X, y, **bags)


def _logits(estimator: Any, X: ArrayLike) -> Floats:
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(X), dtype=np.float64)
    positive = np.clip(estimator.predict_proba(X)[:, 1], 1e-15, 1 - 1e-15)
    return np.asarray(np.log(positive) - np.log1p(-positive))


def _checked(logits: ArrayLike) -> Floats:
    return check_ndim("logits", check_finite("logits", logits), 1).astype(np.float64)
