import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_ssl.recommenders.index import ExactIndex
from recsys_ssl.retrieval.approximate_index import ApproximateIndex


@pytest.fixture(params=[ExactIndex, ApproximateIndex], ids=["exact", "approximate"])
def kind(request):
    if request.param is ApproximateIndex:
        pytest.importorskip("usearch")
    return request.param


def drawn(n_items=60, dim=5, seed=0):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n_items, dim))
    ids = np.array([f"i{number}" for number in generator.permutation(n_items)])
    return vectors, ids, generator.normal(size=n_items), generator.normal(size=(7, dim))


def looped_search(vectors, ids, bias, queries, k, metric="dot", dropped=lambda query, item: False):
    """Sort all items, one query at a time."""
    names, scores = [], []
    for number, query in enumerate(queries):
        found = []
        for vector, item, offset in zip(vectors, ids, bias, strict=True):
            similarity = query @ vector
            if metric == "cosine":
                similarity = similarity / np.linalg.norm(query) / np.linalg.norm(vector)
            if not dropped(number, item):
                found.append((-(similarity + offset), item))
        best = sorted(found)[:k]
        names.append([item for _, item in best])
        scores.append([-negative for negative, _ in best])
    return names, scores


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("with_bias", [False, True], ids=["plain", "bias"])
def test_equals_a_loop(kind, metric, with_bias):
    vectors, ids, bias, queries = drawn()
    index = kind(metric=metric).build(vectors, ids, bias=bias if with_bias else None)
    names, scores = index.search(queries, 6)
    expected = looped_search(vectors, ids, bias if with_bias else np.zeros(60), queries, 6, metric)
    assert names.tolist() == expected[0]
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-6)
    assert len(index) == 60


def test_filters_equal_a_loop(kind):
    vectors, ids, bias, queries = drawn()
    index = kind().build(vectors, ids, bias=bias)
    matrix = np.random.default_rng(5).random((7, 60)) < 0.3
    allow, deny = ids[:40], [*ids[10:15], "elsewhere"]

    def dropped(query, item):
        column = sorted(ids).index(item)
        return matrix[query, column] or item not in allow or item in deny

    names, scores = index.search(queries, 5, seen=csr_array(matrix), allow=allow, deny=deny)
    expected = looped_search(vectors, ids, bias, queries, 5, dropped=dropped)
    assert names.tolist() == expected[0]
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-6)


def test_padding(kind):
    vectors, ids, _, queries = drawn()
    seen = np.ones((7, 60), dtype=bool)
    seen[:, 3] = False
    names, scores = kind().build(vectors, ids).search(queries, 2, seen=csr_array(seen))
    assert names.tolist() == [[sorted(ids)[3], ""]] * 7
    assert np.isneginf(scores[:, 1]).all()
    numbered, _ = kind().build(vectors).search(queries, 2, seen=csr_array(seen))
    assert numbered.tolist() == [[3, -1]] * 7


def test_ties_go_to_the_smaller_id(kind):
    index = kind().build(np.ones((5, 2)), [9, 4, 7, 1, 2])
    assert index.search([[1.0, 1.0]], 3)[0].tolist() == [[1, 2, 4]]


def test_add_and_remove_equal_building_anew(kind):
    vectors, ids, bias, queries = drawn()
    more, _, more_bias, _ = drawn(10, seed=9)
    index = kind().build(vectors, ids, bias=bias)
    index.remove(ids[:20])
    # Two new items, two that are there already and change, and one that comes back.
    names = ["new1", "new2", ids[30], ids[31], ids[0]]
    index.add(more[:5], names, bias=more_bias[:5])
    kept = np.isin(ids, [*ids[:20], ids[30], ids[31]], invert=True)
    all_vectors = np.concatenate([vectors[kept], more[:5]])
    all_ids = np.concatenate([ids[kept], names])
    all_bias = np.concatenate([bias[kept], more_bias[:5]])
    expected = looped_search(all_vectors, all_ids, all_bias, queries, 8)
    found = index.search(queries, 8)
    assert len(index) == all_ids.size == 43
    assert found[0].tolist() == expected[0]
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_removed_items_are_in_nobodys_place(kind):
    vectors, _, _, _ = drawn()
    index = kind().build(vectors).remove(np.arange(20, 60))
    ids, _ = index.search(vectors[:20], 20)
    assert (np.sort(ids, axis=1) == np.arange(20)).all()
    assert np.array_equal(ids, np.argsort(-(vectors[:20] @ vectors[:20].T), axis=1))


def test_longer_vectors_can_be_added(kind):
    vectors, ids, _, queries = drawn()
    index = kind().build(vectors, ids).add(100 * vectors[:1], ["long"])
    expected = looped_search([*vectors, 100 * vectors[0]], [*ids, "long"], np.zeros(61), queries, 4)
    assert index.search(queries, 4)[0].tolist() == expected[0]


def test_empty_then_filled(kind):
    vectors, ids, _, queries = drawn()
    index = kind()
    assert len(index) == 0
    index.add(vectors, ids).remove(ids)
    assert len(index) == 0
    index.add(vectors[:3], ids[:3])
    assert sorted(index.search(queries, 3)[0][0].tolist()) == sorted(ids[:3].tolist())


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_save_and_load(kind, metric, tmp_path):
    vectors, ids, bias, queries = drawn()
    index = kind(metric=metric).build(vectors, ids, bias=bias).remove(ids[:5])
    index.save(tmp_path / "items.index")
    loaded = kind.load(tmp_path / "items.index")
    assert vars(loaded).keys() == vars(index).keys()
    assert loaded.metric == metric
    for left, right in zip(index.search(queries, 9), loaded.search(queries, 9), strict=True):
        np.testing.assert_array_equal(left, right)
    # A loaded index goes on working, and nothing else is left in the folder.
    loaded.add(vectors[:1], ["more"])
    assert len(loaded) == 56
    assert [path.name for path in tmp_path.iterdir()] == ["items.index"]


def test_an_empty_index_can_be_saved(kind, tmp_path):
    kind().save(tmp_path / "empty")
    assert len(kind.load(tmp_path / "empty")) == 0


def test_a_failed_save_keeps_the_last_one(kind, tmp_path, monkeypatch):
    vectors, ids, _, _ = drawn()
    path = tmp_path / "items.index"
    kind().build(vectors, ids).save(path)

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        kind().build(vectors[:3], ids[:3]).save(path)
    assert len(kind.load(path)) == 60
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncate", "text", "other archive", "other class", "pickle"])
def test_foreign_and_damaged_files(tmp_path, damage):
    path = tmp_path / "items.npz"
    ExactIndex().build(np.eye(3)).save(path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "other archive":
        np.savez(path, x=np.arange(3))
    elif damage == "pickle":
        np.savez(path, kind=np.array(["exact", None], dtype=object))
    elif damage == "other class":
        pytest.importorskip("usearch")
        ApproximateIndex().build(np.eye(3)).save(path)
    with pytest.raises(ValueError, match="`path` must be"):
        ExactIndex.load(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        ExactIndex.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.search([[1.0, 2.0]], 0), "`k` must be at least 1"),
        (lambda index: index.search([[1.0, 2.0]], 4), "`k` must be at most"),
        (lambda index: index.search([[1.0, 2.0]], 2, allow=[1]), "`k` must be at most .*, 1; got 2"),
        (lambda index: index.search([[1.0]], 1), "`queries` must have 2 columns; got 1"),
        (lambda index: index.search([1.0, 2.0], 1), "`queries` must be 2-dimensional"),
        (lambda index: index.search([[1.0, np.nan]], 1), "`queries` must be finite"),
        (
            lambda index: index.search([[1.0, 2.0]], 1, seen=csr_array((2, 3))),
            r"`seen` must be of shape \(1, 3\)",
        ),
        (lambda index: index.remove([5]), "`ids` must be ids that the model knows; got 5"),
        (lambda index: index.add([[1.0]], [7]), "`vectors` must have 2 columns; got 1"),
        (lambda index: index.add([[1.0, 2.0]], [7, 8]), "must be of the same length"),
        (lambda index: index.build(np.eye(2), [3, 3]), "`ids` must be distinct"),
        (lambda index: index.build([[np.inf]]), "`vectors` must be finite"),
        (lambda index: index.build(np.eye(2), bias=[0.0, np.nan]), "`bias` must be finite"),
    ],
)
def test_bad_input(kind, call, message):
    index = kind().build([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match=message):
        call(index)


def test_bad_metric(kind):
    with pytest.raises(ValueError, match="`metric` must be one of"):
        kind(metric="l2")


def test_the_input_is_not_altered(kind):
    vectors, ids, _, queries = drawn()
    copies = vectors.copy(), queries.copy()
    kind(metric="cosine").build(vectors, ids).search(queries, 3)
    np.testing.assert_array_equal(vectors, copies[0])
    np.testing.assert_array_equal(queries, copies[1])
