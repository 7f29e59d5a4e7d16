"""The vector of a user who came after training, from the items that the user likes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from recsys_ssl.embeddings.id_lookup import UNKNOWN, as_ids, lookup
from sparse_data import Bags, checks
from sparse_data.type_checks import check_type, naming

DEFAULT_L2 = 0.05


def rows_of_liked(item_ids: Sequence[ArrayLike], catalogue: NDArray[Any]) -> Bags:
    """Return the rows in a sorted catalogue of the items that each user likes, doubles dropped.

    Parameters
    ----------
    item_ids : sequence of n lists of item ids
        Ids outside the catalogue are left out, with one warning.
    catalogue : ndarray of shape (n_items,)
        Sorted.

    Returns
    -------
    Bags of n bags

    Raises
    ------
    TypeError
        If an id stands where a list of them belongs.

    Examples
    --------
    >>> [rows.tolist() for rows in rows_of_liked([["b", "a"], []], np.array(["a", "b", "c"]))]
    [[0, 1], []]
    """
    with naming("item_ids", "a list of item ids for each user"):
        item_ids = list(item_ids)
    for ids in item_ids:
        if checks.check_array("item_ids", ids).ndim == 0:
            raise TypeError(
                f"`item_ids` must hold one list of items a user; got {ids!r} in it. Wrap the list in a list."
            )
    rows = [lookup("item_ids", as_ids("item_ids", ids), catalogue) for ids in item_ids]
    unknown = sum(int((row == UNKNOWN).sum()) for row in rows)
    if unknown:
        warnings.warn(
            f"{unknown} items are not in the catalogue and are ignored. Add them with `add_items`.",
            UserWarning,
            stacklevel=3,
        )
    return Bags.from_lists([np.unique(row[row != UNKNOWN]) for row in rows], dtype=np.int64)


def fold_in(
    item_vectors: NDArray[np.floating[Any]],
    liked: Bags,
    *,
    start: NDArray[np.floating[Any]] | None = None,
    l2: float = DEFAULT_L2,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    r"""Fit query vectors to fixed item vectors.

    For a user who likes the items *h*, with :math:`q_0` the vector known beforehand (zero, or what the user's
    features say),

    .. math:: \min_q \frac{1}{|h|} \sum_{i \in h}
              \Big(\log \sum_j e^{q \cdot v_j / \tau} - q \cdot v_i / \tau\Big)
              + \lambda \lVert q - q_0 \rVert^2,

    the loss that two towers are trained by, over the full catalogue. It is convex; L-BFGS solves it.

    Parameters
    ----------
    item_vectors : ndarray of shape (n_items, dim)
    liked : Bags
        Rows of ``item_vectors``, one bag a user; an item that occurs twice counts twice. An empty bag keeps
        its start.
    start : ndarray of shape (n_users, dim), optional
        Zero by default.
    l2 : float, default=0.05
        Pull towards the start, :math:`\lambda`, above 0.
    temperature : float, default=1.0
        :math:`\tau`, above 0.

    Returns
    -------
    float32 ndarray of shape (n_users, dim)

    Raises
    ------
    ValueError
        If a vector is not finite, a row of ``liked`` does not exist or is weighted, the start has another
        shape, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> query = fold_in(vectors, Bags.from_lists([[0], []], dtype=np.int64))
    >>> (vectors @ query[0]).argmax(), query[1].tolist()
    (np.int64(0), [0.0, 0.0])
    """
    l2 = float(checks.check_in_range("l2", l2, low=0, high=1e100, closed="right"))
    checks.check_in_range("temperature", temperature, low=0, closed="neither")
    vectors = checks.check_finite("item_vectors", checks.check_ndim("item_vectors", item_vectors, 2))
    check_type("liked", liked, Bags, "Build the bags with Bags.from_lists.")
    checks.check_ids_in_range("liked", liked.values, len(vectors))
    if liked.weights is not None:
        raise ValueError("`liked` must be without weights; got weights. Repeat an item to weight it.")
    with np.errstate(over="ignore"):
        vectors = checks.check_moderate("item_vectors", vectors.astype(np.float64) / temperature)
    shape = (len(liked), vectors.shape[1])
    given = np.zeros(shape) if start is None else checks.check_numeric("start", start)
    queries = np.array(given, dtype=np.float64)
    if queries.shape != shape:
        raise ValueError(f"`start` must be of shape {shape}; got {queries.shape}. Pass one vector a bag.")
    checks.check_moderate("start", queries)

    def objective(
        query: NDArray[np.float64], wanted: NDArray[np.float64], centre: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        logits = vectors @ query
        largest = logits.max()
        weights = np.exp(logits - largest)
        total = weights.sum()
        away = query - centre
        loss = np.log(total) + largest - wanted @ query + l2 * (away @ away)
        return float(loss), vectors.T @ (weights / total) - wanted + 2 * l2 * away

    for row in range(len(liked)):
        items = liked[row]
        if len(items):
            arguments = (vectors[items].mean(axis=0), queries[row].copy())
            queries[row] = minimize(objective, queries[row], args=arguments, jac=True, method="L-BFGS-B").x
    return queries.astype(np.float32)
