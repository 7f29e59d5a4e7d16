"""The sampled softmax a block of rows at a time: its loss and its gradient without the matrix of logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.losses.corrected_softmax import log_probabilities
from sparse_data import checks

Tensor = Any  # a tensor of whichever backend Keras runs on

CORRECTIONS = ("none", "logq", "negatives")
# Logits that exist at once, 4 MiB of float32: the cache of a CPU holds them, and what a step takes altogether
# stays small enough for the allocator to keep, where more is given back and costs page faults at every step.
BLOCK_LOGITS = 1 << 20
# On TensorFlow more rows gain nothing: memory that it takes and gives back at every step costs page faults.
TENSORFLOW_ROWS = 256


def blocked_softmax_loss(
    queries: Tensor,
    items: Tensor,
    *,
    item_ids: Tensor | None = None,
    log_q: Tensor | None = None,
    known_positives: Tensor | None = None,
    correction: str = "logq",
    block_logits: int = BLOCK_LOGITS,
) -> Tensor:
    r"""Loss of :func:`~recsys_ssl.losses.corrected_softmax.sampled_softmax_loss` in a fraction of its memory.

    With :math:`b_j` the correction of candidate *j*, :math:`t_{ij} = q_i^\top x_j + b_j` over the negatives
    :math:`N_i`, :math:`p_i` the corrected logit of the positive and
    :math:`Z_i = e^{p_i} + \sum_{j \in N_i} e^{t_{ij}}`, the loss is :math:`\ell_i = \log Z_i - p_i` and

    .. math::

        \frac{\partial \ell_i}{\partial q_i} = \sum_{j \in N_i} \frac{e^{t_{ij}}}{Z_i} (x_j - x_i), \qquad
        \frac{\partial \ell_i}{\partial x_j} = \frac{e^{t_{ij}}}{Z_i} q_i \;\; (j \in N_i).

    Both are found in the pass that finds the loss, while a block of rows is at hand: memory grows with the
    candidates, not with batch times candidates. Where the rows' losses are not weighted alike, a second pass
    finds the gradient with respect to the items.

    Parameters
    ----------
    queries : tensor of shape (batch, dim)
        Divided by the temperature, and of unit length before that for the cosine.
    items : tensor of shape (n_candidates, dim)
        The positives of the queries in their order, then any further negatives.
    item_ids : integer tensor of shape (n_candidates,), optional
        Candidates of the row's own id are no negatives.
    log_q : tensor of shape (n_candidates,), optional
        Natural logarithm of the sampling probabilities, constants; needed by all corrections but ``"none"``.
    known_positives : bool tensor of shape (batch, n_candidates), optional
        Further candidates that are no negatives of a row.
    correction : {"logq", "none", "negatives"}
    block_logits : int
        Logits that exist at once, at least a row of them; TensorFlow takes at most 256 rows.

    Returns
    -------
    tensor of shape (batch,)
        It can be differentiated once, by ``queries`` and ``items``.

    Raises
    ------
    ValueError
        If a correction is asked for without ``log_q``, or its name is not one of the above.

    Examples
    --------
    >>> import numpy as np
    >>> rows = blocked_softmax_loss(2 * np.eye(2, dtype="float32"), np.eye(2), correction="none")
    >>> [round(float(row), 4) for row in rows]
    [0.1269, 0.1269]
    """
    checks.check_one_of("correction", correction, CORRECTIONS)
    checks.check_count("block_logits", block_logits)
    queries = ops.convert_to_tensor(queries)
    items = ops.cast(items, queries.dtype)
    batch, n_candidates = ops.shape(queries)[0], ops.shape(items)[0]
    known = None if known_positives is None else ops.cast(known_positives, "bool")
    ids = None if item_ids is None else ops.convert_to_tensor(item_ids)
    if ids is None and (known is not None or correction == "negatives"):
        ids = ops.arange(n_candidates)
    # Without ids nothing is hidden: a positive, which Z holds in any case, may stay among the candidates.
    corrected = log_probabilities(log_q, correction, queries.dtype)
    bias = ops.zeros((n_candidates,), queries.dtype) if corrected is None else -ops.stop_gradient(corrected)
    own_bias = bias[:batch] if correction == "logq" else 0.0

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def loss(queries: Tensor, items: Tensor) -> tuple[Tensor, Any]:
        positive = ops.sum(queries * items[:batch], axis=1) + own_bias
        # The correction is one more coordinate of the candidates, which every query has as 1.
        rows, columns = _append(queries, 1.0), ops.concatenate([items, bias[:, None]], axis=1)
        log_total, pulled, items_gradient = _all_rows(rows, columns, positive, ids, known, block_logits)
        # The last coordinate has met ones: the share of the negatives in the total.
        pull, share = pulled[:, :-1], pulled[:, -1:]

        def gradient(*arguments: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            # TensorFlow and JAX pass the gradient alone, torch the inputs before it.
            by_row = arguments[0] if upstream is None else upstream
            by_items = ops.cond(
                ops.all(ops.equal(by_row, by_row[0])),
                lambda: by_row[0] * items_gradient,
                lambda: _weighted_columns(by_row, rows, columns, log_total, ids, known, block_logits),
            )
            weight = by_row[:, None]
            own = ops.pad(-weight * share * queries, [[0, n_candidates - batch], [0, 0]])
            return weight * (pull - share * items[:batch]), by_items + own

        return log_total - positive, gradient

    result: Tensor = loss(queries, items)
    return result


def _all_rows(
    rows: Tensor,
    columns: Tensor,
    positive: Tensor,
    ids: Tensor | None,
    known: Tensor | None,
    block_logits: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log Z_i, sum_j e^t_ij / Z_i (x_j, 1), and for unit weights sum_i e^t_ij / Z_i q_i.

    Without ids *j* runs over the positive as well, and sum_j e^t_ij / Z_i is 1.
    """
    batch, n_candidates, width = ops.shape(rows)[0], ops.shape(columns)[0], rows.shape[1]
    size, count = _blocks(batch, n_candidates, block_logits)
    blank = size * count - batch  # rows of zeros, so that all blocks are of one shape
    positives = ops.pad(positive, [[0, blank]])
    ids_of = None if ids is None else ops.pad(ids[:batch], [[0, blank]])
    known = None if known is None else ops.pad(known, [[0, blank], [0, 0]])
    across, values = ops.transpose(columns), _append(columns[:, :-1], 1.0)

    def block(number: Tensor, rows: Tensor, log_total: Tensor, by_items: Tensor) -> tuple[Tensor, ...]:
        start = number * size
        queries = ops.slice(rows, (start, 0), (size, width))
        own = ops.slice(positives, (start,), (size,))
        logits = ops.matmul(queries, across)
        if ids is not None:
            marked = None if known is None else ops.slice(known, (start, 0), (size, n_candidates))
            logits = _without_hits(logits, ops.slice(ids_of, (start,), (size,)), ids, marked)
        largest = ops.maximum(own, ops.max(logits, axis=1))
        powers = ops.exp(logits - largest[:, None])
        pulled = ops.matmul(powers, values)
        total = pulled[:, -1]
        if ids is not None:
            total = total + ops.exp(own - largest)
        by_items = by_items + ops.matmul(ops.transpose(queries[:, :-1] / total[:, None]), powers)
        # A block's rows give way to its result. So the next block waits for this one: TensorFlow would
        # otherwise start several at once, each with its logits.
        rows = ops.slice_update(rows, (start, 0), pulled / total[:, None])
        log_total = ops.slice_update(log_total, (start,), ops.log(total) + largest)
        return number + 1, rows, log_total, by_items

    state = (
        0,
        ops.pad(rows, [[0, blank], [0, 0]]),
        ops.zeros_like(positives),
        ops.zeros((width - 1, n_candidates), rows.dtype),
    )
    _, pulled, log_total, by_items = ops.while_loop(lambda number, *_: number < count, block, state)
    return log_total[:batch], pulled[:batch], ops.transpose(by_items)


def _weighted_columns(
    weights: Tensor,
    rows: Tensor,
    columns: Tensor,
    log_total: Tensor,
    ids: Tensor | None,
    known: Tensor | None,
    block_logits: int,
) -> Tensor:
    """Return sum_i w_i e^t_ij / Z_i q_i of every candidate, a block of candidates at a time."""
    batch, n_candidates, width = ops.shape(rows)[0], ops.shape(columns)[0], rows.shape[1]
    size, count = _blocks(n_candidates, batch, block_logits)
    blank = size * count - n_candidates
    ids_of = None if ids is None else ops.pad(ids, [[0, blank]])
    known = None if known is None else ops.pad(known, [[0, 0], [0, blank]])
    across, values = ops.transpose(rows), weights[:, None] * rows

    def block(number: Tensor, columns: Tensor) -> tuple[Tensor, ...]:
        start = number * size
        logits = ops.matmul(ops.slice(columns, (start, 0), (size, width)), across)
        if ids is not None:
            marked = None if known is None else ops.transpose(ops.slice(known, (0, start), (batch, size)))
            logits = _without_hits(logits, ops.slice(ids_of, (start,), (size,)), ids[:batch], marked)
        shares = ops.exp(logits - log_total[None, :])
        return number + 1, ops.slice_update(columns, (start, 0), ops.matmul(shares, values))

    state = (0, ops.pad(columns, [[0, blank], [0, 0]]))
    _, found = ops.while_loop(lambda number, _: number < count, block, state)
    return found[:n_candidates, :-1]


def _append(vectors: Tensor, value: float) -> Tensor:
    """Add a coordinate to all vectors."""
    return ops.concatenate([vectors, ops.full_like(vectors[:, :1], value)], axis=1)


def _without_hits(logits: Tensor, ids: Tensor, others: Tensor, known: Tensor | None) -> Tensor:
    """Return logits that are minus infinity where both ids are the same or a positive is known."""
    hidden = ops.equal(ids[:, None], others[None, :])
    hidden = hidden if known is None else ops.logical_or(hidden, known)
    return ops.where(hidden, ops.cast(-np.inf, logits.dtype), logits)


def _blocks(n_rows: Any, n_columns: Any, block_logits: int) -> tuple[Any, Any]:
    """Return rows a block and number of blocks, tensors where TensorFlow traces unknown sizes."""
    most = block_logits // n_columns
    if keras.backend.backend() == "tensorflow":
        most = min(most, TENSORFLOW_ROWS) if isinstance(most, int) else ops.minimum(most, TENSORFLOW_ROWS)
    most = _at_least_one(most)
    count = _at_least_one((n_rows + most - 1) // most)
    return (n_rows + count - 1) // count, count


def _at_least_one(number: Any) -> Any:
    return max(number, 1) if isinstance(number, int) else ops.maximum(number, 1)
