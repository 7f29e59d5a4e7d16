"""A CSV file of measurements that a benchmark appends to, one row a finished run."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Another folder has no rows yet, so that every benchmark measures again.
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", Path(__file__).parent / "results"))


class ResultsFile:
    """Rows with a key, so that a benchmark that starts again skips what it has measured.

    Parameters
    ----------
    name : str
        File name below ``benchmarks/results``, or the folder BENCHMARK_RESULTS, without suffix.
    key : sequence of str
        Columns that tell one run from another.
    """

    def __init__(self, name: str, key: Sequence[str]) -> None:
        self.path = RESULTS / f"{name}.csv"
        self.key = tuple(key)
        self._drop_torn_line()

    def rows(self) -> list[dict[str, str]]:
        """Return all rows, values as text."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def holds(self, options: Mapping[str, Any]) -> bool:
        """Return whether a run with these values of the key is there."""
        wanted = [_as_text(options[name]) for name in self.key]
        return any([row[name] for name in self.key] == wanted for row in self.rows())

    def mean_and_spread(self, column: str, **wanted: Any) -> str:
        """Return mean, sample deviation and number of a column in the rows with these values; "" for none."""
        texts = {name: _as_text(value) for name, value in wanted.items()}
        rows = [row for row in self.rows() if all(row[name] == text for name, text in texts.items())]
        values = [float(row[column]) for row in rows]
        if not values:
            return ""
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.fmean(values):.3f} ± {spread:.3f} ({len(values)})"

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row to disk at once; a new file gets its header from the first row."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        names = list(row) if new else self._names()
        if set(row) != set(names):
            raise ValueError(
                f"{self.path.name} must have the columns {sorted(row)}; got {sorted(names)}. Move it away."
            )
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({name: _as_text(value) for name, value in row.items()})
            file.flush()
            os.fsync(file.fileno())

    def _names(self) -> list[str]:
        with self.path.open(newline="") as file:
            return next(csv.reader(file))

    def _drop_torn_line(self) -> None:
        """Cut off a last line that a killed process did not finish."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            self.path.write_bytes(content[: content.rfind(b"\n") + 1])
        if not self.path.stat().st_size:
            self.path.unlink()


def circumstances(*packages: str) -> dict[str, str]:
    """Return command, date, commit, machine and versions: the columns that every row carries."""
    versions = [f"python {platform.python_version()}"]
    versions += [f"{package} {importlib.metadata.version(package)}" for package in packages]
    return {
        "command": "python " + shlex.join([_relative(sys.argv[0]), *sys.argv[1:]]),
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "load": f"{os.getloadavg()[0]:.2f}",
        "versions": "; ".join(versions),
    }


def _as_text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _relative(path: str) -> str:
    root = Path(__file__).parent.parent
    full = Path(path).resolve()
    return str(full.relative_to(root)) if full.is_relative_to(root) else full.name


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=False
    )
    name = head.stdout.strip() or "none"
    return name + ("+changes" if changed.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
