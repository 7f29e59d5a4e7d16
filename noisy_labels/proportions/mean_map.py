"""Mean map: a logistic model fitted to the means of the classes, which the bags' proportions give away."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from noisy_labels.proportions.bag_classifier import CountScoreClassifier
from noisy_labels.proportions.bag_labels import BagIndex
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.count_messages import CountFactor
from noisy_labels.proportions.input_scales import two_deviation_scales
from sparse_data.checks import check_in_range

Floats = NDArray[np.float64]


def mean_operator(means: Floats, shares: Floats, sizes: NDArray[np.int64]) -> Floats:
    r"""Estimate the mean of :math:`(2y - 1)\, x` from the means and the proportions of bags.

    .. math:: \mu = (\Pi^\top W \Pi)^{-1} \Pi^\top W \bar X, \qquad M = p\, \mu_+ - (1 - p)\, \mu_-

    with rows :math:`(\pi_b, 1 - \pi_b)` of :math:`\Pi`, the sizes of the bags as weights W, and p the share
    of positives among all rows.  Right where both classes look alike in all bags.

    Parameters
    ----------
    means : float array of shape (n_bags, n_features)
    shares : float array of shape (n_bags,)
        π.
    sizes : int array of shape (n_bags,)

    Returns
    -------
    float array of shape (n_features,)

    References
    ----------
    Quadrianto et al., "Estimating Labels from Label Proportions", 2009.

    Examples
    --------
    >>> mean_operator(np.array([[1.0], [3.0]]), np.array([0.25, 0.75]), np.array([4, 4]))
    array([2.])
    """
    root = np.sqrt(sizes)
    mixture = np.stack([shares, 1 - shares], axis=1) * root[:, None]
    of_class = np.linalg.lstsq(mixture, means * root[:, None], rcond=None)[0]
    share = shares @ sizes / sizes.sum()
    return np.asarray(share * of_class[0] - (1 - share) * of_class[1])


def fit_to_operator(X: Floats, operator: Floats, share: float, *, penalty: float) -> tuple[Floats, float]:
    r"""Return the weights of the logistic model whose only sight of the labels is their mean operator.

    .. math:: \min_{w, b} \frac1n \sum_i \log\big(e^{f_i} + e^{-f_i}\big) - w \cdot M - b\, (2 p - 1)
              + \frac{\lambda}{2 n} \lVert w \rVert^2, \qquad f_i = w \cdot x_i + b

    which is logistic regression exactly if M is the mean of :math:`(2y - 1)\, x`.

    Parameters
    ----------
    X : float array of shape (n_rows, n_features)
    operator : float array of shape (n_features,)
        M.
    share : float
        p, the share of positives.
    penalty : float
        λ > 0.

    Returns
    -------
    weights : float array of shape (n_features + 1,)
        w and b; the log odds are 2 f.
    loss : float
    """
    n_rows, n_features = X.shape
    edge = 1 - 0.5 / n_rows  # keeps b finite where all labels are the same
    target = np.append(operator, np.clip(2 * share - 1, -edge, edge))

    def loss(w: Floats) -> tuple[float, Floats]:
        f = X @ w[:-1] + w[-1]
        slope = np.tanh(f)
        shrink = np.append(w[:-1], 0.0) * penalty / n_rows
        gradient = np.append(slope @ X, slope.sum()) / n_rows - target + shrink
        return float(np.logaddexp(f, -f).mean() - w @ target + 0.5 * w @ shrink), gradient

    found = minimize(loss, np.zeros(n_features + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x, float(found.fun)


class MeanMap(CountScoreClassifier):
    r"""Logistic regression by the means of the classes: MeanMap of Quadrianto et al.

    `mean_operator` solves for the means from those of the bags, `fit_to_operator` for the weights.  Features
    are centred, in units of `two_deviation_scales`.

    Parameters
    ----------
    penalty : float, default=10.0
        λ > 0.

    Attributes
    ----------
    coef_ : float array of shape (n_features,)
        Of the log odds.
    intercept_ : float
    loss_ : float
        The least value of `fit_to_operator`.
    transduce_proba_ : float array of shape (n_rows, 2)
        P(class) of the training rows given the count of their own bag.
    classes_ : array of shape (2,)
        0 and 1 if bags were given.

    References
    ----------
    Quadrianto et al., "Estimating Labels from Label Proportions", 2009.
    Patrini et al., "(Almost) No Label No Cry", 2014.

    Examples
    --------
    >>> X = [[0.0], [1.0], [0.2], [0.1], [0.9], [1.1]]
    >>> given = {"bags": ["a", "a", "b", "b", "c", "c"], "proportions": {"a": 0.5, "b": 0, "c": 1}}
    >>> MeanMap(penalty=0.1).fit(X, **given).predict([[0.0], [1.0]])
    array([0, 1])
    """

    _several_classes = False
    _overlapping = False

    def __init__(self, penalty: float = 10.0) -> None:
        self.penalty = penalty

    def _fit_logits(self, rows: Floats, factor: CountFactor, *, bagged: bool) -> Floats:
        del bagged
        check_in_range("penalty", self.penalty, 0, 1e12, closed="right")
        centre, scales = rows.mean(axis=0), two_deviation_scales(rows)
        weights, self.loss_ = self._fit_weights((rows - centre) / scales, factor)
        self.coef_ = 2 * weights[:-1] / scales
        self.intercept_ = float(2 * weights[-1] - self.coef_ @ centre)
        return np.asarray(rows @ self.coef_ + self.intercept_)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the log odds of `classes_[1]`, shape (n_rows,)."""
        return np.asarray(self._read_predict(X) @ self.coef_ + self.intercept_)

    def _fit_weights(self, rows: Floats, factor: CountFactor) -> tuple[Floats, float]:
        shares = factor.expected_counts() / factor.index.sizes
        operator = self._operator(rows, factor.index, shares)
        share = float(shares @ factor.index.sizes / rows.shape[0])
        return fit_to_operator(rows, operator, share, penalty=self.penalty)

    def _operator(self, rows: Floats, index: BagIndex | BagMembership, shares: Floats) -> Floats:
        return mean_operator(index.means(rows), shares, index.sizes)
