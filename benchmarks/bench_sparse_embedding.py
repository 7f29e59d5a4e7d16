"""One training step on a table of 10^4 to 2*10^7 rows: milliseconds and peak memory.

Model: one lookup (dim 32), one dense layer, squared error; batches of 4096 ids drawn by Zipf's law
(exponent 1.1) and spread over the table. Every run is a process of its own; contenders and sizes take turns,
round by round. A run's figure is the median over epochs of 100 steps after the first (20 for whoever touches
the whole table), all in one fit, data pipeline included. PyTorch, ours and its own, runs with one thread.
Peak memory is the largest resident size less that before the model was made.

    python benchmarks/bench_sparse_embedding.py                 all runs that are not in results yet
    python benchmarks/bench_sparse_embedding.py --rounds 3      more rounds
    python benchmarks/bench_sparse_embedding.py --summary       medians and ratios of what is there
    python benchmarks/bench_sparse_embedding.py --fast          the smallest table, *_fast.csv
    python benchmarks/bench_sparse_embedding.py --gpu           JAX and PyTorch on a GPU, *_gpu.csv

On a GPU memory is the largest size on the device.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from results_file import ResultsFile, circumstances

SIZES = (10_000, 1_000_000, 5_000_000, 20_000_000)
DIM, BATCH, STEPS, EPOCHS = 32, 4096, 100, 7
OURS = tuple(
    f"sparselabels-{backend}-{rule}"
    for backend in ("tensorflow", "jax", "torch")
    for rule in ("rowwise_adagrad", "lazy_adam")
)
STOCK = ("keras-tensorflow-adagrad", "keras-tensorflow-adam")
STOCK_ON_GPU = ("keras-jax-adagrad", "keras-jax-adam", "keras-torch-adagrad", "keras-torch-adam")
PEERS = ("keras2-tensorflow-adagrad", "keras2-tensorflow-adam", "torch-torch-sparse_adam")
KEY = ("contender", "num_rows", "round")
Timed = tuple[int, list[float]]  # bytes in use before, seconds of each epoch
PACKAGES = ("numpy", "tensorflow", "keras", "tf-keras", "jax", "torch")


def zipf_batches(
    num_rows: int, seed: int, steps: int = STEPS
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Ids of all steps by Zipf's law, popular ones anywhere in the table, and targets."""
    generator = np.random.default_rng(seed)
    ranks = generator.zipf(1.1, size=4 * steps * BATCH) - 1
    ranks = ranks[ranks < num_rows][: steps * BATCH]
    # Multiplying by a number without a common divisor permutes the rows.
    ids = (ranks * 7_368_787 + 12_345) % num_rows
    return ids.astype(np.int32), generator.random((len(ids), 1)).astype(np.float32)


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train and measure; in the process of the contender."""
    library, _, rule = options["contender"].split("-")
    # Whoever touches the whole table takes seconds a step: 20 steps tell as much.
    slow = (
        options["device"] == "cpu"
        and options["num_rows"] >= 1_000_000
        and (library == "keras" or (library, rule) == ("keras2", "adam"))
    )
    steps = 20 if slow else STEPS
    ids, targets = zipf_batches(options["num_rows"], options["round"], steps)
    run = {"sparselabels": _keras3, "keras": _keras3, "keras2": _keras2, "torch": _torch}[library]
    before, seconds = run(library, rule, options["num_rows"], ids, targets, 2 if slow else EPOCHS)
    measured = [value / steps * 1000 for value in seconds[1:]]
    peak = _memory("VmHWM") - before if options["device"] == "cpu" else _memory_of_gpu(options["contender"])
    return {
        "ms_per_step": statistics.median(measured),
        "fastest_ms": min(measured),
        "peak_mb": peak / 1e6,
    }


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def _memory_of_gpu(contender: str) -> int:
    """Return the most bytes that were in use on the GPU."""
    if "-jax-" in contender:
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


def _name_of_gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("nothing is measured: --gpu needs a CUDA device, and there is none here")
    return str(torch.cuda.get_device_name())


def _keras3(library: str, rule: str, num_rows: int, ids: Any, targets: Any, epochs: int) -> Timed:
    import keras

    keras.ops.sum(keras.ops.ones((10, 10)))  # the backend starts
    if library == "sparselabels":
        from recsys_ssl import LazyAdam, RowwiseAdagrad, SparseEmbedding, SparseModel

        embedding, model_class = SparseEmbedding, SparseModel
        both_moments = functools.partial(LazyAdam, table_beta_1=0.9)
        optimizer = {"rowwise_adagrad": RowwiseAdagrad, "lazy_adam": both_moments}[rule](0.01)
    else:
        embedding, model_class = keras.layers.Embedding, keras.Model
        optimizer = {"adagrad": keras.optimizers.Adagrad, "adam": keras.optimizers.Adam}[rule](0.01)
    before = _memory("VmRSS")
    inputs = keras.Input((), dtype="int32")
    model = model_class(inputs, keras.layers.Dense(1)(embedding(num_rows, DIM)(inputs)))
    model.compile(optimizer=optimizer, loss="mse")
    return before, _fitted(model, keras.callbacks.Callback, ids, targets, epochs)


def _keras2(library: str, rule: str, num_rows: int, ids: Any, targets: Any, epochs: int) -> Timed:
    del library
    import tf_keras

    before = _memory("VmRSS")
    optimizer = {"adagrad": tf_keras.optimizers.Adagrad, "adam": tf_keras.optimizers.Adam}[rule](0.01)
    model = tf_keras.Sequential([tf_keras.layers.Embedding(num_rows, DIM), tf_keras.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse")
    return before, _fitted(model, tf_keras.callbacks.Callback, ids, targets, epochs)


def _torch(library: str, rule: str, num_rows: int, ids: Any, targets: Any, epochs: int) -> Timed:
    del library, rule
    import torch

    place = "cuda" if torch.cuda.is_available() else "cpu"
    torch.ones(10, device=place).sum()
    before = _memory("VmRSS")
    table = torch.nn.EmbeddingBag(num_rows, DIM, mode="sum", sparse=True, device=place)
    dense = torch.nn.Linear(DIM, 1, device=place)
    optimizers = [
        torch.optim.SparseAdam(list(table.parameters()), lr=0.01),
        torch.optim.Adam(dense.parameters(), lr=0.01),
    ]
    all_ids, all_targets = (
        torch.from_numpy(ids).long()[:, None].to(place),
        torch.from_numpy(targets).to(place),
    )

    def epoch() -> None:
        for start in range(0, len(ids), BATCH):
            rows = dense(table(all_ids[start : start + BATCH]))
            loss = torch.mean((rows - all_targets[start : start + BATCH]) ** 2)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        epoch()
        if place == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return before, seconds


def _fitted(model: Any, callback: Any, ids: Any, targets: Any, epochs: int) -> list[float]:
    """Fit once, since a fit begins with tens of milliseconds that no step takes; return seconds by epoch."""
    seconds = []

    class Stopwatch(callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.perf_counter() - self.start)

    watch = [Stopwatch()]
    model.fit(ids, targets, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=watch)
    return seconds


def contenders(num_rows: int, on_gpu: bool) -> tuple[str, ...]:
    """Stock optimizers are left out where their slots and gradients would not fit the machine."""
    if on_gpu:
        return (*(name for name in OURS if "tensorflow" not in name), *STOCK_ON_GPU, PEERS[-1])
    return (*OURS, *PEERS, *(STOCK if num_rows <= 5_000_000 else ()))


def summary(file: ResultsFile) -> None:
    """Print medians, ours over the smallest table, and what others take of ours at each size."""
    found: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in file.rows():
        found.setdefault((row["contender"], int(row["num_rows"])), []).append(row)
    median, memory = (
        {key: statistics.median(float(row[column]) for row in rows) for key, rows in found.items()}
        for column in ("ms_per_step", "peak_mb")
    )
    sizes = sorted({size for _, size in found})
    title = "contender".ljust(34) + "".join(f"{size:>12.0e}" for size in sizes)
    print(f"{title}  largest/smallest  MB at largest")
    for contender in dict.fromkeys(name for name, _ in found):
        cells = [median.get((contender, size)) for size in sizes]
        line = contender.ljust(34) + "".join(f"{cell:12.1f}" if cell else " " * 12 for cell in cells)
        there = [size for size in sizes if (contender, size) in median]
        growth = median[contender, there[-1]] / min(median[contender, size] for size in there)
        print(f"{line}{growth:18.2f}{memory[contender, there[-1]]:15.0f}")


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--only", nargs="*", help="contenders")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    arguments = parser.parse_args()
    suffix = "_gpu" if arguments.gpu else "_fast" if arguments.fast else ""
    file = ResultsFile(f"sparse_embedding{suffix}", KEY)
    if arguments.summary:
        summary(file)
        return
    device = {"device": _name_of_gpu()} if arguments.gpu else {}
    packages = [name for name in PACKAGES if not arguments.gpu or name in ("numpy", "keras", "jax", "torch")]
    sizes = SIZES[:1] if arguments.fast else arguments.rows
    for round_number in range(1 if arguments.fast else arguments.rounds):
        for num_rows in sizes:
            for contender in arguments.only or contenders(num_rows, arguments.gpu):
                options = {"contender": contender, "num_rows": num_rows, "round": round_number}
                if file.holds(options):
                    continue
                library, backend, _ = contender.split("-")
                environment = {"KERAS_BACKEND": backend}
                if backend == "torch":
                    # Its threads wait for each other in a loop: with anything else on two cores an op of
                    # microseconds takes tens of milliseconds.
                    environment["OMP_NUM_THREADS"] = "1"
                if library == "keras2":
                    environment["TF_USE_LEGACY_KERAS"] = "1"
                measured = own_process.measure({"device": "cpu", **options, **device}, environment)
                file.append({**options, **measured, **device, **circumstances(*packages)})
                print(f"{contender:34s} {num_rows:>10,d} rows {measured['ms_per_step']:8.1f} ms", flush=True)
    summary(file)


if __name__ == "__main__":
    main()
