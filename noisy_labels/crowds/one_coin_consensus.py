"""The one-coin model: each worker is right with one probability, whatever the class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from noisy_labels.crowds.crowd_consensus import CrowdConsensus, consensus_fields
from noisy_labels.crowds.crowd_kernels import agreement_posterior
from noisy_labels.crowds.crowd_labels import read_crowd_labels
from sparse_data.checks import check_count, check_in_range


def one_coin(
    items: ArrayLike,
    workers: ArrayLike,
    labels: ArrayLike,
    *,
    smoothing: float = 0.01,
    max_iter: int = 100,
    tol: float = 1e-6,
) -> CrowdConsensus:
    r"""Estimate true classes and one accuracy a worker by expectation-maximisation.

    .. math:: p_{ik} \propto \pi_k \prod_{(i,w,l)} q_w^{[l=k]} \Big(\frac{1-q_w}{K-1}\Big)^{[l \ne k]}, \qquad
              q_w = \frac{a + \sum_{(i,w,l)} p_{il}}{2 a + n_w}

    The quality of a worker is :math:`q_w`.  Few parameters: better than Dawid-Skene where workers give few
    labels, worse where they confuse classes in a systematic way.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Long format, see `read_crowd_labels`.
    smoothing : float, default=0.01
        a, above 0: right and wrong labels that a worker is thought to have given beforehand.
    max_iter : int, default=100
    tol : float, default=1e-6
        Stop when the log-likelihood of a label grows by less on average; 0 makes all passes.

    Returns
    -------
    CrowdConsensus

    Raises
    ------
    TypeError, ValueError
        As `read_crowd_labels`, or for an argument out of its range.

    References
    ----------
    Zhang, Chen, Zhou and Jordan, "Spectral methods meet EM: a provably optimal algorithm for crowdsourcing",
    2014, arXiv:1406.3824.

    Examples
    --------
    >>> items, workers = [0, 0, 0, 1, 1, 1, 2, 2, 2], ["a", "b", "c"] * 3
    >>> consensus = one_coin(items, workers, [0, 0, 1, 1, 1, 1, 2, 2, 0])
    >>> consensus.labels.tolist(), consensus.worker_quality.round(1).tolist()
    ([0, 1, 2], [1.0, 1.0, 0.3])
    """
    check_in_range("smoothing", smoothing, 1e-100, 1e100)
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    crowd = read_crowd_labels(items, workers, labels)
    order, offsets = crowd.by_item()
    item_codes, worker_codes = crowd.item_codes[order], crowd.worker_codes[order]
    label_codes = crowd.label_codes[order]
    n_labels = np.bincount(worker_codes)
    n_others = max(crowd.classes.size - 1, 1)
    posterior = crowd.votes()
    posterior /= posterior.sum(axis=1, keepdims=True)
    history: list[float] = []
    for _ in range(max_iter):
        right = np.bincount(worker_codes, posterior[item_codes, label_codes])
        accuracy = (right + smoothing) / (n_labels + 2 * smoothing)
        priors = posterior.mean(axis=0)
        log_right = np.log(accuracy)[worker_codes]
        wrong = (np.maximum(n_labels - right, 0) + smoothing) / (n_labels + 2 * smoothing)  # never 0
        log_wrong = np.log(wrong / n_others)[worker_codes]
        log_priors = np.log(np.maximum(priors, np.finfo(np.float64).tiny))
        history.append(agreement_posterior(offsets, label_codes, log_right, log_wrong, log_priors, posterior))
        if len(history) > 1 and history[-1] - history[-2] < tol * order.size:
            break
    return CrowdConsensus(
        **consensus_fields(crowd, posterior),
        worker_quality=accuracy,
        class_priors=priors,
        n_iter=len(history),
    )
