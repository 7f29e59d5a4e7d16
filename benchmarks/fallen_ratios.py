"""Which ratio to a peer fell: new rows beside those of `results`, both divided in the same way.

Ratios are compared and not seconds, since another machine or other load changes the seconds of both sides.
`make bench` reruns every table into a folder of its own and ends with this comparison, which fails if a ratio
is more than 15 % below what it was.

    python benchmarks/fallen_ratios.py build/benchmarks
    python benchmarks/fallen_ratios.py build/benchmarks --tolerance 0.3
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one side is as the other: seconds of `peer` over seconds of `ours`.

    Parameters
    ----------
    name : str
    file : str
        Below the folder of results, without suffix.
    column : str, or two of them
        Seconds, or those of ours and of the peer where a row has both.
    ours, peer : mapping of str to str
        Columns that tell the rows of a side, and their values; medians are taken over the rows.
    common : mapping of str to str
        The same for both sides.
    rate : bool, default=False
        The column holds what is done in a second, not seconds.
    """

    name: str
    file: str
    column: str | tuple[str, str]
    ours: Mapping[str, str] = field(default_factory=dict)
    peer: Mapping[str, str] = field(default_factory=dict)
    common: Mapping[str, str] = field(default_factory=dict)
    rate: bool = False

    def of(self, folder: Path) -> float:
        """Return the ratio from the rows of a folder, NaN where a side has none."""
        columns = (self.column, self.column) if isinstance(self.column, str) else self.column
        sides = ({**self.common, **self.ours}, {**self.common, **self.peer})
        ours, peer = (
            median_of(folder / f"{self.file}.csv", column, wanted)
            for column, wanted in zip(columns, sides, strict=True)
        )
        return ours / peer if self.rate else peer / ours


def median_of(path: Path, column: str, wanted: Mapping[str, str]) -> float:
    """Return the median of a column over the rows with these values, NaN without such rows."""
    if not path.exists():
        return math.nan
    with path.open(newline="") as file:
        values = [
            float(row[column])
            for row in csv.DictReader(file)
            if all(row[name] == text for name, text in wanted.items())
        ]
    return statistics.median(values) if values else math.nan


def declared() -> Iterator[Ratio]:
    """Yield every ratio to a peer that RESULTS.md claims."""
    for backend in ("jax", "tensorflow"):
        side = {"contender": f"sparselabels-{backend}"}
        setting = {"variant": "plain", "dim": "32", "batch_size": "1024"}
        peer = {"contender": "tfrs-adagrad"}
        name = f"training, {backend} against TFRS"
        yield Ratio(name, "tfrs_training", "pairs_per_second", side, peer, setting, rate=True)
        name, peer = f"ESMM, {backend} against DeepCTR", {"contender": "deepctr-adam"}
        batch = {"batch_size": "1024"}
        yield Ratio(name, "esmm_training", "rows_per_processor_second", side, peer, batch, rate=True)
    for backend in ("jax", "tensorflow", "torch"):
        side = {"contender": f"sparselabels-{backend}-rowwise_adagrad"}
        peer = {"contender": "keras2-tensorflow-adagrad"}
        name = f"embedding step, {backend} against Keras 2"
        yield Ratio(name, "sparse_embedding", "ms_per_step", side, peer, {"num_rows": "5000000"})
        without = ("seconds_with", "seconds_without")
        step = {"backend": backend, "batch_size": "1024"}
        yield Ratio(f"a step without over one with, {backend}", "self_supervision_step", without, common=step)
    for point in ("1000000x10", "5000000x10", "1000000x100", "100000x1000"):
        for what in ("default rule", "joint and scores"):
            sides = ({"engine": f"{engine}, {what}"} for engine in ("ours", "cleanlab"))
            name = f"{what} against cleanlab, {point}"
            yield Ratio(name, "confident_learning", "cpu_seconds", *sides, {"point": point})
    for peer_name in ("pairwise", "pgmax"):
        for bag in ("8", "32", "128"):
            sides = ({"what": what} for what in ("factor", peer_name))
            name = f"count factor against {peer_name}, bags of {bag}"
            yield Ratio(name, "count_factors", "cpu_seconds", *sides, {"bag": bag})
    for network in ("gcn", "gcn, cached", "graph_conv", "gin", "sage"):
        columns = ("csr_ticket_cpu_seconds", "list_all_cpu_seconds")
        name = f"ticket as CSR against the list of edges, {network}"
        yield Ratio(name, "ticket_inference", columns, common={"network": network})
    yield Ratio("coding rate against memberships", "erase_loss", ("grouped_ms", "memberships_ms"))
    sides = ({"contender": name} for name in ("sparselabels", "tfrs-streaming"))
    yield Ratio("full evaluation against TFRS", "full_evaluation_tfrs", "seconds_all", *sides)


def main() -> None:
    """Print old and new ratios; fail if one fell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the new rows")
    parser.add_argument("--before", type=Path, default=RESULTS)
    parser.add_argument("--tolerance", type=float, default=0.15)
    given = parser.parse_args()
    fallen, compared = 0, 0
    print(f"{'times as fast':58s} before    now")
    for ratio in declared():
        before, now = ratio.of(given.before), ratio.of(given.folder)
        compared += math.isfinite(before) and math.isfinite(now)
        fell = now < (1 - given.tolerance) * before
        fallen += fell
        print(f"{ratio.name:58s} {before:6.2f} {now:6.2f}" + ("   FELL" if fell else ""))
    print(f"{compared} ratios compared, {fallen} of them fell by more than {given.tolerance:.0%}")
    if fallen:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
