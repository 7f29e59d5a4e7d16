"""Saved folders damaged as disks, copies and hands damage them, some with sums that fit the damage."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

MANIFEST = "manifest.json"
WRONG = (None, True, -1, 0, 1e400, "text", [], {}, [None], {"a": 1}, 2**70, [[1]], "../../etc/passwd")


class Explosive:
    """What sets a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def damage(folder: Path, rng: Random, mark: Path) -> str:
    """Damage one file of a folder and tell how."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    file = rng.choice(files)
    kinds = ["flipped", "cut", "grown", "empty", "absent", "swapped", "folder"]
    kinds += ["json"] * 12 if file.suffix == ".json" else ["arrays"] * 8 + ["pickled", "bomb"]
    kind = rng.choice(kinds)
    content = file.read_bytes()
    if kind == "flipped" and content:
        place = rng.randrange(len(content))
        file.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
        )
    elif kind == "cut":
        file.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "grown":
        file.write_bytes(content + rng.randbytes(rng.randrange(1, 50)))
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind in ("absent", "folder"):
        file.unlink()
        if kind == "folder":
            file.mkdir()
    elif kind == "swapped":
        file.write_bytes(rng.choice(files).read_bytes())
    elif kind == "json":
        file.write_text(json.dumps(_spoilt_json(json.loads(content), rng)))
    elif kind == "arrays":
        _spoil_arrays(file, rng)
    elif kind == "pickled":
        buffer = io.BytesIO()
        np.savez(buffer, **{name: np.array([Explosive(mark)], dtype=object) for name in _names(file)})
        file.write_bytes(buffer.getvalue())
    elif kind == "bomb":
        _bomb(file)
    if file.name != MANIFEST and kind != "folder" and rng.random() < 0.8:
        _sum_anew(folder)
    return f"{file.name} {kind}"


def _names(file: Path) -> list[str]:
    with np.load(file, allow_pickle=False) as stored:
        return list(stored.files)


def _sum_anew(folder: Path) -> None:
    """Write a manifest whose sums fit, as one who means harm would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _spoilt_json(content: Any, rng: Random) -> Any:
    """Return the content with one value, at any depth, replaced, left out or renamed."""
    if isinstance(content, dict) and content and rng.random() < 0.8:
        key = rng.choice(sorted(content))
        kind = rng.randrange(8)
        rest = {other: value for other, value in content.items() if other != key}
        if kind == 0:
            return rest
        if kind == 1:
            return {**rest, key + "x": content[key]}
        return {**content, key: _spoilt_json(content[key], rng)}
    if isinstance(content, list) and content and rng.random() < 0.8:
        place = rng.randrange(len(content))
        return [*content[:place], _spoilt_json(content[place], rng), *content[place + 1 :]]
    return rng.choice(WRONG)


def _spoil_arrays(file: Path, rng: Random) -> None:
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if not arrays:
        return
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    kinds: list[Any] = [
        lambda: array[:-1] if array.ndim else array, lambda: array[None], lambda: array.astype(str),
        lambda: np.zeros(0), lambda: np.asarray(3), lambda: np.full(array.shape, np.nan),
        lambda: np.full(array.shape, 10**6), lambda: np.full(array.shape, -1),
    ]  # fmt: skip
    made = {**arrays, name: rng.choice(kinds)()}
    if rng.random() < 0.2:
        del made[name]
    buffer = io.BytesIO()
    np.savez(buffer, **made)
    file.write_bytes(buffer.getvalue())


def _bomb(file: Path) -> None:
    """Write an archive whose arrays say that they are far larger than the file."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(file, "a" if zipfile.is_zipfile(file) else "w") as archive:
        names = archive.namelist() or ["array_x.npy"]
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, array)
