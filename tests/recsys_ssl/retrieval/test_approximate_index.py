import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_ssl.recommenders.index import ExactIndex
from recsys_ssl.retrieval.approximate_index import ApproximateIndex

WITHOUT_USEARCH = """
import sys
sys.modules["usearch"] = None
from recsys_ssl.retrieval.approximate_index import ApproximateIndex
try:
    ApproximateIndex()
except ImportError as error:
    assert "pip install 'sparselabels[ann]'" in str(error), error
else:
    raise AssertionError("no ImportError")
"""


@pytest.fixture(scope="module")
def pair():
    pytest.importorskip("usearch")
    generator = np.random.default_rng(0)
    # Norms differ widely, as those of trained item vectors do.
    vectors = generator.normal(size=(5000, 16)) * generator.lognormal(0, 0.5, size=(5000, 1))
    bias = generator.normal(size=5000)
    queries = generator.normal(size=(300, 16))
    exact = ExactIndex().build(vectors, bias=bias)
    return exact, ApproximateIndex().build(vectors, bias=bias), queries


def shared(left, right):
    return np.mean([np.isin(a, b).mean() for a, b in zip(left, right, strict=True)])


def test_most_of_the_best_are_found(pair):
    exact, approximate, queries = pair
    assert shared(exact.search(queries, 20)[0], approximate.search(queries, 20)[0]) > 0.95


def test_scores_are_exact(pair):
    exact, approximate, queries = pair
    ids, scores = approximate.search(queries, 10)
    expected = np.einsum("qd,qkd->qk", queries, exact.vectors[ids]) + exact.bias[ids]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_lists_are_full_although_most_candidates_are_filtered_out(pair):
    exact, approximate, queries = pair
    seen = np.zeros((300, 5000), dtype=bool)
    best, _ = exact.search(queries, 600)
    np.put_along_axis(seen, best[:, :500], True, axis=1)
    # Hardly one of the 400 candidates is not among the 500 best: the queries are searched exactly.
    ids, scores = approximate.search(queries, 10, seen=csr_array(seen))
    assert shared(ids, best[:, 500:510]) > 0.95
    assert np.isfinite(scores).all()
    allow = np.arange(0, 5000, 500)
    np.testing.assert_array_equal(
        approximate.search(queries, 10, allow=allow)[0], exact.search(queries, 10, allow=allow)[0]
    )


def test_more_candidates_find_more(pair):
    exact, _, queries = pair
    best = exact.search(queries, 50)[0]
    found = [
        shared(best, ApproximateIndex(expansion=expansion).build(exact.vectors).search(queries, 50)[0])
        for expansion in (50, 1000)
    ]
    assert found[0] < found[1]


@pytest.mark.parametrize(("name", "value"), [("connectivity", 1), ("expansion", 0)])
def test_bad_parameters(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        ApproximateIndex(**{name: value})


def test_the_missing_extra_is_named():
    subprocess.run([sys.executable, "-c", WITHOUT_USEARCH], check=True)
