"""What self-supervision costs: seconds of a training step with and without it, on the items of Amazon Beauty.

Blocks of steps of both models alternate in one process, so that what else the machine does hits both; the
ratio is the median over pairs of blocks.

    SPARSELABELS_DATA=<folder> python benchmarks/bench_self_supervision_step.py
    python benchmarks/bench_self_supervision_step.py --summary
    python benchmarks/bench_self_supervision_step.py --fast     a made-up catalogue, *_fast.csv
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import own_process
from results_file import ResultsFile, circumstances

from sparse_data import datasets

BACKENDS = ("jax", "tensorflow", "torch")
BATCHES = (1024, 2048)
DIM, L2 = 64, 0.05
BLOCK, ROUNDS = 10, 15
KEY = ("backend", "batch_size", "hidden")
HIDDEN = {"": (), "128": (128,)}


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Time both models in turn."""
    import keras

    from recsys_ssl import SelfSupervision
    from recsys_ssl.embeddings.rowwise import LazyAdam
    from recsys_ssl.encoding.entity_features import EntityFeatures
    from recsys_ssl.retrieval.batches import InteractionBatches
    from recsys_ssl.retrieval.two_tower_training import build_two_tower

    log = (
        datasets.make_interactions(random_state=0).interactions
        if options["fast"]
        else datasets.fetch_amazon("beauty")
    )
    user_ids, users = np.unique(log.user_ids, return_inverse=True)
    item_ids, items = np.unique(log.item_ids, return_inverse=True)
    encoders = [
        EntityFeatures.learn("user_id", user_ids, None),
        EntityFeatures.learn("item_id", item_ids, log.items),
    ]
    tables = [encoders[0].encode(user_ids, None), encoders[1].encode(item_ids, log.items)]
    trained = {}
    for name in ("without", "with"):
        task = SelfSupervision("cfm", seed=0) if name == "with" else None
        model = build_two_tower(
            *(encoder.specification() for encoder in encoders),
            dim=DIM,
            l2=L2,
            hidden_units=HIDDEN[options["hidden"]],
            self_supervision=task,
            item_features=tables[1],
        )
        model.compile(optimizer=LazyAdam(0.005), jit_compile=keras.backend.backend() == "jax")
        batches = InteractionBatches(
            users,
            items,
            None,
            user_features=tables[0],
            item_features=tables[1],
            log_q=np.log(np.bincount(items) / len(items)),
            batch_size=options["batch_size"],
            self_supervised=task is not None,
        )
        trained[name] = model, batches
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for turn in range((2 if options["fast"] else ROUNDS) + 1):
        for name, (model, batches) in trained.items():
            start = time.perf_counter()
            for place in range(BLOCK):
                model.train_on_batch(batches[(turn * BLOCK + place) % len(batches)][0])
            # The first block compiles.
            if turn:
                seconds[name].append((time.perf_counter() - start) / BLOCK)
    ratios = np.array(seconds["with"]) / np.array(seconds["without"])
    return {
        "seconds_without": float(np.median(seconds["without"])),
        "seconds_with": float(np.median(seconds["with"])),
        "ratio": float(np.median(ratios)),
        "ratio_low": float(np.quantile(ratios, 0.25)),
        "ratio_high": float(np.quantile(ratios, 0.75)),
    }


def summary(file: ResultsFile) -> None:
    """Print all rows."""
    for row in file.rows():
        print(
            f"{row['backend']:10s} batch {row['batch_size']} hidden {row['hidden'] or 'none'}: "
            f"{row['seconds_without']} s without, {row['seconds_with']} s with, ratio {row['ratio']} "
            f"(quartiles {row['ratio_low']} to {row['ratio_high']})"
        )


def main() -> None:
    """Measure what is not there yet."""
    if own_process.answer_if_asked(run_one):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    file = ResultsFile("self_supervision_step" + ("_fast" if arguments.fast else ""), KEY)
    for backend in () if arguments.summary else arguments.backend:
        for batch_size in BATCHES[: 1 if arguments.fast else None]:
            for hidden in list(HIDDEN)[: 1 if arguments.fast else None]:
                options = {"backend": backend, "batch_size": batch_size, "hidden": hidden}
                if file.holds(options):
                    continue
                measured = own_process.measure(
                    {**options, "fast": arguments.fast}, {"KERAS_BACKEND": backend}
                )
                file.append({**options, **measured, **circumstances("numpy", "keras", backend)})
    summary(file)


if __name__ == "__main__":
    main()
