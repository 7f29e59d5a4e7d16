from __future__ import annotations

import pytest

from sparse_data.datasets.histories import read_histories


def test_lines_of_differing_length(tmp_path):
    (tmp_path / "a.txt").write_text("7 3 1 3\n\n2\n5 9\n")
    users, items, ranks = read_histories(tmp_path / "a.txt")
    assert users.tolist() == [7, 7, 7, 5]
    assert items.tolist() == [3, 1, 3, 9]
    assert ranks.tolist() == [0, 1, 2, 0]


def test_empty_file(tmp_path):
    (tmp_path / "a.txt").write_text("")
    assert [len(part) for part in read_histories(tmp_path / "a.txt")] == [0, 0, 0]


def test_refused(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n3 four\n")
    with pytest.raises(ValueError, match=r"`a\.txt` must hold integers only; got .*four"):
        read_histories(tmp_path / "a.txt")
