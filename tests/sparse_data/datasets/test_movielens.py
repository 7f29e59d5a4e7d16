from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest

from sparse_data.datasets import CorruptedFileError, fetch_movielens, movielens
from sparse_data.datasets.download import Archive, DataFile


def test_100k(real_data):
    log = fetch_movielens("100k")
    assert len(log) == 100_000
    # The first line of u.data: 196 242 3 881250949.
    first = (log.user_ids[0], log.item_ids[0], log.ratings[0], log.timestamps[0])
    assert first == (196, 242, 3.0, 881250949)
    assert len(np.unique(log.user_ids)) == 943
    assert len(np.unique(log.item_ids)) == 1682
    assert list(log.users) == ["user_id", "age", "gender", "occupation", "zip_code"]
    assert list(log.items) == ["item_id", "title", "genres", "year"]
    # The first line of u.user: 1|24|M|technician|85711.
    assert [column[0] for column in log.users.values()] == [1, 24.0, "M", "technician", "85711"]
    assert log.items["title"][0] == "Toy Story (1995)"
    assert log.items["genres"][0].tolist() == ["Animation", "Children's", "Comedy"]
    assert log.items["title"][542] == "Misérables, Les (1995)"


def test_100k_genres_against_the_flags(real_data):
    items = fetch_movielens("100k").items
    names = [
        line.split("|")[0]
        for line in (real_data / "movielens-100k" / "u.genre").read_text().split("\n")
        if line
    ]
    for row, line in enumerate(
        (real_data / "movielens-100k" / "u.item").read_bytes().decode("latin-1").split("\n")
    ):
        if line:
            flags = line.split("|")[5:]
            expected = [
                name for name, flag in zip(names, flags, strict=True) if flag == "1" and name != "unknown"
            ]
            assert items["genres"][row].tolist() == expected
    assert np.flatnonzero(items["genres"].lengths == 0).tolist() == [266, 1372]


def test_100k_years(real_data):
    items = fetch_movielens("100k").items
    assert items["title"][266] == "unknown"
    assert np.flatnonzero(np.isnan(items["year"])).tolist() == [266]
    # "Good Morning (1971)" and "Land Before Time III: ... (1995) (V)": the year is not always at the end.
    assert items["year"][1372] == 1971
    assert items["year"][1411] == 1995
    # "Taxi Driver (1976)" has the release date 16-Feb-1996.
    assert items["year"][22] == 1976


def test_100k_writes_nothing(real_data):
    folder = real_data / "movielens-100k"
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    fetch_movielens("100k", download=False)
    assert before == [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]


MEMBERS = {
    "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": (
        "1193::Misérables, Les (1995)::Drama|Musical\n661::M*A*S*H (1970)::Comedy|War\n9::2001::Sci-Fi\n"
    ),
}


@pytest.fixture
def small_1m(site, monkeypatch):
    """Let the site offer an archive in the form of ml-1m.zip."""
    contents = {name: text.encode("latin-1") for name, text in MEMBERS.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"ml-1m/{name}", content)
    site.pages["/ml-1m.zip"] = buffer.getvalue()
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    files = tuple(DataFile(name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())
    monkeypatch.setitem(movielens.ARCHIVES, "1m", Archive(f"{site.url}/ml-1m.zip", digest, "ml-1m/"))
    monkeypatch.setitem(movielens.FILES, "1m", files)
    return site


def test_1m(small_1m, tmp_path):
    log = fetch_movielens("1m", data_home=tmp_path)
    assert sorted(path.name for path in (tmp_path / "movielens-1m").iterdir()) == sorted(MEMBERS)
    assert log.user_ids.tolist() == [1, 2]
    assert log.item_ids.tolist() == [1193, 661]
    assert log.ratings.tolist() == [5.0, 3.0]
    assert log.timestamps.tolist() == [978300760, 978302109]
    assert log.users["age"].tolist() == [1.0, 56.0]
    assert log.users["gender"].tolist() == ["F", "M"]
    # From the README of the set: 10 is a K-12 student, 16 is self-employed.
    assert log.users["occupation"].tolist() == ["K-12 student", "self-employed"]
    assert log.users["zip_code"].tolist() == ["48067", "70072"]
    assert log.items["item_id"].tolist() == [1193, 661, 9]
    assert log.items["title"].tolist() == ["Misérables, Les (1995)", "M*A*S*H (1970)", "2001"]
    assert [bag.tolist() for bag in log.items["genres"]] == [
        ["Drama", "Musical"],
        ["Comedy", "War"],
        ["Sci-Fi"],
    ]
    np.testing.assert_array_equal(log.items["year"], [1995, 1970, np.nan])


def test_1m_is_read_again_without_download(small_1m, tmp_path):
    fetch_movielens("1m", data_home=tmp_path)
    assert len(fetch_movielens("1m", data_home=tmp_path, download=False)) == 2
    assert small_1m.requests == ["/ml-1m.zip"]


def test_1m_corrupted(small_1m, tmp_path):
    fetch_movielens("1m", data_home=tmp_path)
    (tmp_path / "movielens-1m" / "ratings.dat").write_text("1::1193::5\n")
    with pytest.raises(CorruptedFileError, match=r"`ratings\.dat` must be as published"):
        fetch_movielens("1m", data_home=tmp_path, download=False)


def test_1m_line_of_another_length(small_1m, tmp_path, monkeypatch):
    fetch_movielens("1m", data_home=tmp_path)
    broken = b"1::1193::5::978300760\n2::661::3\n"
    (tmp_path / "movielens-1m" / "ratings.dat").write_bytes(broken)
    files = (DataFile("ratings.dat", hashlib.sha256(broken).hexdigest()), *movielens.FILES["1m"][1:])
    monkeypatch.setitem(movielens.FILES, "1m", files)
    with pytest.raises(ValueError, match=r"`ratings\.dat` must have 4 fields a line; got 3 in line 2"):
        fetch_movielens("1m", data_home=tmp_path)


def test_unknown_name():
    with pytest.raises(ValueError, match="`name` must be one of '100k', '1m'; got '20m'"):
        fetch_movielens("20m")
