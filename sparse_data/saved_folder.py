"""A folder of files written whole or not at all, and checked when it is read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_data.type_checks import check_folder

MANIFEST = "manifest.json"


def write_folder(
    path: str | os.PathLike[str], kind: str, files: Mapping[str, Callable[[Path], None]], *, version: int = 1
) -> None:
    """Write files into a folder that appears under its name only when all of them are complete.

    An earlier folder of the same kind is replaced; until the new one is complete it stays as it was, also
    when the disk fills up or the process is interrupted.

    Parameters
    ----------
    path : path
        Its parent is made when absent.
    kind : str
        What the folder holds; `read_folder` insists on it.
    files : mapping of str to callable
        File name and a function that writes that file at the path it is given.
    version : int, default=1
        Of the format.

    Raises
    ------
    FileExistsError
        If something that is not such a folder stands under ``path``.
    OSError
        If writing fails; what was there before is left alone.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     write_folder(parent + "/notes", "notes", {"a.txt": lambda file: file.touch()})
    ...     sorted(file.name for file in read_folder(parent + "/notes", "notes").iterdir())
    ['a.txt', 'manifest.json']
    """
    # What a link points to is replaced, not the link.
    target = check_folder("path", path).resolve()
    for place in (target, _earlier(target)):
        _refuse_foreign(place, kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(target) as fresh:
        for name, write in files.items():
            write(fresh / name)
        sums = {name: _checksum(fresh / name) for name in files}
        manifest = {"kind": kind, "version": version, "files": sums}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for name in (*files, MANIFEST):
            with open(fresh / name, "rb") as stream:
                os.fsync(stream.fileno())
        _put_in_place(fresh, target)


def read_folder(
    path: str | os.PathLike[str], kind: str, *, files: Collection[str] = (), version: int = 1
) -> Path:
    """Check a folder that `write_folder` wrote, and return where to read it.

    Parameters
    ----------
    path : path
    kind : str
    files : collection of str, default=()
        Names that the folder must hold.
    version : int, default=1
        The newest format that the caller reads.

    Returns
    -------
    Path
        ``path``, or the folder that it was about to replace when the process died between two renames.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    ValueError
        If it was not written by `write_folder` for this kind, is of a newer format, or a file in it is
        missing, truncated or altered.
    """
    folder = check_folder("path", path).resolve()
    if not folder.exists() and _earlier(folder).exists():
        folder = _earlier(folder)
    if not folder.exists():
        raise FileNotFoundError(f"`path` must be an existing folder; got {str(path)!r}. Check the path.")
    manifest = _read_manifest(folder)
    if manifest is None or manifest.get("kind") != kind:
        raise ValueError(
            f"`path` must be a folder with a saved {kind}; got {str(path)!r}. "
            f"Pass the folder that `save` wrote; it holds a {MANIFEST}."
        )
    if manifest["version"] > version:
        raise ValueError(
            f"`path` must be of format {version} or older; got format {manifest['version']}. "
            "Update sparselabels to read it."
        )
    for name in {*files, *manifest["files"]}:
        file = folder / name
        if not file.is_file() or _checksum(file) != manifest["files"].get(name):
            raise ValueError(
                f"`path` must be a complete {kind}; got {str(path)!r}, where {name!r} is missing or altered. "
                "Save it again, or restore a copy."
            )
    return folder


@contextlib.contextmanager
def rebuilding(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn whatever fails while an object is made of the content of a folder into a ValueError that names it.

    Examples
    --------
    >>> with rebuilding("model", "retriever"):
    ...     {}["weights"]
    Traceback (most recent call last):
    ...
    ValueError: `path` must be a complete retriever; got 'model', ... KeyError: 'weights'. Save it again, ...
    """
    try:
        yield
    except Exception as error:  # frameworks have exceptions of their own for what they cannot build
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"`path` must be a complete {kind}; got {str(path)!r}, whose parts do not fit: {told}. "
            "Save it again, or restore a copy."
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write text as UTF-8."""
    file.write_text(text, encoding="utf-8")


def plain_number(value: Any) -> Any:
    """Return a NumPy number, as a parameter search sets them, as one of Python's; for `json.dumps`.

    Raises
    ------
    TypeError
        If it is something else.

    Examples
    --------
    >>> json.dumps({"rate": np.float32(0.5)}, default=plain_number)
    '{"rate": 0.5}'
    """
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a saved folder holds numbers and text; got {type(value).__name__}")


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name into one file, without pickles."""
    # The prefix keeps a column called "file" from being taken for a parameter of savez.
    named = {f"array_{name}": values for name, values in arrays.items()}
    with open(file, "wb") as stream:
        np.savez(stream, **named)  # type: ignore[arg-type]


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays that `write_arrays` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        return {name.removeprefix("array_"): stored[name] for name in stored.files}


def _earlier(target: Path) -> Path:
    return target.with_name(f".{target.name}.earlier")


def _put_in_place(fresh: Path, target: Path) -> None:
    """Rename the complete folder, after what stood there; put that back if it cannot be done."""
    earlier = _earlier(target)
    if target.exists():
        _remove(earlier)
        target.rename(earlier)
    try:
        fresh.rename(target)
    except BaseException:
        if earlier.exists() and not target.exists():
            earlier.rename(target)
        raise
    _remove(earlier)


def _remove(earlier: Path) -> None:
    """Remove the earlier folder; killed half-way, no part of it stands under a name that is looked at."""
    with contextlib.suppress(FileNotFoundError):
        doomed = earlier.with_name(f"{earlier.name}.{uuid.uuid4().hex}")
        earlier.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _refuse_foreign(target: Path, kind: str) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    manifest = _read_manifest(target)
    if manifest is None or manifest.get("kind") != kind:
        raise FileExistsError(
            f"`path` must be new, empty or a saved {kind}; got {str(target)!r}, which is something else. "
            "Choose another path."
        )


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = {"kind": str, "version": int, "files": dict}
    whole = isinstance(manifest, dict) and all(isinstance(manifest.get(key), wanted[key]) for key in wanted)
    return manifest if whole else None


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, on the same disk, and remove it if it still stands at the end."""
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _checksum(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
