from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from sparse_data.datasets import CorruptedFileError, DownloadError
from sparse_data.datasets.download import Archive, DataFile, fetch_files, find_data_home, is_read_only, place

GOOD = b"1\t2\n" * 5000
BAD = b"1\t3\n" * 5000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def data_file(site, name: str = "log.txt") -> DataFile:
    return DataFile(name, sha256(GOOD), f"{site.url}/{name}")


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_good_download_is_placed_with_nothing_beside_it(site, tmp_path):
    site.pages["/log.txt"] = GOOD
    paths = fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert paths == {"log.txt": tmp_path / "set" / "log.txt"}
    assert paths["log.txt"].read_bytes() == GOOD
    assert everything_in(tmp_path) == ["set", "set/log.txt"]


def test_second_fetch_asks_nothing_and_writes_nothing(site, tmp_path):
    site.pages["/log.txt"] = GOOD
    fetch_files("set", [data_file(site)], data_home=tmp_path)
    before = (tmp_path / "set").stat().st_mtime_ns, (tmp_path / "set" / "log.txt").stat().st_mtime_ns
    fetch_files("set", [data_file(site)], data_home=tmp_path)
    fetch_files("set", [data_file(site)], data_home=tmp_path, download=False)
    assert site.requests == ["/log.txt"]
    assert before == (
        (tmp_path / "set").stat().st_mtime_ns,
        (tmp_path / "set" / "log.txt").stat().st_mtime_ns,
    )


def test_a_stopped_fetch_goes_on_where_it_stopped(site, tmp_path):
    site.pages["/one.txt"] = GOOD
    files = [data_file(site, "one.txt"), data_file(site, "two.txt")]
    with pytest.raises(DownloadError, match=r"two\.txt"):
        fetch_files("set", files, data_home=tmp_path)
    site.pages["/two.txt"] = GOOD
    fetch_files("set", files, data_home=tmp_path)
    assert site.requests == ["/one.txt", "/two.txt", "/two.txt"]


def test_placed_file_has_the_permissions_of_an_ordinary_one(site, tmp_path):
    site.pages["/log.txt"] = GOOD
    path = fetch_files("set", [data_file(site)], data_home=tmp_path)["log.txt"]
    ordinary = tmp_path / "ordinary"
    ordinary.write_bytes(b"")
    assert path.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("fault", ["corrupted", "truncated", "404"])
def test_bad_download_is_named_and_not_kept(site, tmp_path, fault):
    if fault != "404":
        site.pages["/log.txt"] = BAD if fault == "corrupted" else GOOD
    if fault == "truncated":
        site.truncated.add("/log.txt")
    with pytest.raises(DownloadError, match=r"could not download log\.txt from http://127") as caught:
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert f"put the file at {tmp_path / 'set' / 'log.txt'} or set SPARSELABELS_DATA" in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, CorruptedFileError) == (fault == "corrupted")
    assert everything_in(tmp_path) == ["set"]


def test_no_server_is_a_download_error(site, tmp_path):
    file = DataFile("log.txt", sha256(GOOD), "http://127.0.0.1:9/log.txt")
    with pytest.raises(DownloadError, match=r"could not download log\.txt from http://127.0.0.1:9/log\.txt"):
        fetch_files("set", [file], data_home=tmp_path)


def test_retry_after_a_corrupted_download(site, tmp_path, monkeypatch):
    monkeypatch.setattr("sparse_data.datasets.download.RETRIES", 2)
    site.pages["/log.txt"] = [BAD, BAD, GOOD]
    path = fetch_files("set", [data_file(site)], data_home=tmp_path)["log.txt"]
    assert path.read_bytes() == GOOD
    assert len(site.requests) == 3


def test_corrupted_cached_file_is_set_aside_and_fetched_anew(site, tmp_path):
    site.pages["/log.txt"] = GOOD
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "log.txt").write_bytes(BAD)
    with pytest.warns(UserWarning, match=r"log\.txt was corrupted \(its SHA-256 must be"):
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert (tmp_path / "set" / "log.txt").read_bytes() == GOOD
    assert (tmp_path / "set" / "log.txt.corrupted").read_bytes() == BAD


def test_corrupted_cached_file_does_not_stay_when_it_cannot_be_fetched(site, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "log.txt").write_bytes(BAD)
    with (
        pytest.warns(UserWarning, match="was corrupted"),
        pytest.raises(DownloadError, match="could not download"),
    ):
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert everything_in(tmp_path) == ["set", "set/log.txt.corrupted"]


@pytest.mark.parametrize("how", ["download=False", "is read-only"])
def test_corrupted_file_that_may_not_be_touched_is_named(site, tmp_path, how):
    site.pages["/log.txt"] = GOOD
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "log.txt").write_bytes(BAD)
    folder.chmod(0o555 if how == "is read-only" else 0o755)
    with pytest.raises(CorruptedFileError, match=rf"`log\.txt` must be as published.*{how}"):
        fetch_files("set", [data_file(site)], data_home=tmp_path, download=how != "download=False")
    folder.chmod(0o755)
    assert (folder / "log.txt").read_bytes() == BAD
    assert everything_in(folder) == ["log.txt"]
    assert site.requests == []


def test_absent_file_without_download(site, tmp_path):
    with pytest.raises(DownloadError, match=r"`log\.txt` must be in the cache because download=False"):
        fetch_files("set", [data_file(site)], data_home=tmp_path, download=False)
    assert everything_in(tmp_path) == []


def test_absent_file_in_a_read_only_home(site, tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(DownloadError, match="is read-only; got no file"):
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    tmp_path.chmod(0o755)
    assert everything_in(tmp_path) == []


def test_home_that_is_a_file(site, tmp_path):
    (tmp_path / "set").write_bytes(b"not a folder")
    with pytest.raises(DownloadError, match="could not download"):
        fetch_files("set", [data_file(site)], data_home=tmp_path)


def test_full_disk_leaves_nothing(site, tmp_path, monkeypatch):
    def no_space(source, target, *args, **kwargs):
        Path(target).write_bytes(GOOD[:10])
        raise OSError(28, "No space left on device")

    site.pages["/log.txt"] = GOOD
    monkeypatch.setattr("sparse_data.datasets.download.shutil.copyfile", no_space)
    with pytest.raises(DownloadError, match="No space left on device"):
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert everything_in(tmp_path) == ["set"]


def test_interrupt_leaves_nothing(site, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    site.pages["/log.txt"] = GOOD
    monkeypatch.setattr("sparse_data.datasets.download.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_files("set", [data_file(site)], data_home=tmp_path)
    assert everything_in(tmp_path) == ["set"]


def test_place_replaces_at_once(tmp_path):
    (tmp_path / "new").write_bytes(GOOD)
    (tmp_path / "old").write_bytes(BAD)
    place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == GOOD


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"folder/{name}", content)
    return buffer.getvalue()


def test_archive_members_are_taken_out(site, tmp_path):
    content = zipped(log=GOOD, other=b"not wanted")
    site.pages["/all.zip"] = content
    archive = Archive(f"{site.url}/all.zip", sha256(content), "folder/")
    paths = fetch_files("set", [DataFile("log", sha256(GOOD))], archive=archive, data_home=tmp_path)
    assert paths["log"].read_bytes() == GOOD
    assert everything_in(tmp_path) == ["set", "set/log"]


def test_archive_of_another_content(site, tmp_path):
    content = zipped(log=GOOD)
    site.pages["/all.zip"] = content
    archive = Archive(f"{site.url}/all.zip", sha256(b"another"), "folder/")
    with pytest.raises(CorruptedFileError, match=r"could not download log from .*all\.zip"):
        fetch_files("set", [DataFile("log", sha256(GOOD))], archive=archive, data_home=tmp_path)
    assert everything_in(tmp_path) == ["set"]


def test_archive_member_of_another_content(site, tmp_path):
    content = zipped(log=BAD)
    site.pages["/all.zip"] = content
    archive = Archive(f"{site.url}/all.zip", sha256(content), "folder/")
    with pytest.raises(CorruptedFileError, match="its SHA-256 must be"):
        fetch_files("set", [DataFile("log", sha256(GOOD))], archive=archive, data_home=tmp_path)
    assert everything_in(tmp_path) == ["set"]


def test_archive_without_a_member(site, tmp_path):
    content = zipped(other=GOOD)
    site.pages["/all.zip"] = content
    archive = Archive(f"{site.url}/all.zip", sha256(content), "folder/")
    with pytest.raises(CorruptedFileError, match="folder/log"):
        fetch_files("set", [DataFile("log", sha256(GOOD))], archive=archive, data_home=tmp_path)


def test_data_home_is_argument_then_variable_then_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSELABELS_DATA", str(tmp_path / "variable"))
    assert find_data_home(tmp_path / "argument") == tmp_path / "argument"
    assert find_data_home() == tmp_path / "variable"
    assert find_data_home("~/x") == Path.home() / "x"
    monkeypatch.delenv("SPARSELABELS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_data_home().name == "sparselabels"


def test_read_only_is_asked_of_the_nearest_folder_that_exists(tmp_path):
    assert not is_read_only(tmp_path / "a" / "b")
    tmp_path.chmod(0o555)
    assert is_read_only(tmp_path / "a" / "b")
    tmp_path.chmod(0o755)
    assert os.access(tmp_path, os.W_OK)
