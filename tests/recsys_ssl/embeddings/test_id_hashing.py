import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

import recsys_ssl
from recsys_ssl.embeddings.id_hashing import hash_ids, hash_keys, id_words

ROOT = str(Path(recsys_ssl.__file__).parents[1])
WIDE = [0, 1, -1, 7, 2**31 - 1, 2**31, -(2**31), 2**32, 2**32 + 7, -(2**32), 2**63 - 1, -(2**63)]

# Whatever changes these numbers makes every saved table worthless.
GOLDEN_STRINGS = [[505758, 933175], [867649, 874600]]
GOLDEN_INTEGERS = [[656615, 194811], [245482, 880674], [12065, 327559], [907002, 387409]]


def finaliser(word):
    """Murmur3 of no bytes is the finaliser of its seed."""
    return murmurhash3_32(b"", seed=word, positive=True)


def by_the_formula(number, num_rows, num_hashes, seed):
    low, high = number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF
    rows = []
    for a, b in zip(*(keys.tolist() for keys in hash_keys(num_hashes, seed)), strict=True):
        rows.append((finaliser(finaliser(low ^ a) ^ high ^ b) & 0x7FFFFFFF) % num_rows)
    return rows


def test_keys_are_the_published_splitmix64_of_seed_1234567():
    low, high = hash_keys(3, 1234567)
    keys = [int(a) | int(b) << 32 for a, b in zip(low, high, strict=True)]
    assert keys == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("num_rows", "num_hashes", "seed"), [(1000, 2, 0), (2**31 - 1, 3, 5), (1, 1, 9)])
def test_integers_by_the_formula(num_rows, num_hashes, seed):
    generator = np.random.default_rng(0)
    ids = [*WIDE, *generator.integers(-(2**63), 2**63 - 1, size=50).tolist()]
    rows = hash_ids(ids, num_rows, num_hashes, seed=seed)
    assert rows.dtype == np.int32
    assert rows.tolist() == [by_the_formula(number, num_rows, num_hashes, seed) for number in ids]


def test_words_by_hand():
    assert id_words([2**32 + 5, -2, -(2**63)]).tolist() == [[5, 1], [-2, -1], [0, -(2**31)]]
    assert id_words(np.array([2**64 - 1, 2**63], dtype=np.uint64)).tolist() == [[-1, -1], [0, -(2**31)]]


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", ">i8", ">u8"]
)
def test_the_width_and_byte_order_of_an_integer_do_not_matter(dtype):
    np.testing.assert_array_equal(hash_ids(np.array([3, 100], dtype), 999, 2), hash_ids([3, 100], 999, 2))


def test_strings_by_the_formula():
    digest = hashlib.blake2b("Ünïcödé".encode(), digest_size=8).digest()
    assert hash_ids(["Ünïcödé"], 999, 3, seed=2).tolist() == [
        by_the_formula(int.from_bytes(digest, "little"), 999, 3, 2)
    ]


def test_strings_are_the_same_in_every_form():
    expected = hash_ids(["a", "teapot", "Ünïcödé"], 10**6, 3)
    forms = [
        np.array(["a", "teapot", "Ünïcödé"]),
        np.array(["a", "teapot", "Ünïcödé"], dtype=object),
        np.array(["a", "teapot", "Ünïcödé"], dtype="<U50"),
        np.array(["a", "teapot", "Ünïcödé"], dtype=np.dtypes.StringDType()),
    ]
    for form in forms:
        np.testing.assert_array_equal(hash_ids(form, 10**6, 3), expected)
    assert hash_ids(["5"], 10**6, 1) != hash_ids([5], 10**6, 1)


def test_values_of_today_stay_those_of_tomorrow():
    assert hash_ids(["teapot", "kettle"], 10**6, 2).tolist() == GOLDEN_STRINGS
    assert hash_ids([0, 1, -1, 2**62], 10**6, 2, seed=3).tolist() == GOLDEN_INTEGERS


def test_the_hash_of_another_process_with_another_hash_seed():
    code = "from recsys_ssl import hash_ids; print(hash_ids(['teapot', 'kettle'], 10**6, 2).tolist())"
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == str(GOLDEN_STRINGS)


def test_shapes_and_empty():
    assert hash_ids(np.arange(6).reshape(2, 3), 10, 4).shape == (2, 3, 4)
    assert hash_ids(np.array(5), 10, 4).shape == (4,)
    assert hash_ids([], 10, 4).shape == (0, 4)
    assert id_words(np.array([], dtype="<U1")).shape == (0, 2)


def test_more_hash_functions_keep_the_first_and_seeds_differ():
    ids = np.arange(1000)
    np.testing.assert_array_equal(hash_ids(ids, 97, 5)[:, :2], hash_ids(ids, 97, 2))
    assert (hash_ids(ids, 10**6, 1) == hash_ids(ids, 10**6, 1, seed=1)).mean() < 0.01


@pytest.mark.parametrize("stride", [1, 2**20, 2**32])
def test_rows_are_uniform_and_hash_functions_independent(stride):
    # Chi-squared of 40 or 1600 cells: mean = cells - 1, standard deviation = sqrt(2 (cells - 1)).
    rows = hash_ids(np.arange(64_000) * stride, 40, 2)
    for column in rows.T:
        counts = np.bincount(column, minlength=40)
        assert abs(((counts - 1600.0) ** 2 / 1600).sum() - 39) < 5 * np.sqrt(2 * 39)
    pairs = np.bincount(rows[:, 0] * 40 + rows[:, 1], minlength=1600)
    assert abs(((pairs - 40.0) ** 2 / 40).sum() - 1599) < 5 * np.sqrt(2 * 1599)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "integers or strings"),
        (np.array([1.5]), TypeError, "integers or strings"),
        ([1, float("nan")], ValueError, "missing"),
        (["a", None], ValueError, "missing"),
        (["a", ""], ValueError, "missing"),
        ([1, "a"], TypeError, "one kind"),
        ([True, False], TypeError, "integers or strings"),
        (np.array([b"a"]), TypeError, "ids"),
        ("teapot", TypeError, "array or a list"),
        ([2**64], ValueError, "int64"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=message):
        hash_ids(ids, 10, 2)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"num_rows": 0}, ValueError),
        ({"num_rows": -3}, ValueError),
        ({"num_rows": 2**31}, ValueError),
        ({"num_rows": 10.0}, TypeError),
        ({"num_hashes": 0}, ValueError),
        ({"num_hashes": 17}, ValueError),
        ({"seed": -1}, ValueError),
        ({"seed": 2**64}, ValueError),
        ({"seed": 0.5}, TypeError),
    ],
)
def test_bad_numbers(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        hash_ids([1, 2], **{"num_rows": 10, "num_hashes": 2, **arguments})
