"""A long-tail catalogue with planted answers: known factors, known popularity, known preferences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.bags import Bags
from sparse_data.checks import check_count, check_ids_in_range, check_in_range, check_ndim
from sparse_data.datasets.columns import Column
from sparse_data.datasets.interactions import Interactions
from sparse_data.type_checks import check_seed

_BLOCK_CELLS = 1 << 22  # scores of so many (user, item) cells are held at a time: 32 MiB
_TAGS_PER_ITEM = 3


@dataclass(frozen=True, eq=False)
class PlantedInteractions:
    """A drawn log together with all that it was drawn from.

    Attributes
    ----------
    interactions : Interactions
        Ids are the rows of the factors.
    user_factors : ndarray of shape (n_users, dim)
    item_factors : ndarray of shape (n_items, dim)
    item_popularity : ndarray of shape (n_items,)
        Sums to one; proportional to ``rank ** -power``.
    affinity : float
        How much a unit of preference weighs.
    """

    interactions: Interactions
    user_factors: NDArray[np.float64]
    item_factors: NDArray[np.float64]
    item_popularity: NDArray[np.float64]
    affinity: float

    def preference(self, user_ids: ArrayLike) -> NDArray[np.float64]:
        """Return what users truly prefer, popularity set aside: ``affinity * u · v / sqrt(dim)``.

        Parameters
        ----------
        user_ids : array_like of int of shape (n,)

        Returns
        -------
        ndarray of shape (n, n_items)
        """
        wanted = check_ids_in_range("user_ids", check_ndim("user_ids", user_ids, 1), len(self.user_factors))
        users = self.user_factors[wanted]
        return _preference(users, self.item_factors, self.affinity)

    def choice_probabilities(self, user_ids: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each item to be a user's first choice; rows sum to one.

        Parameters
        ----------
        user_ids : array_like of int of shape (n,)

        Returns
        -------
        ndarray of shape (n, n_items)
        """
        logits = np.log(self.item_popularity) + self.preference(user_ids)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def make_interactions(
    n_users: int = 1000,
    n_items: int = 2000,
    n_interactions: int = 50_000,
    *,
    dim: int = 8,
    power: float = 1.0,
    affinity: float = 2.0,
    redundancy: float = 0.8,
    tag_noise: float = 0.1,
    random_state: int | np.random.Generator | None = None,
) -> PlantedInteractions:
    r"""Draw a log of a long-tail catalogue whose factors, popularities and preferences are known.

    With r(i) a random ranking of the items, the model is

    .. math::

        u_a, v_i \sim N(0, I_{dim}), \qquad p_i = r(i)^{-power} / \sum_j r(j)^{-power}, \qquad
        P(i \mid a) \propto p_i \exp(affinity \cdot u_a \cdot v_i / \sqrt{dim}).

    Each user draws from P without drawing an item twice (Plackett and Luce: after each draw the rest is
    renormalised). All users have the same number of interactions, give or take one.

    Features of items follow from their factors. A field of k values has k random directions g, and an item
    has the value with the largest g · v:

    - "category" (16 values) and "brand" (48 values), each with directions of its own;
    - "department" (16 values): with probability `redundancy` a renaming of the category, otherwise a field
      with directions of its own. At 1 each of the two fields tells the other, at 0 they are tied by the
      factors alone;
    - "price_band" (8 values): the octile of the first factor;
    - "tags" (1 to 3 of 64): the three largest g · v, each replaced by any tag with probability `tag_noise`.

    Users have the one field "segment" (8 values), found in the same way.

    Parameters
    ----------
    n_users, n_items : int, default=1000, 2000
    n_interactions : int, default=50000
        From `n_users` to ``n_users * n_items``.
    dim : int, default=8
        Of the factors.
    power : float, default=1.0
        Exponent of popularity, at least 0; 0 makes all items equally popular.
    affinity : float, default=2.0
        Weight of the preference, at least 0; 0 leaves popularity alone.
    redundancy : float, default=0.8
        In [0, 1].
    tag_noise : float, default=0.1
        In [0, 1].
    random_state : int, numpy.random.Generator or None, default=None
        Features are drawn last, so that the log does not depend on their parameters.

    Returns
    -------
    PlantedInteractions
        `timestamps` count the rows: in each round every user draws once, in a new random order.

    Raises
    ------
    ValueError
        If a parameter lies outside its range.

    References
    ----------
    R. L. Plackett. The Analysis of Permutations. Applied Statistics 24(2), 1975.

    Examples
    --------
    >>> planted = make_interactions(100, 50, 1000, random_state=0)
    >>> len(planted.interactions), planted.item_factors.shape
    (1000, (50, 8))
    """
    n_users, n_items = check_count("n_users", n_users), check_count("n_items", n_items)
    check_in_range(
        "n_interactions", check_count("n_interactions", n_interactions), n_users, n_users * n_items
    )
    check_in_range("power", power, 0)
    check_in_range("affinity", affinity, 0)
    check_in_range("redundancy", redundancy, 0, 1)
    check_in_range("tag_noise", tag_noise, 0, 1)
    rng = np.random.default_rng(check_seed("random_state", random_state))
    user_factors = rng.normal(size=(n_users, check_count("dim", dim)))
    item_factors = rng.normal(size=(n_items, dim))
    weights = (1.0 + rng.permutation(n_items)) ** -float(power)
    popularity: NDArray[np.float64] = weights / weights.sum()
    if not popularity.all():
        raise ValueError(
            f"`power` must leave each of {n_items} items popularity above 0; got {power}. Pass less."
        )
    user_ids, item_ids = _draw_log(
        user_factors, item_factors, np.log(popularity), affinity, n_interactions, rng
    )
    timestamps = np.arange(n_interactions)
    items = _item_table(item_factors, redundancy, tag_noise, rng)
    users: dict[str, Column] = {
        "user_id": np.arange(n_users),
        "segment": _names("segment", _field(user_factors, 8, rng)),
    }
    log = Interactions(user_ids, item_ids, timestamps=timestamps, users=users, items=items)
    return PlantedInteractions(log, user_factors, item_factors, popularity, float(affinity))


def _preference(
    user_factors: NDArray[np.float64], item_factors: NDArray[np.float64], affinity: float
) -> NDArray[np.float64]:
    return np.asarray(affinity / np.sqrt(user_factors.shape[1]) * (user_factors @ item_factors.T))


def _draw_log(
    user_factors: NDArray[np.float64],
    item_factors: NDArray[np.float64],
    log_popularity: NDArray[np.float64],
    affinity: float,
    n_interactions: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return users and items, in the order of time."""
    n_users, n_items = len(user_factors), len(item_factors)
    fewest, rest = divmod(n_interactions, n_users)
    counts = np.full(n_users, fewest)
    counts[rng.permutation(n_users)[:rest]] += 1
    drawn = []
    block = max(1, _BLOCK_CELLS // n_items)
    for start in range(0, n_users, block):
        users = user_factors[start : start + block]
        # Gumbel noise on log P and a descending sort draw without replacement, in the order of the draws.
        scores = log_popularity + _preference(users, item_factors, affinity)
        order = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)
        drawn += [order[row, :count] for row, count in enumerate(counts[start : start + block])]
    item_ids = np.concatenate(drawn)
    user_ids = np.repeat(np.arange(n_users), counts)
    rounds = np.concatenate([np.arange(count) for count in counts])
    in_time = np.lexsort((rng.random(n_interactions), rounds))
    return user_ids[in_time], item_ids[in_time]


def _item_table(
    factors: NDArray[np.float64], redundancy: float, tag_noise: float, rng: np.random.Generator
) -> dict[str, Column]:
    n_items = len(factors)
    category = _field(factors, 16, rng)
    renamed = rng.permutation(16)[category]
    department = np.where(rng.random(n_items) < redundancy, renamed, _field(factors, 16, rng))
    octiles = np.quantile(factors[:, 0], np.arange(1, 8) / 8)
    return {
        "item_id": np.arange(n_items),
        "category": _names("category", category),
        "department": _names("department", department),
        "brand": _names("brand", _field(factors, 48, rng)),
        "price_band": _names("price_band", np.searchsorted(octiles, factors[:, 0])),
        "tags": _tags(factors, tag_noise, rng),
    }


def _field(factors: NDArray[np.float64], n_values: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return for each row the value whose random direction it points to most, shape (n,)."""
    directions = rng.normal(size=(factors.shape[1], n_values))
    return np.asarray(np.argmax(factors @ directions, axis=1))


def _tags(factors: NDArray[np.float64], noise: float, rng: np.random.Generator) -> Bags:
    scores = factors @ rng.normal(size=(factors.shape[1], 64))
    tags = np.argsort(-scores, axis=1)[:, :_TAGS_PER_ITEM]  # (n_items, 3)
    tags = np.where(rng.random(tags.shape) < noise, rng.integers(64, size=tags.shape), tags)
    bags = Bags.from_lists([np.unique(row) for row in tags])
    return bags.map_values(_names("tag", bags.values))


def _names(field: str, values: NDArray[Any]) -> NDArray[np.str_]:
    """Return values as text, such as "category_03"."""
    return np.array([f"{field}_{value:02d}" for value in values.tolist()], dtype=np.str_)
