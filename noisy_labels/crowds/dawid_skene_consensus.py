"""Dawid and Skene (1979): a confusion matrix for each worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.crowds.crowd_consensus import CrowdConsensus, consensus_fields
from noisy_labels.crowds.crowd_kernels import confusion_pass
from noisy_labels.crowds.crowd_labels import CrowdLabels, read_crowd_labels
from sparse_data.checks import check_count, check_in_range


@dataclass(frozen=True, eq=False, repr=False)
class DawidSkeneConsensus(CrowdConsensus):
    """A `CrowdConsensus` with the confusion matrices of the workers.

    Attributes
    ----------
    log_likelihood : float array of shape (n_iter,)
        Of the labels, before each pass.
    """

    log_likelihood: NDArray[np.float64] = None  # type: ignore[assignment]
    _pairs: NDArray[np.int64] = None  # type: ignore[assignment]
    _counts: NDArray[np.float64] = None  # type: ignore[assignment]
    _smoothing: float = 0.0

    def confusion(self, worker: Any) -> NDArray[np.float64]:
        """Return P(label j | true class i) of one worker, shape (n_classes, n_classes).

        Raises
        ------
        ValueError
            If nobody of this name has labelled anything.
        """
        found = np.flatnonzero(self.workers == worker)
        if not found.size:
            raise ValueError(
                f"`worker` must be one of the {self.workers.size} workers; got {worker!r}. See `workers`."
            )
        n_classes = self.classes.size
        start, stop = np.searchsorted(self._pairs, [found[0] * n_classes, (found[0] + 1) * n_classes])
        matrix = np.full((n_classes, n_classes), self._smoothing)
        matrix[:, self._pairs[start:stop] - found[0] * n_classes] += self._counts[start:stop].T
        return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def dawid_skene(
    items: ArrayLike,
    workers: ArrayLike,
    labels: ArrayLike,
    *,
    smoothing: float = 0.01,
    max_iter: int = 100,
    tol: float = 1e-6,
) -> DawidSkeneConsensus:
    r"""Estimate true classes and one confusion matrix a worker by expectation-maximisation.

    .. math:: p_{ik} \propto \pi_k \prod_{(i,w,l)} \theta^w_{kl}, \qquad
              \theta^w_{kl} = \frac{a + \sum_{(i,w,l)} p_{ik}}{K a + \sum_{(i,w,\cdot)} p_{ik}}, \qquad
              \pi_k = \frac{1}{n} \sum_i p_{ik}

    Starts from the shares of the votes.  Only the pairs of a worker and a class that occur are stored.  The
    quality of a worker is :math:`\sum_k \pi_k \theta^w_{kk}`, the probability that a label of his is right.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Long format, see `read_crowd_labels`.
    smoothing : float, default=0.01
        a, above 0: labels of each kind that a worker is thought to have given beforehand.
    max_iter : int, default=100
    tol : float, default=1e-6
        Stop when the log-likelihood of a label grows by less on average; 0 makes all passes.

    Returns
    -------
    DawidSkeneConsensus

    Raises
    ------
    TypeError, ValueError
        As `read_crowd_labels`, or for an argument out of its range.

    References
    ----------
    Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", 1979.

    Examples
    --------
    >>> items, workers = [0, 0, 0, 1, 1, 1, 2, 2, 2], ["a", "b", "c"] * 3
    >>> consensus = dawid_skene(items, workers, [0, 0, 1, 1, 1, 0, 1, 1, 0])
    >>> consensus.labels.tolist(), consensus.worker_quality.round(1).tolist()
    ([0, 1, 1], [1.0, 1.0, 0.0])
    """
    check_in_range("smoothing", smoothing, 1e-100, 1e100)
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    crowd = read_crowd_labels(items, workers, labels)
    order, offsets = crowd.by_item()
    n_classes = crowd.classes.size
    cells = crowd.worker_codes[order] * n_classes + crowd.label_codes[order]
    pairs, pair_codes = np.unique(cells, return_inverse=True)
    posterior = crowd.votes()
    posterior /= posterior.sum(axis=1, keepdims=True)
    counts = np.zeros((pairs.size, n_classes))
    np.add.at(counts, pair_codes, posterior[crowd.item_codes[order]])
    history: list[float] = []
    for _ in range(max_iter):
        confusion = _confusion(counts, pairs // n_classes, smoothing)
        priors = posterior.mean(axis=0)
        history.append(
            confusion_pass(offsets, pair_codes, np.log(confusion), _log(priors), posterior, counts)
        )
        if len(history) > 1 and history[-1] - history[-2] < tol * order.size:
            break
    return _consensus(crowd, posterior, priors, pairs, counts, smoothing, np.array(history))


def _confusion(
    counts: NDArray[np.float64], pair_workers: NDArray[np.int64], smoothing: float
) -> NDArray[np.float64]:
    """Return P(label | worker, true class), one row a (worker, label) pair, one column a true class."""
    starts = np.flatnonzero(np.r_[True, np.diff(pair_workers) > 0])
    totals = np.add.reduceat(counts, starts, axis=0)[pair_workers]
    return np.asarray((counts + smoothing) / (totals + smoothing * counts.shape[1]))


def _log(priors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(priors, np.finfo(np.float64).tiny))


def _consensus(
    crowd: CrowdLabels,
    posterior: NDArray[np.float64],
    priors: NDArray[np.float64],
    pairs: NDArray[np.int64],
    counts: NDArray[np.float64],
    smoothing: float,
    history: NDArray[np.float64],
) -> DawidSkeneConsensus:
    n_classes = crowd.classes.size
    pair_workers, pair_labels = np.divmod(pairs, n_classes)
    starts = np.flatnonzero(np.r_[True, np.diff(pair_workers) > 0])
    totals = np.add.reduceat(counts, starts, axis=0) + smoothing * n_classes
    # A class that a worker never gave still has its smoothed share of the right labels.
    right = np.full_like(totals, smoothing)
    right[pair_workers, pair_labels] += counts[np.arange(pairs.size), pair_labels]
    return DawidSkeneConsensus(
        **consensus_fields(crowd, posterior),
        worker_quality=(right / totals) @ priors,
        class_priors=priors,
        n_iter=history.size,
        log_likelihood=history,
        _pairs=pairs,
        _counts=counts,
        _smoothing=smoothing,
    )
