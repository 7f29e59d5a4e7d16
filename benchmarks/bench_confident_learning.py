"""Seconds of processor and memory of finding label issues: ours and cleanlab's, each run in its own process.

float32 probabilities, 10 % symmetric noise.  Three pieces of work, which both sides do with the same answer
(told by its digest): the default rule; the issues by the confident joint, ranked by margin; the confident
joint and three scores of all labels.  cleanlab has no equivalent of our "auto".  Memory is the peak of
anonymous pages above what stood before the call, sampled every 5 ms: pages of a mapped file are not in it.

    python benchmarks/bench_confident_learning.py
    python benchmarks/bench_confident_learning.py --points 1000000x10 100000x1000
    python benchmarks/bench_confident_learning.py --mapped-gigabytes 20 --points

The last writes a file of that size in pieces, reads it through a memory map and removes it.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from own_process import answer_if_asked, measure
from results_file import ResultsFile, circumstances

POINTS = ("1000000x10", "5000000x10", "1000000x100", "100000x1000")
WORK = ("default rule", "ranked joint", "joint and scores")
ENGINES = (*(f"{side}, {work}" for side in ("ours", "cleanlab") for work in WORK), "ours, auto")
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
MAPPED_CLASSES, PIECE = 1000, 20_000


def make_rows(n: int, n_classes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, n_classes, n)
    probs = generator.standard_normal((n, n_classes), dtype=np.float32)
    probs *= 1.5
    probs[np.arange(n), true] += 2 + np.log(n_classes)
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = np.where(generator.random(n) < 0.1, generator.integers(0, n_classes, n), true)
    return labels, probs


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no RssAnon: the memory cannot be measured here")


@contextmanager
def measured(answer: dict[str, Any]) -> Iterator[None]:
    """Fill wall and processor seconds (of all threads) and the peak of memory above the start."""
    start, peak, done = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        answer["seconds"] = time.perf_counter() - wall
        answer["cpu_seconds"] = time.process_time() - cpu
        answer["extra_megabytes"] = (max(peak[0], anonymous_bytes()) - start) / 1e6
        done.set()
        watcher.join()


def checked_scores(kept: list[NDArray[Any]], joint: Any) -> NDArray[Any]:
    """Return the joint, after a look at the scores, which both sides keep until the end."""
    if not all(len(scores) == len(kept[0]) and np.isfinite(scores).all() for scores in kept):
        raise SystemExit("scores are missing")
    return np.asarray(joint)


def cleanlabs(work: str, labels: NDArray[np.int64], probs: NDArray[np.float32]) -> NDArray[Any]:
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    if work == "joint and scores":
        kept = [get_label_quality_scores(labels, probs, method=score) for score in SCORES]
        return checked_scores(kept, compute_confident_joint(labels, probs, calibrate=False))
    if work == "ranked joint":
        options = {"filter_by": "confident_learning", "return_indices_ranked_by": "normalized_margin"}
        return np.sort(find_label_issues(labels, probs, n_jobs=1, **options))
    return np.asarray(find_label_issues(labels, probs, n_jobs=1))


def ours(work: str, labels: NDArray[np.int64], probs: NDArray[np.float32]) -> NDArray[Any]:
    from noisy_labels.confident_learning.label_issues import find_label_issues
    from noisy_labels.confident_learning.label_scores import score_labels
    from noisy_labels.confident_learning.quality_scores import label_quality

    if work == "joint and scores":
        scored = score_labels(labels, probs, collisions="cleanlab")
        return checked_scores([getattr(scored, score) for score in SCORES], scored.joint)
    if work == "ranked joint":
        options = {"method": "confident_joint", "conventions": "cleanlab"}
        rows = np.flatnonzero(find_label_issues(labels, probs, **options))
        return np.sort(rows[np.argsort(label_quality(labels, probs)[rows])])
    return find_label_issues(labels, probs, method="auto" if work == "auto" else "cleanlab")


def call(engine: str, labels: NDArray[np.int64], probs: NDArray[np.float32]) -> NDArray[Any]:
    side, work = engine.split(", ")
    return (ours if side == "ours" else cleanlabs)(work, labels, probs)


def run(options: dict[str, Any]) -> dict[str, Any]:
    engine = options["engine"]
    n_classes = MAPPED_CLASSES if "file" in options else int(options["point"].split("x")[1])
    # Compiled and imported beforehand: the time is that of the work.
    call(engine, *make_rows(max(400_000 // n_classes, 4 * n_classes), n_classes, seed=1))
    if "file" in options:
        labels = np.load(options["file"] + ".labels.npy")
        shape = (len(labels), MAPPED_CLASSES)
        probs: NDArray[np.float32] = np.memmap(options["file"], dtype=np.float32, mode="r", shape=shape)
    else:
        labels, probs = make_rows(*(int(number) for number in options["point"].split("x")), seed=0)
    answer: dict[str, Any] = {}
    # What the allocator kept of earlier arrays would hide what the call needs.
    ctypes.CDLL(None).malloc_trim(0)
    with measured(answer):
        found = call(engine, labels, probs)
    answer["digest"] = hashlib.sha256(np.ascontiguousarray(found, dtype=np.int64).tobytes()).hexdigest()[:16]
    return answer


def write_mapped(path: str, gigabytes: float) -> int:
    """Write probabilities of that size piece by piece, and their labels beside them."""
    n_pieces = max(1, round(gigabytes * 1e9 / (4 * MAPPED_CLASSES * PIECE)))
    all_labels = []
    with open(path, "wb") as file:
        for piece in range(n_pieces):
            labels, probs = make_rows(PIECE, MAPPED_CLASSES, seed=piece)
            probs.tofile(file)
            all_labels.append(labels)
    np.save(path + ".labels.npy", np.concatenate(all_labels))
    return n_pieces * PIECE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", nargs="*", default=list(POINTS), help="n x classes")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mapped-gigabytes", type=float, default=0.0)
    options = parser.parse_args()
    results = ResultsFile("confident_learning", key=("point", "engine", "repeat"))

    def record(key: dict[str, Any], asked: dict[str, Any]) -> None:
        if not results.holds(key):
            row = {**key, **measure({**key, **asked}, {})}
            print(row)
            results.append({**row, **circumstances("numpy", "numba", "cleanlab")})

    for point in options.points:
        for repeat in range(options.repeats):
            for engine in options.engines:
                record({"point": point, "engine": engine, "repeat": repeat}, {})
    if options.mapped_gigabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "probs.f32")
            n = write_mapped(path, options.mapped_gigabytes)
            for engine in ENGINES[:3]:
                record(
                    {"point": f"{n}x{MAPPED_CLASSES} mapped", "engine": engine, "repeat": 0}, {"file": path}
                )


if __name__ == "__main__" and not answer_if_asked(run):
    main()
