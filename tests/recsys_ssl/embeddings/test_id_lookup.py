import numpy as np
import pytest

from recsys_ssl.embeddings import id_lookup


@pytest.mark.parametrize(
    ("vocabulary", "ids", "expected"),
    [
        (np.array([2, 5, 9]), np.array([9, 2, 3, 10]), [2, 0, -1, -1]),
        (np.array(["a", "c"]), np.array(["c", "b", "a", "zz"]), [1, -1, 0, -1]),
        (np.array([2, 5]), np.zeros(0, dtype=np.int64), []),
    ],
)
def test_lookup(vocabulary, ids, expected):
    assert id_lookup.lookup("ids", ids, vocabulary).tolist() == expected


def test_lookup_tells_strings_from_integers():
    with pytest.raises(ValueError, match=r"`user_ids` must be integers.*got strings"):
        id_lookup.lookup("user_ids", np.array(["1"]), np.array([1, 2]))
    with pytest.raises(ValueError, match=r"`user_ids` must be strings.*got integers"):
        id_lookup.lookup("user_ids", np.array([1]), np.array(["1", "2"]))


def test_check_known_names_some_of_the_unknown():
    ids = np.array([4, 7, 7, 1, 2, 3, 5, 6])
    rows = np.array([0, -1, -1, -1, -1, -1, -1, -1])
    with pytest.raises(ValueError, match=r"`item_ids` must be .* got 1, 2, 3, 5, 6 and 1 more\."):
        id_lookup.check_known("item_ids", ids, rows)
    assert id_lookup.check_known("item_ids", ids[:1], rows[:1]).tolist() == [0]


@pytest.mark.parametrize(("ids", "kind"), [("ann", "U"), (3, "i"), (["a", "bc"], "U"), (np.uint8([3]), "i")])
def test_as_ids_takes_one_or_many(ids, kind):
    array = id_lookup.as_ids("ids", ids)
    assert array.ndim == 1
    assert array.dtype.kind == kind


def test_as_ids_refuses_floats():
    with pytest.raises(TypeError, match="`ids` must be integers or strings"):
        id_lookup.as_ids("ids", [1.5])


@pytest.mark.parametrize(
    ("vocabulary", "expected"), [(np.array([3, 4]), [[4, -1]]), (np.array(["a", "b"]), [["b", ""]])]
)
def test_ids_of_pads(vocabulary, expected):
    assert id_lookup.ids_of(np.array([[1, -1]]), vocabulary).tolist() == expected


def test_allowed_mask():
    vocabulary = np.array(["a", "b", "c", "d"])
    assert id_lookup.allowed_mask(vocabulary, None, None) is None
    assert id_lookup.allowed_mask(vocabulary, ["b", "c", "x"], None).tolist() == [False, True, True, False]
    assert id_lookup.allowed_mask(vocabulary, None, ["b", "x"]).tolist() == [True, False, True, True]
    assert id_lookup.allowed_mask(vocabulary, ["b", "c"], ["c"]).tolist() == [False, True, False, False]


@pytest.mark.parametrize("k", [0, -1, 4])
def test_check_k(k):
    with pytest.raises(ValueError, match="`k` must be at"):
        id_lookup.check_k(k, 3)
