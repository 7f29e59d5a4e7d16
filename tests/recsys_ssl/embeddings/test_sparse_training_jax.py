"""The different ids of a batch in JAX, in arrays of a size that does not depend on them."""

import numpy as np
import pytest

pytest.importorskip("jax")

from recsys_ssl.sparse_training import jax as backend


@pytest.mark.parametrize(("num_ids", "num_rows"), [(0, 5), (1, 1), (40, 7), (40, 1000), (7, 7)])
def test_unique_ids_and_their_places(num_ids, num_rows):
    ids = np.random.default_rng(num_ids).integers(num_rows, size=num_ids).astype("int32")
    rows, places = (np.asarray(found) for found in backend._unique(ids, num_rows))
    different = np.unique(ids)
    assert len(rows) == min(num_ids, num_rows + 1)
    np.testing.assert_array_equal(rows[: len(different)], different)
    assert (rows[len(different) :] == num_rows).all()
    np.testing.assert_array_equal(rows[places], ids)


def test_ids_that_are_no_rows_lie_behind_the_table():
    ids = np.array([3, -1, 8, 2**31 - 1, -(2**31), 0, 1, 2, 4], dtype="int32")
    rows, places = (np.asarray(found) for found in backend._unique(ids, 5))
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows[places].tolist() == [3, 5, 5, 5, 5, 0, 1, 2, 4]
