"""Wrong labels on Planetoid: ERASE, what of it may be changed, and networks that trust their labels.

Two protocols. "published" is that of the tables of ERASE: training labels are corrupted once, with seed 123,
validation labels stay clean, and seeds differ in weights and dropout alone. "honest": training and validation
labels are corrupted, anew with every seed, and the noisy validation labels choose the epoch.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_erase.py
    ... --data cora --kind asymm --rate 0.3 --method erase gcn --seeds 2 --protocol published
    python benchmarks/bench_erase.py --table

Beside it, the loss alone against the form with a dense membership matrix a class, and one epoch over
mini-batches of a drawn graph of the size of ogbn-arxiv:

    python benchmarks/bench_erase.py --loss
    python benchmarks/bench_erase.py --large
"""

from __future__ import annotations

import argparse
import csv
import itertools
import resource
import statistics
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Test accuracies printed by the authors of DnD-NeT "under the setting of ERASE", rates .1 to .5.
PUBLISHED = {
    ("cora", "symm"): (81.58, 80.37, 79.61, 78.13, 78.01),
    ("cora", "asymm"): (81.43, 80.46, 79.52, 75.36, 48.00),
    ("pubmed", "symm"): (78.16, 77.86, 75.60, 72.72, 70.72),
    ("pubmed", "asymm"): (78.01, 76.70, 76.71, 73.00, 61.46),
}
DND_NET = {
    ("cora", "symm"): (82.40, 82.10, 79.70, 78.72, 78.23),
    ("cora", "asymm"): (82.80, 81.95, 80.15, 77.15, 53.43),
    ("pubmed", "symm"): (79.43, 78.70, 76.11, 74.30, 71.45),
    ("pubmed", "asymm"): (79.58, 78.73, 77.13, 72.60, 67.48),
}
RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
# As published for each data set.
SETTINGS = {
    "cora": {"gamma2": 2.0, "eps": 0.05, "alpha": 0.6, "beta": 0.6, "steps": 5},
    "citeseer": {"gamma2": 2.0, "eps": 0.4, "alpha": 0.6, "beta": 0.7, "steps": 4},
    "pubmed": {"gamma2": 3.0, "eps": 0.05, "alpha": 0.6, "beta": 0.6, "steps": 3},
}
METHODS = {
    "erase": {},
    "erase, fixed": {"variant": "fixed"},
    "erase, averaged": {"variant": "averaged"},
    "gcn": {"network": "gcn"},
    "gat": {"network": "gat"},
}
KEY = ("data", "kind", "rate", "method", "protocol", "seed")


def corrupted(name: str, kind: str, rate: float, protocol: str, seed: int) -> Data:
    """Return the graph with wrong labels in `y` and the others in `y_clean`."""
    import torch
    from torch_geometric.transforms import NormalizeFeatures

    from noisy_labels.node_labels.erase_protocol import erase_protocol_labels
    from sparse_data.datasets.planetoid import fetch_planetoid

    data = NormalizeFeatures()(fetch_planetoid(name).to_pyg())
    noisy = data.train_mask if protocol == "published" else data.train_mask | data.val_mask
    drawn = erase_protocol_labels(
        data.y.numpy(), noisy.numpy(), rate, kind, seed=123 if protocol == "published" else seed
    )
    data.y_clean, data.y = data.y, torch.from_numpy(drawn)
    return data


def run(options: dict[str, Any]) -> dict[str, Any]:
    import torch

    from noisy_labels.node_labels.erase import ERASEClassifier
    from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier

    torch.set_num_threads(options["threads"])
    data = corrupted(*(options[name] for name in ("data", "kind", "rate", "protocol", "seed")))
    settings: dict[str, Any] = METHODS[options["method"]]
    if options["method"].startswith("erase"):
        model: Any = ERASEClassifier(**{**SETTINGS[options["data"]], **settings})
    else:
        model = GraphNetworkClassifier(**settings)
    model.set_params(random_state=options["seed"], validation=options["validation"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    model.fit(data)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    test, clean = data.test_mask.numpy(), data.y_clean.numpy()
    return {
        "validation": options["validation"],
        "test_accuracy": float((model.predict()[test] == clean[test]).mean()),
        "epochs": len(model.history_) if hasattr(model, "history_") else model.epochs,
        "cpu_seconds": seconds,
        "added_mib": (peak - before) / 1024,
        "effective_rank": float(getattr(model, "effective_rank_", "nan")),
        "n_denoised": getattr(model, "n_denoised_", 0),
    }


def time_loss(n_nodes: int = 2708, dim: int = 512, n_classes: int = 7, repeats: int = 3) -> dict[str, Any]:
    """Return milliseconds of processor time of a loss and its gradient, at the size of Cora."""
    import torch
    from torch import Tensor

    from noisy_labels.node_labels.coding_rate import coding_rate_loss

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    Z = torch.nn.functional.normalize(torch.rand(n_nodes, dim, generator=generator), p=1.0)
    labels = torch.randint(0, n_classes, (n_nodes,), generator=generator)

    def with_memberships(Z: Tensor) -> Tensor:
        members = torch.stack([torch.diag((labels == label).to(Z.dtype)) for label in range(n_classes)])
        counts = members.diagonal(dim1=1, dim2=2).sum(1)
        scales = (dim / (counts * 0.05))[:, None, None]
        grams = Z.T @ members @ Z
        eye = torch.eye(dim, dtype=Z.dtype)
        of_classes = (counts / (2 * n_nodes) * torch.logdet(eye + scales * grams)).sum()
        return of_classes - torch.logdet(eye + dim / (n_nodes * 0.05) * Z.T @ Z)

    grouped = partial(coding_rate_loss, labels=labels, eps=0.05)
    forms = {"memberships_ms": with_memberships, "grouped_ms": grouped}
    shown: dict[str, Any] = {"n_nodes": n_nodes, "dim": dim, "n_classes": n_classes}
    for name, form in forms.items():
        spent = []
        for _ in range(repeats):
            leaf = Z.clone().requires_grad_(True)
            began = time.process_time()
            form(leaf).backward()
            spent.append(1000 * (time.process_time() - began))
        shown[name] = statistics.median(spent)
    return {**shown, "ratio": shown["memberships_ms"] / shown["grouped_ms"]}


def time_large(n_nodes: int = 170_000, n_edges: int = 1_200_000, n_classes: int = 40) -> dict[str, Any]:
    """Return what one epoch over mini-batches costs; three in four edges stay within a class."""
    import torch

    from noisy_labels.node_labels.erase import ERASEClassifier

    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, n_classes, (n_nodes,), generator=generator)
    members = y.argsort()
    starts = torch.bincount(y, minlength=n_classes).cumsum(0)
    sources = torch.randint(0, n_nodes, (n_edges // 2,), generator=generator)
    own = y[sources]
    sizes = torch.bincount(y, minlength=n_classes)[own]
    within = members[starts[own] - 1 - (torch.rand(len(own), generator=generator) * sizes).long()]
    anywhere = torch.randint(0, n_nodes, (len(own),), generator=generator)
    targets = torch.where(torch.rand(len(own), generator=generator) < 0.75, within, anywhere)
    edge_index = torch.stack([torch.cat([sources, targets]), torch.cat([targets, sources])])
    x = torch.randn(n_nodes, 128, generator=generator)
    x[torch.arange(n_nodes), y] += 1.0
    wrong = torch.rand(n_nodes, generator=generator) < 0.3
    noisy = torch.where(wrong, torch.randint(0, n_classes, (n_nodes,), generator=generator), y)
    train = torch.rand(n_nodes, generator=generator) < 0.5
    labels = torch.where(train, noisy, -1).numpy()
    model = ERASEClassifier(
        epochs=1, batch_size=1000, num_neighbors=(5, 5), learning_rate=0.01, validation="none", random_state=0
    )
    began = time.perf_counter()
    model.fit(x.numpy(), labels, edge_index=edge_index.numpy())
    seconds = time.perf_counter() - began
    accuracy = float((model.predict()[~train.numpy()] == y[~train].numpy()).mean())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sizes_of = {"n_nodes": n_nodes, "n_edges": n_edges, "n_classes": n_classes}
    return {**sizes_of, "seconds": seconds, "peak_gib": peak, "accuracy_of_unlabelled": accuracy}


def print_table(path: Path) -> None:
    """Print means and standard deviations over seeds as Markdown."""
    cells = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            place = tuple(row[name] for name in ("protocol", "data", "kind", "method", "rate"))
            cells[place].append(100 * float(row["test_accuracy"]))
    rows = sorted({place[:-1] for place in cells})
    print("| protocol | data | noise | method |", " | ".join(f"{rate:.0%}" for rate in RATES), "|")
    print("|---" * (4 + len(RATES)) + "|")
    for row in rows:
        shown = []
        for rate in RATES:
            values = cells.get((*row, str(rate)), [])
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            shown.append(f"{statistics.mean(values):.2f} ± {spread:.2f} ({len(values)})" if values else "")
        print("|", " | ".join([*row, *shown]), "|")
    for name, table in (("ERASE as published", PUBLISHED), ("DnD-NeT as published", DND_NET)):
        for (data, kind), values in table.items():
            print("| published |", data, "|", kind, "|", name, "|", " | ".join(map(str, values)), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cora", "pubmed"], choices=list(SETTINGS))
    parser.add_argument("--kind", nargs="+", default=["symm", "asymm"], choices=["symm", "asymm"])
    parser.add_argument("--rate", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--protocol", nargs="+", default=["published"], choices=["published", "honest"])
    parser.add_argument("--seeds", type=int, default=10, help="of 123, 223, ..., 1023")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default="erase", help="name of the CSV file")
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    parser.add_argument("--loss", action="store_true", help="time the loss alone")
    parser.add_argument("--large", action="store_true", help="time an epoch over mini-batches")
    given = parser.parse_args()
    for name, asked, timed in (("loss", given.loss, time_loss), ("large", given.large, time_large)):
        if asked:
            row = timed()
            print(row)
            return ResultsFile(f"{given.results}_{name}", key=("date",)).append(
                {**row, **circumstances("torch", "torch-geometric")}
            )
    results = ResultsFile(given.results, key=KEY)
    if given.table:
        return print_table(results.path)
    seeds = [123 + 100 * place for place in range(given.seeds)]
    # All cells with the first seed, then with the second: a table that is cut off has a value in every cell.
    cases = itertools.product(seeds, given.protocol, given.data, given.kind, given.rate, given.method)
    for seed, protocol, data, kind, rate, method in cases:
        case = dict(zip(KEY, (data, kind, rate, method, protocol, seed), strict=True))
        if results.holds(case):
            continue
        validation = "clean" if protocol == "published" else "noisy"
        measured = measure({**case, "validation": validation, "threads": given.threads}, {})
        results.append({**case, **measured, **circumstances("torch", "torch-geometric")})
        print({**case, "test_accuracy": measured["test_accuracy"]}, flush=True)
    return None


if __name__ == "__main__" and not answer_if_asked(run):
    main()
