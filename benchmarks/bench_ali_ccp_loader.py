"""Memory and speed of reading Ali-CCP's raw format: files of any length, generated in a temporary folder.

A row has 11 entries of its own and belongs to a user with 209 (the lengths of the real files vary around
these); a user has 58 rows on average, in runs. Each way is read in a process of its own, whose peak memory is
ru_maxrss, Python and its libraries included.

    python benchmarks/bench_ali_ccp_loader.py                  5 million rows, what is not in results yet
    python benchmarks/bench_ali_ccp_loader.py --rows 1000000
    python benchmarks/bench_ali_ccp_loader.py --fast           20,000 rows, *_fast.csv
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from results_file import ResultsFile, circumstances

WAYS = ("all fields", "without histories")
HISTORIES = ("109_14", "110_14", "127_14", "150_14")
CROSSES = ("508", "509", "702", "853")
OWN_FIELDS = ("205", "206", "207", "210", "210", "216", "301", *CROSSES)
USER_FIELDS = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ROWS_PER_USER, HISTORY, PIECE, N_PIECES = 58, 50, 50_000, 8
KEY = ("rows", "way")


def entries(fields: tuple[str, ...], generator: np.random.Generator) -> str:
    """Return one list of entries; crosses and histories carry logarithms of counts, all else 1."""
    ids = generator.integers(1, 10**7, size=len(fields)).tolist()
    numbers = np.log1p(generator.integers(1, 20, size=len(fields))).tolist()
    counted = [field in HISTORIES or field in CROSSES for field in fields]
    texts = [f"{number:.5f}" if count else "1.0" for number, count in zip(numbers, counted, strict=True)]
    return "\x01".join(f"{a}\x02{b}\x03{c}" for a, b, c in zip(fields, ids, texts, strict=True))


def write_files(folder: Path, rows: int) -> None:
    """Write both files piece by piece; pieces repeat after the eighth, users' lists after the thousandth."""
    generator = np.random.default_rng(0)
    users = [generator.bytes(16).hex() for _ in range(max(1, rows // ROWS_PER_USER))]
    fields = USER_FIELDS + tuple(field for field in HISTORIES for _ in range(HISTORY))
    lists = [entries(fields, generator) for _ in range(min(1000, len(users)))]
    with (folder / "common_features_train.csv").open("w", newline="") as file:
        file.writelines(
            f"{user},{len(fields)},{lists[place % len(lists)]}\n" for place, user in enumerate(users)
        )
    pieces = [piece(users, generator) for _ in range(min(N_PIECES, -(-rows // PIECE)))]
    with (folder / "sample_skeleton_train.csv").open("w", newline="") as file:
        for place in range(0, rows, PIECE):
            file.writelines(pieces[place // PIECE % len(pieces)][: rows - place])


def piece(users: list[str], generator: np.random.Generator) -> list[str]:
    """Return lines of the skeleton; one in ten thousand converted without a click, as happens."""
    clicks = generator.random(PIECE) < 0.04
    conversions = np.where(clicks, generator.random(PIECE) < 0.005, generator.random(PIECE) < 0.0001)
    drawn = np.repeat(generator.integers(len(users), size=PIECE // ROWS_PER_USER + 1), ROWS_PER_USER)[:PIECE]
    return [
        f"{place},{int(clicks[place])},{int(conversions[place])},{users[drawn[place]]},"
        f"{len(OWN_FIELDS)},{entries(OWN_FIELDS, generator)}\n"
        for place in range(PIECE)
    ]


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Read everything once."""
    from sparse_data.datasets.ali_ccp import MULTI_VALUED, SINGLE_VALUED, AliCCP

    fields = SINGLE_VALUED + MULTI_VALUED
    if options["way"] == "without histories":
        fields = tuple(field for field in fields if field not in HISTORIES)
    folder = Path(options["folder"])
    start = time.perf_counter()
    data = AliCCP(folder / "sample_skeleton_train.csv", folder / "common_features_train.csv", fields=fields)
    common_seconds = time.perf_counter() - start
    start = time.perf_counter()
    rows = clicks = 0
    for shown in data:
        rows += len(shown)
        clicks += int(shown.clicks.sum())
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    blocks = len(data.block_lengths)
    return {
        "kept": rows,
        "dropped": data.n_dropped,
        "clicks": clicks,
        "users": len(data.common),
        "common_seconds": common_seconds,
        "rows_per_second": (rows + data.n_dropped) / seconds,
        "blocks": blocks,
        "index_seconds": time.perf_counter() - start,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    rows = 20_000 if arguments.fast else arguments.rows
    file = ResultsFile("ali_ccp_loader" + ("_fast" if arguments.fast else ""), KEY)
    todo = [way for way in WAYS if not file.holds({"rows": rows, "way": way})]
    if not todo:
        print("all there")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), rows)
        gigabytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e9
        for way in todo:
            measured = own_process.measure({"rows": rows, "way": way, "folder": folder}, {})
            file.append({"rows": rows, "way": way, "gb": gigabytes, **measured, **circumstances("numpy")})
            print(
                f"{rows} rows, {way}: {measured['rows_per_second']:.0f} rows/s, "
                f"peak {measured['peak_memory_mb']:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
