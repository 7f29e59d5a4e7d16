"""ESMM on generated data of the shape of Ali-CCP: impressions a second against DeepCTR, and memory.

18 category fields with the vocabularies of Ali-CCP (1.28 million rows), dim 18, towers 360-200-80, Adam with
the same learning rate, first values of the same scale, l2 of 0 on both sides. DeepCTR is compiled with Keras
2's Adam, as in its documentation, and with the older one, legacy.Adam, which is faster; "deepctr-adam-l2" has
its own default l2, 1e-5. Every run is a process of its own and the contenders take turns. Speed is the median
epoch after the first, the data pipeline included, and the same per second of all processors, which other load
disturbs less; losses are those of 50,000 other impressions after every epoch.

With --memory the impressions are read block by block, each generated as it is read, so that nothing but
training grows with their number: the peak memory of one epoch.

DeepCTR's environment is described in deepctr_esmm.py; DEEPCTR_PYTHON or --deepctr names its python.

    python benchmarks/bench_esmm_training.py --deepctr /tmp/deepctr/bin/python
    python benchmarks/bench_esmm_training.py --contender sparselabels-tensorflow --batch 1024
    python benchmarks/bench_esmm_training.py --memory
    python benchmarks/bench_esmm_training.py --summary
    python benchmarks/bench_esmm_training.py --fast                 few rows, *_fast.csv
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from esmm_task import DIM, HIDDEN, RESERVED, SIZES, EpochTimes, generated, losses, peak_mb
from results_file import ResultsFile, circumstances

OURS = ("sparselabels-tensorflow", "sparselabels-jax")
DEEPCTR = ("deepctr-adam", "deepctr-legacy_adam")
DEFAULT_L2 = "deepctr-adam-l2"
DEEPCTR_L2 = 1e-5  # its default
KEY = ("contender", "batch_size", "rows", "epochs", "learning_rate", "seed")
MEMORY_KEY = ("contender", "batch_size", "rows")
PACKAGES = ("numpy", "tensorflow", "keras", "tf-keras", "jax")
BLOCK = 25_000


class GeneratedBlocks:
    """Impressions of any number, a block at a time."""

    def __init__(self, rows: int) -> None:
        self.block_lengths = np.full(rows // BLOCK, BLOCK)

    def read_block(self, place: int, /) -> Any:
        """Return the impressions of one block, ids as a log has them."""
        from sparse_data.datasets import Impressions

        fields, clicks, conversions = generated(BLOCK, 0, first_row=place * BLOCK)
        ids = {name: np.maximum(rows - RESERVED, 0) for name, rows in fields.items()}
        return Impressions(ids, clicks, conversions)


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train ESMM once."""
    return (_stream if options["memory"] else _time)(options)


def _time(options: dict[str, Any]) -> dict[str, Any]:
    import keras

    keras.utils.set_random_seed(options["seed"])
    specification = [
        {"name": name, "kind": "category", "num_rows": max(size, RESERVED + 1)}
        for name, size in SIZES.items()
    ]
    model = _compiled(specification, options)
    x, clicks, conversions = generated(options["rows"], options["seed"])
    held, *labels = generated(options["test_rows"], options["seed"] + 1)

    class Times(EpochTimes, keras.callbacks.Callback):
        """The callback of this Keras."""

    def predicted() -> Any:
        found = model.predict(held, batch_size=8192, verbose=0)
        return found["ctr"], found["ctcvr"]

    times = Times(lambda: losses(*predicted(), *labels))
    targets = {"click": clicks, "conversion": conversions}
    arguments = {"batch_size": options["batch_size"], "epochs": options["epochs"], "verbose": 0}
    model.fit(x, targets, callbacks=[times], **arguments)
    return times.answer()


def _stream(options: dict[str, Any]) -> dict[str, Any]:
    from recsys_ssl import Category, FeatureEncoder, ImpressionBatches

    declaration, _ = FeatureEncoder([Category(name) for name in SIZES]).to_state()
    vocabularies = {name: np.arange(max(size - RESERVED, 1)) for name, size in SIZES.items()}
    encoder = FeatureEncoder.from_state(declaration, vocabularies)
    source = GeneratedBlocks(options["rows"])
    batches = ImpressionBatches(source, encoder, batch_size=options["batch_size"], buffer_blocks=4)
    model = _compiled(encoder.specification(), options)
    before = peak_mb()
    history = model.fit(batches, epochs=1, verbose=0)
    return {"before_mb": before, "peak_mb": peak_mb(), "loss": history.history["loss"][0]}


def _compiled(specification: list[dict[str, Any]], options: dict[str, Any]) -> Any:
    from recsys_ssl import LazyAdam
    from recsys_ssl.entire_space.esmm import ESMM

    model = ESMM(specification, dim=DIM, hidden_units=HIDDEN, seed=options["seed"])
    model.compile(optimizer=LazyAdam(options["learning_rate"]))
    return model


def measured_by(options: dict[str, Any], python: str | None) -> dict[str, Any]:
    """Measure a contender in a process of its own, DeepCTR in its own environment as well."""
    library, flavour, *l2 = options["contender"].split("-")
    if library == "sparselabels":
        return own_process.measure(options, {"KERAS_BACKEND": flavour})
    if python is None:
        raise SystemExit(
            "DeepCTR needs an environment of its own: see deepctr_esmm.py, pass --deepctr PYTHON"
        )
    asked = {**options, "optimizer": flavour, "l2": DEEPCTR_L2 if l2 else 0.0}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        script = Path(__file__).parent / "deepctr_esmm.py"
        environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [python, str(script), json.dumps(asked), str(answer)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode:
            sys.stderr.buffer.write(done.stderr)
            raise SystemExit(f"the run {asked} failed with status {done.returncode}")
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def time_all(arguments: argparse.Namespace) -> None:
    """Time what is not there yet."""
    results = _files(arguments.fast)[0]
    for batch_size in arguments.batch:
        for seed in range(arguments.rounds):
            for contender in arguments.contender:
                options = {
                    "contender": contender,
                    "batch_size": batch_size,
                    "rows": arguments.rows,
                    "epochs": arguments.epochs,
                    "learning_rate": arguments.learning_rate,
                    "seed": seed,
                }
                if results.holds(options):
                    continue
                about = circumstances(*PACKAGES)
                asked = {**options, "test_rows": 2_000 if arguments.fast else 50_000, "memory": False}
                found = measured_by(asked, arguments.deepctr)
                seconds, scored = found["epoch_seconds"], found["test_losses"]
                row = {
                    "rows_per_second": arguments.rows / statistics.median(seconds[1:]),
                    "rows_per_processor_second": arguments.rows
                    / statistics.median(found["processor_seconds"][1:]),
                    "first_loss": scored[0]["sum"],
                    "best_loss": min(scored, key=lambda one: one["sum"])["sum"],
                    "last_loss": scored[-1]["sum"],
                    "epoch_seconds": " ".join(f"{value:.3f}" for value in seconds),
                    "losses": json.dumps(scored),
                    "peak_mb": found["peak_mb"],
                }
                results.append({**options, **row, **about})
                shown = f"{row['rows_per_second']:,.0f} rows/s, loss {row['first_loss']:.5f}"
                print(f"{contender} {batch_size} {seed}: {shown}, best {row['best_loss']:.5f}", flush=True)


def measure_memory(arguments: argparse.Namespace) -> None:
    """Measure the peak memory of one streamed epoch, of few and of many impressions."""
    memory = _files(arguments.fast)[1]
    sizes = (BLOCK, 2 * BLOCK) if arguments.fast else (250_000, 1_000_000)
    for contender in [name for name in arguments.contender if name in OURS]:
        for rows in sizes:
            options = {"contender": contender, "batch_size": arguments.batch[-1], "rows": rows}
            if memory.holds(options):
                continue
            about = circumstances(*PACKAGES)
            asked = {**options, "seed": 0, "learning_rate": arguments.learning_rate, "memory": True}
            found = measured_by(asked, None)
            memory.append({**options, **found, **about})
            print(f"{contender} {rows:,} rows: {found['peak_mb']:,.0f} MB", flush=True)


def _files(fast: bool) -> tuple[ResultsFile, ResultsFile]:
    ending = "_fast" if fast else ""
    return (
        ResultsFile(f"esmm_training{ending}", KEY),
        ResultsFile(f"esmm_training_memory{ending}", MEMORY_KEY),
    )


def summary(fast: bool) -> None:
    """Print medians over rounds, and the speed over that of DeepCTR with either Adam."""
    import pandas as pd

    results, memory = _files(fast)
    if results.path.exists():
        frame = pd.read_csv(results.path)
        columns = [
            "rows_per_second",
            "rows_per_processor_second",
            "first_loss",
            "best_loss",
            "last_loss",
            "peak_mb",
        ]
        table = frame.groupby(["batch_size", "contender"])[columns].median().reset_index()
        speeds = table.pivot(index="batch_size", columns="contender", values="rows_per_second")
        for name in [name for name in DEEPCTR if name in speeds]:
            table[f"over_{name}"] = table["rows_per_second"] / table["batch_size"].map(speeds[name])
        print(table.round(5).to_string(index=False))
    if memory.path.exists():
        frame = pd.read_csv(memory.path)
        print(frame[[*MEMORY_KEY, "before_mb", "peak_mb"]].round(0).to_string(index=False))


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = (*OURS, *DEEPCTR)
    parser.add_argument("--contender", nargs="+", choices=(*usual, DEFAULT_L2), default=list(usual))
    parser.add_argument("--batch", nargs="+", type=int, default=[512, 1024, 4096])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deepctr", default=os.environ.get("DEEPCTR_PYTHON"), help="python with DeepCTR")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    if arguments.fast:
        arguments.rows, arguments.batch, arguments.epochs, arguments.rounds = 8_192, [1024], 2, 1
    if not arguments.summary:
        (measure_memory if arguments.memory else time_all)(arguments)
    summary(arguments.fast)


if __name__ == "__main__":
    main()
