"""Majority vote: every worker counts alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from noisy_labels.crowds.crowd_consensus import CrowdConsensus, consensus_fields
from noisy_labels.crowds.crowd_labels import read_crowd_labels


def majority_vote(items: ArrayLike, workers: ArrayLike, labels: ArrayLike) -> CrowdConsensus:
    r"""Return the shares of the votes of each item.

    .. math:: p_{ik} = \frac{|\{w : y_{iw} = k\}|}{|\{w : y_{iw}\}|}

    Classes with the same number of votes on an item share its probability; the consensus is then the one
    among them with more votes over all items.  The quality of a worker is the mean share of the votes that
    his labels have, his own among them.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Long format, see `read_crowd_labels`.

    Returns
    -------
    CrowdConsensus

    Raises
    ------
    TypeError, ValueError
        As `read_crowd_labels`.

    Examples
    --------
    >>> vote = majority_vote([0, 0, 0, 1], ["ann", "bob", "cas", "ann"], ["x", "y", "x", "y"])
    >>> vote.labels.tolist()
    ['x', 'y']
    >>> vote.label_quality.round(2).tolist()
    [0.67, 0.33, 0.67, 1.0]
    """
    crowd = read_crowd_labels(items, workers, labels)
    votes = crowd.votes()
    probabilities = votes / votes.sum(axis=1, keepdims=True)
    fields = consensus_fields(crowd, probabilities)
    tied = votes == votes.max(axis=1, keepdims=True)
    fields["labels"] = crowd.classes[np.where(tied, votes.sum(axis=0), -1.0).argmax(axis=1)]
    return CrowdConsensus(
        **fields,
        worker_quality=crowd.worker_means(fields["label_quality"]),
        class_priors=probabilities.mean(axis=0),
    )
