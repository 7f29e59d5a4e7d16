"""Generated impressions with the fields of Ali-CCP, and how training on them is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values of more than ten impressions of the 18 single-valued fields, with one more for the unknown.
SIZES = {
    "101": 238635,
    "121": 98,
    "122": 14,
    "124": 3,
    "125": 8,
    "126": 4,
    "127": 4,
    "128": 3,
    "129": 5,
    "205": 467298,
    "206": 6929,
    "207": 263942,
    "216": 106399,
    "508": 5888,
    "509": 104830,
    "702": 51878,
    "853": 37148,
    "301": 4,
}
DIM, HIDDEN = 18, (360, 200, 80)
SCALE = 0.05  # standard deviation of the tables' first values
CLICK_RATE, CONVERSION_RATE = (
    0.04,
    0.05,
)  # conversions are more than Ali-CCP's 0.5 % so that a loss shows them
RESERVED = 3  # rows before a vocabulary
PLANTED_SEED = 2018


def generated(rows: int, seed: int, *, first_row: int = 0) -> tuple[dict[str, NDArray[np.int32]], Any, Any]:
    """Return fields, clicks and conversions; ids follow a Zipf law and each has a planted effect.

    Ids leave the first rows of a table to values that are missing, unknown or masked.
    """
    generator = np.random.default_rng([seed, first_row])
    planted = np.random.default_rng(PLANTED_SEED)
    logits = np.full((2, rows), [[np.log(CLICK_RATE)], [np.log(CONVERSION_RATE)]])
    fields = {}
    for name, size in SIZES.items():
        values = max(size - RESERVED, 1)
        # The inverse of a continuous 1 / rank law: most impressions show few of the values.
        ranks = np.minimum(values ** generator.random(rows), values).astype(np.int64) - 1
        effects = planted.normal(0.0, 0.25, size=(2, values))
        shown = np.log1p(1 / np.arange(1, values + 1))  # how often each is, about
        effects -= np.average(effects, axis=1, weights=shown)[:, None]  # else a few ids would set the rates
        logits += effects[:, ranks]
        fields[name] = np.minimum(ranks + RESERVED, size - 1).astype(np.int32)
    drawn = generator.random((2, rows)) < 1 / (1 + np.exp(-logits))
    clicks, potential = drawn.astype(np.float32)
    return fields, clicks, clicks * potential


def losses(ctr: NDArray[Any], ctcvr: NDArray[Any], clicks: NDArray[Any], conversions: NDArray[Any]) -> Any:
    """Return the two mean cross entropies of ESMM and their sum."""
    found = {}
    for name, values, labels in (("ctr", ctr, clicks), ("ctcvr", ctcvr, conversions)):
        p = np.clip(values.astype(np.float64), 1e-7, 1 - 1e-7)
        found[name] = float(-(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean())
    return {**found, "sum": found["ctr"] + found["ctcvr"]}


def peak_mb() -> float:
    """Return the largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


class EpochTimes:
    """Callback of either Keras: seconds of every epoch and, untimed, what `measured` finds after it."""

    def __init__(self, measured: Callable[[], Any]) -> None:
        super().__init__()
        self.measured = measured
        self.seconds: list[float] = []
        self.processor_seconds: list[float] = []
        self.found: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.start, self.processor_start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop it."""
        self.seconds.append(time.perf_counter() - self.start)
        self.processor_seconds.append(time.process_time() - self.processor_start)
        self.found.append(self.measured())

    def answer(self) -> dict[str, Any]:
        """Return what was measured, and the peak memory of the process."""
        return {
            "epoch_seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "test_losses": self.found,
            "peak_mb": peak_mb(),
        }
