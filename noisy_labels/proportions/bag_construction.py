"""Cut labelled rows into bags: data for studies of learning from label proportions."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import MiniBatchKMeans

from sparse_data.checks import (
    check_count,
    check_finite,
    check_in_range,
    check_ndim,
    check_no_missing,
    check_one_of,
    check_same_length,
)
from sparse_data.type_checks import random_state_of

Kind = Literal["random", "feature", "cluster", "skewed"]


class MadeBags(NamedTuple):
    """Bag of each row, and counts, sizes and proportions of the bags 0, 1, ...

    Attributes
    ----------
    bags : int64 array of shape (n_rows,)
        Numbered in order of first appearance.
    counts : float array of shape (n_bags,)
        Positives; with noise if it was asked for.
    sizes : int64 array of shape (n_bags,)
    """

    bags: NDArray[np.int64]
    counts: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def proportions(self) -> NDArray[np.float64]:
        """Counts over sizes; outside of [0, 1] where noise has moved them."""
        return np.asarray(self.counts / self.sizes)


def make_bags(
    y: ArrayLike,
    *,
    size: int = 32,
    kind: Kind = "random",
    X: ArrayLike | None = None,
    concentration: float = 1.0,
    epsilon: float | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> MadeBags:
    r"""Put every row into one bag and count the positives.

    Parameters
    ----------
    y : array_like of shape (n_rows,)
        Labels 0 and 1 (or bool).
    size : int, default=32
        Rows of a bag; the last one takes what remains.
    kind : {"random", "feature", "cluster", "skewed"}, default="random"
        "random" shuffles the rows.  "feature" makes a bag of all rows with the same values in `X` (one or a
        few categorical columns) and ignores `size`.  "cluster" makes as many k-means clusters of `X` as
        bags of `size` would be needed; their sizes differ.  "skewed" draws the share of positives of each
        bag from a Beta distribution with the mean of `y`.
    X : array_like of shape (n_rows,) or (n_rows, n_columns), optional
        For "feature" and "cluster".
    concentration : float, default=1.0
        For "skewed", the sum of the parameters of Beta: near 0, bags are all positive or all negative.
    epsilon : float, optional
        Adds two-sided geometric noise to the counts: :math:`P(k) \propto e^{-\epsilon |k|}`, the mechanism
        of differential privacy with budget ε for counts that one row changes by 1.
    random_state : int, RandomState or None

    Returns
    -------
    MadeBags

    Raises
    ------
    ValueError
        If `y` is not binary, lengths differ, or an argument is missing or out of its range.

    Examples
    --------
    >>> made = make_bags([0, 1, 1, 0, 1], size=2, random_state=0)
    >>> made.bags.tolist(), made.counts.tolist()
    ([0, 1, 0, 1, 2], [1.0, 1.0, 1.0])
    """
    labels = check_ndim("y", check_finite("y", y), 1).astype(np.float64)
    if not np.isin(labels, (0, 1)).all() or not labels.size:
        raise ValueError(
            "`y` must be labels 0 and 1, at least one; got others. Encode the positive class as 1."
        )
    check_one_of("kind", kind, ("random", "feature", "cluster", "skewed"))
    check_count("size", size)
    check_in_range("concentration", concentration, 0, closed="neither")
    rng = random_state_of("random_state", random_state)
    if kind in ("feature", "cluster"):
        if X is None:
            raise ValueError(f"`X` must be given for kind={kind!r}; got None. Pass the columns to group by.")
        check_same_length(y=labels, X=np.asarray(X))
        codes = _same_values(np.asarray(X)) if kind == "feature" else _clusters(X, labels.size // size, rng)
    else:
        order = rng.permutation(labels.size)
        if kind == "skewed":
            order = _skewed(order, labels, size, concentration, rng)
        codes = np.empty(labels.size, dtype=np.int64)
        codes[order] = np.arange(labels.size) // size
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    bags = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    counts: NDArray[Any] = np.bincount(bags, labels)
    if epsilon is not None:
        counts = counts + _two_sided_geometric(epsilon, counts.size, rng)
    return MadeBags(bags, counts.astype(np.float64), np.bincount(bags).astype(np.int64))


def _clusters(X: ArrayLike, n_bags: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    points = check_finite("X", X)
    means = MiniBatchKMeans(max(1, n_bags), random_state=rng, n_init=1)
    return np.asarray(means.fit_predict(points.reshape(points.shape[0], -1)), dtype=np.int64)


def _two_sided_geometric(epsilon: float, size: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    check_in_range("epsilon", epsilon, 0, closed="neither")
    draws = rng.geometric(-np.expm1(-epsilon), size=(2, size))
    return np.asarray(draws[0] - draws[1], dtype=np.int64)


def _same_values(columns: NDArray[np.generic]) -> NDArray[np.int64]:
    codes = np.zeros(columns.shape[0], dtype=np.int64)
    for column in columns.reshape(columns.shape[0], -1).T:
        distinct, inverse = np.unique(check_no_missing("X", column), return_inverse=True)
        _, codes = np.unique(codes * distinct.size + inverse, return_inverse=True)
    return codes


def _skewed(
    order: NDArray[np.int64],
    labels: NDArray[np.float64],
    size: int,
    concentration: float,
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """Return an order of the rows in which consecutive bags have shares of positives drawn from Beta."""
    mean = labels.mean()
    if mean in (0, 1):
        return order
    stacks = [order[labels[order] == label].tolist() for label in (0, 1)]
    arranged: list[int] = []
    while stacks[0] or stacks[1]:
        share = rng.beta(concentration * mean, concentration * (1 - mean))
        wanted = rng.binomial(size, share)
        positives = min(len(stacks[1]), max(wanted, size - len(stacks[0])))
        negatives = min(len(stacks[0]), size - positives)
        arranged += [stacks[1].pop() for _ in range(positives)]
        arranged += [stacks[0].pop() for _ in range(negatives)]
    return np.array(arranged)
