import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import recsys_ssl
from sparse_data.saved_folder import MANIFEST, read_folder, write_folder

ROOT = str(Path(recsys_ssl.__file__).parents[1])


def writers(text="first"):
    return {
        "a.txt": lambda file: file.write_text(text),
        "b.bin": lambda file: file.write_bytes(bytes(range(256))),
    }


def full_disk(file):
    file.write_text("part of it")
    raise OSError(28, "No space left on device")


@pytest.fixture
def saved(tmp_path):
    write_folder(tmp_path / "model", "notes", writers())
    return tmp_path / "model"


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_what_is_written_is_read(saved):
    folder = read_folder(saved, "notes", files=["a.txt"])
    assert folder == saved
    assert (folder / "a.txt").read_text() == "first"
    assert names_in(folder) == ["a.txt", "b.bin", MANIFEST]
    assert names_in(saved.parent) == ["model"]


def test_the_manifest_holds_the_sums(saved):
    manifest = json.loads((saved / MANIFEST).read_text())
    assert manifest["kind"] == "notes"
    assert manifest["version"] == 1
    # sha256sum of the five letters.
    assert manifest["files"]["a.txt"] == "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"


def test_parents_are_made_and_text_paths_work(tmp_path):
    write_folder(f"{tmp_path}/x/y/model", "notes", writers())
    assert read_folder(f"{tmp_path}/x/y/model", "notes").name == "model"


def test_the_folder_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "model", "notes", writers())
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750


def test_an_own_folder_is_replaced(saved):
    write_folder(saved, "notes", {"c.txt": lambda file: file.write_text("second")})
    assert names_in(read_folder(saved, "notes")) == ["c.txt", MANIFEST]
    assert names_in(saved.parent) == ["model"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "model").mkdir()
    write_folder(tmp_path / "model", "notes", writers())
    assert names_in(read_folder(tmp_path / "model", "notes")) == ["a.txt", "b.bin", MANIFEST]


def test_what_a_link_points_to_is_replaced(saved):
    link = saved.with_name("link")
    link.symlink_to(saved)
    write_folder(link, "notes", writers("second"))
    assert link.is_symlink()
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "second"
    assert names_in(saved.parent) == ["link", "model"]


def make_file(path):
    path.write_text("mine")


def make_folder(path):
    path.mkdir()
    (path / "thesis.tex").write_text("mine")


def make_other_manifest(path):
    make_folder(path)
    (path / MANIFEST).write_text('{"kind": "game", "version": 1, "files": {}}')


def make_odd_manifest(path):
    make_folder(path)
    (path / MANIFEST).write_text('["kind", "version", "files"]')


@pytest.mark.parametrize("make", [make_file, make_folder, make_other_manifest, make_odd_manifest])
def test_what_is_foreign_is_neither_read_nor_touched(tmp_path, make):
    path = tmp_path / "model"
    make(path)
    before = names_in(path) if path.is_dir() else path.read_text()
    with pytest.raises(FileExistsError, match="`path` must be new, empty or a saved notes"):
        write_folder(path, "notes", writers())
    with pytest.raises(ValueError, match="`path` must be a folder with a saved notes"):
        read_folder(path, "notes")
    assert (names_in(path) if path.is_dir() else path.read_text()) == before
    assert names_in(tmp_path) == ["model"]


def test_a_foreign_folder_in_the_place_of_the_earlier_one_is_not_deleted(saved):
    make_folder(saved.with_name(".model.earlier"))
    with pytest.raises(FileExistsError, match="earlier"):
        write_folder(saved, "notes", writers("second"))
    assert names_in(saved.with_name(".model.earlier")) == ["thesis.tex"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` must be an existing folder"):
        read_folder(tmp_path / "model", "notes")


def truncate(folder):
    with open(folder / "b.bin", "r+b") as stream:
        stream.truncate(100)


def tamper(folder):
    data = bytearray((folder / "b.bin").read_bytes())
    data[17] ^= 1
    (folder / "b.bin").write_bytes(data)


def delete(folder):
    (folder / "b.bin").unlink()


def swap_for_a_folder(folder):
    delete(folder)
    (folder / "b.bin").mkdir()


def forget_in_the_manifest(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]["b.bin"]
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("damage", [truncate, tamper, delete, swap_for_a_folder, forget_in_the_manifest])
def test_damage_is_found(saved, damage):
    damage(saved)
    with pytest.raises(ValueError, match=r"'b\.bin' is missing or altered"):
        read_folder(saved, "notes", files=["a.txt", "b.bin"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '{"kind": "notes"}',
        '{"kind": "notes", "version": "1", "files": {}}',
        '{"kind": "notes", "version": 1, "files": ["a.txt"]}',
        "\udcff",
    ],
)
def test_a_broken_manifest(saved, text):
    (saved / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match="`path` must be a folder with a saved notes"):
        read_folder(saved, "notes")


def test_a_newer_format_is_refused_and_an_older_one_read(tmp_path):
    write_folder(tmp_path / "model", "notes", writers(), version=3)
    with pytest.raises(ValueError, match="`path` must be of format 2 or older; got format 3"):
        read_folder(tmp_path / "model", "notes", version=2)
    assert read_folder(tmp_path / "model", "notes", version=4)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_everything_as_it_was(saved, error):
    def fail(file):
        file.write_text("part of it")
        raise error

    with pytest.raises(error):
        write_folder(saved, "notes", {**writers("second"), "z": fail})
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "first"
    assert names_in(saved.parent) == ["model"]


def test_a_first_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        write_folder(tmp_path / "model", "notes", {**writers(), "z": full_disk})
    assert names_in(tmp_path) == []


def test_a_rename_that_fails_puts_the_earlier_folder_back(saved, monkeypatch):
    rename = Path.rename

    def failing(self, target):
        if target == saved and self.name != ".model.earlier":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        write_folder(saved, "notes", writers("second"))
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "first"
    assert names_in(saved.parent) == ["model"]


def test_death_between_the_two_renames(saved):
    # The process is killed when the earlier folder was moved away and the new one not yet put in place.
    script = """
        import os, sys
        from pathlib import Path
        from sparse_data.saved_folder import write_folder
        rename = Path.rename
        def dying(self, target):
            result = rename(self, target)
            os._exit(9) if target.name.endswith(".earlier") else None
            return result
        Path.rename = dying
        write_folder(sys.argv[1], "notes", {"a.txt": lambda file: file.write_text("second")})
    """
    assert run(script, saved).returncode == 9
    assert not saved.exists()
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "first"
    write_folder(saved, "notes", writers("third"))
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "third"
    assert not saved.with_name(".model.earlier").exists()


def test_a_disk_that_is_really_full(saved):
    script = """
        import resource, signal, sys
        from sparse_data.saved_folder import write_folder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_folder(sys.argv[1], "notes", {"large": lambda file: file.write_bytes(bytes(5000))})
        except OSError as error:
            print("OSError", error.errno)
    """
    assert run(script, saved).stdout.startswith("OSError 27")
    assert (read_folder(saved, "notes") / "a.txt").read_text() == "first"
    assert names_in(saved.parent) == ["model"]


def run(script, path):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
