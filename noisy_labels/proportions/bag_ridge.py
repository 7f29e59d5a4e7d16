"""Ridge regression of the proportions of bags on the means of their features: a baseline in closed form."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.proportions.bag_classifier import CountScoreClassifier
from noisy_labels.proportions.bag_factor import Factor
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.count_calibration import scale_scores
from noisy_labels.proportions.input_scales import two_deviation_scales
from sparse_data.checks import check_finite, check_ndim, check_nonempty

Floats = NDArray[np.float64]

_ALPHAS = tuple(10.0 ** np.arange(-4, 3.01, 1 / 3))
_BLOCK = 1 << 12  # rows that stay in the second cache


class RidgeFit(NamedTuple):
    """A ridge regression of the proportions of bags.

    Attributes
    ----------
    weights : float array of shape (n_features,) or (n_features, n_classes)
        Of the features as they are.
    intercept : float or array of shape (n_classes,)
    alpha : float
        The penalty that predicts bags best that are left out.
    held_out_scores : float array of shape (n_rows,) or (n_rows, n_classes)
        The score of each row by the weights that all bags but its own have; intercept of all.  Where bags
        overlap, each of its own is left out by itself.
    """

    weights: Floats
    intercept: Any
    alpha: float
    held_out_scores: Floats


def fit_bag_ridge(X: Floats, factor: Factor, *, alphas: ArrayLike = _ALPHAS) -> RidgeFit:
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
    factor : CountFactor or ClassCountFactor
        Bags and their counts; of several classes each is regressed, with one penalty for all.
    alphas : array_like of shape (n_alphas,)

    Returns
    -------
    RidgeFit
    """
    index = factor.index
    counts = factor.expected_counts().reshape(index.ids.size, -1)
    weight = index.sizes / index.sizes.sum()
    scales, own_means = two_deviation_scales(X), index.means(X)
    centre, share = weight @ own_means, counts.sum(axis=0) / index.sizes.sum()
    root = np.sqrt(index.sizes)[:, None]
    target = (counts / index.sizes[:, None] - share) * root
    left, singular, right = np.linalg.svd((own_means - centre) / scales * root, full_matrices=False)
    along = left.T @ target
    penalties = np.asarray(alphas, dtype=np.float64)
    parts = left, singular, along, target, weight
    errors = [np.square(_left_out(*parts, a)).sum() for a in penalties * root.size]
    alpha = float(penalties[np.argmin(errors)]) if root.size > 1 else float(penalties.max())
    shrunk = singular / (singular**2 + alpha * root.size)
    weights = right.T @ (shrunk[:, None] * along) / scales[:, None]
    bag, turned = index.rows.segment_ids, (left * shrunk) @ (right / scales)
    reach = _along_bags(X, centre, turned, index.rows.values, bag)
    own = index.of_rows(reach[:, None] * _left_out(*parts, alpha * root.size)[bag])
    blocks = (X[start : start + _BLOCK] for start in range(0, X.shape[0], _BLOCK))
    scores = np.concatenate([(block - centre) @ weights for block in blocks]) + share - own
    intercept = share - centre @ weights
    if isinstance(factor, ClassCountFactor):
        return RidgeFit(weights, intercept, alpha, scores)
    return RidgeFit(weights[:, 0], float(intercept[0]), alpha, scores[:, 0])


def _left_out(
    left: Floats, singular: Floats, along: Floats, target: Floats, of_intercept: Floats, penalty: float
) -> Floats:
    """Return the residuals of each bag by the weights and the intercept of all others."""
    kept = singular**2 / (singular**2 + penalty)
    leverage = np.minimum(left**2 @ kept + of_intercept, 1 - 1e-9)
    return np.asarray((target - left @ (kept[:, None] * along)) / (1 - leverage)[:, None])


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _along_bags(X, centre, directions, rows, bags):  # type: ignore[no-untyped-def]
    """Return (x - centre) · direction of its bag for each member, given by its row and its bag."""
    products = np.empty(rows.size)
    for k in range(rows.size):
        total = 0.0
        for column in range(X.shape[1]):
            total += (X[rows[k], column] - centre[column]) * directions[bags[k], column]
        products[k] = total
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
    coef_ : float array of shape (n_features,) or (n_classes, n_features)
        Of the log odds, or of the logits of more than two classes.
    intercept_ : float or array of shape (n_classes,)
    alpha_ : float
        The penalty chosen.
    transduce_proba_ : float array of shape (n_rows, n_classes)
        P(class) of the training rows given the count of their own bag.
    classes_ : array of shape (n_classes,)
        0, 1, ... if bags were given, or the columns of a DataFrame.

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

    def _fit_logits(self, rows: Floats, factor: Factor, *, bagged: bool) -> Floats:
        alphas = _ALPHAS if self.alphas is None else self.alphas
        if not (check_nonempty("alphas", check_ndim("alphas", check_finite("alphas", alphas), 1)) > 0).all():
            raise ValueError(f"`alphas` must be above 0; got {alphas}. Leave out those that are not.")
        if bagged:
            warn_of_few_bags(factor, rows.shape[1])
        found = fit_bag_ridge(rows, factor, alphas=alphas)
        self.alpha_ = found.alpha
        scale = scale_scores(found.held_out_scores, factor, probabilities=True)
        self.coef_ = (found.weights * scale.slope).T
        self.intercept_ = found.intercept * scale.slope + scale.intercept
        return scale.logits(found.held_out_scores)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return log odds of `classes_[1]`, shape (n_rows,), or logits of all, (n_rows, n_classes)."""
        return np.asarray(self._read_predict(X) @ self.coef_.T + self.intercept_)


def warn_of_few_bags(factor: Factor, n_features: int) -> None:
    """Warn if the bags are fewer numbers than even a linear model has."""
    n_bags = factor.index.ids.size
    if n_bags < n_features:
        warnings.warn(
            f"{n_bags} bags say little about {n_features} features: there are fewer numbers to learn from "
            "than weights of a linear model. Use smaller bags or fewer features.",
            UserWarning,
            stacklevel=3,
        )
