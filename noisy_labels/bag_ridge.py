"""Ridge regression of the proportions of bags on the means of their features: a baseline in closed form."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.linear_model import RidgeCV

from noisy_labels.bag_classifier import BagClassifier, Values
from noisy_labels.count_calibration import calibrate_scores, probability_slope
from noisy_labels.count_messages import CountFactor
from noisy_labels.count_potentials import CountPotential
from sparse_data import Bags
from sparse_data.checks import check_finite, check_nonempty

Floats = NDArray[np.float64]

_ALPHAS = tuple(10.0 ** np.arange(-4, 3.01, 1 / 3))


def ridge_direction(
    X: Floats, factor: CountFactor, *, alphas: ArrayLike = _ALPHAS
) -> tuple[Floats, float, float]:
    r"""Return the weights of rows' features that best predict the proportions of bags.

    .. math:: \min_{w, b} \sum_b m_b \Big(\bar x_b \cdot w + b - \frac{s_b}{m_b}\Big)^2
              + \alpha B \lVert w \rVert^2

    over B bags, for standardised features; the mean of a bag varies as one row does over :math:`m_b`, so
    that :math:`\alpha` means the same for bags of any size.  It is chosen by leaving one bag out.

    Parameters
    ----------
    X : float array of shape (n_rows, n_features)
    factor : CountFactor
        Bags and their counts.
    alphas : array_like of shape (n_alphas,)

    Returns
    -------
    weights : float array of shape (n_features,)
        Of the features as they are.
    intercept, alpha : float
    """
    spread = X.std(axis=0)
    spread = np.where(spread > 1e-12 * (1 + np.abs(X).max(axis=0, initial=0)), spread, 1.0)
    sizes = factor.index.sizes
    centre = X.mean(axis=0)
    means, shares = factor.index.means((X - centre) / spread), factor.expected_counts() / sizes
    penalties = np.asarray(alphas, dtype=np.float64)
    if sizes.size == 1:  # nothing to compare the one bag with
        return np.zeros(X.shape[1]), float(shares[0]), float(penalties.max())
    model = RidgeCV(penalties * sizes.size).fit(means, shares, sample_weight=sizes)
    weights = model.coef_ / spread
    return weights, float(model.intercept_ - centre @ weights), float(model.alpha_ / sizes.size)


class BagRidge(BagClassifier):
    r"""Linear classifier by ridge regression of bag proportions on bag means.

    `ridge_direction` finds the weights; the likelihood of the counts turns scores into probabilities.  It
    takes milliseconds and is hard to beat where bags are large.

    Parameters
    ----------
    alphas : array_like of shape (n_alphas,), optional
        Penalties to choose from by leaving one bag out; 1e-4 to 1e3 when None.

    Attributes
    ----------
    coef_ : float array of shape (n_features,)
        Of the log odds.
    intercept_ : float
    alpha_ : float
        The penalty chosen.
    transduce_proba_ : float array of shape (n_rows, 2)
        P(class) of the training rows given the count of their own bag.
    classes_ : array of shape (2,)
        0 and 1 if bags were given.

    Examples
    --------
    >>> X = [[0.0], [1.0], [0.2], [0.1], [0.9], [1.1]]
    >>> model = BagRidge().fit(X, bags=["a", "a", "b", "b", "c", "c"], proportions={"a": 0.5, "b": 0, "c": 1})
    >>> model.predict([[0.0], [1.0]])
    array([0, 1])
    """

    def __init__(self, alphas: ArrayLike | None = None) -> None:
        self.alphas = alphas

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        bags: ArrayLike | Bags | None = None,
        proportions: Values | None = None,
        counts: Values | CountPotential | None = None,
    ) -> BagRidge:
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
            For NaN in `X`, or bags and counts that do not fit.

        Warns
        -----
        UserWarning
            If there are fewer bags than features.
        """
        alphas = _ALPHAS if self.alphas is None else self.alphas
        rows, factor = self._read_fit(X, y, bags, proportions, counts)
        if not (check_nonempty("alphas", check_finite("alphas", alphas)) > 0).all():
            raise ValueError(f"`alphas` must be above 0; got {alphas}. Leave out those that are not.")
        if bags is not None:
            warn_of_few_bags(factor, rows.shape[1])
        direction, _, self.alpha_ = ridge_direction(rows, factor, alphas=alphas)
        slope, self.intercept_ = calibrate_scores(
            rows @ direction, factor, expected_slope=probability_slope(factor)
        )
        self.coef_ = slope * direction
        logits = rows @ self.coef_ + self.intercept_
        positive = expit(logits + factor.messages(logits))
        self.transduce_proba_ = np.stack([1 - positive, positive], axis=1)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the log odds of `classes_[1]`, shape (n_rows,)."""
        return np.asarray(self._read_predict(X) @ self.coef_ + self.intercept_)


def warn_of_few_bags(factor: CountFactor, n_features: int) -> None:
    """Warn if the bags are fewer numbers than even a linear model has."""
    n_bags = factor.index.ids.size
    if n_bags < n_features:
        warnings.warn(
            f"{n_bags} bags say little about {n_features} features: there are fewer numbers to learn from "
            "than weights of a linear model. Use smaller bags or fewer features.",
            UserWarning,
            stacklevel=3,
        )
