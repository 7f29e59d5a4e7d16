"""Run a measurement in a process of its own: frameworks that exclude each other, memory that starts clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FLAG = "--run-one"
# The packages of this checkout are what is measured, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def measure(options: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Start the calling script again for one run and return what it measured.

    Parameters
    ----------
    options : mapping
        JSON-ready; what the run is about.
    environment : mapping of str to str
        Variables to set, such as KERAS_BACKEND.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, sys.argv[0], FLAG, json.dumps(dict(options)), str(answer)]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        # What a framework logs is of interest only when it fails.
        done = subprocess.run(command, env={**os.environ, **quiet}, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            sys.stderr.buffer.write(done.stderr)
            raise SystemExit(f"the run {dict(options)} failed with status {done.returncode}")
        measured: dict[str, Any] = json.loads(answer.read_text())
        return measured


def answer_if_asked(run: Callable[[dict[str, Any]], Mapping[str, Any]]) -> bool:
    """In a process that `measure` started, do the one run and return True."""
    if len(sys.argv) != 4 or sys.argv[1] != FLAG:
        return False
    Path(sys.argv[3]).write_text(json.dumps(dict(run(json.loads(sys.argv[2])))))
    return True
