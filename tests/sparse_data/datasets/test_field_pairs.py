from __future__ import annotations

import numpy as np
import pytest

from sparse_data.datasets.field_pairs import read_field_pairs


@pytest.mark.parametrize("name", ["train", "test"])
def test_sample(real_data, name):
    path = real_data / "ctr-cvr-tiny-samples" / "ali-ccp-raw" / f"{name}.small.txt"
    made = read_field_pairs(path, single_valued=["205", "101"], group=True)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert len(made) == len(lines) == 10
    assert made.group.tolist() == [line[0] for line in lines]
    assert made.clicks.tolist() == [int(line[1]) for line in lines]
    assert made.conversions.tolist() == [int(line[2]) for line in lines]
    n_ids = 0
    for field, column in made.columns.items():
        for row, line in enumerate(lines):
            wanted = [int(pair.split(":")[1]) for pair in line[3:] if pair.split(":")[0] == field]
            n_ids += len(wanted)
            got = [column[row]] if isinstance(column, np.ndarray) else column[row].tolist()
            assert got == (wanted or [-1] if isinstance(column, np.ndarray) else wanted)
    assert n_ids == sum(len(line) - 3 for line in lines)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("1,0", "it must begin with an id, a click and a conversion, 0 or 1; got '1,0'"),
        ("1,2,0,5:6", "it must begin with"),
        ("1,1,0,5", "a feature must be a field, a colon and a whole number; got '5'"),
        ("1,1,0,5:6,7:x", "a feature must be .*; got '7:x'"),
        ("1,1,0,:6", "a feature must be .*; got ':6'"),
        ("1,1,0,5:-6", "a feature must be .*; got '5:-6'"),
        ("1,1,0,5:6,5:7", "field 5 must have at most one id"),
        ("", "it must begin with"),
    ],
)
def test_refused(tmp_path, line, match):
    path = tmp_path / "log.txt"
    path.write_text(f"1,1,0,5:6\n{line}\n1,1,0\n")
    with pytest.raises(ValueError, match=rf"log\.txt, line 2: {match}"):
        read_field_pairs(path, single_valued=["5"])


def test_empty(tmp_path):
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(ValueError, match=r"log\.txt: it must hold lines; got an empty file"):
        read_field_pairs(tmp_path / "log.txt")
