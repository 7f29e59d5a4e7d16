"""Checks of what an argument is, with the messages of `sparse_data.checks`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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


def check_flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False, else raise TypeError.

    Examples
    --------
    >>> check_flag("shuffle", "no")
    Traceback (most recent call last):
    ...
    TypeError: `shuffle` must be True or False; got 'no'. Pass a bool.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False; got {value!r}. Pass a bool.")
    return bool(value)


def check_callable(name: str, value: Any, hint: str = "Pass a function.") -> Callable[..., Any]:
    """Return `value` if it can be called, else raise TypeError."""
    if not callable(value):
        raise TypeError(f"`{name}` must be callable; got {value!r}. {hint}")
    function: Callable[..., Any] = value
    return function


def check_list(name: str, values: Any, hint: str = "Pass a list.") -> list[Any]:
    """Return what can be gone through as a list, else raise TypeError; a text or a mapping is no list.

    Examples
    --------
    >>> check_list("folds", 5)
    Traceback (most recent call last):
    ...
    TypeError: `folds` must be a list; got int. Pass a list.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or _is_single(values):
        raise TypeError(f"`{name}` must be a list; got {type(values).__name__}. {hint}")
    return list(values)


def check_widths(name: str, widths: Any) -> tuple[int, ...]:
    """Return the widths of layers as ints, else raise; a million is the most."""
    listed = check_list(name, widths, "Pass a list of widths.")
    return tuple(check_count(name, width, maximum=10**6) for width in listed)


@contextmanager
def naming(name: str, rule: str) -> Iterator[None]:
    """Have the errors of another library say which argument they are about.

    Examples
    --------
    >>> with naming("labels", "numbers"):
    ...     float("seven")
    Traceback (most recent call last):
    ...
    ValueError: `labels` must be numbers; could not convert string to float: 'seven'
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError, LookupError) as error:
        if str(error).startswith("`"):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"`{name}` must be {rule}; {error}") from error


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


def check_layer_seed(name: str, seed: int | None) -> int | None:
    """Return `seed` if a layer of Keras can be seeded with it, None for any, else raise as `check_seed`."""
    return None if seed is None else check_count(name, seed, 0, "Pass an int or None.", maximum=2**32 - 1)


def random_state_of(name: str, seed: Seed) -> np.random.RandomState:
    """Return what scikit-learn draws from for a seed, also for a Generator, which it refuses itself.

    None is the global state, as everywhere in scikit-learn.
    """
    seed = check_seed(name, seed)
    if seed is None:
        return np.random.mtrand._rand
    if isinstance(seed, np.random.RandomState):
        return seed
    return np.random.RandomState(seed.bit_generator if isinstance(seed, np.random.Generator) else seed)
