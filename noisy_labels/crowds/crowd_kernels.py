"""Loops of expectation-maximisation over the labels of a crowd, compiled.

Labels are sorted by item: those of item i are `offsets[i]` to `offsets[i + 1]`.  A pass costs the number of
labels times the number of classes at most, and nothing for workers and classes that do not meet.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_kernel = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_kernel  # type: ignore[misc]
def normalise_row(row: Floats) -> float:
    """Turn log weights into probabilities in place and return the logarithm of their sum."""
    largest = row.max()
    total = 0.0
    for k in range(row.size):
        row[k] = np.exp(row[k] - largest)
        total += row[k]
    for k in range(row.size):
        row[k] /= total
    return float(largest + np.log(total))


@_kernel  # type: ignore[misc]
def confusion_pass(
    offsets: Ints,
    pairs: Ints,
    log_confusion: Floats,
    log_priors: Floats,
    posterior: Floats,
    counts: Floats,
) -> float:
    """Write the posterior and the expected counts of each pair, and return the log-likelihood.

    Row `pairs[l]` of `log_confusion` holds log P(this label | this worker, true class k) over k; the same row
    of `counts` is how many labels of this kind the worker gave to items of class k.
    """
    likelihood = 0.0
    counts[:] = 0.0
    n_classes = posterior.shape[1]
    for item in range(posterior.shape[0]):
        row = posterior[item]
        row[:] = log_priors
        for label in range(offsets[item], offsets[item + 1]):
            pair = pairs[label]
            for k in range(n_classes):
                row[k] += log_confusion[pair, k]
        likelihood += normalise_row(row)
        for label in range(offsets[item], offsets[item + 1]):
            pair = pairs[label]
            for k in range(n_classes):
                counts[pair, k] += row[k]
    return likelihood


@_kernel  # type: ignore[misc]
def agreement_posterior(
    offsets: Ints, labels: Ints, log_right: Floats, log_wrong: Floats, log_priors: Floats, posterior: Floats
) -> float:
    """Write the posterior where a label is right or wrong, and return the log-likelihood.

    `log_right[l]` is the log-probability of label l if it is the true class, `log_wrong[l]` that of this
    very class if another one is true.
    """
    likelihood = 0.0
    for item in range(posterior.shape[0]):
        row = posterior[item]
        row[:] = log_priors
        for label in range(offsets[item], offsets[item + 1]):
            likelihood += log_wrong[label]
            row[labels[label]] += log_right[label] - log_wrong[label]
        likelihood += normalise_row(row)
    return likelihood


@_kernel  # type: ignore[misc]
def ability_step(items: Ints, workers: Ints, right: Floats, ability: Floats, log_easiness: Floats) -> None:
    """Move every ability by one step of Newton's method, its prior N(1, 1); at most by 1."""
    easiness = np.exp(log_easiness)
    slope, curvature = 1.0 - ability, np.ones_like(ability)
    for label in range(items.size):
        scale, worker = easiness[items[label]], workers[label]
        chance = 1.0 / (1.0 + np.exp(-ability[worker] * scale))
        slope[worker] += (right[label] - chance) * scale
        curvature[worker] += chance * (1.0 - chance) * scale * scale
    for worker in range(ability.size):
        ability[worker] += min(1.0, max(-1.0, slope[worker] / curvature[worker]))


@_kernel  # type: ignore[misc]
def easiness_step(items: Ints, workers: Ints, right: Floats, ability: Floats, log_easiness: Floats) -> None:
    """Move every log-easiness by one Gauss-Newton step, its prior N(0, 1); at most by 1."""
    easiness = np.exp(log_easiness)
    slope, curvature = -log_easiness, np.ones_like(log_easiness)
    for label in range(items.size):
        item = items[label]
        logit = ability[workers[label]] * easiness[item]
        chance = 1.0 / (1.0 + np.exp(-logit))
        slope[item] += (right[label] - chance) * logit
        curvature[item] += chance * (1.0 - chance) * logit * logit
    for item in range(log_easiness.size):
        log_easiness[item] += min(1.0, max(-1.0, slope[item] / curvature[item]))
