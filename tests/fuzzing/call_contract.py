"""What a call may do with any input: return, or raise what it documents and name the argument."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10


class TookTooLong(BaseException):
    """Raised in a call that has computed for `SECONDS`."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A call that broke the contract: which rule, with what, and where."""

    rule: str
    error: str
    message: str
    place: str
    how: dict[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what findings with the same cause share."""
        return self.rule, self.error, self.place


@contextmanager
def time_limit(seconds: float = SECONDS) -> Any:
    def stop(*_: Any) -> None:
        raise TookTooLong

    earlier = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)


def documented_errors(*functions: Any) -> tuple[type[BaseException], ...]:
    """Return ValueError, TypeError and what the docstrings name under Raises."""
    errors: set[type[BaseException]] = {TypeError, ValueError}
    for function in functions:
        section = re.search(r"Raises\n-+\n(.*?)(\n\n[A-Z]\w+\n-+|\Z)", inspect.getdoc(function) or "", re.S)
        for name in re.findall(r"\b\w+Error\b", section.group(1) if section else ""):
            error = getattr(builtins, name, None) or _own_error(name)
            errors.update([error] if error else [])
    return tuple(errors)


def _own_error(name: str) -> type[BaseException] | None:
    from sklearn.exceptions import NotFittedError

    from sparse_data import datasets

    return {"NotFittedError": NotFittedError}.get(name) or getattr(datasets, name, None)


def fingerprint(value: Any) -> Any:
    """Return something that differs when an input was altered."""
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, content, value.flags.writeable
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return type(value), repr(value.to_numpy(dtype=object).tolist()), repr(value.axes)
    if sp.issparse(value):
        return fingerprint(value.tocoo().data), fingerprint(value.toarray())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(fingerprint(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return tuple((repr(key), fingerprint(content)) for key, content in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(fingerprint(content) for content in value)
    if type(value).__module__ == "torch" and hasattr(value, "detach"):
        return str(value.dtype), repr(value.detach().tolist())
    return None


def breach(
    run: Callable[..., Any],
    arguments: Mapping[str, Any],
    how: dict[str, str],
    errors: tuple[type[BaseException], ...],
    *,
    seconds: float = SECONDS,
) -> Finding | None:
    """Call, and return what of the contract did not hold, or None."""
    before = fingerprint(arguments)
    found = None
    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")
            for category in (RuntimeWarning, DeprecationWarning, FutureWarning):
                warnings.simplefilter("error", category)
            # Keras copies tensors in a way that NumPy deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy keyword")
            run(**arguments)
    except TookTooLong:
        found = Finding("no hang", "TookTooLong", f"more than {seconds} s", "", how)
    except errors as error:
        if isinstance(error, (TypeError, ValueError)) and not _names_an_argument(str(error), arguments):
            found = Finding("message names the argument", *_told(error), how)
    except Exception as error:
        found = Finding("documented exception", *_told(error), how)
    if found is None and fingerprint(arguments) != before:
        found = Finding("input unaltered", "", "", "", how)
    return found


def _names_an_argument(message: str, arguments: Mapping[str, Any]) -> bool:
    names = "|".join(re.escape(name) for name in arguments)
    return re.search(rf"`\w+|(?<!\w)({names})(?!\w)", message) is not None


def _told(error: BaseException) -> tuple[str, str, str]:
    """Return the type, message and last line of the library in the traceback."""
    lines = [
        f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(ROOT))
        and "/.venv/" not in frame.filename
        and "/tests/" not in frame.filename
    ]
    return type(error).__name__, str(error)[:300], lines[-1] if lines else ""
