from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_data.datasets.byte_tokens import (
    PAD,
    as_block,
    decimals,
    integers,
    line_block,
    line_blocks,
    name_of,
    names,
    texts,
)

plain = st.from_regex(rb"[0-9]{1,18}", fullmatch=True)
numbers = st.one_of(
    st.sampled_from([b"1.0", b"0", b"3.", b".5", b"1e-05", b"2.5E+3", b"0.0"]),
    st.from_regex(rb"[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True),
    st.floats(0, 3e38).map(lambda value: repr(value).encode()),
)
rubbish = st.sampled_from(
    [
        b"",
        b"-1",
        b"x",
        b"1_0",
        b"nan",
        b"inf",
        b"1e40",
        b"..",
        b".",
        b"1.2.3",
        b"1.0x",
        b"x1.0",
        b"\xff",
        b"1:",
    ]
)


def tokens(*parts: bytes):
    block = as_block(b",".join(parts) + b"\n")
    ends = PAD - 1 + np.cumsum([len(part) + 1 for part in parts])
    return block, ends - [len(part) for part in parts], ends


@settings(max_examples=40)
@given(st.lists(plain, min_size=1))
def test_integers(parts):
    values, bad = integers(*tokens(*parts))
    assert values.tolist() == [int(part) for part in parts]
    assert bad.tolist() == []


@settings(max_examples=40)
@given(st.lists(numbers, min_size=1))
def test_decimals(parts):
    values, bad = decimals(*tokens(*parts))
    assert values.tolist() == [float(part) for part in parts]
    assert bad.tolist() == []


@settings(max_examples=40)
@given(st.lists(st.tuples(plain, st.booleans(), rubbish), min_size=1))
def test_rubbish_among_numbers(rows):
    parts = [wrong if broken else right for right, broken, wrong in rows]
    wanted = [place for place, (_, broken, _) in enumerate(rows) if broken]
    block, starts, ends = tokens(*parts)
    assert integers(block, starts, ends)[1].tolist() == wanted
    assert decimals(block, starts, ends)[1].tolist() == wanted


def test_every_byte_in_every_place():
    for length in (1, 5, 8, 9, 16, 17):
        parts = [
            b"7" * place + bytes([byte]) + b"7" * (length - place - 1)
            for place in range(length)
            for byte in range(256)
        ]
        block, starts, ends = tokens(*parts)
        bad = {place for place, part in enumerate(parts) if not part.isdigit()}
        assert set(integers(block, starts, ends)[1].tolist()) == bad


def test_too_long_integers():
    assert integers(*tokens(b"9" * 18, b"9" * 19))[1].tolist() == [1]


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda part: not set(part) & {0, 10}), min_size=1))
def test_names(parts):
    words, bad = names(*tokens(*parts))
    assert [name_of(word) for word in words] == [part.decode("latin-1") for part in parts]
    assert bad.tolist() == []


def test_names_too_short_and_too_long():
    words, bad = names(*tokens(b"", b"12345678", b"123456789"))
    assert bad.tolist() == [0, 2]
    assert name_of(words[1]) == "12345678"


def test_texts():
    assert texts(*tokens(b"ab", b"", b"abcdef"), width=4).tolist() == [b"ab", b"", b"abcd"]


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 100])
@pytest.mark.parametrize("end", ["\n", ""])
def test_line_blocks(tmp_path, block_bytes, end):
    lines = ["one", "", "three is longer than a block", "4", "5"]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines) + end)
    blocks = [block.tobytes() for block in line_blocks(path, block_bytes=block_bytes)]
    assert all(block[:PAD] == b"\n" * PAD and block.endswith(b"\n") for block in blocks)
    assert b"".join(block[PAD:] for block in blocks) == ("\n".join(lines) + "\n").encode()
    start = 0
    for block in blocks:
        stop = start + len(block) - PAD
        assert line_block(path, start=start, stop=stop).tobytes() == block
        start = stop


def test_line_blocks_of_an_empty_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert list(line_blocks(tmp_path / "empty", block_bytes=10)) == []
