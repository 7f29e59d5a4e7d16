"""Files of public data sets: found in a cache and checked, or downloaded with pooch, checked and put there.

A file counts only if its SHA-256 is the known one. What is being downloaded lies in a folder of its own,
``.download-*``, and reaches its place by one rename, so that an interrupted download leaves nothing that
could be taken for data. A fetch that finds good files writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RETRIES = 2
VARIABLE = "SPARSELABELS_DATA"


class DownloadError(OSError):
    """A file is not in the cache and could not be put there."""


class CorruptedFileError(DownloadError):
    """A file, in the cache or as downloaded, has another content than the known."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Parameters
    ----------
    name : str
        Its name in the folder of the data set.
    sha256 : str
        Of the content, 64 hexadecimal digits.
    url : str, default=""
        Where it lies alone; empty for the member of an archive.
    """

    name: str
    sha256: str
    url: str = ""


@dataclass(frozen=True)
class Archive:
    """A zip archive that holds the files of a data set.

    Parameters
    ----------
    url : str
    sha256 : str
    prefix : str
        What stands before the name of each member, such as ``"ml-100k/"``.
    """

    url: str
    sha256: str
    prefix: str


def find_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of all data sets: `data_home`, else $SPARSELABELS_DATA, else a per-user cache."""
    if data_home is not None:
        return Path(data_home).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import pooch

    return Path(pooch.os_cache("sparselabels"))


def fetch_files(
    folder: str,
    files: Sequence[DataFile],
    *,
    archive: Archive | None = None,
    data_home: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> dict[str, Path]:
    """Return the checked files of one data set, downloading those that are absent or corrupted.

    Parameters
    ----------
    folder : str
        The data set's folder below the data home.
    files : sequence of DataFile
    archive : Archive, optional
        Where the files come from when they do not lie alone.
    data_home : path, optional
    download : bool, default=True
        False writes nothing and raises for what is absent or corrupted.

    Returns
    -------
    dict of str to Path
        By file name.

    Raises
    ------
    DownloadError
        If a file is absent and cannot be had.
    CorruptedFileError
        If a download is corrupted, or a file in the cache is and may not be replaced.

    Warns
    -----
    UserWarning
        If a file in the cache was corrupted and has been renamed to ``<name>.corrupted``.
    """
    home = find_data_home(data_home) / folder
    wanted = []
    for file in files:
        problem = find_problem(home / file.name, file.sha256)
        if problem is not None:
            url = file.url if archive is None else archive.url
            make_room(home / file.name, problem, url, download)
            wanted.append(file)
    if wanted and archive is not None:
        _place_members(home, wanted, archive)
    for file in wanted if archive is None else ():
        with downloaded(file.url, f"sha256:{file.sha256}", home / file.name) as path:
            place(path, home / file.name)
    return {file.name: home / file.name for file in files}


def find_problem(path: Path, sha256: str) -> str | None:
    """Return None for a good file, else "absent" or a sentence with both checksums."""
    if not path.is_file():
        return "absent"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == sha256 else f"its SHA-256 must be {sha256}; got {found}"


def make_room(path: Path, problem: str, url: str, download: bool) -> None:
    """Set a corrupted file aside, or raise if nothing may be downloaded to where it lies."""
    corrupted = problem != "absent"
    if download and not is_read_only(path.parent):
        if corrupted:
            aside = path.with_name(f"{path.name}.corrupted")
            os.replace(path, aside)
            warnings.warn(f"{path} was corrupted ({problem}) and is now {aside.name}.", stacklevel=2)
        return
    why = f"{path.parent} is read-only" if download else "download=False"
    if corrupted:
        raise CorruptedFileError(
            f"`{path.name}` must be as published, but {problem} in {path}. It was left there because {why}: "
            f"delete it and get it from {url}."
        )
    raise DownloadError(
        f"`{path.name}` must be in the cache because {why}; got no file {path}. Get it from {url} and "
        f"put it there, or set {VARIABLE} to the folder that holds {path.parent.name}/{path.name}."
    )


def is_read_only(folder: Path) -> bool:
    """Tell whether nothing can be written into a folder, or into the nearest one above it that exists."""
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    # A folder that gives write permission to nobody is meant to stay as it is, even for an administrator.
    nobody = not folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    return nobody or not os.access(folder, os.W_OK)


@contextmanager
def downloaded(url: str, known_hash: str | None, destination: Path) -> Iterator[Path]:
    """Download a file into a folder of its own beside `destination`, which is removed on leaving.

    Parameters
    ----------
    url : str
    known_hash : str or None
        As pooch takes it, such as ``"sha256:..."``; None for a file whose content is checked by the caller.
    destination : Path
        Where the caller will put what comes of the file. What goes wrong on the way there is told as a
        failed download of this file.

    Yields
    ------
    Path
        Of the checked download.

    Raises
    ------
    DownloadError, CorruptedFileError
    """
    import pooch

    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".download-", dir=destination.parent)
    except OSError as error:
        raise failed_download(url, destination, error) from error
    try:
        name = url.rsplit("/", 1)[-1]
        source = pooch.create(
            scratch, "", registry={name: known_hash}, urls={name: url}, retry_if_failed=RETRIES
        )
        yield Path(source.fetch(name))
    except DownloadError:
        raise
    # No network, no such page, disk full; a wrong checksum, an archive without the member.
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise failed_download(url, destination, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def place(source: Path, destination: Path) -> None:
    """Put a checked file where it belongs by one rename, with the permissions of an ordinary new file."""
    part = source.with_name(f"{source.name}.part")
    shutil.copyfile(source, part)
    os.replace(part, destination)


def _place_members(home: Path, wanted: Sequence[DataFile], archive: Archive) -> None:
    source = downloaded(archive.url, f"sha256:{archive.sha256}", home / wanted[0].name)
    with source as path, zipfile.ZipFile(path) as members:
        for file in wanted:
            extracted = path.with_name(file.name)
            with members.open(archive.prefix + file.name) as member, extracted.open("wb") as target:
                shutil.copyfileobj(member, target)
            problem = find_problem(extracted, file.sha256)
            if problem is not None:
                raise failed_download(archive.url, home / file.name, ValueError(problem))
            place(extracted, home / file.name)


def failed_download(url: str, destination: Path, reason: Exception) -> DownloadError:
    """Return the error to raise; an OSError tells of no content, anything else of a wrong one."""
    kind = DownloadError if isinstance(reason, OSError) else CorruptedFileError
    return kind(
        f"could not download {destination.name} from {url}: {reason}; put the file at {destination} "
        f"or set {VARIABLE} to a folder that holds it."
    )
