"""Amazon Beauty's item graph: which edges to keep, which categories to trust, what a retriever gains by them.

Of four users in five only what they reviewed together is known: the graph of all pairs of items with a common
user.  A third of the items have a department (of six), `wrong` of them a wrong one.

prune     Departments of the other items by spreading labels or by a GCN, on all edges and without half or
          nine tenths of them, removed at random, by TEDDY's score, or the weakest (common users over the root
          of the product of both items' users).
retrieve  Test recall at 100 of a two-tower retriever for the users that are left, each user's last item held
          out, 15 epochs; it reads the items' ids and departments as given, by spreading, a GCN or ERASE, the
          true ones, or none; "vectors" reads the 64 singular vectors of the graph and no department.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_pipeline_item_graph.py
    python benchmarks/bench_pipeline_item_graph.py --table
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.stats import t as student

from examples.item_graph import bought_together, departments, retrieve, vectors_of, with_wrong_ones
from graph.diagnostics import graph_diagnostics
from graph.edge_sparsification import sparsify_edges
from noisy_labels.node_labels.erase import ERASEClassifier
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.label_spreading_graph import GraphLabelSpreading
from sparse_data.datasets import Interactions, fetch_amazon

Ints = NDArray[np.int64]

EDGES = [("all", 0.0), *itertools.product(("random", "teddy", "weakest"), (0.5, 0.9))]
PRUNE_KEY = ("edges", "ratio", "wrong", "method", "seed")
CATEGORIES = ("none", "given", "spreading", "gcn", "erase", "vectors", "true")
RETRIEVE_KEY = ("categories", "wrong", "seed")
SHORT = {"epochs": 60, "learning_rate": 0.01}


class Shop(NamedTuple):
    """Items with departments, a graph of them, and the log of the users whose baskets are not in it."""

    classes: Ints
    edges: torch.Tensor
    weights: torch.Tensor
    vectors: NDArray[np.float64]
    log: Interactions


@cache
def shop(seed: int) -> Shop:
    log = fetch_amazon("beauty")
    users = np.random.default_rng(seed).permutation(np.unique(log.user_ids))
    named = np.isin(log.user_ids, users[: len(users) // 5])
    counts = bought_together(log.take(~named))
    degrees = np.bincount(
        np.searchsorted(log.items["item_id"], log.item_ids[~named]), minlength=counts.shape[0]
    )
    weights = counts.data / np.sqrt(degrees[counts.row] * degrees[counts.col])
    edges = torch.from_numpy(np.stack(counts.coords).astype(np.int64))
    classes = departments(log.items["attributes"])
    return Shop(classes, edges, torch.from_numpy(weights), vectors_of(counts, 64), log.take(named))


@cache
def kept_edges(edges: str, ratio: float, seed: int) -> torch.Tensor:
    its = shop(seed)
    score: Any = {"all": "random", "weakest": its.weights}.get(edges, edges)
    kept, _ = sparsify_edges(its.edges, ratio, score=score, num_nodes=len(its.classes), seed=seed)
    return kept


def predicted(method: str, edges: torch.Tensor, wrong: float, seed: int) -> Ints:
    """Return the departments of all items, from those given of a third."""
    its = shop(seed)
    given = with_wrong_ones(its.classes, wrong, seed)
    models = {
        "spreading": GraphLabelSpreading(n_iterations=10),
        "gcn": GraphNetworkClassifier(hidden=32, random_state=seed, **SHORT),
        "erase": ERASEClassifier("gcn", hidden=64, embedding_dim=64, random_state=seed, **SHORT),
    }
    return models[method].fit(its.vectors, given, edge_index=edges).predict()


def prune(case: Mapping[str, Any]) -> dict[str, float]:
    seed, classes = case["seed"], shop(case["seed"]).classes
    edges = kept_edges(case["edges"], case["ratio"], seed)
    began = time.process_time()
    found = predicted(case["method"], edges, case["wrong"], seed)
    seconds = time.process_time() - began
    given = with_wrong_ones(classes, case["wrong"], seed)
    facts = graph_diagnostics(edges, num_nodes=len(classes), labels=torch.from_numpy(classes))
    return {
        "accuracy": float((found == classes)[given < 0].mean()),
        "accuracy_where_given": float((found == classes)[given >= 0].mean()),
        "homophily": facts.homophily,
        "n_edges": facts.n_edges,
        "n_isolated": facts.n_isolated,
        "fit_seconds": seconds,
    }


def retrieve_by(case: Mapping[str, Any]) -> dict[str, float]:
    name, wrong, seed = case["categories"], case["wrong"], case["seed"]
    its = shop(seed)
    column: NDArray[Any] | None = None
    if name == "given":
        column = with_wrong_ones(its.classes, wrong, seed)
    elif name in ("true", "vectors"):
        column = its.classes if name == "true" else its.vectors
    elif name != "none":
        column = predicted(name, kept_edges("teddy", 0.9, seed), wrong, seed)
    began = time.process_time()
    recall = retrieve(its.log, column, seed)
    right = np.nan if column is None or column.ndim == 2 else float((column == its.classes).mean())
    slices = {f"recall_{part}": recall[part] for part in ("all", "head", "mid", "tail", "unseen")}
    return {"accuracy": right, **slices, "cpu_seconds": time.process_time() - began}


def prune_cases(seed: int, wrong: list[float]) -> Iterator[dict[str, Any]]:
    for rate, (edges, ratio) in itertools.product(wrong, EDGES):
        yield dict(zip(PRUNE_KEY, (edges, ratio, rate, "spreading", seed), strict=True))
    for rate, (edges, ratio) in itertools.product(wrong[-1:], EDGES):
        if ratio == 0.9:  # on all edges it takes ten times as long
            yield dict(zip(PRUNE_KEY, (edges, ratio, rate, "gcn", seed), strict=True))


def retrieve_cases(seed: int, wrong: list[float]) -> Iterator[dict[str, Any]]:
    for name in CATEGORIES:
        yield dict(zip(RETRIEVE_KEY, (name, wrong[-1], seed), strict=True))


def print_table(results: ResultsFile, columns: list[str], control: Mapping[str, str]) -> None:
    """Print means ± deviations and in brackets the paired difference from the control, 95 % t interval."""
    found: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    names = [name for name in results.key if name != "seed"]
    for row in results.rows():
        found.setdefault(tuple(row[name] for name in names), {})[row["seed"]] = row
    print("\n| " + " | ".join([*names, *columns]) + " |\n" + "|---" * (len(names) + len(columns)) + "|")
    for place, rows in found.items():
        others = found.get(tuple(control.get(n, v) for n, v in zip(names, place, strict=True)), {})
        shown = [_cell(rows, others if others is not rows else {}, column) for column in columns]
        print("| " + " | ".join([*place, *shown]) + " |")


def _cell(rows: Mapping[str, Any], others: Mapping[str, Any], column: str) -> str:
    values = np.array([float(row[column]) for row in rows.values()])
    text = f"{values.mean():.4f} ± {values.std(ddof=1) if values.size > 1 else 0:.4f}"
    shared = rows.keys() & others.keys()
    gains = np.array([float(rows[seed][column]) - float(others[seed][column]) for seed in shared])
    if gains.size > 1:
        half = student.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / np.sqrt(gains.size)
        text += f" ({gains.mean():+.4f} ± {half:.4f})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["prune", "retrieve"], choices=["prune", "retrieve"])
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.0, 0.4], help="retrieve takes the last")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pruning = ResultsFile("pipeline_item_graph_prune", key=PRUNE_KEY)
    retrieving = ResultsFile("pipeline_item_graph_retrieve", key=RETRIEVE_KEY)
    if given.table:
        print_table(
            pruning, ["accuracy", "homophily", "n_isolated", "fit_seconds"], {"edges": "all", "ratio": "0"}
        )
        slices = [f"recall_{part}" for part in ("all", "head", "mid", "tail", "unseen")]
        print_table(retrieving, ["accuracy", *slices], {"categories": "none"})
        return
    parts = {"prune": (prune_cases, prune, pruning), "retrieve": (retrieve_cases, retrieve_by, retrieving)}
    for seed, part in itertools.product(given.seeds, given.parts):
        cases, run, results = parts[part]
        for case in cases(seed, given.wrong):
            if not results.holds(case):
                measured = run(case)
                results.append({**case, **measured, **circumstances("keras", "torch", "torch-geometric")})
                print(case, {name: round(value, 4) for name, value in measured.items()}, flush=True)


if __name__ == "__main__":
    main()
