"""CROWDLAB: a crowd and a classifier as one weighted vote (Goh, Tkachenko and Mueller, 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.crowds.crowd_consensus import CrowdConsensus, consensus_fields
from noisy_labels.crowds.crowd_labels import CrowdLabels, read_crowd_labels
from sparse_data.checks import check_finite, check_ndim, check_non_negative
from sparse_data.type_checks import naming

SMALLEST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class CrowdlabConsensus(CrowdConsensus):
    """A `CrowdConsensus` with the weights of the vote.

    Attributes
    ----------
    worker_weights : float array of shape (n_workers,)
    model_weight : float
    """

    worker_weights: NDArray[np.float64] = None  # type: ignore[assignment]
    model_weight: float = 0.0


def crowdlab(
    items: ArrayLike,
    workers: ArrayLike,
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    item_ids: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> CrowdlabConsensus:
    r"""Weigh each worker and the out-of-sample prediction of a classifier by how far they agree.

    .. math:: q_{ik} = \frac{w_M p_{ik} + \sum_{(i,j,l)} w_j \big( P [l = k] + \frac{1 - P}{K - 1} [l \ne k]
              \big)}{w_M + \sum_{(i,j,l)} w_j}, \quad w_j = 1 - \frac{1 - a_j}{e_0}, \quad
              w_M = \Big( 1 - \frac{e_M}{e_0} \Big) \sqrt{\bar n}

    :math:`a_j` is the share of the other labels of his items that agree with worker j, :math:`e_M` the
    error of the model and :math:`e_0` that of always naming the commonest class, both against the majority
    vote (ties broken by the model) on items with several labels; P is the mean agreement with that vote,
    :math:`\bar n` the mean number of labels of an item; weights are at least 1e-6.  The quality of worker j
    is :math:`\lambda \bar q_j + (1 - \lambda) A_j` with the mean quality of his labels, his agreement with
    the vote, and :math:`\lambda = w_M / (w_M + \bar w \bar n)`.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Long format, see `read_crowd_labels`.
    pred_probs : array of shape (n_rows, n_columns)
        Class probabilities of models that did not see the item.
    item_ids : array of shape (n_rows,), optional
        The item of each row, every labelled item among them; by default the labelled items in sorted order.
    classes : array of shape (n_columns,), optional
        The class of each column in sorted order; by default the classes that occur in `labels`.

    Returns
    -------
    CrowdlabConsensus
        Its classes are those of the columns.

    Raises
    ------
    TypeError, ValueError
        As `read_crowd_labels`; if the rows or columns do not cover the items or classes; or if no item has
        two labels, so that nothing is known of agreement.

    References
    ----------
    Goh, Tkachenko and Mueller, "CROWDLAB: supervised learning to infer consensus labels and quality scores
    for data with multiple annotators", 2022, arXiv:2210.06812.

    Examples
    --------
    >>> items, workers = [0, 0, 1, 1, 2], ["ann", "bob", "ann", "bob", "bob"]
    >>> consensus = crowdlab(items, workers, [0, 0, 1, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    >>> consensus.labels.tolist()
    [0, 1, 0]
    """
    crowd = read_crowd_labels(items, workers, labels)
    if classes is not None:
        crowd = _with_classes(crowd, classes)
    probabilities = _aligned(crowd, pred_probs, item_ids)
    votes = crowd.votes()
    counts = votes.sum(axis=1)
    if not (counts > 1).any():
        raise ValueError(
            "`items` must be labelled twice at least once; got one label an item. Train on them directly."
        )
    tied = votes == votes.max(axis=1, keepdims=True)
    consensus = np.where(tied, probabilities, -1.0).argmax(axis=1)
    worker_weights, model_weight, hit = _weights(crowd, probabilities, votes, consensus)
    posterior = _posterior(crowd, probabilities, worker_weights, model_weight, hit)
    fields = consensus_fields(crowd, posterior)
    share = model_weight / (model_weight + worker_weights.mean() * counts.mean())
    agrees = _mean_of_several(crowd, counts, crowd.label_codes == consensus[crowd.item_codes])
    quality = share * crowd.worker_means(fields["label_quality"]) + (1 - share) * agrees
    return CrowdlabConsensus(
        **fields,
        worker_quality=quality,
        class_priors=posterior.mean(axis=0),
        worker_weights=worker_weights,
        model_weight=model_weight,
    )


def _with_classes(crowd: CrowdLabels, classes: ArrayLike) -> CrowdLabels:
    columns = check_ndim("classes", classes, 1)
    listed = columns.tolist()
    with naming("classes", "names such as texts or numbers"):
        position = {value: column for column, value in enumerate(listed)}
    unknown = [value for value in crowd.classes.tolist() if value not in position]
    if unknown or listed != sorted(position):
        raise ValueError(
            f"`classes` must be sorted, distinct and hold every label; got {listed}, and labels {unknown} "
            "besides. Order the columns of `pred_probs` like np.unique."
        )
    columns_of = np.array([position[value] for value in crowd.classes.tolist()])
    label_codes = columns_of[crowd.label_codes]
    return CrowdLabels(crowd.items, crowd.workers, columns, crowd.item_codes, crowd.worker_codes, label_codes)


def _aligned(crowd: CrowdLabels, pred_probs: ArrayLike, item_ids: ArrayLike | None) -> NDArray[np.float64]:
    """Return the rows of the labelled items in sorted order."""
    probabilities = check_finite("pred_probs", check_ndim("pred_probs", pred_probs, 2))
    probabilities = check_non_negative("pred_probs", probabilities).astype(np.float64)
    ids = (crowd.items if item_ids is None else check_ndim("item_ids", item_ids, 1)).tolist()
    if probabilities.shape != (len(ids), crowd.classes.size):
        raise ValueError(
            f"`pred_probs` must be of shape {(len(ids), crowd.classes.size)}, a row an item and a column a "
            f"class; got {probabilities.shape}. Pass `item_ids` and `classes` to name rows and columns."
        )
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3):
        raise ValueError(
            f"`pred_probs` must be rows that sum to 1; got sums from {probabilities.sum(axis=1).min():.3g} "
            f"to {probabilities.sum(axis=1).max():.3g}. Pass probabilities, not logits."
        )
    with naming("item_ids", "names such as texts or numbers"):
        row_of = {item: row for row, item in enumerate(ids)}
    missing = [item for item in crowd.items.tolist() if item not in row_of]
    if missing:
        raise ValueError(
            f"`item_ids` must hold every labelled item; got none for {len(missing)}, first {missing[0]!r}. "
            "Predict these items too."
        )
    return probabilities[[row_of[item] for item in crowd.items.tolist()]]


def _mean_of_several(
    crowd: CrowdLabels, counts: NDArray[np.float64], values: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each worker's mean of one value a label over items with several labels; else that of all."""
    several = counts[crowd.item_codes] > 1
    workers, n_workers = crowd.worker_codes[several], crowd.workers.size
    n_labels = np.bincount(workers, minlength=n_workers)
    sums = np.bincount(workers, values[several], minlength=n_workers)
    return np.where(n_labels, sums / np.maximum(n_labels, 1), values[several].mean())


def _pairwise_agreement(crowd: CrowdLabels, votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the other labels of his items that agree with each worker."""
    same = votes[crowd.item_codes, crowd.label_codes] - 1
    others = votes.sum(axis=1)[crowd.item_codes] - 1
    sums = np.bincount(crowd.worker_codes, others)
    shares = np.bincount(crowd.worker_codes, same) / np.maximum(sums, 1)
    # Nothing is known of a worker who was always alone: he is taken for an average one.
    return np.where(sums > 0, shares, same.sum() / others.sum())


def _weights(
    crowd: CrowdLabels,
    probabilities: NDArray[np.float64],
    votes: NDArray[np.float64],
    consensus: NDArray[np.int64],
) -> tuple[NDArray[np.float64], float, float]:
    """Return the weights of the workers and of the model, and P."""
    counts = votes.sum(axis=1)
    several = counts > 1
    target = consensus[several]
    baseline = max(1 - float(np.bincount(target).max() / target.size), SMALLEST_WEIGHT)
    model_error = float(np.mean(probabilities.argmax(axis=1)[several] != target))
    worker_weights = np.maximum(1 - (1 - _pairwise_agreement(crowd, votes)) / baseline, SMALLEST_WEIGHT)
    model_weight = max(1 - model_error / baseline, SMALLEST_WEIGHT) * float(np.sqrt(counts.mean()))
    hit = float(np.mean(votes[several, target] / counts[several]))
    return worker_weights, model_weight, hit


def _posterior(
    crowd: CrowdLabels,
    probabilities: NDArray[np.float64],
    worker_weights: NDArray[np.float64],
    model_weight: float,
    hit: float,
) -> NDArray[np.float64]:
    n_items, n_classes = probabilities.shape
    miss = (1 - hit) / max(n_classes - 1, 1)
    weights = worker_weights[crowd.worker_codes]
    totals = np.bincount(crowd.item_codes, weights)[:, None]
    cells = crowd.item_codes * n_classes + crowd.label_codes
    support = np.bincount(cells, weights, minlength=n_items * n_classes).reshape(n_items, n_classes)
    weighted = model_weight * probabilities + miss * totals + (hit - miss) * support
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))
