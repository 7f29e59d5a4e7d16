"""Parts of arrays worked on at once: by functions that let go of the interpreter, as compiled ones do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


def count_threads() -> int:
    """Return how many threads work at once: `NUMBA_NUM_THREADS`, but one a processor at most."""
    return int(min(numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1))


def in_threads(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Return what `work` returns of each part, in order."""
    with ThreadPoolExecutor(count_threads()) as pool:
        return list(pool.map(work, parts))
