"""Scores made into logits by the likelihood of the counts of bags: Platt scaling without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

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
    share = np.clip(factor.expected_counts().sum() / scores.size, 0.5 / scores.size, 1 - 0.5 / scores.size)
    expected = np.array([1.0, logit(share)])
    deviation = np.array([_SLOPE_DEVIATION, _INTERCEPT_DEVIATION])
    centre = scores.mean()
    z = (scores - centre) * expected_slope

    def loss(parameters: Floats) -> tuple[float, Floats]:
        r = parameters[0] * z + parameters[1]
        messages, log_z = factor.run(r)
        residual = expit(r) - expit(r + messages)
        away = (parameters - expected) / deviation
        gradient = np.array([residual @ z, residual.sum()]) + away / deviation
        return float(0.5 * away @ away - log_z.sum()), gradient

    found = minimize(loss, expected, jac=True, method="L-BFGS-B", options={"maxiter": 50}).x
    slope = float(found[0] * expected_slope)
    return slope, float(found[1] - slope * centre)


def probability_slope(factor: CountFactor) -> float:
    """Return how fast log odds rise with a probability near the share p of positives: 1 / (p (1 - p))."""
    n_rows = factor.index.codes.size
    share = np.clip(factor.expected_counts().sum() / n_rows, 0.5 / n_rows, 1 - 0.5 / n_rows)
    return float(1 / (share * (1 - share)))
