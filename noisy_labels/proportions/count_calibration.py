"""Scores made into logits by the likelihood of the counts of bags: Platt scaling without labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from noisy_labels.proportions.bag_factor import Factor
from noisy_labels.proportions.class_count_factor import ClassCountFactor
from noisy_labels.proportions.count_messages import CountFactor

Floats = NDArray[np.float64]

# Standard deviation of the slope, beside the one expected: with the counts of fifty large bags, the
# likelihood alone cannot tell a good score from a bad one; with five hundred it decides.
_SLOPE_DEVIATION = 0.5
_INTERCEPT_DEVIATION = 5.0  # keeps bags without any positive finite


def calibrate_scores(
    scores: Floats, factor: CountFactor, *, expected_slope: float = 1.0
) -> tuple[float, float]:
    r"""Return slope and intercept of logits :math:`r_i = a z_i + b` that suit the counts of bags.

    .. math:: \max_{a, b} \sum_b \log \sum_c e_b(c)\, \phi_b(c)
              - 2 \Big(\frac{a}{a_0} - 1\Big)^2 - \frac{(b + a \bar z - \operatorname{logit} p)^2}{50}

    with :math:`e_b` the distribution of the number of positives of the bag and p the share of positives in
    all.  The gradient of the likelihood is the posterior of each label minus its probability.

    Parameters
    ----------
    scores : float array of shape (n_rows,)
        z.
    factor : CountFactor
    expected_slope : float, default=1.0
        :math:`a_0 > 0`: 1 for log odds, :math:`1 / (p (1 - p))` for regressed probabilities.

    Returns
    -------
    slope, intercept : float
    """
    expected = np.array([1.0, logit(_share(factor))])
    deviation = np.array([_SLOPE_DEVIATION, _INTERCEPT_DEVIATION])
    centre = scores.mean()
    z = (scores - centre) * expected_slope
    tilts = np.zeros(len(factor.table))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_z, rise = factor.likelihood(parameters[0] * z + parameters[1], tilts=tilts)
        away = (parameters - expected) / deviation
        gradient = away / deviation - np.array([rise @ z, rise.sum()])
        return float(0.5 * away @ away - log_z.sum()), gradient

    found = minimize(loss, expected, jac=True, method="L-BFGS-B", options={"maxiter": 50}).x
    slope = float(found[0] * expected_slope)
    return slope, float(found[1] - slope * centre)


def calibrate_class_scores(scores: Floats, factor: ClassCountFactor) -> tuple[float, Floats]:
    r"""Return slope and intercepts of logits :math:`r_{ik} = a z_{ik} + b_k` that suit the counts of bags.

    .. math:: \max_{a, b} \sum_b \log P_b(s_b) - 2 (a - 1)^2
              - \sum_k \frac{(b_k + a \bar z_k - \log p_k)^2}{25}

    which is `calibrate_scores` where there are two classes.

    Parameters
    ----------
    scores : float array of shape (n_rows, n_classes)
        z, in units of log odds.
    factor : ClassCountFactor

    Returns
    -------
    slope : float
    intercepts : float array of shape (n_classes,)
    """
    expected = np.append(1.0, np.log(_class_shares(factor)))
    deviation = np.append(_SLOPE_DEVIATION, np.full(scores.shape[1], _INTERCEPT_DEVIATION / np.sqrt(2)))
    centre = scores.mean(axis=0)
    z = scores - centre

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_z, rise = factor.likelihood(parameters[0] * z + parameters[1:])
        away = (parameters - expected) / deviation
        gradient = away / deviation - np.append((rise * z).sum(), rise.sum(axis=0))
        return float(0.5 * away @ away - log_z.sum()), gradient

    found = minimize(loss, expected, jac=True, method="L-BFGS-B", options={"maxiter": 50}).x
    return float(found[0]), np.asarray(found[1:] - found[0] * centre)


class ScoreScale(NamedTuple):
    """What makes logits of scores: a slope, or one a class, and intercepts.

    Attributes
    ----------
    slope : float or array of shape (n_classes,)
    intercept : float or array of shape (n_classes,)
    """

    slope: Any
    intercept: Any

    def logits(self, scores: Floats) -> Floats:
        """Return slope · scores + intercept."""
        return np.asarray(self.slope * scores + self.intercept)


def scale_scores(scores: Floats, factor: Factor, *, probabilities: bool) -> ScoreScale:
    """Calibrate scores that are regressed probabilities, or else log odds, of two classes or several."""
    if not isinstance(factor, ClassCountFactor):
        slope = probability_slope(factor) if probabilities else 1.0
        return ScoreScale(*calibrate_scores(scores, factor, expected_slope=slope))
    units = 1 / _class_shares(factor) if probabilities else np.ones(scores.shape[1])
    slope, intercepts = calibrate_class_scores(scores * units, factor)
    return ScoreScale(slope * units, intercepts)


def probability_slope(factor: CountFactor) -> float:
    """Return how fast log odds rise with a probability near the share p of positives: 1 / (p (1 - p))."""
    share = _share(factor)
    return float(1 / (share * (1 - share)))


def _share(factor: CountFactor) -> float:
    edge = 0.5 / factor.index.rows.values.size
    return float(np.clip(factor.share(), edge, 1 - edge))


def _class_shares(factor: ClassCountFactor) -> Floats:
    """Return the share of each class, none below half a label."""
    shares = np.maximum(factor.share(), 0.5 / factor.index.rows.values.size)
    return np.asarray(shares / shares.sum())
