"""The area under the ROC curve of more rows than memory holds, with a bound of its error."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from recsys_ssl.measures.binary_labels import check_binary, check_probabilities, check_weights
from sparse_data import checks
from sparse_data.type_checks import check_type

# Logits beyond this share the outer bins: probabilities below 1e-14, and float64 next to 1.
LARGEST_LOGIT = 32.0


class StreamingAUC:
    r"""Histograms of both classes over the logits of probabilities, mergeable over shards.

    With :math:`P_b, N_b` the weights of positive and negative rows in bin *b*, and *P*, *N* their sums,

    .. math:: \frac{1}{P N} \sum_b P_b \Big( \sum_{a < b} N_a + \tfrac12 N_b \Big)

    differs from the exact area by at most :math:`\frac{1}{2 P N} \sum_b P_b N_b`, since pairs in different
    bins are counted exactly and pairs in one bin as ties (:meth:`error_bound`). Bins are equally wide in the
    logit, so that rare events are resolved as well as common ones: with the default, probabilities that
    differ by a thousandth of their odds lie in different bins.

    Parameters
    ----------
    n_bins : int, default=2**16

    Examples
    --------
    >>> first, second = StreamingAUC(), StreamingAUC()
    >>> first.update([0, 1], [0.2, 0.4])
    >>> second.update([0, 1], [0.3, 0.25])
    >>> first.merge(second).result()
    0.75
    >>> first.error_bound()
    0.0
    """

    def __init__(self, n_bins: int = 1 << 16) -> None:
        self.n_bins = checks.check_count("n_bins", n_bins, maximum=2**31 - 1)
        self.positives = np.zeros(self.n_bins)
        self.negatives = np.zeros(self.n_bins)

    def update(
        self, labels: ArrayLike, probabilities: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add rows.

        Parameters
        ----------
        labels : array_like of shape (n,)
            0 or 1; a batch may hold one class alone.
        probabilities : array_like of shape (n,)
        sample_weight : array_like of shape (n,), optional

        Raises
        ------
        ValueError
            If lengths differ or a value is out of range; nothing has been added then.
        """
        positive = check_binary("labels", labels)
        values = check_probabilities("probabilities", probabilities)
        checks.check_same_length(labels=positive, probabilities=values)
        weights = check_weights(sample_weight, positive.size)
        share = (np.clip(logit(values), -LARGEST_LOGIT, LARGEST_LOGIT) / LARGEST_LOGIT + 1) / 2
        bins = np.minimum((share * self.n_bins).astype(np.int64), self.n_bins - 1)
        self.positives += np.bincount(bins, weights=weights * positive, minlength=self.n_bins)
        self.negatives += np.bincount(bins, weights=weights * ~positive, minlength=self.n_bins)

    def merge(self, other: StreamingAUC) -> Self:
        """Add the rows of another accumulator with as many bins; returns itself."""
        check_type("other", other, StreamingAUC, "Merge accumulators.")
        if other.n_bins != self.n_bins:
            raise ValueError(
                f"`other` must have {self.n_bins} bins; got {other.n_bins}. Build both with the same n_bins."
            )
        self.positives += other.positives
        self.negatives += other.negatives
        return self

    def result(self) -> float:
        """Return the area under the curve of all rows, within :meth:`error_bound` of the exact one."""
        below = np.cumsum(self.negatives) - self.negatives / 2
        return float(self.positives @ below / self._pairs())

    def error_bound(self) -> float:
        """Return how far :meth:`result` can be from the area that all scores would give."""
        return float(self.positives @ self.negatives / (2 * self._pairs()))

    def _pairs(self) -> float:
        pairs = float(self.positives.sum() * self.negatives.sum())
        if pairs == 0:
            raise ValueError(
                f"The rows must hold both classes; got weights {self.positives.sum():g} of 1 and "
                f"{self.negatives.sum():g} of 0. Update with more rows first."
            )
        return pairs
