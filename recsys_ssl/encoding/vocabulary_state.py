"""The state of a growing vocabulary as plain arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.embeddings.candidate_counts import CandidateCounts, Id
from recsys_ssl.encoding.vocabulary_rows import VocabularyRows
from sparse_data import checks
from sparse_data.type_checks import check_type

ROW_ARRAYS = ("rows", "counts", "last_seen", "freed_rows")


class VocabularyState(NamedTuple):
    """All that a growing vocabulary consists of; `kind` is the dtype's kind, empty before the first id."""

    rows: VocabularyRows
    candidates: CandidateCounts
    min_count: int
    when_full: str
    updates: int
    kind: str


def as_array(keys: Sequence[Id], kind: str) -> NDArray[Any]:
    """Return ids as an array of strings or int64."""
    return np.array(keys, dtype=np.str_ if kind == "U" else np.int64)


def to_arrays(state: VocabularyState) -> dict[str, NDArray[Any]]:
    """Return arrays without objects, which `np.savez` writes without pickle."""
    rows, candidates = state.rows, state.candidates
    settings = [rows.capacity, state.min_count, candidates.max_candidates, state.updates]
    waiting = candidates.items()
    return {
        "settings": np.array([*settings, candidates.undercount], dtype=np.int64),
        "names": np.array([state.when_full, state.kind]),
        "ids": as_array([key for key, _, _ in rows.entries()], state.kind),
        **rows.arrays(),
        "candidate_ids": as_array([key for key, _ in waiting], state.kind),
        "candidate_counts": np.array([count for _, count in waiting], dtype=np.int64),
    }


def _checked(values: Any, name: str) -> NDArray[Any]:
    """Return one array of the state, or raise if its length or type cannot be that of `to_arrays`."""
    held = checks.check_ndim(f"state[{name!r}]", values, 1)
    length = {"settings": 5, "names": 2}.get(name, held.size)
    text = name == "names" or (name in ("ids", "candidate_ids") and held.dtype.kind == "U")
    if held.size != length or (held.size and held.dtype.kind not in ("U" if text else "i")):
        raise ValueError(
            f"`state[{name!r}]` must be {length} values of {'text' if text else 'signed integers'}; "
            f"got {held.size} of dtype {held.dtype}. Pass what `state_dict` returned, unchanged."
        )
    return held if held.size else np.empty(0, dtype="U1" if text else np.int64)


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> VocabularyState:
    """Return what `to_arrays` was given; raise where an array is absent or they do not fit together."""
    names = ("settings", "names", "ids", *ROW_ARRAYS, "candidate_ids", "candidate_counts")
    check_type("state", arrays, Mapping, "Pass what `state_dict` returned, unchanged.")
    absent = [name for name in names if name not in arrays]
    if absent:
        raise ValueError(
            f"`state` must hold {', '.join(names)}; got no {', '.join(absent)}. "
            "Pass what `state_dict` returned, unchanged."
        )
    held = {name: _checked(arrays[name], name) for name in names}
    capacity, min_count, max_candidates, updates, undercount = held["settings"].tolist()
    when_full, kind = held["names"].tolist()
    rows = VocabularyRows.from_arrays(
        capacity, held["ids"].tolist(), **{name: held[name] for name in ROW_ARRAYS}
    )
    checks.check_same_length(
        **{f"state[{name!r}]": held[name] for name in ("candidate_ids", "candidate_counts")}
    )
    candidates = CandidateCounts(max_candidates)
    candidates.add(zip(held["candidate_ids"].tolist(), held["candidate_counts"].tolist(), strict=True))
    candidates.undercount = undercount
    return VocabularyState(rows, candidates, min_count, when_full, updates, kind)
