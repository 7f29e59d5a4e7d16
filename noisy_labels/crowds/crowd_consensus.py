"""What a crowd's labels say together: the result of every method that aggregates them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisy_labels.crowds.crowd_labels import CrowdLabels


@dataclass(frozen=True, eq=False, repr=False)
class CrowdConsensus:
    """Class probabilities of each item, and how good each worker and each single label is.

    Attributes
    ----------
    items, classes, workers : arrays of shape (n_items,), (n_classes,) and (n_workers,)
        The distinct values, sorted.
    probabilities : float array of shape (n_items, n_classes)
        The posterior of the true class: soft targets for training.
    labels : array of shape (n_items,)
        The consensus: the class of the largest probability.
    label_quality : float array of shape (n_labels,)
        The probability that the given label is true, one a label, in the order of the input.
    worker_quality : float array of shape (n_workers,)
        In [0, 1]; the method says how it is made.
    class_priors : float array of shape (n_classes,)
    n_iter : int
        Passes of expectation-maximisation; 0 for methods without.
    """

    items: NDArray[Any]
    classes: NDArray[Any]
    workers: NDArray[Any]
    probabilities: NDArray[np.float64]
    labels: NDArray[Any]
    label_quality: NDArray[np.float64]
    worker_quality: NDArray[np.float64]
    class_priors: NDArray[np.float64]
    n_iter: int = 0


def consensus_fields(crowd: CrowdLabels, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Return the fields of a `CrowdConsensus` that follow from the posterior alone."""
    return {
        "items": crowd.items,
        "classes": crowd.classes,
        "workers": crowd.workers,
        "probabilities": probabilities,
        "labels": crowd.classes[probabilities.argmax(axis=1)],
        "label_quality": probabilities[crowd.item_codes, crowd.label_codes],
    }
