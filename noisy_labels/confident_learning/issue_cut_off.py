"""The cut-off of `find_label_issues(method="auto")`: what the surest predictions tell about the noise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from noisy_labels.confident_learning.predicted_probabilities import RowSummary
from noisy_labels.confident_learning.pruning_rules import rows_by_class

N_BINS = 20  # of confidence, over which errors are expected
# A model errs the least where it is the surest: there, disagreement tells of labels alone, and a trend in it
# of noise that depends on the instance. The trend is carried on from the surer half, where it is visible.
SUREST, SURER = 0.25, 0.5
SIGNIFICANT = 2.326  # standard deviations: one in a hundred under noise without trend


class IssueCutOff(NamedTuple):
    """How many rows to flag beyond the pruning rule, and why.

    Attributes
    ----------
    noise : {"class-conditional", "instance-dependent"}
        Whether disagreement is as frequent among the surest predictions as among the less sure.
    reason : str
        The decision in a sentence.
    disagreement : float
        Share of rows whose most probable class is not the given one.
    surest_disagreement : float
        The same among the surest quarter of the predictions of each class.
    trend : float
        Cochran-Armitage statistic of disagreement against the rank of confidence within that quarter:
        standard normal if noise does not depend on it.
    n_expected : float
        Label errors to be expected, from the surest predictions extrapolated to all rows.
    n_pruned, n_added, n_disagreeing : int
        Rows flagged by the pruning rule, rows added to them, and rows whose most probable class is not the
        given.
    """

    noise: Literal["class-conditional", "instance-dependent"]
    reason: str
    disagreement: float
    surest_disagreement: float
    trend: float
    n_expected: float
    n_pruned: int
    n_added: int
    n_disagreeing: int


def extend_pruning(
    labels: NDArray[Any], rows: RowSummary, pruned: NDArray[np.bool_], n_classes: int
) -> tuple[NDArray[np.bool_], IssueCutOff]:
    r"""Add to a pruning rule the errors that it misses according to the surest predictions.

    Where a prediction is sure, disagreement with the given label is an error of the label. Its rate
    :math:`\eta(u)` at rank u of confidence is thus seen in the surest quarter. Class-conditional noise has no
    trend in u: the rate, less its standard error, then holds everywhere. If there is a trend,
    :math:`\operatorname{logit} \eta(u) = a + b u` is fitted to the surer half and carried on. Of
    :math:`d_b` disagreeing rows in a bin b of u, :math:`e_b = \min(d_b, \eta_b n_b)` are expected errors;
    where the rule flags fewer, the difference is added: the disagreeing rows with the largest posterior odds

    .. math:: \frac{\hat p_j(x) \, T_{j \tilde y}}{\hat p_{\tilde y}(x)}, \qquad j = \arg\max_k \hat p_k(x),

    T being the transition frequencies of the surest quarter, shrunk towards equal ones.

    Parameters
    ----------
    labels : int array of shape (n,)
    rows : RowSummary
    pruned : bool array of shape (n,)
        What the pruning rule flags; none of its rows agrees with its label.
    n_classes : int

    Returns
    -------
    flagged : bool array of shape (n,)
    cut_off : IssueCutOff
    """
    disagrees = rows.argmax != labels
    rank = confidence_ranks(rows)
    surest = _surest_rows(rank, rows.argmax)
    rate = float(disagrees[surest].mean())
    trend = trend_statistic(rank[surest], disagrees[surest])
    depends = trend > SIGNIFICANT
    rates = _error_rates(rank, disagrees, surest, depends)
    n_expected, n_added = _missing_errors(rank, disagrees, pruned, rates)
    flagged = pruned.copy()
    disputed = np.flatnonzero(disagrees & ~pruned)
    if n_added:
        odds = _log_odds(labels, rows, disputed, surest, n_classes)
        flagged[disputed[np.argsort(-odds, kind="stable")[:n_added]]] = True
    n_pruned, n_disagreeing = int(pruned.sum()), int(disagrees.sum())
    noise: Literal["class-conditional", "instance-dependent"]
    noise = "instance-dependent" if depends else "class-conditional"
    reason = (
        f"{noise} noise: {rate:.1%} of the surest predictions disagree with their label, "
        f"{'rising as confidence falls' if depends else 'with no trend in confidence'} (z = {trend:.1f}); "
        f"{n_expected:.0f} errors expected, {n_pruned} flagged by the pruning rule, {n_added} added of "
        f"{n_disagreeing - n_pruned} further disagreements."
    )
    share = float(disagrees.mean())
    return flagged, IssueCutOff(
        noise, reason, share, rate, trend, n_expected, n_pruned, n_added, n_disagreeing
    )


def confidence_ranks(rows: RowSummary) -> NDArray[np.float64]:
    """Return the rank of each row among the predictions of its class, 0 the surest; ties share their mean."""
    ranks = np.empty(len(rows.argmax))
    members, bounds = rows_by_class(rows.argmax, int(rows.argmax.max()) + 1)
    for start, stop in pairwise(bounds.tolist()):
        part = members[start:stop]
        if not len(part):
            continue
        confidence = rows.largest[part]
        order = np.argsort(-confidence)
        confidence = confidence[order]
        first = np.flatnonzero(np.r_[True, confidence[1:] != confidence[:-1]])
        sizes = np.diff(first, append=len(part))
        ranks[part[order]] = np.repeat((first + sizes / 2) / len(part), sizes)
    return ranks


def trend_statistic(rank: NDArray[np.float64], disagrees: NDArray[np.bool_]) -> float:
    """Return the Cochran-Armitage statistic; 0 where all rows agree or all disagree."""
    if not len(rank):
        return 0.0
    rate, centred = disagrees.mean(), rank - rank.mean()
    variance = rate * (1 - rate) * (centred @ centred)
    return float(centred @ disagrees / np.sqrt(variance)) if variance > 0 else 0.0


def fit_logistic_trend(rank: NDArray[np.float64], disagrees: NDArray[np.bool_]) -> tuple[float, float]:
    """Return a and b of logit rate = a + b rank, by Newton's method on the likelihood."""
    design = np.column_stack([np.ones_like(rank), rank])
    coefficients = np.array([logit(disagrees.mean()), 0.0])
    # A ridge too small to matter, but for data that a threshold separates.
    ridge = 1e-6 * np.eye(2)
    for _ in range(50):
        fitted = expit(design @ coefficients)
        curvature = design.T @ (design * (fitted * (1 - fitted))[:, None]) + ridge
        step = np.linalg.solve(curvature, design.T @ (disagrees - fitted) - ridge @ coefficients)
        coefficients += step
        if np.abs(step).max() < 1e-8:
            break
    return float(coefficients[0]), float(coefficients[1])


def _surest_rows(rank: NDArray[np.float64], predicted: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the surest quarter of the predictions of each class, at least those tied for the first place."""
    first = np.ones(int(predicted.max()) + 1)
    np.minimum.at(first, predicted, rank)
    return rank <= np.maximum(first, SUREST)[predicted]


def _error_rates(
    rank: NDArray[np.float64], disagrees: NDArray[np.bool_], surest: NDArray[np.bool_], depends: bool
) -> NDArray[np.float64]:
    """Return the rate of label errors expected at each row's rank."""
    if depends:
        surer = surest | (rank <= SURER)
        intercept, slope = fit_logistic_trend(rank[surer], disagrees[surer])
        return np.asarray(expit(intercept + slope * rank), dtype=np.float64)
    # One standard error below: an added row that is correct costs as much as an error that is missed.
    rate = disagrees[surest].mean()
    return np.full(len(rank), max(rate - np.sqrt(rate * (1 - rate) / surest.sum()), 0))


def _missing_errors(
    rank: NDArray[np.float64],
    disagrees: NDArray[np.bool_],
    pruned: NDArray[np.bool_],
    rates: NDArray[np.float64],
) -> tuple[float, int]:
    """Return the errors expected in all, and how many of them the rule misses among disagreeing rows."""
    bins = np.minimum((rank * N_BINS).astype(np.int64), N_BINS - 1)
    expected = np.bincount(bins, rates, N_BINS)
    n_disagreeing = np.bincount(bins[disagrees], minlength=N_BINS)
    n_pruned = np.bincount(bins[pruned], minlength=N_BINS)
    missing = np.minimum(n_disagreeing - n_pruned, np.maximum(expected - n_pruned, 0))
    return float(expected.sum()), int(missing.sum())


def _log_odds(
    labels: NDArray[Any],
    rows: RowSummary,
    disputed: NDArray[np.intp],
    surest: NDArray[np.bool_],
    n_classes: int,
) -> NDArray[np.float64]:
    """Return the logarithm of the posterior odds that the label is wrong, for disputed rows."""
    cells = rows.argmax[surest].astype(np.int64) * n_classes + labels[surest]
    counts = np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
    predicted = counts.sum(axis=1)
    errors = predicted - counts.diagonal()
    # As many imagined rows a class as there are other labels, with the overall error rate and no preference.
    imagined = errors.sum() / predicted.sum()
    argmax, given = rows.argmax[disputed], labels[disputed]
    transition = (counts[argmax, given] + imagined) / (predicted[argmax] + n_classes - 1)
    # A frequency of n votes knows no probability below 1 / n: absent neighbours are no proof.
    least = 1 / len(labels)
    odds = np.log(rows.largest[disputed] + least) - np.log(rows.own[disputed] + least)
    return np.asarray(odds + np.log(transition), dtype=np.float64)
