"""A table of 2*10^7 rows of 32 numbers trains, is saved, and is reloaded by another process: memory and time.

The model is saved as a folder (``zipped=False``), since Keras makes the file of an archive in memory. Model,
batches and optimizer are those of bench_sparse_embedding.py, with the two slots of LazyAdam. The second
process reloads model and optimizer, compares rows, their slots and predictions with what the first one wrote,
and trains on. Peak memory is the largest resident size of each process, all of it.

    python benchmarks/bench_large_table.py                 all runs that are not in results yet
    python benchmarks/bench_large_table.py --fast          a small table, *_fast.csv
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from bench_sparse_embedding import BATCH, DIM, zipf_batches
from results_file import ResultsFile, circumstances

KEY = ("backend", "num_rows")
PACKAGES = ("numpy", "tensorflow", "keras", "jax", "torch")
STEPS = 20


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train and save, or reload and compare."""
    phase = {"train": _train_and_save, "reload": _reload_and_compare}[options["phase"]]
    measured = phase(options["num_rows"], Path(options["folder"]))
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return {**measured, f"{options['phase']}_peak_mb": peak / 1e6}


def _train_and_save(num_rows: int, folder: Path) -> dict[str, Any]:
    import keras

    from recsys_ssl import LazyAdam, SparseEmbedding, SparseModel

    inputs = keras.Input((), dtype="int32")
    model = SparseModel(inputs, keras.layers.Dense(1)(SparseEmbedding(num_rows, DIM)(inputs)))
    model.compile(optimizer=LazyAdam(0.01, table_beta_1=0.9), loss="mse")
    ids, targets = (array[: STEPS * BATCH] for array in zipf_batches(num_rows, 0))
    start = time.perf_counter()
    model.fit(ids, targets, batch_size=BATCH, verbose=0)
    trained = time.perf_counter()
    model.save(folder / "model", zipped=False)
    saved = time.perf_counter()
    probe = ids[:BATCH]
    np.savez(
        folder / "probe.npz", ids=probe, predictions=model.predict(probe, verbose=0), **_rows(model, probe)
    )
    return {
        "train_seconds": trained - start,
        "save_seconds": saved - trained,
        "file_mb": sum(file.stat().st_size for file in (folder / "model").rglob("*")) / 1e6,
    }


def _reload_and_compare(num_rows: int, folder: Path) -> dict[str, Any]:
    import keras

    import recsys_ssl

    del num_rows
    _ = recsys_ssl.SparseEmbedding, recsys_ssl.SparseModel, recsys_ssl.LazyAdam  # known to Keras by name
    start = time.perf_counter()
    model = keras.saving.load_model(folder / "model")
    seconds = time.perf_counter() - start
    with np.load(folder / "probe.npz") as probe:
        found = {"predictions": model.predict(probe["ids"], verbose=0), **_rows(model, probe["ids"])}
        difference = max(float(np.abs(found[name] - probe[name]).max()) for name in found)
        history = model.fit(probe["ids"], probe["predictions"], batch_size=BATCH, verbose=0)
    if difference > 1e-6 or not np.isfinite(history.history["loss"][0]):
        raise SystemExit(f"the reloaded model differs by {difference}")
    return {"reload_seconds": seconds, "largest_difference": difference}


def _rows(model: Any, ids: Any) -> dict[str, Any]:
    """Rows of the table and of the slots that the optimizer keeps for it."""
    tables = [
        v for v in (*model.variables, *model.optimizer.variables) if len(v.shape) == 2 and v.shape[1] == DIM
    ]
    gathered = [np.asarray(_gather(variable, ids)) for variable in tables]
    return {f"table_{place}": rows for place, rows in enumerate(gathered)}


def _gather(variable: Any, ids: Any) -> Any:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(variable.value, ids)  # of a resource variable, which is not copied
    return keras.ops.convert_to_numpy(keras.ops.take(variable.value, ids, axis=0))


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    file = ResultsFile("large_table" + ("_fast" if arguments.fast else ""), KEY)
    for backend in arguments.backend:
        options = {"backend": backend, "num_rows": 100_000 if arguments.fast else 20_000_000}
        if file.holds(options):
            continue
        measured: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            for phase in ("train", "reload"):
                asked = {**options, "phase": phase, "folder": folder}
                measured |= own_process.measure(asked, {"KERAS_BACKEND": backend})
        file.append({**options, **measured, **circumstances(*PACKAGES)})
        print(options, {name: round(value, 3) for name, value in measured.items()}, flush=True)


if __name__ == "__main__":
    main()
