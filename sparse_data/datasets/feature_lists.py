r"""Lines of Ali-CCP's raw files: some values between commas, then a list of (field, id, number) triples.

A line is ``head,...,head,n_features,list``; entries of the list are separated by ``\x01``, and an entry is
``field \x02 id \x03 number``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sparse_data.bags import Bags
from sparse_data.datasets.byte_tokens import NEWLINE, PAD, Places, decimals, integers, name_of, names, texts

_DELIMITERS = np.zeros(256, dtype=np.bool_)
_DELIMITERS[[1, 2, 3, ord(","), NEWLINE]] = True


@dataclass(frozen=True, eq=False)
class FeatureLists:
    """The lines of one block, checked; the bags of a field are parsed when asked for.

    Attributes
    ----------
    path : str
        The file, for messages.
    first_line : int
        Number of the first line in the file, from 1.
    block : uint8 ndarray
    starts, ends : int64 ndarray of shape (n_lines, n_heads)
        Where the heads stand in the block; the last head is the number of features.
    entry_starts, entry_ends : int64 ndarray of shape (n_entries, 3)
        Where field, id and number of each entry stand.
    lines : int64 ndarray of shape (n_entries,)
        The line of each entry, from 0; never decreases.
    """

    path: str
    first_line: int
    block: NDArray[np.uint8]
    starts: Places
    ends: Places
    entry_starts: Places
    entry_ends: Places
    lines: Places

    def __len__(self) -> int:
        return len(self.starts)

    def head(self, column: int, *, width: int) -> NDArray[np.bytes_]:
        """Return one head of every line as it stands, at most `width` bytes of it."""
        return texts(self.block, self.starts[:, column], self.ends[:, column], width=width)

    def label(self, column: int) -> NDArray[np.int8]:
        """Return one head of every line, which must be 0 or 1."""
        starts, ends = self.starts[:, column], self.ends[:, column]
        values = self.block[starts] - np.uint8(ord("0"))
        bad = np.flatnonzero((ends - starts != 1) | (values > 1))
        if len(bad):
            got = self._text(starts[bad[0]], ends[bad[0]])
            self.fail(bad[0], f"value {column + 1} must be 0 or 1; got {got}")
        return values.astype(np.int8)

    @cached_property
    def fields(self) -> dict[str, Places]:
        """The names of all fields, and which entries are of each."""
        words, bad = names(self.block, self.entry_starts[:, 0], self.entry_ends[:, 0])
        if len(bad):
            self.fail(self.lines[bad[0]], "the name of a field must have 1 to 8 bytes")
        return {name_of(word): np.flatnonzero(words == word) for word in np.unique(words)}

    def bags(self, field: str) -> Bags:
        """Return the int64 ids of one field with float32 weights, one bag a line, in their order."""
        entries = self.fields.get(field, np.empty(0, dtype=np.int64))
        parsed = []
        for place, parse, rule in (
            (1, integers, "an id must be a whole number"),
            (2, decimals, "a value must be a finite number of at least 0"),
        ):
            starts, ends = self.entry_starts[entries, place], self.entry_ends[entries, place]
            values, bad = parse(self.block, starts, ends)
            if len(bad):
                got = self._text(starts[bad[0]], ends[bad[0]])
                self.fail(self.lines[entries[bad[0]]], f"{rule}; got {got} in field {field}")
            parsed.append(values)
        lengths = np.bincount(self.lines[entries], minlength=len(self))
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        return Bags(parsed[0], offsets, parsed[1].astype(np.float32))

    def fail(self, line: int | np.integer[Any], what: str) -> NoReturn:
        """Raise a ValueError that names the file and a line, given from 0."""
        place = f"{self.path}, line {self.first_line + int(line)}"
        raise ValueError(f"{place}: {what}. Download the file again if it is cut short.")

    def _text(self, start: np.int64, end: np.int64) -> str:
        return repr(self.block[start:end].tobytes().decode("latin-1"))


def parse_feature_lists(
    block: NDArray[np.uint8], *, n_heads: int, path: str, first_line: int
) -> FeatureLists:
    """Find the values and entries of all lines of a block.

    Parameters
    ----------
    block : uint8 ndarray
        As `line_blocks` yields it.
    n_heads : int
        Values before the list, the number of features among them.
    path : str
        The file, for messages.
    first_line : int
        Number of the block's first line.

    Returns
    -------
    FeatureLists

    Raises
    ------
    ValueError
        If a line is cut short, has another number of entries than it says, or an entry is no triple. The
        message names file and line.
    """
    places = PAD + np.flatnonzero(_DELIMITERS[block[PAD:]])
    begins = np.concatenate([np.full(1, PAD), places[:-1] + 1])  # of the token that a delimiter ends
    kinds = block[places]
    last = np.flatnonzero(kinds == NEWLINE)  # of each line, among the delimiters
    first = np.concatenate([np.zeros(1, dtype=np.int64), last[:-1] + 1])
    heads = np.minimum(first[:, None] + np.arange(n_heads), len(kinds) - 1)
    none = np.empty((0, 3), dtype=np.int64)
    found = FeatureLists(path, first_line, block, begins[heads], places[heads], none, none, none[:, 0])
    _check_heads(found, kinds[heads], first, last, kinds)
    counts = _counts(found, kinds, first + n_heads, last)
    listed = np.ones(len(places), dtype=np.bool_)
    listed[heads] = False
    listed[last[counts == 0]] = False
    entries = np.flatnonzero(listed).reshape(-1, 3)
    lines = np.repeat(np.arange(len(last)), counts)
    first_part, second_part, third_part = kinds[entries].T
    ends = (third_part == 1) | (third_part == NEWLINE)
    bad = np.flatnonzero((first_part != 2) | (second_part != 3) | ~ends)
    if len(bad):
        told = "an entry must be a field, \\x02, an id, \\x03 and a number, with \\x01 between entries"
        found.fail(lines[bad[0]], told)
    return replace(found, entry_starts=begins[entries], entry_ends=places[entries], lines=lines)


def _check_heads(
    found: FeatureLists, heads: NDArray[np.uint8], first: Places, last: Places, kinds: NDArray[np.uint8]
) -> None:
    commas = np.cumsum(kinds == ord(","))
    before = np.where(first > 0, commas[first - 1], 0)
    n_commas = commas[last] - before
    n_heads = heads.shape[1]
    bad = np.flatnonzero((n_commas != n_heads) | (heads != ord(",")).any(axis=1))
    if len(bad):
        found.fail(bad[0], f"it must have {n_heads} commas before its list; got {n_commas[bad[0]]} in all")


def _counts(found: FeatureLists, kinds: NDArray[np.uint8], first: Places, last: Places) -> Places:
    """Return the number of entries of each line, whose list has the delimiters from `first` to `last`."""
    starts, ends = found.starts[:, -1], found.ends[:, -1]
    counts, bad = integers(found.block, starts, ends)
    if len(bad):
        got = found.block[starts[bad[0]] : ends[bad[0]]].tobytes().decode("latin-1")
        found.fail(bad[0], f"the number of features must be a whole number; got {got!r}")
    newlines = PAD + np.flatnonzero(found.block[PAD:] == NEWLINE)
    n_bytes = np.diff(np.concatenate([np.full(1, PAD - 1), newlines]))
    empty = (counts == 0) & (n_bytes == ends - found.starts[:, 0] + 2)
    wrong = np.flatnonzero(~empty & (last - first + 1 != 3 * counts))
    if len(wrong):
        inside = kinds[first[wrong[0]] : last[wrong[0]]]
        told = f"it must have {counts[wrong[0]]} entries, as it says, of three parts each"
        parts = f"{(inside == 1).sum() + 1} with {(inside == 2).sum()} ids and {(inside == 3).sum()} numbers"
        found.fail(wrong[0], f"{told}; got {parts}")
    return counts
