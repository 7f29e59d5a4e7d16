"""What a graph lottery ticket costs: TEDDY, its dense teacher and UGS, in turn in one process.

Planetoid, public split; seconds are those of one processor.  UGS has a mask value an edge.  For the ticket of
level 20 it trains masks in 20 rounds and then what is left: `ugs_seconds`.  As published it trains what is
left after every round: `ugs_published_seconds`.  Its dense network, which none of that needs, is left out;
TEDDY's teacher is counted in `ugs_by_teddy`.  With fewer epochs than 200 all of them shrink alike.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_ticket_cost.py --data cora --network GCN
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from bench_graph_tickets import KEPT_MEMORY, NETWORKS, begin, build_network, build_search
from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances


def run(options: dict[str, Any]) -> dict[str, Any]:
    data, shape = begin(options)
    ugs_trainings = note_seconds()
    measured: dict[str, Any] = {}
    for method in ("teddy", "ugs", "auto"):
        search = build_search(method, build_network(options["network"], *shape), options)
        search.epochs = options["epochs"]
        levels = range(1, options["level"] + 1) if method == "ugs" else [options["level"]]
        row = search.sweep(data, levels).iloc[-1]
        measured[f"{method}_seconds"] = float(row["search_seconds"])
        measured[f"{method}_test_score"] = float(row["test_score"])
        if method == "teddy":
            measured["teacher_seconds"] = float(row["dense_seconds"])
    measured["ugs_published_seconds"] = sum(ugs_trainings)
    cost = measured["teacher_seconds"] + measured["teddy_seconds"]
    return {
        **measured,
        "ugs_by_teddy": measured["ugs_seconds"] / cost,
        "ugs_published_by_teddy": measured["ugs_published_seconds"] / cost,
        "ugs_by_ticket_alone": measured["ugs_seconds"] / measured["teddy_seconds"],
        "auto_in_tickets": measured["auto_seconds"] / measured["teddy_seconds"],
    }


def note_seconds() -> list[float]:
    """Return a list to which every training of UGS adds its seconds."""
    import graph.ugs as ugs

    train, seconds = ugs.train_network, []

    def train_and_note(*given: Any, **options: Any) -> Any:
        trained = train(*given, **options)
        seconds.append(trained.seconds)
        return trained

    ugs.train_network = train_and_note
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["cora"])
    parser.add_argument("--network", nargs="+", default=["GCN"], choices=list(NETWORKS))
    parser.add_argument("--level", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    results = ResultsFile("ticket_cost", key=("data", "network", "hidden", "level", "epochs", "repetition"))
    for repetition, data, network in itertools.product(range(given.repetitions), given.data, given.network):
        case = {"data": data, "network": network, "hidden": given.hidden, "level": given.level}
        case |= {"epochs": given.epochs, "repetition": repetition}
        if results.holds(case):
            continue
        row = measure(case, KEPT_MEMORY)
        results.append({**case, **row, **circumstances("torch", "torch-geometric")})
        print({**case, **row}, flush=True)


if __name__ == "__main__" and not answer_if_asked(run):
    main()
