"""GLAD: abilities of workers and difficulties of items (Whitehill et al., 2009)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit

from noisy_labels.crowds.crowd_consensus import CrowdConsensus, consensus_fields
from noisy_labels.crowds.crowd_kernels import ability_step, agreement_posterior, easiness_step
from noisy_labels.crowds.crowd_labels import CrowdLabels, read_crowd_labels
from sparse_data.checks import check_count, check_in_range


@dataclass(frozen=True, eq=False, repr=False)
class GLADConsensus(CrowdConsensus):
    """A `CrowdConsensus` with abilities and difficulties.

    Attributes
    ----------
    ability : float array of shape (n_workers,)
        α; below 0 for a worker who is wrong more often than right.
    easiness : float array of shape (n_items,)
        β, above 0.
    """

    ability: NDArray[np.float64] = None  # type: ignore[assignment]
    easiness: NDArray[np.float64] = None  # type: ignore[assignment]


def glad(
    items: ArrayLike, workers: ArrayLike, labels: ArrayLike, *, max_iter: int = 100, tol: float = 1e-6
) -> GLADConsensus:
    r"""Estimate true classes, abilities of workers and easiness of items.

    .. math:: P(l_{iw} = z_i) = \sigma(\alpha_w \beta_i), \qquad
              P(l_{iw} = k) = \frac{1 - \sigma(\alpha_w \beta_i)}{K - 1} \;\; (k \ne z_i), \qquad
              p_{ik} \propto \pi_k \prod_w P(l_{iw} \mid z_i = k)

    with the priors :math:`\alpha_w \sim N(1, 1)` and :math:`\log \beta_i \sim N(0, 1)`.  The M step is one
    step of Newton's method for all abilities, then one for all items.  The quality of a worker is the mean of
    :math:`\sigma(\alpha_w \beta_i)` over his labels.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Long format, see `read_crowd_labels`.
    max_iter : int, default=100
    tol : float, default=1e-6
        Stop when the log-posterior of a label changes by less on average; 0 makes all passes.

    Returns
    -------
    GLADConsensus

    Raises
    ------
    TypeError, ValueError
        As `read_crowd_labels`, or for an argument out of its range.

    References
    ----------
    Whitehill, Ruvolo, Wu, Bergsma and Movellan, "Whose vote should count more: optimal integration of labels
    from labelers of unknown expertise", 2009.

    Examples
    --------
    >>> items, workers = [0, 0, 0, 1, 1, 1, 2, 2, 2], ["a", "b", "c"] * 3
    >>> consensus = glad(items, workers, [0, 0, 1, 1, 1, 1, 2, 2, 0])
    >>> consensus.labels.tolist(), bool(consensus.ability[0] > consensus.ability[2])
    ([0, 1, 2], True)
    >>> consensus.easiness.argmax().item()
    1
    """
    check_count("max_iter", max_iter)
    check_in_range("tol", tol, 0)
    crowd = read_crowd_labels(items, workers, labels)
    order, offsets = crowd.by_item()
    item_codes, worker_codes = crowd.item_codes[order], crowd.worker_codes[order]
    label_codes = crowd.label_codes[order]
    log_others = float(np.log(max(crowd.classes.size - 1, 1)))
    ability, log_easiness = np.ones(crowd.workers.size), np.zeros(crowd.items.size)
    posterior = crowd.votes()
    posterior /= posterior.sum(axis=1, keepdims=True)
    history: list[float] = []
    for _ in range(max_iter):
        right = posterior[item_codes, label_codes]
        ability_step(item_codes, worker_codes, right, ability, log_easiness)
        easiness_step(item_codes, worker_codes, right, ability, log_easiness)
        logit = ability[worker_codes] * np.exp(log_easiness)[item_codes]
        priors = posterior.mean(axis=0)
        log_priors = np.log(np.maximum(priors, np.finfo(np.float64).tiny))
        log_right = log_expit(logit)
        log_wrong = log_right - logit - log_others
        objective = agreement_posterior(offsets, label_codes, log_right, log_wrong, log_priors, posterior)
        history.append(objective - 0.5 * (np.sum((ability - 1.0) ** 2) + np.sum(log_easiness**2)))
        if len(history) > 1 and abs(history[-1] - history[-2]) < tol * order.size:
            break
    return _consensus(crowd, posterior, priors, ability, np.exp(log_easiness), len(history))


def _consensus(
    crowd: CrowdLabels,
    posterior: NDArray[np.float64],
    priors: NDArray[np.float64],
    ability: NDArray[np.float64],
    easiness: NDArray[np.float64],
    n_iter: int,
) -> GLADConsensus:
    chance = expit(ability[crowd.worker_codes] * easiness[crowd.item_codes])
    return GLADConsensus(
        **consensus_fields(crowd, posterior),
        worker_quality=crowd.worker_means(chance),
        class_priors=priors,
        n_iter=n_iter,
        ability=ability,
        easiness=easiness,
    )
