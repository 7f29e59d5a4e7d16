"""Call every public entry point with malformed input and write down what did not hold.

    python benchmarks/fuzz_entry_points.py --inputs 200000

The calls, the ways to spoil them and the contract are those of ``tests/fuzzing``. A round tries `EACH` inputs
of every entry point (a `SLOW` part of them where it trains or builds layers, for `SECONDS` at most), with
the round's number as seed; rounds go on until there are as many inputs as asked for. The entry points of a
package run in a process of their own, which is started again without the one that killed it.
`results/fuzzing.csv` has a row for each entry point and seed; rows that are there are skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from results_file import ResultsFile, circumstances

FUZZING = Path(__file__).resolve().parent.parent / "tests" / "fuzzing"
sys.path[:0] = [str(FUZZING), str(FUZZING.parents[1])]

EACH, SLOW, SECONDS = 1000, 10, 15
SILENCE = 240  # seconds without a word from a process: more than a call may take, and loading of frameworks
PACKAGES = ("sparse_data", "noisy_labels", "graph", "recsys_ssl")


def try_entry_point(call: Any, seed: int) -> dict[str, Any]:
    """Return counts and findings of one entry point."""
    from call_contract import breach
    from malformed_values import spoilt_arguments

    begun, found, tried = time.monotonic(), Counter(), 0
    told: dict[Any, str] = {}
    if set(call.arguments) <= call.fixed:
        return {"inputs": 0, "findings": 0, "seconds": 0.0, "told": ""}
    for number in range(EACH // SLOW if call.slow else EACH):
        if time.monotonic() - begun > SECONDS:
            break
        how, arguments = spoilt_arguments(call.arguments, call.fixed, Random(f"{seed} {call.name} {number}"))
        finding = breach(call.run, arguments, how, call.errors)
        tried += 1
        if finding is not None:
            found[finding.key] += 1
            told.setdefault(finding.key, f"#{number} {finding.how}: {finding.message[:120]}")
    texts = [f"{count} x {' | '.join(key)} ({told[key]})" for key, count in found.most_common()]
    seconds = round(time.monotonic() - begun, 2)
    return {
        "inputs": tried,
        "findings": sum(found.values()),
        "seconds": seconds,
        "told": "; ".join(texts)[:3000],
    }


def answer(package: str, seed: int, skipped: list[str]) -> None:
    """Tell the parent, a JSON line each, what entry point is begun and what came of it."""
    warnings.simplefilter("ignore")
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what calls print is none of it
    from entry_points import calls

    seen: Counter[str] = Counter()
    for call in calls(package):
        seen[call.name] += 1
        name = call.name if seen[call.name] == 1 else f"{call.name} ({seen[call.name]})"
        if name in skipped:
            continue
        channel.write(json.dumps({"begun": name}) + "\n")
        channel.write(json.dumps({"name": name, **try_entry_point(call, seed)}) + "\n")
    channel.write(json.dumps({"ended": package}) + "\n")


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a process tells until it ends or falls silent."""
    assert process.stdout is not None
    while True:
        ready, _, _ = select.select([process.stdout], [], [], SILENCE)
        line = process.stdout.readline() if ready else b""
        if not line:
            return
        yield json.loads(line)


def one_round(results: ResultsFile, package: str, seed: int) -> None:
    """Try all entry points of a package that the results lack."""
    skipped = [row["entry_point"] for row in results.rows() if row["seed"] == str(seed)]
    while True:
        command = [sys.executable, __file__, "--answer", package, str(seed), json.dumps(skipped)]
        log = open(os.devnull, "wb")  # noqa: SIM115
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        current, ended = None, False
        for line in lines_of(process):
            ended = "ended" in line
            if ended:
                break
            if "begun" in line:
                current = line["begun"]
                continue
            current = None
            skipped.append(line["name"])
            write(results, seed, line)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        status = process.wait()
        if current is None:
            if not ended:
                raise SystemExit(f"the entry points of {package} could not be listed: status {status}")
            return
        skipped.append(current)
        fault = f"1 x no crash | status {status} | "
        write(results, seed, {"name": current, "inputs": 1, "findings": 1, "seconds": 0.0, "told": fault})


def write(results: ResultsFile, seed: int, line: dict[str, Any]) -> None:
    package = line["name"].split(".")[0]
    row = {"package": package, "entry_point": line["name"], "seed": seed, "inputs": line["inputs"]}
    row |= {"findings": line["findings"], "seconds": line["seconds"], "told": line["told"]}
    results.append({**row, **circumstances("numpy", "pandas", "torch", "keras", "scikit-learn")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--packages", nargs="*", default=PACKAGES)
    parser.add_argument("--name", default="fuzzing", help="of the file of results")
    options = parser.parse_args()
    results = ResultsFile(options.name, ["entry_point", "seed"])
    for seed in range(1000):
        for package in options.packages:
            one_round(results, package, seed)
        tried = sum(int(row["inputs"]) for row in results.rows())
        print(f"{tried} inputs after seed {seed}", flush=True)
        if tried >= options.inputs:
            return


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        main()
