"""The two CPU engines against slow loops and SciPy: threads, ties, NaN and arguments that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sparse_data import ops_numba, ops_numpy

INF = float("inf")


def f(values):
    return np.array(values, dtype=np.float64)


def i(values):
    return np.array(values, dtype=np.int64)


TABLE = f([[1, 0], [0, 2], [3, 3]])
CSR = (i([0, 2, 2, 3]), i([0, 1, 1]), f([1, 3, 1]))


def ranked(row, k):
    """Rank one row with Python's sort: larger first, then the lower column."""
    return sorted(range(len(row)), key=lambda column: (-row[column], column))[:k]


@pytest.mark.parametrize("k", [1, 7, 100])
@pytest.mark.parametrize("kind", ["random", "ties", "rising", "falling", "masked", "constant"])
def test_numba_top_k_in_threads(kind, k):
    scores = np.random.default_rng(5).normal(size=(60, 2500)).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    elif kind in ("rising", "falling"):
        scores = np.sort(scores, axis=1)[:, :: 1 if kind == "rising" else -1]
    elif kind == "masked":
        scores[:, 40:2490] = -INF
    elif kind == "constant":
        scores[:] = 2.5
    values, columns = ops_numba.top_k(scores, k)
    expected = np.array([ranked(row, k) for row in scores.tolist()])
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.parametrize("column", [0, 3, 70, 2000, 2499])
@pytest.mark.parametrize("ops", [ops_numpy, ops_numba])
def test_top_k_refuses_nan(ops, column):
    scores = np.random.default_rng(0).normal(size=(60, 2500))
    scores[41, column] = np.nan
    with pytest.raises(ValueError, match=r"`scores` must be free of NaN; got NaN in row 41"):
        ops.top_k(scores, 5)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_definition_against_loops(rows, seed):
    rng = np.random.default_rng(seed)
    flat = i([column for row in rows for column in row])
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    data, x = rng.uniform(0.1, 2, size=len(flat)), rng.normal(size=(7, 3))
    dense = csr_array((data, flat, indptr), shape=(len(rows), 7))  # repeated entries add up
    for ops in (ops_numpy, ops_numba):
        np.testing.assert_allclose(ops.propagate(indptr, flat, data, x), dense @ x, atol=1e-12)
        np.testing.assert_allclose(ops.csr_degree(indptr, data), dense.sum(axis=1), atol=1e-12)
        column_sums = np.asarray(dense.sum(axis=0))
        scaled = ops.normalize_csr(indptr, flat, data, 7, "column")
        np.testing.assert_allclose(scaled, data / column_sums[flat], atol=1e-12)
        maxima, softmax = ops.segment_max(data, flat, 7), ops.segment_softmax(data, flat, 7)
        for segment in range(7):
            members = data[flat == segment]
            assert maxima[segment] == (max(members) if len(members) else 0)
            np.testing.assert_allclose(softmax[flat == segment], np.exp(members) / np.exp(members).sum())
        kept = ops.project_l0(data - 1, len(flat) // 2)
        assert np.count_nonzero(kept) == len(flat) // 2
        assert np.abs(data - 1)[kept == 0].max(initial=0) <= np.abs(kept[kept != 0]).min(initial=INF)


def test_numba_lookup_in_threads():
    rng = np.random.default_rng(1)
    table, values = rng.normal(size=(50, 32)), rng.integers(0, 50, size=9000)
    offsets = np.concatenate([[0], np.sort(rng.integers(0, 9000, size=700)), [9000]])
    matrix = csr_array((np.ones(9000), values, offsets), shape=(701, 50))
    np.testing.assert_allclose(ops_numba.pooled_lookup(table, values, offsets), matrix @ table, atol=1e-10)


BAD = [
    ("segment_sum", (f([1, 2]), i([0, 3]), 3), r"`segment_ids` must be in \[0, 3\); got ids from 0 to 3"),
    (
        "segment_sum",
        (f([1, 2]), i([0]), 3),
        "`values` and `segment_ids` must be of the same length; got 2 and 1",
    ),
    (
        "segment_sum",
        (np.zeros((1, 1, 1)), i([0]), 3),
        r"`values` must be 1-dimensional; got shape \(1, 1, 1\)",
    ),
    ("pooled_lookup", (TABLE, i([3]), i([0, 1])), r"`values` must be in \[0, 3\)"),
    ("pooled_lookup", (TABLE, i([1]), i([0, 2])), "`offsets` must begin at 0, never fall and end at 1"),
    (
        "pooled_lookup",
        (TABLE, i([1]), i([0, 1]), f([1, 2])),
        "`values` and `weights` must be of the same length",
    ),
    ("propagate", (*CSR, f([[1], [2]])[:1]), r"`indices` must be in \[0, 1\); got ids from 0 to 1"),
    ("csr_degree", (i([1, 2]),), r"`indptr` must begin at 0, never fall; got \[1 2\]"),
    ("csr_degree", (i([]),), "`indptr` must begin at 0"),
    ("csr_degree", (i([0, 2, 1, 3]),), "`indptr` must begin at 0, never fall"),
    ("normalize_csr", (CSR[0], CSR[1], f([1, -3, 1]), 3), r"`data` must be non-negative; got 1 negative"),
    ("project_l0", (f([1, np.nan]), 1), "`values` must be free of NaN"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
@pytest.mark.parametrize("ops", [ops_numpy, ops_numba])
def test_bad_arguments(ops, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(ops, name)(*arguments)


@pytest.mark.parametrize("ops", [ops_numpy, ops_numba])
def test_weights_that_do_not_fit_into_the_type_of_the_table_are_refused(ops):
    half, huge = TABLE.astype(np.float16), f([1e30, 1, 1])
    with pytest.raises(ValueError, match="`data` must fit into float16; got values up to 1e"):
        ops.propagate(CSR[0], CSR[1], huge, half)
    with pytest.raises(ValueError, match="`weights` must fit into float16; got values up to 1e"):
        ops.pooled_lookup(half, CSR[1], CSR[0], huge)
