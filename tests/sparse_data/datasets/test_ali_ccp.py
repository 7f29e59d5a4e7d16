from __future__ import annotations

import numpy as np
import pytest

from sparse_data.datasets import DownloadError
from sparse_data.datasets.ali_ccp import MULTI_VALUED, SINGLE_VALUED, AliCCP, fetch_ali_ccp
from sparse_data.datasets.common_features import read_common_features

OWN = ("205", "206", "207", "210", "216", "301", "508", "853")
OF_USERS = ("101", "121", "129", "109_14", "150_14")


def entry_list(entries):
    return "\x01".join(f"{field}\x02{value}\x03{number}" for field, value, number in entries)


def write(path, rows, end="\n"):
    """Write rows of (head, ..., entries) as the publisher does."""
    lines = [",".join([*map(str, heads), str(len(entries)), entry_list(entries)]) for *heads, entries in rows]
    path.write_text("\n".join(lines) + end)


def draw(n_rows, n_users, seed=0):
    """Draw rows of both files; numbers as text, some in scientific notation, some users and rows bare."""
    rng = np.random.default_rng(seed)
    texts = ["1.0", "0.69315", "2.0", "1e-05", "3", "12.3456789"]

    def entries(fields):
        drawn = []
        for field in fields:
            n = int(rng.integers(0, 4)) if field in MULTI_VALUED else int(rng.random() < 0.8)
            drawn += [
                (field, int(rng.integers(10 ** rng.integers(1, 11))), texts[rng.integers(6)])
                for _ in range(n)
            ]
        return drawn

    keys = [rng.bytes(16).hex() for _ in range(n_users)]
    users = [(key, entries(OF_USERS)) for key in keys]
    rows = []
    for place in range(n_rows):
        click, buy = [(0, 0), (1, 0), (1, 1), (0, 1)][rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])]
        rows.append((place + 1, click, buy, keys[rng.integers(n_users)], entries(OWN)))
    return rows, users


@pytest.fixture
def files(tmp_path):
    rows, users = draw(30, 9)
    write(tmp_path / "skeleton.csv", rows)
    write(tmp_path / "common.csv", users)
    return tmp_path / "skeleton.csv", tmp_path / "common.csv", rows, dict(users)


def check_rows(shown, rows, users, fields):
    """Compare with the rows, one entry after the other."""
    kept = [row for row in rows if not (row[1] == 0 and row[2] == 1)]
    assert sum(map(len, shown)) == len(kept)
    place = 0
    for part in shown:
        assert list(part.columns) == list(fields)
        for row in range(len(part)):
            _, click, buy, key, own = kept[place]
            assert (part.clicks[row], part.conversions[row]) == (click, buy)
            for field in fields:
                wanted = [(value, number) for name, value, number in own + users[key] if name == field]
                column = part.columns[field]
                if field in SINGLE_VALUED:
                    assert column[row] == (wanted[0][0] if wanted else -1)
                else:
                    assert column[row].tolist() == [value for value, _ in wanted]
                    bag = column[[row]]
                    assert bag.weights.tolist() == [np.float32(number) for _, number in wanted]
            place += 1


@pytest.mark.parametrize("block_bytes", [1, 500, 10**6])
def test_against_a_slow_reader(files, block_bytes):
    skeleton, common, rows, users = files
    data = AliCCP(skeleton, common, block_bytes=block_bytes)
    fields = SINGLE_VALUED + MULTI_VALUED
    check_rows(list(data), rows, users, fields)
    assert data.n_dropped == sum(row[1] == 0 and row[2] == 1 for row in rows) > 0
    check_rows(list(data), rows, users, fields)
    assert len(data.common) == 9


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("block_bytes", [1, 700])
def test_blocks_in_any_order(files, end, block_bytes):
    skeleton, common, rows, users = files
    write(skeleton, rows, end=end)
    data = AliCCP(skeleton, common, block_bytes=block_bytes)
    lengths = data.block_lengths
    assert [len(part) for part in data] == lengths.tolist()
    assert data.n_dropped == len(rows) - lengths.sum()
    blocks = {place: data.read_block(place) for place in reversed(range(len(lengths)))}
    check_rows([blocks[place] for place in range(len(lengths))], rows, users, data.fields)


def test_some_fields_only(files):
    skeleton, common, rows, users = files
    fields = ("508", "101", "205")
    data = AliCCP(skeleton, common, fields=fields)
    check_rows(list(data), rows, users, fields)
    assert list(data.common.columns) == ["101"]


def test_common_features_are_compact_and_shared(files):
    skeleton, common, rows, users = files
    table = read_common_features(common, fields=("101", "150_14"), single_valued=("101",))
    assert table.columns["150_14"].weights.dtype == np.float32
    check_rows(list(AliCCP(skeleton, table, fields=("101", "150_14"))), rows, users, ("101", "150_14"))
    write(common, [("k", [("101", 2**31 - 1, "1.0")])])
    assert read_common_features(common, single_valued=("101",)).columns["101"].dtype == np.int32
    write(common, [("k", [("101", 2**31, "1.0")])])
    assert read_common_features(common, single_valued=("101",)).columns["101"].tolist() == [2**31]


GOOD = (1, 1, 0, "key", [("205", 7, "1.0"), ("210", 8, "1.0"), ("210", 9, "2.0")])
LINE = f"1,1,0,key,3,{entry_list(GOOD[-1])}"


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (
            LINE[:-9],
            "it must have 3 entries, as it says, of three parts each; got 3 with 2 ids and 2 numbers",
        ),
        (LINE[:-10], "it must have 3 entries.*got 2 with 2 ids and 2 numbers"),
        (LINE[:8], "it must have 5 commas before its list; got 3 in all"),
        ("", "it must have 5 commas before its list; got 0 in all"),
        (LINE + ",x", "it must have 5 commas before its list; got 6 in all"),
        (LINE.replace(",3,", ",4,"), "it must have 4 entries"),
        (LINE.replace(",3,", ",0,"), "it must have 0 entries"),
        (LINE.replace(",3,", ",three,"), "the number of features must be a whole number; got 'three'"),
        (LINE.replace("\x029", "\x02nine"), "an id must be a whole number; got 'nine' in field 210"),
        (LINE.replace("\x029", "\x02"), "an id must be a whole number; got ''"),
        (LINE.replace("\x029", "\x02-9"), "an id must be a whole number; got '-9'"),
        (
            LINE.replace("2.0", "-2.0"),
            "a value must be a finite number of at least 0; got '-2.0' in field 210",
        ),
        (LINE.replace("2.0", "nan"), "a value must be a finite number"),
        (LINE.replace("2.0", ""), "a value must be a finite number of at least 0; got ''"),
        (LINE.replace("\x029", "\x039"), "an entry must be a field"),
        (LINE.replace("9\x03", "9\x01"), "an entry must be a field"),
        (LINE.replace("1.0\x01", "1.0\x02"), "an entry must be a field"),
        (LINE.replace("1.0\x01", "1.0\x03"), "an entry must be a field"),
        (LINE.replace("205", ""), "the name of a field must have 1 to 8 bytes"),
        (LINE.replace("205", "210210210"), "the name of a field must have 1 to 8 bytes"),
        (LINE.replace("210", "205"), r"field 205 must have at most one value; got \[7, 8, 9\]"),
        (LINE.replace("1,1,0", "1,2,0"), "value 2 must be 0 or 1; got '2'"),
        (LINE.replace("1,1,0", "1,1,"), "value 3 must be 0 or 1; got ''"),
        (LINE.replace("1,1,0", "1,10,0"), "value 2 must be 0 or 1; got '10'"),
        (LINE.replace("key", "yek"), r"its index must be in .*common\.csv; got 'yek'"),
        (LINE.replace("key", "key" + "x" * 40), "its index must be in"),
        (
            LINE.replace("205", "101"),
            r"field 101 must be in one of the two files; got it in .*common\.csv as well",
        ),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 10**6])
def test_broken_lines(tmp_path, line, match, block_bytes):
    skeleton, common = tmp_path / "skeleton.csv", tmp_path / "common.csv"
    write(common, [("key", [("101", 3, "1.0")])])
    skeleton.write_text(f"{LINE}\n{LINE}\n{line}\n{LINE}\n")
    with pytest.raises(ValueError, match=rf"skeleton\.csv, line 3: {match}"):
        list(AliCCP(skeleton, common, block_bytes=block_bytes))


def test_broken_lines_of_single_blocks(tmp_path):
    skeleton, common = tmp_path / "skeleton.csv", tmp_path / "common.csv"
    write(common, [("key", [])])
    skeleton.write_text("\n".join([LINE, LINE, LINE, LINE.replace("key", "yek"), LINE]))
    data = AliCCP(skeleton, common, block_bytes=len(LINE) * 2)
    with pytest.raises(ValueError, match=r"skeleton\.csv, line 4: its index must be in"):
        [data.read_block(place) for place in range(len(data.block_lengths))]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", r"common\.csv: it must hold lines; got an empty file"),
        ("a,1,101\x027\x031.0\nb,2,101\x027\x031.0\n", r"common\.csv, line 2: it must have 2 entries"),
        ("a,1,101\x02x\x031.0\n", r"common\.csv, line 1: an id must be a whole number; got 'x' in field 101"),
        ("a,0,\nb,0,\nc,0,\nb,0,\na,0,\n", r"line 4: its index must occur once; got 'b' in line 2 as well"),
        ("a,0,\n,0,\n", r"line 2: its index must have 1 to 32 characters"),
        ("a,0,\n" + "b" * 33 + ",0,\n", r"line 2: its index must have 1 to 32 characters"),
        ("a,2,101\x027\x031.0\x01101\x028\x031.0\n", r"line 1: field 101 must have at most one value"),
        ("a,1,101\x027\x031.0", None),
    ],
)
def test_broken_common_files(tmp_path, content, match):
    (tmp_path / "common.csv").write_text(content)
    if match is None:
        table = read_common_features(tmp_path / "common.csv", single_valued=("101",))
        assert table.columns["101"].tolist() == [7]
        return
    with pytest.raises(ValueError, match=match):
        read_common_features(tmp_path / "common.csv", single_valued=("101",))


def test_a_field_that_begins_late(tmp_path, monkeypatch):
    # Blocks differ in the fields that they hold.
    monkeypatch.setattr("sparse_data.datasets.common_features._BLOCK_BYTES", 1)
    write(
        tmp_path / "common.csv",
        [
            ("b", []),
            ("a", [("101", 5, "1.0")]),
            ("d", []),
            ("c", [("150_14", 6, "0.5"), ("150_14", 7, "1.0")]),
        ],
    )
    table = read_common_features(tmp_path / "common.csv", single_valued=("101",))
    assert table.keys.tolist() == [b"a", b"b", b"c", b"d"]
    assert table.columns["101"].tolist() == [-1, 5, -1, -1]
    assert [bag.tolist() for bag in table.columns["150_14"]] == [[], [], [], [6, 7]]
    assert table.rows.tolist() == [1, 0, 3, 2]


def test_fetch(tmp_path):
    with pytest.raises(
        DownloadError, match=r"sample_skeleton_test\.csv` must be in the cache.*Log in at https"
    ):
        fetch_ali_ccp("test", data_home=tmp_path)
    with pytest.raises(ValueError, match="`split` must be one of 'train', 'test'"):
        fetch_ali_ccp("valid", data_home=tmp_path)
    rows, users = draw(5, 2)
    (tmp_path / "ali-ccp").mkdir()
    write(tmp_path / "ali-ccp" / "sample_skeleton_train.csv", rows)
    with pytest.raises(DownloadError, match=r"common_features_train\.csv` must be in the cache"):
        fetch_ali_ccp(data_home=tmp_path)
    write(tmp_path / "ali-ccp" / "common_features_train.csv", users)
    check_rows(list(fetch_ali_ccp(data_home=tmp_path)), rows, dict(users), SINGLE_VALUED + MULTI_VALUED)
