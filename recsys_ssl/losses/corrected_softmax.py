"""The loss of a sampled softmax with sampling-bias correction, as functions of logits.

Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from sparse_data import checks

Tensor = Any  # a tensor of whichever backend Keras runs on

SIMILARITIES = ("dot", "cosine")
CORRECTIONS = ("none", "logq", "negatives", "leave_positive_out")


def scaled_vectors(
    queries: Tensor, items: Tensor, *, similarity: str, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Vectors whose dot products are the similarity over the temperature, :math:`s(q_i, x_j) / \tau`.

    Parameters
    ----------
    queries : tensor of shape (batch, dim)
    items : tensor of shape (n_candidates, dim)
    similarity : {"dot", "cosine"}
    temperature : float or scalar tensor, above 0

    Returns
    -------
    tensors of shape (batch, dim) and (n_candidates, dim)

    Raises
    ------
    ValueError
        If the similarity is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> both = scaled_vectors([[0.0, 3.0]], [[4.0, 0.0]], similarity="cosine", temperature=0.5)
    >>> [np.asarray(vectors).tolist() for vectors in both]
    [[[0.0, 2.0]], [[1.0, 0.0]]]
    """
    checks.check_one_of("similarity", similarity, SIMILARITIES)
    queries, items = ops.convert_to_tensor(queries), ops.convert_to_tensor(items)
    if similarity == "cosine":
        queries, items = _unit(queries), _unit(items)
    # The temperature divides the smaller operand, not the (batch, n_candidates) product.
    return queries / temperature, items


def similarity_logits(
    queries: Tensor, items: Tensor, *, similarity: str, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Similarity over the temperature, :math:`s(q_i, x_j) / \tau`, of every query with every candidate.

    Parameters
    ----------
    queries, items, similarity, temperature
        As in :func:`scaled_vectors`; the first items are the positives of the queries in their order.

    Returns
    -------
    positive : tensor of shape (batch,)
        Of every query with its own item.
    logits : tensor of shape (batch, n_candidates)

    Examples
    --------
    >>> import numpy as np
    >>> both = similarity_logits(np.ones((1, 2)), np.eye(2), similarity="dot", temperature=0.5)
    >>> [np.asarray(part).tolist() for part in both]
    [[2.0], [[2.0, 2.0]]]
    """
    queries, items = scaled_vectors(queries, items, similarity=similarity, temperature=temperature)
    positive = ops.sum(queries * items[: ops.shape(queries)[0]], axis=-1)
    return positive, ops.matmul(queries, ops.transpose(items))


def log_probabilities(log_q: Tensor | None, correction: str, dtype: str) -> Tensor | None:
    """Return the log probabilities that a correction needs, or None if it needs none.

    Parameters
    ----------
    log_q : tensor of shape (n_candidates,) or None
    correction : str
        As in :func:`sampled_softmax_loss`.
    dtype : str

    Raises
    ------
    ValueError
        If they are needed and not given.
    """
    if correction == "none":
        return None
    if log_q is None:
        raise ValueError(
            f"`log_q` must be given when correction is {correction!r}; got None. "
            "Pass the log sampling probability of every candidate, or use correction='none'."
        )
    return ops.cast(log_q, dtype)


def not_negatives(
    batch: int, n_candidates: int, *, item_ids: Tensor | None = None, known_positives: Tensor | None = None
) -> Tensor:
    """Candidates that are no negatives of a row.

    Its own positive, always; with ``item_ids`` every other candidate that is the same item (an accidental
    hit); with ``known_positives`` the other items that the row's user is known to like.

    Parameters
    ----------
    batch, n_candidates : int
        Candidate ``i < batch`` is the positive of row ``i``.
    item_ids : integer tensor of shape (n_candidates,), optional
    known_positives : bool tensor of shape (batch, n_candidates), optional

    Returns
    -------
    bool tensor of shape (batch, n_candidates)

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(not_negatives(2, 3, item_ids=np.array([7, 8, 7]))).tolist()
    [[True, False, True], [False, True, False]]
    """
    ids = ops.arange(n_candidates) if item_ids is None else ops.convert_to_tensor(item_ids)
    same = ops.equal(ops.expand_dims(ids[:batch], 1), ops.expand_dims(ids, 0))
    return same if known_positives is None else ops.logical_or(same, known_positives)


def sampled_softmax_loss(
    positive: Tensor,
    logits: Tensor,
    excluded: Tensor,
    *,
    log_q: Tensor | None = None,
    correction: str = "logq",
    num_hard_negatives: int | None = None,
) -> Tensor:
    r"""Cross-entropy of each row's positive against the sampled candidates of the batch.

    With :math:`s_{ij}` the logits and :math:`q_j` the probability that item *j* is a candidate,

    * ``"none"``: :math:`-s_{ii} + \log \sum_j e^{s_{ij}}`;
    * ``"logq"``: the same on :math:`s_{ij} - \log q_j`, the positive included (Yi et al. 2019);
    * ``"negatives"``: only the negatives are corrected,
      :math:`-s_{ii} + \log(e^{s_{ii}} + \sum_{j \ne i} e^{s_{ij} - \log q_j})` (Yang et al. 2020, eq. 5);
    * ``"leave_positive_out"``: the positive leaves the denominator, the negatives are corrected by
      :math:`q'_j = q_j / (1 - q_i)` and the row is weighted by a detached :math:`1 - \hat p_i`,
      :math:`-(1 - \hat p_i) (s_{ii} - \log \sum_{j \ne i} e^{s_{ij} - \log q'_j})`, where
      :math:`\hat p_i` is the softmax of :math:`s_{ii}` against
      :math:`s_{ij} - \log q'_j - \log n_i` over the row's :math:`n_i` negatives (arXiv 2507.09331).
      This one can be negative; a row without negatives contributes 0.

    Parameters
    ----------
    positive : tensor of shape (batch,)
        The positives' logits :math:`s_{ii}`, already divided by the temperature.
    logits : tensor of shape (batch, n_candidates)
        Logits of all candidates; the first ``batch`` are the positives in the order of the rows.
    excluded : bool tensor of shape (batch, n_candidates)
        Candidates that are no negatives, the row's own positive among them (see :func:`not_negatives`). Their
        logit becomes minus infinity.
    log_q : tensor of shape (n_candidates,), optional
        Natural logarithm of the sampling probabilities; needed by every correction but ``"none"``.
    correction : {"none", "logq", "negatives", "leave_positive_out"}
    num_hard_negatives : int, optional
        Keep this many negatives a row, those of the highest corrected logit.

    Returns
    -------
    tensor of shape (batch,)

    Raises
    ------
    ValueError
        If a correction is asked for without ``log_q``, or the name of the correction is unknown.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling, RecSys. Yang et al. (2020), Mixed negative
    sampling for learning two-tower neural networks, WWW companion. Khrylchenko et al. (2025), Correcting
    the logQ correction, RecSys, arXiv 2507.09331.

    Examples
    --------
    >>> from keras import ops
    >>> logits = ops.convert_to_tensor([[4.0, 0.0, 2.0], [0.0, 2.0, 4.0], [4.0, 2.0, 6.0]])
    >>> rows = sampled_softmax_loss(ops.diagonal(logits), logits, not_negatives(3, 3), correction="none")
    >>> [round(float(row), 4) for row in rows]
    [0.1429, 2.1429, 0.1429]
    """
    checks.check_one_of("correction", correction, CORRECTIONS)
    if num_hard_negatives is not None:
        checks.check_count("num_hard_negatives", num_hard_negatives)
    log_q = log_probabilities(log_q, correction, logits.dtype)
    batch = ops.shape(logits)[0]
    negatives = logits if correction == "none" else logits - ops.expand_dims(log_q, 0)
    negatives = ops.where(excluded, ops.cast(-np.inf, logits.dtype), negatives)
    if num_hard_negatives is not None:
        negatives = _hardest(negatives, num_hard_negatives)
    if correction == "leave_positive_out":
        return _leave_positive_out(positive, negatives, log_q[:batch])  # type: ignore[index]
    if correction == "logq":
        positive = positive - log_q[:batch]  # type: ignore[index]
    # log(e^positive + sum of e^negative) - positive: the largest term is taken out, so nothing overflows.
    largest = ops.stop_gradient(ops.maximum(positive, ops.max(negatives, axis=1)))
    total = ops.exp(positive - largest) + ops.sum(ops.exp(negatives - ops.expand_dims(largest, 1)), axis=1)
    return ops.log(total) + largest - positive


def _unit(vectors: Tensor) -> Tensor:
    """Divide every row by its length; the zero vector, which has no direction, stays and gets no gradient."""
    square = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    # The smallest float32 whose reciprocal root is still accurate; keras.ops.normalize gives NaN gradients.
    zero = square < 1e-30
    return vectors * ops.where(zero, 0.0, ops.rsqrt(ops.where(zero, 1.0, square)))


def _hardest(negatives: Tensor, count: int) -> Tensor:
    """Return the highest logits of every row, (batch, n) -> (batch, min(count, n))."""
    n_candidates = ops.shape(negatives)[1]
    # A number, or a tensor where TensorFlow traces a batch of unknown size.
    known = isinstance(n_candidates, int)
    return ops.top_k(negatives, k=min(count, n_candidates) if known else ops.minimum(count, n_candidates))[0]


def _leave_positive_out(positive: Tensor, negatives: Tensor, log_q_positive: Tensor) -> Tensor:
    """Return the loss of arXiv 2507.09331 from logits corrected by log q and masked with -inf."""
    valid = ops.cast(ops.isfinite(negatives), positive.dtype)
    count = ops.sum(valid, axis=1)
    has_negatives = count > 0
    # q'_j = q_j / (1 - q_i) adds log(1 - q_i) to every negative of row i.
    shift = ops.log1p(-ops.exp(log_q_positive))
    largest = ops.where(has_negatives, ops.stop_gradient(ops.max(negatives, axis=1)), 0.0)
    total = ops.sum(ops.exp(negatives - ops.expand_dims(largest, 1)), axis=1)
    log_sum = ops.log(ops.where(has_negatives, total, 1.0)) + largest + shift
    log_mean = log_sum - ops.log(ops.maximum(count, 1.0))
    probability = ops.stop_gradient(ops.sigmoid(positive - log_mean))
    return ops.where(has_negatives, -(1.0 - probability) * (positive - log_sum), 0.0)
