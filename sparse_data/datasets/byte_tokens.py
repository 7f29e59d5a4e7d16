"""Tokens of large text files as arrays: lines in blocks, then all numbers and names of a block at once.

A block is a uint8 array of whole lines with ``PAD`` bytes before them, so that the eight bytes that end
anywhere in it can be loaded as one word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PAD = 8
NEWLINE = ord("\n")
Places = NDArray[np.int64]
_LONGEST = 18  # digits that surely fit into int64
_ONE = np.frombuffer(b"1.0".rjust(8, b"\0"), dtype="<u8")[0]
_LARGEST = float(np.finfo(np.float32).max)
_POWERS = 10 ** np.arange(_LONGEST + 1, dtype=np.int64)


def line_blocks(path: str | os.PathLike[str], *, block_bytes: int) -> Iterator[NDArray[np.uint8]]:
    """Yield a file's lines in blocks of about `block_bytes`, each line ended by one newline.

    Parameters
    ----------
    path : path
    block_bytes : int
        A longer line makes a larger block. A last line without newline gets one, in a block of its own.

    Yields
    ------
    uint8 ndarray of shape (PAD + n_bytes,)
    """
    rest = b""
    with Path(path).open("rb") as file:
        while read := file.read(block_bytes):
            whole, newline, tail = read.rpartition(b"\n")
            if newline:
                yield as_block(rest + whole + newline)
                rest = tail
            else:
                rest += tail
    if rest:
        yield as_block(rest + b"\n")


def line_block(path: str | os.PathLike[str], *, start: int, stop: int) -> NDArray[np.uint8]:
    """Return the lines between two places of a file, in bytes, at which lines begin or the file ends."""
    with Path(path).open("rb") as file:
        file.seek(start)
        lines = file.read(stop - start)
    return as_block(lines if lines.endswith(b"\n") else lines + b"\n")


def as_block(lines: bytes) -> NDArray[np.uint8]:
    """Return whole lines as a block."""
    return np.frombuffer(b"\n" * PAD + lines, dtype=np.uint8)


def names(block: NDArray[np.uint8], starts: Places, ends: Places) -> tuple[NDArray[np.uint64], Places]:
    r"""Return each token of at most eight bytes as one word, and where tokens are empty or longer.

    Examples
    --------
    >>> block = as_block(b"109_14,205\n")
    >>> words, bad = names(block, np.array([8, 15]), np.array([14, 18]))
    >>> [name_of(word) for word in words], bad
    (['109_14', '205'], array([], dtype=int64))
    """
    lengths = ends - starts
    return _words(block, ends, lengths), np.flatnonzero((lengths < 1) | (lengths > 8))


def name_of(word: np.uint64) -> str:
    """Return the text of a word of `names`."""
    return word.tobytes().strip(b"\0").decode("latin-1")


def texts(block: NDArray[np.uint8], starts: Places, ends: Places, *, width: int) -> NDArray[np.bytes_]:
    """Return the tokens as they stand; of longer ones the first `width` bytes."""
    places = starts[:, None] + np.arange(width)
    inside = places < ends[:, None]
    letters = np.where(inside, block[np.minimum(places, len(block) - 1)], np.uint8(0))
    return np.ascontiguousarray(letters).view(f"S{width}")[:, 0]


def integers(block: NDArray[np.uint8], starts: Places, ends: Places) -> tuple[NDArray[np.int64], Places]:
    r"""Return the tokens as numbers, and where one is not 1 to 18 digits (there the number means nothing).

    Examples
    --------
    >>> integers(as_block(b"7,1234567890,x\n"), np.array([8, 10, 21]), np.array([9, 20, 22]))
    (array([         7, 1234567890,         72]), array([2]))
    """
    lengths = ends - starts
    bad = (lengths < 1) | (lengths > _LONGEST)
    values = np.zeros(len(ends), dtype=np.int64)
    for scale, done in ((1, 0), (10**8, 8), (10**16, 16)):
        longer = slice(None) if done == 0 else np.flatnonzero(lengths > done)
        if done and len(ends[longer]) == 0:
            break
        digits, wrong = _eight_digits(block, ends[longer] - done, lengths[longer] - done)
        values[longer] += digits * scale
        bad[longer] |= wrong
    return values, np.flatnonzero(bad)


def decimals(block: NDArray[np.uint8], starts: Places, ends: Places) -> tuple[NDArray[np.float64], Places]:
    r"""Return the tokens as numbers, and where one is no number from 0 to what float32 holds.

    Examples
    --------
    >>> decimals(as_block(b"1.0,2.5,5e-1\n"), np.array([8, 12, 16]), np.array([11, 15, 20]))
    (array([1. , 2.5, 0.5]), array([], dtype=int64))
    """
    values = np.ones(len(ends))
    # Most values are this one.
    other = np.flatnonzero(_words(block, ends, ends - starts) != _ONE)
    starts, ends = starts[other], ends[other]
    dots = np.flatnonzero(block == ord("."))
    points = np.append(dots, len(block))[np.searchsorted(dots, starts)]
    points = np.minimum(points, ends)
    whole, bad_whole = integers(block, starts, points)
    places = np.maximum(ends - points - 1, 0)
    fraction, bad_fraction = integers(block, np.minimum(points + 1, ends), ends)
    fraction[places == 0] = 0
    # 15 digits and a power of ten are exact, so that one division rounds correctly.
    odd = ends - starts > 16
    odd[bad_whole] = True
    odd[bad_fraction[places[bad_fraction] > 0]] = True
    scale = _POWERS[np.minimum(places, _LONGEST)]
    values[other] = (whole * np.where(odd, 0, scale) + fraction) / scale
    wrong = []
    for at in np.flatnonzero(odd).tolist():
        values[other[at]] = _as_float(block[starts[at] : ends[at]].tobytes())
        if np.isnan(values[other[at]]):
            wrong.append(other[at])
    return values, np.array(wrong, dtype=np.int64)


def _as_float(token: bytes) -> float:
    """Return a number that is not plain digits, such as 1e-05; NaN for what is no finite number from 0 on."""
    try:
        value = np.nan if b"_" in token else float(token)
    except ValueError:
        return np.nan
    return value if 0 <= value <= _LARGEST else np.nan


def _words(block: NDArray[np.uint8], ends: Places, lengths: Places) -> NDArray[np.uint64]:
    """Return the last eight bytes of each token, those before the token set to 0."""
    words = np.ndarray(len(block) - 7, dtype="<u8", buffer=block.data, strides=(1,))[ends - 8]
    before = (64 - 8 * np.clip(lengths, 0, 8)).astype(np.uint64)
    # A shift by 64 is undefined; it is asked for by empty tokens only, which have no bytes to keep.
    kept = before < 64
    return np.where(kept, (words >> (before * kept)) << (before * kept), np.uint64(0))


def _eight_digits(
    block: NDArray[np.uint8], ends: Places, lengths: Places
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number in the last eight bytes of each token, and which hold other bytes than digits.

    Eight digits lie in one word, the first in its lowest byte. Neighbouring digits are joined to numbers
    below 100, these to numbers below 10,000, these to the number.
    """
    before = (64 - 8 * np.clip(lengths, 1, 8)).astype(np.uint64)
    words = np.ndarray(len(block) - 7, dtype="<u8", buffer=block.data, strides=(1,))[ends - 8]
    words = ((words ^ np.uint64(0x3030303030303030)) >> before) << before
    wrong = ((words + np.uint64(0x7676767676767676)) | words) & np.uint64(0x8080808080808080)
    for bits, mask, ten in (
        (8, 0x00FF00FF00FF00FF, 10),
        (16, 0x0000FFFF0000FFFF, 100),
        (32, 0x00000000FFFFFFFF, 10_000),
    ):
        low, high = words & np.uint64(mask), (words >> np.uint64(bits)) & np.uint64(mask)
        words = low * np.uint64(ten) + high
    return words.astype(np.int64), wrong != 0
