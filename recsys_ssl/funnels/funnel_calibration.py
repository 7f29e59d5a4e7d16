"""Calibrate the probabilities of a funnel on held-out impressions, so that they stay those of a funnel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from recsys_ssl.measures.binary_labels import (
    check_binary,
    check_both_classes,
    check_probabilities,
    check_weights,
)
from sparse_data import checks
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]
CALIBRATIONS = ("logistic", "isotonic")


def logistic_map(
    labels: ArrayLike, probabilities: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, float]:
    r"""Slope and intercept of :math:`p \mapsto \sigma(a \, \mathrm{logit}(p) + b)` that fit the labels best.

    They minimise the cross entropy with Platt's targets :math:`(n_+ + 1) / (n_+ + 2)` and
    :math:`1 / (n_- + 2)` in place of 1 and 0; *a* is not negative, so that no order is reversed.

    Parameters
    ----------
    labels : array_like of shape (n,)
        0 or 1.
    probabilities : array_like of shape (n,)
    sample_weight : array_like of shape (n,), optional

    Returns
    -------
    a, b : float

    Raises
    ------
    ValueError
        If lengths differ, a value is out of range, or there is a single class.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers.

    Examples
    --------
    >>> a, b = logistic_map([0] * 900 + [1] * 100, [0.5] * 1000)
    >>> round(float(1 / (1 + np.exp(-b))), 2)
    0.1
    """
    positive, values, weights = _checked(labels, probabilities, sample_weight)
    x = _logits(values)
    n_positive, n_negative = weights[positive].sum(), weights[~positive].sum()
    targets = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    share = weights / weights.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        gap = share * (expit(z) - targets)
        return float(share @ (np.logaddexp(0.0, z) - targets * z)), np.array([gap @ x, gap.sum()])

    found = minimize(
        loss,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-10},
    )
    return float(found.x[0]), float(found.x[1])


@dataclass(frozen=True, eq=False)
class FunnelCalibration:
    r"""Increasing maps *f* of pCTR and *g* of pCTCVR, each fitted over all held-out impressions.

    .. math:: ctr' = f(ctr), \qquad ctcvr' = \min(g(ctcvr), ctr'), \qquad cvr' = ctcvr' / ctr'

    pCVR has no map of its own: clicked impressions, the only ones with a label, are not those that it is
    asked about. Its order may change, as it is a quotient; where :math:`ctr' = 0` it stays as it was.

    Parameters
    ----------
    kind : {"logistic", "isotonic"}
        :func:`logistic_map`, or the increasing step function that fits best, which makes ties.
    ctr, ctcvr : float64 ndarray of shape (2, m)
        Slope above intercept (m = 1); of steps the places above the values.

    References
    ----------
    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates,
    KDD.

    Examples
    --------
    >>> halved = FunnelCalibration("isotonic", np.array([[0.0, 1.0], [0.0, 0.5]]), np.array([[0.0], [0.1]]))
    >>> found = halved.apply({"ctr": np.array([0.4]), "cvr": np.array([0.5]), "ctcvr": np.array([0.2])})
    >>> {name: values.tolist() for name, values in found.items()}
    {'ctr': [0.2], 'cvr': [0.5], 'ctcvr': [0.1]}
    """

    kind: str
    ctr: Floats
    ctcvr: Floats

    @classmethod
    def learn(
        cls,
        kind: str,
        clicks: ArrayLike,
        conversions: ArrayLike,
        predictions: Mapping[str, ArrayLike],
        *,
        sample_weight: ArrayLike | None = None,
    ) -> FunnelCalibration:
        """Fit both maps.

        Parameters
        ----------
        kind : {"logistic", "isotonic"}
        clicks, conversions : array_like of shape (n,)
            Of impressions that the model was not trained on.
        predictions : mapping with "ctr" and "ctcvr"
        sample_weight : array_like of shape (n,), optional

        Returns
        -------
        FunnelCalibration
        """
        _check_predictions(predictions, ("ctr", "ctcvr"))
        fit = _logistic if checks.check_one_of("calibrate", kind, CALIBRATIONS) == "logistic" else _isotonic
        return cls(
            kind,
            fit(clicks, predictions["ctr"], sample_weight),
            fit(conversions, predictions["ctcvr"], sample_weight),
        )

    def apply(self, predictions: Mapping[str, Floats]) -> dict[str, Floats]:
        r"""Return calibrated ctr, cvr and ctcvr, with :math:`ctcvr \le ctr`, of shape (n,) each."""
        names = ("ctr", "cvr", "ctcvr")
        _check_predictions(predictions, names)
        given = {name: check_probabilities(f"predictions[{name!r}]", predictions[name]) for name in names}
        checks.check_same_length(**{f"predictions[{name!r}]": values for name, values in given.items()})
        ctr = self._map(self.ctr, given["ctr"])
        ctcvr = np.minimum(self._map(self.ctcvr, given["ctcvr"]), ctr)
        cvr = np.divide(ctcvr, ctr, out=given["cvr"].astype(np.float64), where=ctr > 0)
        return {"ctr": ctr, "cvr": cvr, "ctcvr": ctcvr}

    def _map(self, learned: Floats, values: Floats) -> Floats:
        if self.kind == "isotonic":
            return np.asarray(np.interp(values, *learned))
        return np.asarray(expit(learned[0, 0] * _logits(values) + learned[1, 0]))


def _check_predictions(predictions: Mapping[str, ArrayLike], names: tuple[str, ...]) -> None:
    check_type("predictions", predictions, Mapping, "Pass arrays by name.")
    absent = [name for name in names if name not in predictions]
    if absent:
        raise ValueError(f"`predictions` must hold {', '.join(names)}; got no {', '.join(absent)}. Add them.")


def _logistic(labels: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None) -> Floats:
    return np.array(logistic_map(labels, probabilities, sample_weight=sample_weight))[:, None]


def _isotonic(labels: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None) -> Floats:
    positive, values, weights = _checked(labels, probabilities, sample_weight)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(values, positive.astype(np.float64), weights)
    return np.stack([fitted.X_thresholds_, fitted.y_thresholds_]).astype(np.float64)


def _logits(values: Floats) -> Floats:
    # Neither 0 nor 1 has a logit; the nearest numbers do.
    return np.asarray(logit(np.clip(values, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)))


def _checked(labels: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None) -> Any:
    positive, values = check_binary("labels", labels), check_probabilities("probabilities", probabilities)
    checks.check_same_length(labels=positive, probabilities=values)
    weights = check_weights(sample_weight, values.size)
    check_both_classes("labels", positive[weights > 0])
    return positive, values, weights
