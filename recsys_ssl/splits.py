"""Ways to hold out a part of a log; the same `random_state`, the same split.

Random splits let a model see the future and flatter it; a split by time is what deployment looks like.
All of them give parts of the log in its order and keep the side tables whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparse_data import checks
from sparse_data.datasets import Interactions
from sparse_data.type_checks import check_seed, check_type

Parts = tuple[Interactions, ...]


def random_split(
    interactions: Interactions,
    fractions: Sequence[float] = (0.8, 0.2),
    *,
    random_state: int | np.random.Generator | None = None,
) -> Parts:
    """Divide the rows of a log at random.

    Parameters
    ----------
    interactions : Interactions
    fractions : sequence of float, default=(0.8, 0.2)
        Positive, with the sum 1.  The borders between parts are rounded to whole rows.
    random_state : int, Generator or None

    Returns
    -------
    tuple of Interactions
        As many as fractions.

    Examples
    --------
    >>> log = Interactions(user_ids=[0, 0, 1, 1, 2], item_ids=[0, 1, 0, 2, 1])
    >>> train, test = random_split(log, random_state=0)
    >>> len(train), len(test)
    (4, 1)
    """
    shares = _checked_fractions(fractions)
    n_rows = len(_checked_log(interactions))
    order = np.random.default_rng(check_seed("random_state", random_state)).permutation(n_rows)
    part = np.empty(n_rows, dtype=np.int64)
    borders = np.round(np.cumsum(shares)[:-1] * n_rows)
    part[order] = np.searchsorted(borders, np.arange(n_rows), side="right")
    return _take_parts(interactions, part, len(shares))


def per_user_split(
    interactions: Interactions,
    fractions: Sequence[float] = (0.8, 0.2),
    *,
    remainder: Literal["first", "last"] = "first",
    random_state: int | np.random.Generator | None = None,
) -> Parts:
    """Divide the rows of each user at random.

    With ``remainder="first"``, a later part with fraction f gets f n of a user's n rows, rounded down, but
    at least one as long as the first part keeps one; the first part gets the rest (the rule of RecBole).
    With ``remainder="last"``, parts end at the cumulated fractions of n, rounded down, so that the last
    part gets the rest.  The first part of every user has a row in either case.

    Parameters
    ----------
    interactions : Interactions
    fractions : sequence of float, default=(0.8, 0.2)
        Positive, with the sum 1.
    remainder : {"first", "last"}, default="first"
        Which part gets what rounding leaves over.  With few rows a user it changes the size of the test
        part by a tenth, and figures of the two rules cannot be compared.
    random_state : int, Generator or None

    Returns
    -------
    tuple of Interactions
        As many as fractions.

    Examples
    --------
    >>> log = Interactions(user_ids=[7] * 10 + [8], item_ids=list(range(11)))
    >>> train, valid, test = per_user_split(log, (0.8, 0.1, 0.1), random_state=0)
    >>> len(train), len(valid), len(test)
    (9, 1, 1)
    """
    shares = _checked_fractions(fractions)
    checks.check_one_of("remainder", remainder, ("first", "last"))
    generator = np.random.default_rng(check_seed("random_state", random_state))
    shuffled = generator.permutation(len(_checked_log(interactions)))
    users, place, size = _places_by_user(interactions, shuffled)
    # The first place of each part but the first, for each user.  A hair is added where a number of rows is
    # rounded down, so that 0.1 of 10 rows is 1 row whatever the binary fraction says.
    first_place = np.zeros((len(shares) - 1, size.size), dtype=np.int64)
    if remainder == "last":
        ends = np.floor(np.cumsum(shares)[:-1, None] * size + 1e-9)
        first_place[:] = np.maximum(ends, 1)
    else:
        left = size.copy()
        for number in range(len(shares) - 1, 0, -1):
            wanted = np.maximum(np.floor(shares[number] * size + 1e-9).astype(np.int64), 1)
            left -= np.minimum(wanted, np.maximum(left - 1, 0))
            first_place[number - 1] = left
    part = (place >= first_place[:, users]).sum(axis=0)
    return _take_parts(interactions, part, len(shares))


def leave_last_out(interactions: Interactions, n_parts: int = 2) -> Parts:
    """Hold out the last row of each user, by time; with three parts the one before it too.

    A user with fewer than `n_parts` rows keeps one row in the first part and fills the others from the
    last one.  Rows of the same time count in the order of the log.

    Parameters
    ----------
    interactions : Interactions
        With timestamps.
    n_parts : int, default=2
        2 for train and test, 3 for train, validation and test.

    Returns
    -------
    tuple of Interactions

    Raises
    ------
    ValueError
        If the log has no timestamps.
    """
    checks.check_count("n_parts", n_parts, minimum=2, maximum=2**31 - 1)
    order = np.argsort(_timestamps(interactions), kind="stable")
    users, place, size = _places_by_user(interactions, order)
    # A user's last row goes to part n_parts - 1, the one before to n_parts - 2, the first row to part 0.
    part = np.where(place == 0, 0, np.maximum(n_parts - (size[users] - place), 0))
    return _take_parts(interactions, part, n_parts)


def global_time_split(interactions: Interactions, fractions: Sequence[float] = (0.8, 0.2)) -> Parts:
    """Divide a log at points in time, the same for all users.

    The points are the times of the rows at the borders of the fractions; rows of one and the same time are
    never divided, they go to the later part.

    Parameters
    ----------
    interactions : Interactions
        With timestamps.
    fractions : sequence of float, default=(0.8, 0.2)
        Positive, with the sum 1, in the order of time.

    Returns
    -------
    tuple of Interactions

    Raises
    ------
    ValueError
        If the log has no timestamps.

    Examples
    --------
    >>> log = Interactions(user_ids=[0, 1, 0, 1], item_ids=[0, 1, 2, 3], timestamps=[40, 10, 30, 20])
    >>> train, test = global_time_split(log, (0.5, 0.5))
    >>> test.timestamps
    array([40, 30])
    """
    shares = _checked_fractions(fractions)
    times = _timestamps(interactions)
    borders = np.round(np.cumsum(shares)[:-1] * times.size).astype(np.int64)
    if not times.size:
        return _take_parts(interactions, np.zeros(0, dtype=np.int64), len(shares))
    points = np.sort(times)[np.minimum(borders, times.size - 1)]
    return _take_parts(interactions, np.searchsorted(points, times, side="right"), len(shares))


def _checked_fractions(fractions: Sequence[float]) -> list[float]:
    fractions = np.atleast_1d(checks.check_numeric("fractions", fractions)).tolist()
    shares = [checks.check_in_range("fractions", share, 0, 1, closed="neither") for share in fractions]
    if not np.isclose(sum(shares), 1.0):
        raise ValueError(f"`fractions` must have the sum 1; got {sum(shares)}. Name every part, also train.")
    return shares


def _checked_log(interactions: Interactions) -> Interactions:
    return check_type("interactions", interactions, Interactions, "Use Interactions.from_frame for a table.")


def _timestamps(interactions: Interactions) -> NDArray[np.number]:
    times = _checked_log(interactions).timestamps
    if times is None:
        raise ValueError(
            "`interactions` must have timestamps for a split by time; got none. Name the column that holds "
            "them when reading the log, or use a random split."
        )
    return times


def _places_by_user(
    interactions: Interactions, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the user number of each row, its place in `order` among that user's rows, and the user sizes."""
    _, users, size = np.unique(interactions.user_ids, return_inverse=True, return_counts=True)
    # Rows by user, within a user as in `order`.
    grouped = order[np.argsort(users[order], kind="stable")]
    place = np.empty(users.size, dtype=np.int64)
    place[grouped] = np.arange(users.size) - np.repeat(np.cumsum(size) - size, size)
    return users, place, size


def _take_parts(interactions: Interactions, part: NDArray[np.int64], n_parts: int) -> Parts:
    return tuple(interactions.take(part == number) for number in range(n_parts))
