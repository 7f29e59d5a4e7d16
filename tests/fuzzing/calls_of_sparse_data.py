"""Valid calls of the public names of `sparse_data`."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import entry_points
import numpy as np
import pandas as pd
from entry_points import Call, calling, method

from sparse_data import Bags, checks, datasets

VALUES = np.linspace(0.1, 1.2, 12).reshape(6, 2)
SEGMENTS = np.array([0, 0, 1, 1, 2, 2])
INDPTR, INDICES, DATA = np.array([0, 2, 3, 5]), np.array([0, 1, 2, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
TABLE = np.linspace(0.0, 1.1, 12).reshape(4, 3)
BAGS = Bags.from_lists([[0, 1], [], [2, 3, 1]], weights=[[1, 2], [], [1, 1, 3]])
FRAME = pd.DataFrame(
    {"user_id": ["u", "u", "v", "w"], "item_id": [3, 5, 3, 8], "rating": [4.0, 5.0, 1.0, 2.0]}
)
SHOWN = pd.DataFrame({"ad": [3, 5, 3, 8], "place": list("abab"), "click": [1, 0, 1, 1], "buy": [0, 0, 1, 0]})


def _ops(module: str) -> Iterator[Call]:
    import importlib

    ops = importlib.import_module(f"sparse_data.{module}")
    # The ops on tensors do not look at values, which would wait for the device.
    tensors = module in ("ops_torch", "ops_keras")
    arrays = (
        "values segment_ids num_segments table offsets weights indptr data indices num_cols x scores ids rows"
    )
    calling = functools.partial(entry_points.calling, fixed=arrays.split() if tensors else ())
    matrix = {"indptr": INDPTR, "indices": INDICES, "data": DATA}
    for name in ("segment_sum", "segment_mean", "segment_max", "segment_softmax"):
        segments = {"values": VALUES, "segment_ids": SEGMENTS, "num_segments": 3}
        yield calling(f"sparse_data.{module}.{name}", getattr(ops, name), **segments)
    bags = {"values": INDICES, "offsets": np.array([0, 2, 2, 5]), "weights": DATA}
    yield calling(f"sparse_data.{module}.pooled_lookup", ops.pooled_lookup, table=TABLE, **bags)
    if module == "ops_keras":
        rows = {"rows": TABLE[[0, 1, 2, 0, 1]], "offsets": bags["offsets"], "weights": DATA}
        yield calling(f"sparse_data.{module}.pool_rows", ops.pool_rows, **rows)
    yield calling(f"sparse_data.{module}.csr_degree", ops.csr_degree, indptr=INDPTR, data=DATA)
    yield calling(f"sparse_data.{module}.normalize_csr", ops.normalize_csr, **matrix, num_cols=3)
    yield calling(f"sparse_data.{module}.propagate", ops.propagate, **matrix, x=TABLE[:3])
    yield calling(f"sparse_data.{module}.top_k", ops.top_k, scores=VALUES, k=1)
    yield calling(f"sparse_data.{module}.unique_rows", ops.unique_rows, ids=INDICES)
    yield calling(f"sparse_data.{module}.project_l0", ops.project_l0, values=DATA, k=2)


def _checks() -> Iterator[Call]:
    # The name is told by the caller, who is the library.
    told: dict[str, dict[str, Any]] = {
        "check_one_of": {"value": "sum", "options": ("sum", "mean")},
        "check_in_range": {"value": 0.5, "low": 0, "high": 1},
        "check_count": {"value": 2},
        "check_array": {"array": VALUES},
        "check_numeric": {"array": VALUES},
        "check_finite": {"array": VALUES},
        "check_moderate": {"array": VALUES},
        "check_non_negative": {"array": VALUES},
        "check_ndim": {"array": VALUES, "ndim": 2},
        "check_nonempty": {"array": VALUES},
        "check_integers": {"array": SEGMENTS},
        "check_ids_in_range": {"ids": SEGMENTS, "size": 3},
        "check_no_missing": {"array": np.array(["a", "b"])},
    }
    settings = ("name", "hint", "options", "low", "high", "closed", "minimum", "maximum", "ndim", "size")
    for name, arguments in told.items():
        yield _check(name, getattr(checks, name), arguments, settings)
    same = {"labels": SEGMENTS, "weights": SEGMENTS}
    yield Call(
        "sparse_data.checks.check_same_length", checks.check_same_length, same, (TypeError, ValueError)
    )


def _check(name: str, function: Any, arguments: dict[str, Any], fixed: tuple[str, ...]) -> Call:
    found = calling(f"sparse_data.checks.{name}", function, **arguments)
    return Call(found.name, function, {**found.arguments, "name": "x"}, found.errors, frozenset(fixed))


def _bags() -> Iterator[Call]:
    yield calling("sparse_data.Bags", Bags, values=BAGS.values, offsets=BAGS.offsets, weights=BAGS.weights)
    lists = {"lists": [[0, 1], [], [2, 3, 1]], "weights": [[1, 2], [], [1, 1, 3]]}
    yield calling("sparse_data.Bags.from_lists", Bags.from_lists, **lists)
    yield method("sparse_data.Bags.to_padded", lambda: BAGS, width=2)
    yield method("sparse_data.Bags.map_values", lambda: BAGS, values=np.arange(5))
    keys = {"key": np.array([0, 2])}
    yield Call("sparse_data.Bags.__getitem__", BAGS.__getitem__, keys, (TypeError, ValueError, IndexError))


def _logs() -> Iterator[Call]:
    name = "sparse_data.datasets"
    log = {
        "user_ids": np.array(["u", "u", "v", "w"]), "item_ids": np.array([3, 5, 3, 8]),
        "timestamps": np.array([1.0, 2.0, 3.0, 4.0]), "ratings": np.array([4.0, 5.0, 1.0, 2.0]),
        "weights": np.array([1.0, 1.0, 0.5, 2.0]),
        "users": {"user_id": np.array(["u", "v", "w"]), "age": np.array([30.0, 40.0, 50.0])},
        "items": {"item_id": np.array([3, 5, 8]), "tags": Bags.from_lists([["a"], ["b", "a"], []])},
    }  # fmt: skip
    yield calling(f"{name}.Interactions", datasets.Interactions, **log)
    frame = {"frame": FRAME, "rating": "rating", "items": FRAME[["item_id"]].drop_duplicates()}
    yield calling(f"{name}.Interactions.from_frame", datasets.Interactions.from_frame, **frame)
    made = datasets.Interactions(**log)
    yield method(f"{name}.Interactions.take", lambda: made, index=np.array([0, 2]))
    shown = {
        "columns": {"ad": np.array([3, 5, 3, 8]), "tags": Bags.from_lists([["a"], ["b", "a"], [], ["c"]])},
        "clicks": np.array([1, 0, 1, 1]), "conversions": np.array([0, 0, 1, 0]),
        "group": np.array(["a", "a", "b", "c"]),
    }  # fmt: skip
    yield calling(f"{name}.Impressions", datasets.Impressions, **shown)
    frame = {"frame": SHOWN, "click": "click", "conversion": "buy", "group": "place"}
    yield calling(f"{name}.Impressions.from_frame", datasets.Impressions.from_frame, **frame)
    impressions = datasets.Impressions(**shown)
    yield method(f"{name}.Impressions.take", lambda: impressions, index=np.array([0, 2]))
    parts = {"parts": [impressions, impressions]}
    yield calling(f"{name}.concatenate_impressions", datasets.concatenate_impressions, **parts)
    tagged = pd.DataFrame({"item": [1, 2, 3], "genres": ["war|drama", None, "war"]})
    yield calling(f"{name}.to_columns", datasets.to_columns, frame=tagged, multi_valued=["genres"])


def _made() -> Iterator[Call]:
    name = "sparse_data.datasets"
    yield calling(f"{name}.make_checkerboard", datasets.make_checkerboard, n=8)
    funnel = {"n": 50, "n_users": 5, "n_items": 5, "dim": 2, "random_state": 0}
    yield calling(f"{name}.make_funnel", datasets.make_funnel, **funnel)
    planted = datasets.make_funnel(**funnel)
    ids = {"user_ids": np.array([0, 1]), "item_ids": np.array([2, 3])}
    yield method(f"{name}.PlantedFunnel.probabilities", lambda: planted, **ids)
    log = {"n_users": 5, "n_items": 8, "n_interactions": 20, "dim": 2, "random_state": 0}
    yield calling(f"{name}.make_interactions", datasets.make_interactions, **log)
    tail = datasets.make_interactions(**log)
    yield method(f"{name}.PlantedInteractions.preference", lambda: tail, user_ids=np.array([0, 1]))
    yield method(f"{name}.PlantedInteractions.choice_probabilities", lambda: tail, user_ids=np.array([0, 1]))


def _fetchers() -> Iterator[Call]:
    """Options of the fetchers, in a data home without files; what is in files has tests of its own."""
    nowhere = Path("no such folder")
    for name in sorted(datasets.__all__):
        if name.startswith(("fetch_", "load_", "read_human")) and name != "fetch_wikipedia_links":
            function = getattr(datasets, name)
            fixed = {"data_home", "download"}
            found = calling(f"sparse_data.datasets.{name}", function, data_home=nowhere)
            arguments = {**found.arguments, "data_home": nowhere}
            if name == "fetch_planetoid":
                arguments["name"] = "cora"
            if "download" in arguments:
                arguments["download"] = False
            yield Call(
                found.name, function, arguments, (*found.errors, datasets.DownloadError), frozenset(fixed)
            )
    for name in ("aliexpress_files", "read_common_features", "read_field_pairs"):
        yield calling(f"sparse_data.datasets.{name}", getattr(datasets, name), path=nowhere)
    yield calling("sparse_data.datasets.criteo_files", datasets.criteo_files, paths=nowhere)
    path = Path(tempfile.mkdtemp(prefix="impressions")) / "shown.csv"
    SHOWN.to_csv(path, index=False)
    files = {"paths": [path], "click": "click", "conversion": "buy", "group": "place", "block_rows": 3}
    made = calling("sparse_data.datasets.ImpressionFiles", datasets.ImpressionFiles, **files)

    def read(**arguments: Any) -> Any:
        return datasets.ImpressionFiles(**arguments).read_block(0)

    yield Call(made.name, read, made.arguments, (*made.errors, OSError))
    held = datasets.ImpressionFiles([path], click="click", conversion="buy")
    yield method("sparse_data.datasets.ImpressionFiles.read_block", lambda: held, place=0)
    ali = {"skeleton": nowhere, "common": nowhere}
    yield calling("sparse_data.datasets.AliCCP", datasets.AliCCP, **ali)


def calls() -> Iterator[Call]:
    """Return the calls."""
    yield from _bags()
    yield from _checks()
    for module in ("ops_numpy", "ops_numba", "ops_torch", "ops_keras"):
        yield from _ops(module)
    yield from _logs()
    yield from _made()
    yield from _fetchers()
