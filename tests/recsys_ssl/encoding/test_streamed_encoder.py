from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.encoding import streamed_encoder
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.encoding.streamed_encoder import StreamedEncoder, learn_encoder
from sparse_data import Bags
from sparse_data.datasets.impressions import Impressions

FEATURES = [Category("city"), Category("ad"), MultiCategory("tags"), Dense("age"), Dense("vector")]


def draw(n, seed):
    rng = np.random.default_rng(seed)
    age = rng.normal(1e6, 3.0, size=n)
    age[rng.random(n) < 0.2] = np.nan
    return {
        "city": np.array(["", "bern", "athens", "chur", "a much longer name"])[rng.integers(5, size=n)],
        "ad": rng.zipf(1.5, size=n) % 100,
        "tags": [rng.integers(9, size=rng.integers(4)).tolist() for _ in range(n)],
        "age": age,
        "vector": rng.normal(size=(n, 2)) * [1.0, 0.0] + [0.0, 5.0],
    }


def rows(columns, start, stop):
    return {name: column[start:stop] for name, column in columns.items()}


@pytest.mark.parametrize("cuts", [[0, 300], [0, 1, 2, 150, 150, 300]])
def test_as_on_all_rows(cuts, monkeypatch):
    monkeypatch.setattr(streamed_encoder, "_SMALL", 3)  # so that counts are merged on the way
    columns = draw(300, 0)
    chunks = [rows(columns, start, stop) for start, stop in itertools.pairwise(cuts) if stop > start]
    wanted, got = FeatureEncoder(FEATURES).fit(columns), learn_encoder(FEATURES, chunks)
    for name, vocabulary in wanted.vocabularies_.items():
        np.testing.assert_array_equal(got.vocabularies_[name], vocabulary)
    for name, moments in wanted.moments_.items():
        np.testing.assert_allclose(got.moments_[name], moments, rtol=1e-9)
    one, two = wanted.transform(columns), got.transform(columns)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-5)


@pytest.mark.parametrize("min_count", [1, 2, 11])
def test_min_count(min_count):
    columns = draw(200, 1)
    chunks = [rows(columns, start, start + 20) for start in range(0, 200, 20)]
    got = learn_encoder(FEATURES, chunks, min_count=min_count).vocabularies_
    for name, values in (
        ("city", [city for city in columns["city"].tolist() if city]),
        ("ad", columns["ad"].tolist()),
        ("tags", [tag for bag in columns["tags"] for tag in bag]),
    ):
        kept = sorted(value for value, count in Counter(values).items() if count >= min_count)
        assert got[name].tolist() == kept


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=8),
    st.integers(0, 8),
    st.integers(1, 4),
)
def test_merging_in_any_shards(chunks, cut, min_count):
    features = [Category("ad"), Dense("x")]
    whole, left, right = (StreamedEncoder(features) for _ in range(3))
    for place, chunk in enumerate(chunks):
        columns = {"ad": np.array(chunk, dtype=np.int64), "x": np.array(chunk, dtype=float)}
        whole.update(columns)
        (left if place < cut else right).update(columns)
    left.merge(right)
    one, two = whole.encoder(min_count=min_count), left.encoder(min_count=min_count)
    np.testing.assert_array_equal(one.vocabularies_["ad"], two.vocabularies_["ad"])
    np.testing.assert_allclose(one.moments_["x"], two.moments_["x"], rtol=1e-12, atol=1e-12)
    counts = Counter(value for chunk in chunks for value in chunk)
    assert one.vocabularies_["ad"].tolist() == sorted(v for v, count in counts.items() if count >= min_count)


def test_impressions_and_weighted_bags():
    tags = Bags.from_lists([["a", "b"], ["b"]], weights=[[1.0, 2.0], [3.0]])
    shown = Impressions({"tags": tags}, [0, 1], [0, 0])
    learned = learn_encoder([MultiCategory("tags")], [shown, shown], min_count=3)
    assert learned.vocabularies_["tags"].tolist() == ["b"]


def test_constant_numbers_over_chunks():
    chunks = [{"x": np.full(n, 0.1)} for n in (3, 7, 1000)]
    assert learn_encoder([Dense("x")], chunks).moments_["x"].ravel().tolist() == pytest.approx([0.1, 1.0])


def test_nothing_known():
    learned = learn_encoder([Category("a"), Dense("x")], [{"a": ["", ""], "x": [np.nan, np.nan]}])
    assert len(learned.vocabularies_["a"]) == 0
    assert learned.moments_["x"].ravel().tolist() == [0.0, 1.0]
    assert learned.transform({"a": ["b", ""], "x": [1.0, np.nan]})["a"].tolist() == [1, 0]


def test_refused():
    with pytest.raises(ValueError, match="`chunks` must hold at least one chunk"):
        learn_encoder([Category("a")], [])
    with pytest.raises(ValueError, match="`min_count` must be at least 1"):
        learn_encoder([Category("a")], [{"a": [1]}], min_count=0)
    with pytest.raises(ValueError, match="`a` must be strings or whole numbers in all chunks; got both"):
        learn_encoder([Category("a")], [{"a": [1]}, {"a": ["x"]}])
    with pytest.raises(ValueError, match="`b` must be among the columns"):
        learn_encoder([Category("b")], [{"a": [1]}])
    with pytest.raises(ValueError, match="`x` must have 2 numbers a row in all chunks; got 3"):
        learn_encoder([Dense("x")], [{"x": np.ones((4, 2))}, {"x": np.ones((4, 3))}])
    with pytest.raises(ValueError, match="`other` must have the features"):
        StreamedEncoder([Dense("x")]).merge(StreamedEncoder([Dense("y")]))
