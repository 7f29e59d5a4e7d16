"""An item graph from baskets: fewer edges, wrong categories mended, and a retriever that reads them.

Amazon's beauty products (downloaded if not at hand), or a shop that is drawn here.  Of four customers in five
the baskets alone are known; a third of the products have a category, two in five of these a wrong one.

    python examples/item_graph.py             # some minutes
    python examples/item_graph.py --fast      # seconds, the drawn shop
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")  # the graph networks need it anyway

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import svds

from graph.edge_sparsification import sparsify_edges
from noisy_labels.node_labels.erase import ERASEClassifier
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.label_spreading_graph import GraphLabelSpreading
from noisy_labels.transitions.noise import corrupt_labels
from recsys_ssl import TwoTowerRetriever, evaluate_retriever
from recsys_ssl.splits import leave_last_out
from sparse_data import Bags
from sparse_data.datasets import Interactions, fetch_amazon, make_interactions


def load(fast: bool) -> tuple[Interactions, NDArray[Any]]:
    """Return a log, and the department of each product."""
    if not fast:
        return (log := fetch_amazon("beauty")), departments(log.items["attributes"])
    log = make_interactions(1500, 400, 15_000, dim=3, random_state=0).interactions
    return log, np.unique(log.items["category"], return_inverse=True)[1]


def departments(attributes: Bags) -> NDArray[Any]:
    """Return the class of each item: the most frequent attributes that hardly ever occur together."""
    item = np.repeat(np.arange(len(attributes)), attributes.lengths)
    holders = {a: item[attributes.values == a] for a in np.unique(attributes.values)}
    classes = np.full(len(attributes), -1)
    for code, held in enumerate(sorted(holders.values(), key=len, reverse=True)):
        if (classes[held] < 0).mean() > 0.97 and len(held) > len(attributes) / 50:
            classes[held[classes[held] < 0]] = code
    return np.unique(classes, return_inverse=True)[1]


def bought_together(log: Interactions) -> coo_array:
    """Return in how many baskets two items are, for all pairs that are in any."""
    catalogue, baskets = log.items["item_id"], np.unique(log.user_ids, return_inverse=True)[1]
    pairs = np.unique(np.stack([baskets, np.searchsorted(catalogue, log.item_ids)]), axis=1)
    held = csr_array((np.ones(pairs.shape[1]), pairs), shape=(baskets.max() + 1, len(catalogue)))
    counts = (held.T @ held).tocoo()
    apart = counts.row != counts.col
    return coo_array((counts.data[apart], (counts.row[apart], counts.col[apart])), shape=counts.shape)


def vectors_of(counts: coo_array, dim: int) -> NDArray[np.float64]:
    """Return the leading singular vectors of the graph, its edges divided by the roots of both degrees."""
    roots = np.sqrt(np.maximum(counts.sum(axis=1), 1.0))
    scaled = counts.data / (roots[counts.row] * roots[counts.col])
    left, values, _ = svds(csr_array((scaled, counts.coords), shape=counts.shape), k=dim, random_state=0)
    return np.asarray(left * np.sqrt(values * len(roots)))


def with_wrong_ones(classes: NDArray[Any], wrong: float, seed: int) -> NDArray[Any]:
    """Return the classes of a third of the items, a share of these wrong; -1 for all others."""
    rows = np.random.default_rng(seed).permutation(len(classes))[: len(classes) // 3]
    given = np.full(len(classes), -1)
    given[rows] = corrupt_labels(classes[rows], wrong, random_state=seed)
    return given


def retrieve(log: Interactions, column: NDArray[Any] | None, seed: int) -> dict[str, float]:
    """Return the recall at 100, by slices, of a retriever that reads classes or vectors of items, or ids."""
    items: dict[str, Any] = {"item_id": log.items["item_id"]}
    if column is not None:
        classes = column.ndim == 1
        items["known"] = Bags.from_lists([c] if c >= 0 else [] for c in column) if classes else column
    train, test = leave_last_out(log.replace(users=None, items=items))
    model = TwoTowerRetriever(epochs=15, validation_fraction=0, seed=seed, verbose=False).fit(train)
    found = evaluate_retriever(model, train, test, k=100, n_bootstrap=0).query("metric == 'recall'")
    return dict(zip(found["slice"], found["value"], strict=True))


def main() -> None:
    """Prune, mend, retrieve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a drawn shop")
    log, classes = load(parser.parse_args().fast)
    shoppers = np.random.default_rng(0).permutation(np.unique(log.user_ids))
    named = np.isin(log.user_ids, shoppers[: len(shoppers) // 5])
    counts, given, n = bought_together(log.take(~named)), with_wrong_ones(classes, 0.4, 0), len(classes)
    edges = torch.from_numpy(np.stack(counts.coords).astype(np.int64))
    print(f"{n} products in {classes.max() + 1} departments, {edges.shape[1] // 2} pairs bought together")

    print("\nspread categories that are right, where none was given")
    for score, ratio in (("random", 0.0), ("random", 0.9), ("teddy", 0.9)):
        kept = sparsify_edges(edges, ratio, score=score, num_nodes=n)[0]
        spread = GraphLabelSpreading(n_iterations=10).fit(np.ones((n, 1)), given, edge_index=kept).predict()
        print(f"without {ratio:3.0%} of edges, {score:6} {(spread == classes)[given < 0].mean():.3f}")

    X, short = vectors_of(counts, dim=64), {"epochs": 60, "learning_rate": 0.01, "random_state": 0}
    network = GraphNetworkClassifier(hidden=32, **short).fit(X, given, edge_index=kept)
    erase = ERASEClassifier("gcn", hidden=64, embedding_dim=64, **short).fit(X, given, edge_index=kept)
    read = {"nothing": None, "given": given, "GCN's": network.predict(), "ERASE's": erase.predict()}
    print("\ncategories  right  recall at 100")
    for name, column in (read | {"true": classes, "vectors": X}).items():
        right = "" if column is None or column.ndim == 2 else f"{(column == classes).mean():.3f}"
        print(f"{name:10} {right:>6}  {retrieve(log.take(named), column, 0)['all']:.3f}")


if __name__ == "__main__":
    main()
