"""A checkerboard: the smallest log in which every user has exactly one right recommendation."""

from __future__ import annotations

import numpy as np

from sparse_data.checks import check_count
from sparse_data.datasets.interactions import Interactions


def make_checkerboard(n: int) -> Interactions:
    """Return a log in which even users like even items, odd users like odd items, and no user has met itself.

    User i interacts with every item j for which ``j % 2 == i % 2`` and ``j != i``. The right recommendation
    for user i is therefore item i: the only item of its colour that it has not met.

    Parameters
    ----------
    n : int
        Number of users and of items, at least 6 (with fewer, no two users of a colour share an item).

    Returns
    -------
    Interactions
        Ids 0 to n - 1, ordered by user, then item. Both side tables have the column "colour" ("even" or
        "odd").

    Examples
    --------
    >>> board = make_checkerboard(6)
    >>> board.item_ids[board.user_ids == 2]
    array([0, 4])
    """
    n = check_count("n", n, minimum=6, maximum=2**31 - 1)
    ids = np.arange(n, dtype=np.int64)
    liked = (ids[:, None] - ids) % 2 == 0  # (users, items)
    np.fill_diagonal(liked, False)
    user_ids, item_ids = np.nonzero(liked)
    colour = np.where(ids % 2 == 0, "even", "odd")
    return Interactions(
        user_ids, item_ids, users={"user_id": ids, "colour": colour}, items={"item_id": ids, "colour": colour}
    )
