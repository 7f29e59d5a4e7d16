"""Evaluation over the full catalogue: `evaluate_retriever` against `tfrs.metrics.FactorizedTopK`.

Gowalla: 29,858 users, 40,981 items, 217,242 held-out pairs, 64-dimensional vectors, lists of 100. Every run
is a process of its own that loads the data, warms up on 64 pairs (compilation and tracing are not timed),
then measures once; the contenders take turns, round by round.

* sparselabels: defaults. Seen items removed, all metrics, slices by popularity, 500 bootstrap resamples.
* sparselabels-same_work: nothing removed, no slices, no resamples; its hit rate per interaction is the top-k
  categorical accuracy of TFRS and must agree with it.
* tfrs-streaming, tfrs-brute_force: `FactorizedTopK.update_state` in a tf.function, which ranks the catalogue
  anew for every pair. With --queries users it gets one pair a user, the least that any evaluation must rank:
  what is left then is the difference of the engines, and its hit rate is of those pairs alone.

    python benchmarks/bench_full_evaluation.py                all runs that are not in results yet
    python benchmarks/bench_full_evaluation.py --pairs 8192   this many test pairs for TFRS, time scaled up
    python benchmarks/bench_full_evaluation.py --summary      medians and ratios of what is there
    python benchmarks/bench_full_evaluation.py --queries users
    python benchmarks/bench_full_evaluation.py --fast         a minute on a tiny part, writes *_fast.csv
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import own_process
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from retrieval_task import GivenVectors, load_split

CONTENDERS = ("sparselabels", "tfrs-streaming", "sparselabels-same_work", "tfrs-brute_force")
LENGTHS = (10, 50, 100)
WARM_UP_PAIRS = 64
KEY = ("contender", "queries", "vectors", "dim", "query_batch", "candidate_batch", "pairs_measured", "seed")
PACKAGES = ("numpy", "numba", "tensorflow", "tf-keras", "tensorflow-recommenders")


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Evaluate once; in the process of the contender."""
    train, test = load_split("gowalla", 0, fast=options["fast"])
    with np.load(options["path"]) as stored:
        users, items = stored["users"], stored["items"]
    if options["contender"].startswith("tfrs"):
        if options["queries"] == "users":
            test = test.take(np.unique(test.user_ids, return_index=True)[1])
        test = test.take(np.random.default_rng(0).permutation(len(test))[: options["pairs_measured"]])
        evaluate = prepare_tfrs(options, users, items)
    else:
        evaluate = prepare_sparselabels(options["contender"], train, users, items)
    first = evaluate(test.take(slice(WARM_UP_PAIRS)))
    assert np.isfinite(list(first.values())).all()
    with PeakMemory() as memory:
        start = time.perf_counter()
        measured = evaluate(test)
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "seconds_all": seconds * options["n_queries"] / len(test),
        "peak_extra_megabytes": memory.extra / 1e6,
        **measured,
    }


def prepare_sparselabels(
    contender: str, train: Any, users: NDArray[np.float32], items: NDArray[np.float32]
) -> Callable[[Any], dict[str, float]]:
    from recsys_ssl.measures.evaluation import evaluate_retriever

    model = GivenVectors(users, items).fit(train)
    lean: dict[str, Any] = {"slices": None, "filter_seen": False, "n_bootstrap": 0}
    settings = lean if contender.endswith("same_work") else {}

    def evaluate(test: Any) -> dict[str, float]:
        frame = evaluate_retriever(model, train, test, LENGTHS, **settings)
        value = frame[frame["slice"] == "all"].set_index(["metric", "k"])["value"]
        return {f"hit_rate_{k}": float(value["hit_rate_per_interaction", k]) for k in LENGTHS}

    return evaluate


def prepare_tfrs(
    options: dict[str, Any], users: NDArray[np.float32], items: NDArray[np.float32]
) -> Callable[[Any], dict[str, float]]:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    if options["contender"] == "tfrs-streaming":
        batches = tf.data.Dataset.from_tensor_slices(items).batch(options["candidate_batch"]).cache()
        candidates = tfrs.layers.factorized_top_k.Streaming(k=max(LENGTHS)).index_from_dataset(batches)
    else:
        candidates = tfrs.layers.factorized_top_k.BruteForce(k=max(LENGTHS)).index(tf.constant(items))
    metric = tfrs.metrics.FactorizedTopK(candidates, ks=LENGTHS)
    queries, positives = tf.constant(users), tf.constant(items)
    signature = [tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.int64)]

    @tf.function(input_signature=signature)
    def update(user_rows: tf.Tensor, item_rows: tf.Tensor) -> None:
        metric.update_state(tf.gather(queries, user_rows), tf.gather(positives, item_rows))

    def evaluate(test: Any) -> dict[str, float]:
        metric.reset_states()
        # Ids of Gowalla are rows already.
        pairs = tf.data.Dataset.from_tensor_slices((test.user_ids, test.item_ids))
        for user_rows, item_rows in pairs.batch(options["query_batch"]):
            update(user_rows, item_rows)
        return {f"hit_rate_{k}": float(value) for k, value in zip(LENGTHS, metric.result(), strict=True)}

    return evaluate


class PeakMemory:
    """Largest resident memory inside the block above that at its start, in bytes, as `extra`."""

    def __enter__(self) -> PeakMemory:
        import psutil

        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.extra, self._stop = 0, threading.Event()
        self._exact = _reset_high_water_mark()
        if not self._exact:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._exact:
            self.extra = _high_water_mark() - self._before
            return
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self.extra = max(self.extra, self._process.memory_info().rss - self._before)


def _reset_high_water_mark() -> bool:
    """Let Linux count the peak anew; False where it does not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def make_vectors(kind: str, dim: int, path: Path, *, fast: bool) -> None:
    """Write vectors of all users and items: random, or factors of iALS, whose scores are a model's."""
    train, _ = load_split("gowalla", 0, fast=fast)
    shape = len(train.users["user_id"]), len(train.items["item_id"])
    generator = np.random.default_rng(0)
    vectors = [generator.normal(scale=0.1, size=(rows, dim)).astype(np.float32) for rows in shape]
    if kind == "ials":
        from recsys_ssl.baselines import IALS

        model = IALS(dim, n_iterations=5, random_state=0).fit(train)
        vectors[0][model.user_ids_], vectors[1][model.item_ids_] = model.user_factors_, model.item_factors_
    np.savez(path, users=vectors[0], items=vectors[1])


def run_all(arguments: argparse.Namespace) -> None:
    results = ResultsFile("full_evaluation_tfrs" + ("_fast" if arguments.fast else ""), KEY)
    _, test = load_split("gowalla", 0, fast=arguments.fast)
    with tempfile.TemporaryDirectory() as folder:
        grid = itertools.product(arguments.vectors, range(arguments.rounds), arguments.contender)
        for kind, seed, contender in grid:
            path = Path(folder) / f"{kind}.npz"
            ours = contender.startswith("sparselabels")
            for queries in ["pairs"] if ours else arguments.queries:
                n_queries = len(test) if queries == "pairs" else len(np.unique(test.user_ids))
                options = {
                    "contender": contender,
                    "queries": queries,
                    "vectors": kind,
                    "dim": arguments.dim,
                    "query_batch": 0 if ours else arguments.query_batch,
                    "candidate_batch": arguments.candidate_batch if contender == "tfrs-streaming" else 0,
                    "n_queries": n_queries,
                    "pairs_measured": n_queries if ours else min(arguments.pairs or n_queries, n_queries),
                    "seed": seed,
                }
                if results.holds(options):
                    continue
                if not path.exists():
                    make_vectors(kind, arguments.dim, path, fast=arguments.fast)
                about = circumstances(*PACKAGES)
                environment = {} if ours else {"TF_USE_LEGACY_KERAS": "1"}
                measured = own_process.measure(
                    {**options, "fast": arguments.fast, "path": str(path)}, environment
                )
                protocol = "LightGCN split, full catalogue, k = 10, 50, 100"
                results.append({**about, **options, "data": "gowalla", "protocol": protocol, **measured})
                print(
                    f"{kind} {contender} {queries}: {measured['seconds_all']:.2f} s, "
                    f"peak extra {measured['peak_extra_megabytes']:.0f} MB, "
                    f"hit rate @100 {measured['hit_rate_100']:.5f}",
                    flush=True,
                )


def summarise(arguments: argparse.Namespace) -> None:
    """Print medians over rounds and each contender's time over that of sparselabels."""
    import pandas as pd

    results = ResultsFile("full_evaluation_tfrs" + ("_fast" if arguments.fast else ""), KEY)
    if not results.path.exists():
        raise SystemExit(f"nothing is measured yet: {results.path.name} is missing")
    frame = pd.read_csv(results.path)
    names = ["vectors", "dim", "contender", "queries", "query_batch", "candidate_batch", "pairs_measured"]
    table = (
        frame.groupby(names)
        .agg(
            runs=("seed", "count"),
            seconds=("seconds_all", "median"),
            peak_extra_megabytes=("peak_extra_megabytes", "max"),
            hit_rate_100=("hit_rate_100", "mean"),
        )
        .reset_index()
    )
    ours = table[table.contender == "sparselabels"].set_index(["vectors", "dim"])["seconds"]
    setting = pd.MultiIndex.from_frame(table[["vectors", "dim"]])
    table["times_sparselabels"] = table["seconds"] / ours.reindex(setting).to_numpy()
    print(table.round(4).to_string(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contender", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--vectors", nargs="+", choices=("random", "ials"), default=["ials"])
    parser.add_argument("--queries", nargs="+", choices=("pairs", "users"), default=["pairs", "users"])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--query-batch", type=int, default=1024, help="test pairs a batch, for TFRS")
    parser.add_argument("--candidate-batch", type=int, default=4096, help="items a batch, for Streaming")
    parser.add_argument("--pairs", type=int, help="test pairs to measure TFRS on; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    if arguments.fast:
        arguments.rounds = 1
    if arguments.summary:
        summarise(arguments)
    else:
        run_all(arguments)


if __name__ == "__main__" and not own_process.answer_if_asked(run_one):
    main()
