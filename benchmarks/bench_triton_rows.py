"""Roofline of the Triton kernels of `sparse_data` on a GPU, and a whole step against torch.

Both kernels do a handful of operations a number, so that memory alone bounds them. The roofline is

    fraction = (bytes that must move / seconds) / copy bandwidth

with the copy bandwidth of the same card in the same process: ``copy_`` of a large buffer, which reads and
writes every byte once. Bytes that must move are counted from the equations, not measured:

    pooled lookup   every looked-up row, its id and the offsets read; every bag written
    row update      the gradient of every occurrence, its row number and its place in the sorted order read;
                    every distinct row and its two slot rows (LazyAdam) read and written

Repeated rows come from the cache: with Zipf ids a lookup can pass 1, with uniform ids over a table far
larger than the cache it cannot. A small batch is bound by the start of its kernels, not by memory; the larger
default batch is there for the roofline. The figure of the update is (sort and update) - (sort): the sort of
the ids is torch's. Nothing looks at the input in these (``check=False``); the whole step is timed with and
without.

The whole step is lookup, backward and LazyAdam, against ``torch.nn.EmbeddingBag(sparse=True)`` with
``SparseAdam``: same table, ids and loss. Contenders take turns, round by round; figures are medians, timed
with CUDA events. Goals: a fraction of at least 0.8 for the lookup, a step at least 3 times as fast.

Lookup, sort and update are replayed from CUDA graphs: the time of the device alone, since a launch from
Python takes longer than a small batch. The steps are timed as they are called, host included, and ours also
as one CUDA graph; torch's cannot be captured, since it asks the device for the number of different rows.

    python benchmarks/bench_triton_rows.py                          all settings that are not in results yet
    python benchmarks/bench_triton_rows.py --rows 1000000 --dim 64 --ids uniform
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import own_process  # noqa: F401  it puts this checkout first on the path
from results_file import ResultsFile, circumstances

KEY = ("rows", "dim", "batch_size", "bag_length", "ids")
FLOAT_BYTES, ID_BYTES = 4, 8
COPY_BYTES = 1 << 30
LEARNING_RATE, BETAS, EPSILON = 0.001, (0.9, 0.999), 1e-8


def lookup_bytes(num_values: int, num_bags: int, dim: int) -> int:
    read = num_values * (dim * FLOAT_BYTES + ID_BYTES) + (num_bags + 1) * ID_BYTES
    return read + num_bags * dim * FLOAT_BYTES


def update_bytes(num_values: int, num_distinct: int, dim: int, num_slots: int) -> int:
    occurrences = num_values * (dim * FLOAT_BYTES + 2 * ID_BYTES)
    return occurrences + num_distinct * 2 * (1 + num_slots) * dim * FLOAT_BYTES


def draw_ids(kind: str, num_rows: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "uniform":
        return rng.integers(num_rows, size=size)
    # Popularity falls as 1 / rank; popular rows lie anywhere in the table.
    ranks = np.exp(rng.uniform(0, np.log(num_rows + 1), size=size)).astype(np.int64) - 1
    return ranks * 2_654_435_761 % num_rows


def milliseconds(torch: Any, contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median time of each contender; they take turns, after ten rounds that warm up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-10, rounds):
        for name, work in contenders.items():
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            work()
            end.record()
            end.synchronize()
            if number >= 0:
                taken[name].append(start.elapsed_time(end))
    return {name: statistics.median(times) for name, times in taken.items()}


def replayed(torch: Any, work: Callable[[], Any]) -> Callable[[], None]:
    """Return the kernels of some work as one launch, after a few rounds that compile and allocate."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay  # type: ignore[no-any-return]


def make_steps(
    torch: Any, lookup: Any, update: Any, table: Any, values: Any, offsets: Any
) -> dict[str, Callable[[], Any]]:
    """Return one training step of ours and one of torch's, on the loss mean(out²); ours changes `table`."""
    ours = table.requires_grad_()
    moments = torch.zeros_like(table), torch.zeros_like(table)
    theirs = torch.nn.EmbeddingBag.from_pretrained(
        table.detach().clone(), freeze=False, mode="sum", sparse=True, include_last_offset=True
    )
    optimizer = torch.optim.SparseAdam(theirs.parameters(), lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    count = itertools.count(1)
    on_device = torch.zeros((), dtype=torch.int64, device="cuda")

    def counted_there() -> None:
        on_device.add_(1)
        our_step(False, on_device)

    def our_step(check: bool, step: Any = None) -> None:
        lookup(ours, values, offsets, check=check).square().mean().backward()
        gradient, ours.grad = ours.grad, None
        options = {"learning_rate": LEARNING_RATE, "beta_1": BETAS[0], "beta_2": BETAS[1], "epsilon": EPSILON}
        rows, gradients = gradient._indices()[0], gradient._values()
        update(
            ours,
            *moments,
            rows,
            gradients,
            step=next(count) if step is None else step,
            check=check,
            **options,
        )

    def their_step() -> None:
        optimizer.zero_grad()
        theirs(values, offsets).square().mean().backward()
        optimizer.step()

    return {
        "checked": lambda: our_step(True),
        "unchecked": lambda: our_step(False),
        "graph": replayed(torch, counted_there),
        "torch": their_step,
    }


def time_kernels(
    torch: Any, lookup: Any, update: Any, run: dict[str, Any], values: Any, offsets: Any
) -> dict[str, float]:
    """Return milliseconds of a copy, the lookups, the sort, and the sort with the update."""
    table, moments, second = (torch.rand(run["rows"], run["dim"], device="cuda") for _ in range(3))
    gradients = torch.randn(len(values), run["dim"], device="cuda")
    source = torch.ones(COPY_BYTES // FLOAT_BYTES, device="cuda")
    target = torch.empty_like(source)
    options = {"step": 1, "learning_rate": LEARNING_RATE, "check": False}
    bag = {"mode": "sum", "include_last_offset": True}
    work = {
        "copy": lambda: target.copy_(source),
        "lookup": lambda: lookup(table, values, offsets, check=False),
        "torch_lookup": lambda: torch.nn.functional.embedding_bag(values, table, offsets, **bag),
        "sort": lambda: values.int().sort(stable=True),
        "sort_and_update": lambda: update(table, moments, second, values, gradients, **options),
    }
    # A copy in a graph takes another and slower way.
    graphs = {name: each if name == "copy" else replayed(torch, each) for name, each in work.items()}
    return milliseconds(torch, graphs, run["rounds"])


def measure(run: dict[str, Any]) -> dict[str, Any]:
    import torch

    from sparse_data.ops_triton import pooled_lookup as lookup
    from sparse_data.ops_triton_rows import lazy_adam_rows_ as update

    num_values, dim = run["batch_size"] * run["bag_length"], run["dim"]
    ids = draw_ids(run["ids"], run["rows"], num_values)
    values = torch.as_tensor(ids, device="cuda")
    offsets = torch.arange(0, num_values + 1, run["bag_length"], device="cuda")
    times = time_kernels(torch, lookup, update, run, values, offsets)
    table = torch.rand(run["rows"], dim, device="cuda")
    steps = milliseconds(torch, make_steps(torch, lookup, update, table, values, offsets), run["rounds"])
    bandwidth = 2 * COPY_BYTES / times["copy"]  # bytes a millisecond
    to_look_up = lookup_bytes(num_values, run["batch_size"], dim)
    to_update = update_bytes(num_values, len(np.unique(ids)), dim, num_slots=2)
    update_ms = times["sort_and_update"] - times["sort"]
    return {
        "copy_gb_per_second": bandwidth / 1e6,
        "lookup_bytes": to_look_up,
        "lookup_ms": times["lookup"],
        "lookup_fraction": to_look_up / times["lookup"] / bandwidth,
        "torch_lookup_fraction": to_look_up / times["torch_lookup"] / bandwidth,
        "update_bytes": to_update,
        "sort_ms": times["sort"],
        "update_ms": update_ms,
        "update_fraction": to_update / update_ms / bandwidth,
        "step_ms": steps["unchecked"],
        "step_checked_ms": steps["checked"],
        "step_graph_ms": steps["graph"],
        "torch_step_ms": steps["torch"],
        "step_ratio": steps["torch"] / steps["unchecked"],
        "step_checked_ratio": steps["torch"] / steps["checked"],
        "step_graph_ratio": steps["torch"] / steps["graph"],
        "device": torch.cuda.get_device_name(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 20_000_000])
    parser.add_argument("--dim", type=int, nargs="+", default=[32, 128])
    # The first one is the step of the CPU benchmark; it is too short to fill a GPU, the second one is not.
    parser.add_argument("--batch", type=int, nargs="+", default=[4096, 262_144])
    parser.add_argument("--bag-length", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--ids", nargs="+", choices=["zipf", "uniform"], default=["zipf", "uniform"])
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        raise SystemExit("nothing is measured: pip install 'sparselabels[torch]' first") from None
    if not torch.cuda.is_available():
        raise SystemExit("nothing is measured: the kernels need a CUDA device, and there is none here")
    results = ResultsFile("triton_rows", KEY)
    grid = itertools.product(options.rows, options.dim, options.batch, options.bag_length, options.ids)
    for setting in grid:
        run = dict(zip(KEY, setting, strict=True))
        if results.holds(run):
            continue
        about = circumstances("numpy", "torch", "triton")
        run["rounds"] = options.rounds
        measured = measure(run)
        results.append({**about, **run, **measured})
        print(
            f"{run}: lookup {measured['lookup_fraction']:.2f}, update {measured['update_fraction']:.2f} of "
            f"{measured['copy_gb_per_second']:.0f} GB/s, step {measured['step_ratio']:.2f}x and as a graph "
            f"{measured['step_graph_ratio']:.2f}x torch",
            flush=True,
        )


if __name__ == "__main__":
    main()
