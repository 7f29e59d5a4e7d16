"""Ridge regression of the proportions of bags on the means of their features: a baseline in closed form."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.proportions.bag_classifier import CountScoreClassifier
from noisy_labels.proportions.count_calibration import calibrate_scores, probability_slope
from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.input_scales import two_deviation_scales
from sparse_data.checks import check_finite, check_nonempty

Floats = NDArray[np.float64]

_ALPHAS = tuple(10.0 ** np.arange(-4, 3.01, 1 / 3))
_BLOCK = 1 << 14


class RidgeFit(NamedTuple):
    """A ridge regression of the proportions of bags.

    Attributes
    ----------
    weights : float array of shape (n_features,)
        Of the features as they are.
    intercept : float
    alpha : float
        The penalty that predicts bags best that are left out.
    held_out_scores : float array of shape (n_rows,)
        The score of each row by the weights that all bags but its own have; intercept of all.
    """

    weights: Floats
    intercept: float
    alpha: float
    held_out_scores: Floats


def fit_bag_ridge(X: Floats, factor: CountFactor, *, alphas: ArrayLike = _ALPHAS) -> RidgeFit:
    r"""Find the weights of rows' features that best predict the proportions of bags.

    .. math:: \min_w \sum_b m_b \Big((\bar x_b - \bar x) \cdot w + p - \frac{s_b}{m_b}\Big)^2
              + \alpha B \lVert w \rVert^2, \qquad
              w_{-b} = w - \frac{e_b}{1 - h_b - m_b / n}\, A^{-1} \tilde x_b

    over B bags, for centred features in units of `two_deviation_scales`, with
    :math:`\tilde x_b = \sqrt{m_b}\, (\bar x_b - \bar x)`,
    :math:`A = \sum_b \tilde x_b \tilde x_b^\top + \alpha B I`, residuals e and leverages
    :math:`h_b = \tilde x_b \cdot A^{-1} \tilde x_b` beside that of the intercept.  The mean of a bag varies
    as one row does over :math:`m_b`, so that :math:`\alpha` means the same for bags of any size; it is the
    one with the least :math:`\sum_b (e_b / (1 - h_b - m_b / n))^2`.

    Parameters
    ----------
    X : float array of shape (n_rows, n_features)
    factor : CountFactor
        Bags and their counts.
    alphas : array_like of shape (n_alphas,)

    Returns
    -------
    RidgeFit
    """
    index, counts = factor.index, factor.expected_counts()
    scales, centre = two_deviation_scales(X), X.mean(axis=0)
    share = counts.sum() / X.shape[0]
    root = np.sqrt(index.sizes)
    means = (index.means(X) - centre) / scales * root[:, None]
    target = (counts / index.sizes - share) * root
    left, singular, right = np.linalg.svd(means, full_matrices=False)
    along = left.T @ target
    penalties = np.asarray(alphas, dtype=np.float64)
    parts = left, singular, along, target, index.sizes / X.shape[0]
    errors = [np.square(_left_out(*parts, a)).sum() for a in penalties * root.size]
    alpha = float(penalties[np.argmin(errors)]) if root.size > 1 else float(penalties.max())
    shrunk = singular / (singular**2 + alpha * root.size)
    weights = right.T @ (shrunk * along) / scales
    influence = left * (shrunk * _left_out(*parts, alpha * root.size)[:, None])
    own = _row_products(X, right.T / scales[:, None], centre, influence, index.codes)
    return RidgeFit(weights, float(share - centre @ weights), alpha, (X - centre) @ weights + share - own)


def _left_out(
    left: Floats, singular: Floats, along: Floats, target: Floats, of_intercept: Floats, penalty: float
) -> Floats:
    """Return the residual of each bag by the weights and the intercept of all others."""
    kept = singular**2 / (singular**2 + penalty)
    leverage = np.minimum(left**2 @ kept + of_intercept, 1 - 1e-9)
    return np.asarray((target - left @ (kept * along)) / (1 - leverage))


def _row_products(
    X: Floats, directions: Floats, centre: Floats, influence: Floats, codes: NDArray[np.int64]
) -> Floats:
    """Return ((x - centre) · directions) · influence of the row's bag, in blocks that fit into caches."""
    products = np.empty(X.shape[0])
    for start in range(0, X.shape[0], _BLOCK):
        part = slice(start, start + _BLOCK)
        rotated = (X[part] - centre) @ directions
        products[part] = np.einsum("ij,ij->i", rotated, influence[codes[part]])
    return products


class BagRidge(CountScoreClassifier):
    r"""Linear classifier by ridge regression of bag proportions on bag means.

    `fit_bag_ridge` finds the weights; the likelihood of the counts turns scores, each without its own bag,
    into probabilities.  It takes milliseconds and is hard to beat where bags are large.

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

    Warns
    -----
    UserWarning
        In `fit`, if there are fewer bags than features.

    Examples
    --------
    >>> X = [[0.0], [1.0], [0.2], [0.1], [0.9], [1.1]]
    >>> model = BagRidge().fit(X, bags=["a", "a", "b", "b", "c", "c"], proportions={"a": 0.5, "b": 0, "c": 1})
    >>> model.predict([[0.0], [1.0]])
    array([0, 1])
    """

    def __init__(self, alphas: ArrayLike | None = None) -> None:
        self.alphas = alphas

    def _fit_logits(self, rows: Floats, factor: CountFactor, *, bagged: bool) -> Floats:
        alphas = _ALPHAS if self.alphas is None else self.alphas
        if not (check_nonempty("alphas", check_finite("alphas", alphas)) > 0).all():
            raise ValueError(f"`alphas` must be above 0; got {alphas}. Leave out those that are not.")
        if bagged:
            warn_of_few_bags(factor, rows.shape[1])
        found = fit_bag_ridge(rows, factor, alphas=alphas)
        self.alpha_ = found.alpha
        slope, intercept = calibrate_scores(
            found.held_out_scores, factor, expected_slope=probability_slope(factor)
        )
        self.coef_ = slope * found.weights
        self.intercept_ = slope * found.intercept + intercept
        return np.asarray(slope * found.held_out_scores + intercept)

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
