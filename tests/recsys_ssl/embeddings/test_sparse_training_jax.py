"""The different ids of a batch in JAX, in arrays of a size that does not depend on them."""

import numpy as np
import pytest

pytest.importorskip("jax")

import jax

from recsys_ssl.sparse_training import jax as backend


@pytest.fixture(params=["_searched", "_paired"])
def unique(request, monkeypatch):
    """Return the function as it finds the ids on a CPU and on other platforms."""
    way = getattr(backend, request.param)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda ids, **ways: way(ids, **ways["cpu"].keywords))
    return lambda *given: [np.asarray(found) for found in backend._unique(*given)]


@pytest.mark.parametrize(("num_ids", "num_rows"), [(0, 5), (1, 1), (40, 7), (40, 1000), (7, 7)])
def test_unique_ids_and_their_places(unique, num_ids, num_rows):
    ids = np.random.default_rng(num_ids).integers(num_rows, size=num_ids).astype("int32")
    rows, places = unique(ids, num_rows)
    different = np.unique(ids)
    assert len(rows) == min(num_ids, num_rows + 1)
    np.testing.assert_array_equal(rows[: len(different)], different)
    assert (rows[len(different) :] == num_rows).all()
    np.testing.assert_array_equal(rows[places], ids)


def test_ids_that_are_no_rows_lie_behind_the_table(unique):
    ids = np.array([3, -1, 8, 2**31 - 1, -(2**31), 0, 1, 2, 4], dtype="int32")
    rows, places = unique(ids, 5)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows[places].tolist() == [3, 5, 5, 5, 5, 0, 1, 2, 4]


def test_only_a_cpu_searches():
    ids = jax.ShapeDtypeStruct((40,), "int32")
    for platform, loops in (("cpu", True), ("cuda", False)):
        found = jax.export.export(jax.jit(lambda ids: backend._unique(ids, 9)), platforms=[platform])(ids)
        assert ("stablehlo.while" in found.mlir_module()) == loops, platform
