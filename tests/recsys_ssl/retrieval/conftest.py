"""The checkerboard as a log with names, a model of it, and the comparison of two models."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from sparse_data.datasets import make_checkerboard


@pytest.fixture(scope="module")
def board_model(eager):
    """Fit once; tests that use it leave it as it is."""
    settings = {"dim": 8, "epochs": 15, "learning_rate": 0.1, "dropout": 0.0, "verbose": False}
    return TwoTowerRetriever(**settings).fit(make_checkerboard(12))


@pytest.fixture(scope="session")
def named_board():
    """Replace ids by strings whose order is that of the numbers."""
    log = make_checkerboard(12)
    table = {side: getattr(log, side) for side in ("users", "items")}
    return log.replace(
        user_ids=np.char.mod("u%03d", log.user_ids),
        item_ids=np.char.mod("i%03d", log.item_ids),
        users={**table["users"], "user_id": np.char.mod("u%03d", table["users"]["user_id"])},
        items={**table["items"], "item_id": np.char.mod("i%03d", table["items"]["item_id"])},
    )


@pytest.fixture(scope="session")
def same_recommendations():
    """Return a function that fails where two models differ in items or scores of all users."""

    def compare(left, right):
        both = (model.recommend(left.user_ids_, k=3) for model in (left, right))
        for a, b in zip(*both, strict=True):
            np.testing.assert_array_equal(a, b)

    return compare
