"""Is it better to clean the labels than to leave them? Asked of noisy labels that neither model has seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class NoisyValidation(NamedTuple):
    """Balanced accuracy against the given labels of held-out rows, as they are, wrong ones included.

    Attributes
    ----------
    as_given : float
        Of the estimator trained on the labels as given; NaN where nothing was compared.
    cleaned : float
        Of the estimator trained on labels that were cleaned without the held-out rows.
    standard_error : float
        Of their difference.
    n_rows : int
        Held-out rows.
    """

    as_given: float = float("nan")
    cleaned: float = float("nan")
    standard_error: float = float("nan")
    n_rows: int = 0

    @property
    def favours_cleaning(self) -> bool:
        """Whether cleaning is not worse by more than one standard error."""
        return not self.cleaned - self.as_given < -self.standard_error


def compare_on_noisy_labels(
    codes: NDArray[np.int64], as_given: NDArray[np.int64], cleaned: NDArray[np.int64]
) -> NoisyValidation:
    r"""Compare two predictions of the same rows.

    .. math:: \Delta = \sum_i w_i d_i, \qquad w_i = \frac{1}{K n_{\tilde y_i}}, \qquad
              d_i = [\hat y^{clean}_i = \tilde y_i] - [\hat y_i = \tilde y_i], \qquad
              s^2 = \sum_i w_i^2 (d_i - \Delta)^2

    Noise that does not depend on the features lowers both accuracies alike and leaves their order.

    Parameters
    ----------
    codes, as_given, cleaned : int arrays of shape (n,)
        Given labels and the two predictions.

    Returns
    -------
    NoisyValidation

    Examples
    --------
    >>> compare_on_noisy_labels(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0, 0, 1]))[:2]
    (0.75, 1.0)
    """
    counts = np.bincount(codes)
    weights = 1 / (np.count_nonzero(counts) * counts[codes])
    right_before, right_after = (as_given == codes).astype(float), (cleaned == codes).astype(float)
    before, after = float(weights @ right_before), float(weights @ right_after)
    deviation = right_after - right_before - (after - before)
    return NoisyValidation(before, after, float(np.sqrt(np.sum((weights * deviation) ** 2))), len(codes))


def looks_in_sample(
    codes: NDArray[np.int64], predicted: NDArray[np.int64], held_out: NDArray[np.int64]
) -> bool:
    """Return whether predictions agree with noisy labels more than those of a model that never saw them.

    That is: with less than half of the disagreement, and by more than three standard errors.

    Parameters
    ----------
    codes, predicted, held_out : int arrays of shape (n,)
        Given labels, the predictions in doubt, and those of a model that was not trained on these rows.
    """
    agrees, fair = predicted == codes, held_out == codes
    difference = agrees.astype(float) - fair
    error = difference.std() / np.sqrt(len(codes))
    halved = 1 - agrees.mean() < 0.5 * (1 - fair.mean())
    return bool(halved and difference.mean() > 3 * error)
