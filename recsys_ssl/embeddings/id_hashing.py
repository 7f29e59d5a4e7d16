"""From ids of any kind and number to the rows of a table of fixed size, by several hash functions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data import checks
from sparse_data.datasets import columns

LARGEST_TABLE = 2**31 - 1
MOST_HASHES = 16

# Multipliers and shifts of MurmurHash3's 32-bit finaliser, a permutation of the 32-bit words in which every
# bit of the input sways every bit of the output.
FIRST_FACTOR, SECOND_FACTOR = 0x85EBCA6B, 0xC2B2AE35
FIRST_SHIFT, SECOND_SHIFT, THIRD_SHIFT = 16, 13, 16

_MASK = 2**64 - 1


def hash_ids(ids: ArrayLike, num_rows: int, num_hashes: int, *, seed: int = 0) -> NDArray[np.int32]:
    r"""Return the rows that stand for each id: one a hash function.

    With *m* the 32-bit finaliser of MurmurHash3, an id of low and high word :math:`(l, h)` and two keys
    :math:`a_j, b_j` drawn from the seed, hash function *j* gives

    .. math:: r_j = (m(m(l \oplus a_j) \oplus h \oplus b_j) \bmod 2^{31}) \bmod \text{num\_rows}.

    The same id gives the same rows in every process, on every machine and in each backend of
    :class:`HashedEmbedding`; the first hash functions stay the same when more are asked for.

    Parameters
    ----------
    ids : array_like of shape (...)
        Integers of up to 64 bits or strings, see :func:`id_words`.
    num_rows : int
        Size of the table, at most 2**31 - 1.
    num_hashes : int
        From 1 to 16.
    seed : int, default=0
        Not negative, below 2**64; another seed gives other hash functions.

    Returns
    -------
    int32 ndarray of shape (..., num_hashes)
        In [0, num_rows).

    Raises
    ------
    TypeError
        If the ids are neither integers nor strings, or mixed.
    ValueError
        If an id is missing, or a number is out of range.

    References
    ----------
    Weinberger et al. (2009), Feature hashing for large scale multitask learning, arXiv:0902.2206.
    Svenstrup et al. (2017), Hash embeddings for efficient word representations, arXiv:1709.03933.

    Examples
    --------
    >>> hash_ids(["teapot", "kettle"], 1000, 2).tolist()
    [[758, 175], [649, 600]]
    >>> hash_ids([7, -7, 2**62], 1000, 2).tolist()
    [[179, 729], [299, 974], [301, 121]]
    """
    check_table(num_rows, num_hashes)
    return hash_words(id_words(ids), np.full(num_hashes, num_rows), seed)


def hash_words(words: NDArray[np.int32], sizes: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int32]:
    """Return :func:`hash_ids` of ids given as words (..., 2), hash function j into a table of size j."""
    low, high = (words.view(np.uint32)[..., place : place + 1] for place in (0, 1))
    first, second = hash_keys(len(sizes), seed)
    bits = _mix(_mix(low ^ first) ^ high ^ second) & np.uint32(2**31 - 1)
    return (bits % sizes.astype(np.uint32)).astype(np.int32)


def id_words(ids: ArrayLike) -> NDArray[np.int32]:
    """Return each id as two 32-bit words, so that 64 bits pass a backend that has but 32.

    An integer is cut into its low and high word (two's complement, whatever its width). A string becomes the
    first 64 bits of BLAKE2b over its UTF-8 bytes; among n strings about n**2 / 2**65 pairs coincide, one pair
    in 3,700 catalogues of 1e8 strings.

    Parameters
    ----------
    ids : array_like of shape (...)
        Integers in [-2**63, 2**64) or strings. A list has one dimension.

    Returns
    -------
    int32 ndarray of shape (..., 2)
        Low word, high word.

    Raises
    ------
    TypeError
        If the ids are neither integers nor strings, or mixed.
    ValueError
        If an id is missing (None, NaN, an empty string) or wider than 64 bits.

    Examples
    --------
    >>> id_words([1, -1, 2**32 + 5]).tolist()
    [[1, 0], [-1, -1], [5, 1]]
    """
    shape = ids.shape if isinstance(ids, np.ndarray) else None
    flat = flat_ids(ids)
    if flat.dtype.kind == "U":
        flat = _fingerprints(flat)
    words = flat.astype(f"<{flat.dtype.kind}8", copy=False).view("<i4").astype(np.int32, copy=False)
    return words.reshape(*(flat.shape if shape is None else shape), 2)


def flat_ids(ids: ArrayLike) -> NDArray[Any]:
    """Return ids of any shape as int64, uint64 or strings of one dimension, or raise."""
    if not isinstance(ids, np.ndarray):
        return columns.as_ids("ids", ids)
    flat = ids.ravel()
    # 2**63 and above have no int64.
    return flat if flat.dtype.kind == "u" and flat.dtype.itemsize == 8 else columns.as_ids("ids", flat)


def hash_keys(num_hashes: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the two keys of every hash function, each of shape (num_hashes,), by SplitMix64.

    Two keys rather than one: with one, ids whose words differ by the exclusive or of two functions' keys
    would have the same rows in another order.
    """
    checks.check_count("seed", seed, minimum=0, maximum=_MASK)
    keys, state = [], int(seed)
    for _ in range(num_hashes):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        keys.append(mixed ^ (mixed >> 31))
    low, high = np.array(keys, dtype="<u8").view("<u4").reshape(-1, 2).T
    return low.astype(np.uint32), high.astype(np.uint32)


def check_table(num_rows: int, num_hashes: int) -> tuple[int, int]:
    """Return both numbers if a hashed table can have them, else raise."""
    hint = "Rows are numbered by 31 bits of a hash."
    return (
        checks.check_count("num_rows", num_rows, maximum=LARGEST_TABLE, hint=hint),
        checks.check_count("num_hashes", num_hashes, maximum=MOST_HASHES, hint="Two to four are plenty."),
    )


def _mix(word: NDArray[np.uint32]) -> NDArray[np.uint32]:
    word = (word ^ (word >> np.uint32(FIRST_SHIFT))) * np.uint32(FIRST_FACTOR)
    word = (word ^ (word >> np.uint32(SECOND_SHIFT))) * np.uint32(SECOND_FACTOR)
    return word ^ (word >> np.uint32(THIRD_SHIFT))


def _fingerprints(strings: NDArray[np.str_]) -> NDArray[Any]:
    """Return 64 bits a string, little-endian."""
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in strings.tolist()
    )
    return np.frombuffer(digests, dtype="<u8")
