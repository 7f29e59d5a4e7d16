"""Checks of what an argument is, with the messages of `sparse_data.checks`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sparse_data.checks import check_count

Value = TypeVar("Value")
Seed = int | np.random.Generator | np.random.RandomState | None


def check_type(name: str, value: Any, kind: type[Value] | tuple[type[Value], ...], hint: str) -> Value:
    """Return `value` if it is of a class, or of one of several, else raise TypeError.

    Examples
    --------
    >>> check_type("predictions", 3, dict, "Pass a dict of arrays.")
    Traceback (most recent call last):
    ...
    TypeError: `predictions` must be of type dict; got int. Pass a dict of arrays.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(one.__name__ for one in kinds)
        raise TypeError(f"`{name}` must be of type {wanted}; got {type(value).__name__}. {hint}")
    return value


def check_folder(name: str, path: Any) -> Path:
    """Return `path` as a Path, else raise TypeError, or ValueError where it holds a zero byte."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a path; got {path!r}. Pass a str or a Path.")
    text = os.fsdecode(path)
    if "\0" in text:
        raise ValueError(f"`{name}` must be a path; got {text!r} with a zero byte. Check the path.")
    return Path(text)


def check_path(name: str, path: Any) -> Path:
    """Return `path` as a Path, else raise as `check_folder`, or ValueError where it is a folder."""
    file = check_folder(name, path)
    if file.is_dir():
        raise ValueError(
            f"`{name}` must be the path of a file; got the folder {str(file)!r}. Name one in it."
        )
    return file


def check_names(name: str, names: Any) -> tuple[str, ...]:
    """Return several names as a tuple, else raise TypeError; one text is not several names.

    Examples
    --------
    >>> check_names("columns", "age")
    Traceback (most recent call last):
    ...
    TypeError: `columns` must hold names; got 'age'. Pass a list of texts.
    """
    if isinstance(names, Iterable) and not isinstance(names, (str, bytes)) and not _is_single(names):
        held = tuple(names)
        if all(isinstance(one, str) for one in held):
            return held
    raise TypeError(f"`{name}` must hold names; got {names!r}. Pass a list of texts.")


def _is_single(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0


def check_seed(name: str, seed: Seed, hint: str = "Pass an int, a Generator or None.") -> Seed:
    """Return `seed` if random numbers can be drawn from it, else raise.

    Raises
    ------
    TypeError
        If `seed` is no integer, Generator, RandomState or None (a bool or a float is none).
    ValueError
        If it is a negative integer, or one that does not fit into 32 bits.

    Examples
    --------
    >>> check_seed("random_state", 0.5)
    Traceback (most recent call last):
    ...
    TypeError: `random_state` must be an integer; got 0.5. Pass an int, a Generator or None.
    """
    if seed is None or isinstance(seed, (np.random.Generator, np.random.RandomState)):
        return seed
    return check_count(name, seed, 0, hint, maximum=2**32 - 1)
