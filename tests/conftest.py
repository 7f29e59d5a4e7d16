"""What all tests share: XLA without optimising, and scripts under another Keras backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# Before a framework is loaded, and for processes that tests start: what a test compiles runs once or twice.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def run_under(tmp_path_factory):
    """Return a function that runs a script under a backend and returns what it printed.

    It takes the backend, the script's text or path, its arguments, and as `given` its input.
    """
    folder = tmp_path_factory.mktemp("scripts")
    warm = {}

    def start(backend):
        settings = {"KERAS_BACKEND": backend, "PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.Popen(
            [sys.executable, HERE / "warm_process_script.py"],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(backend, script, *arguments, given=""):
        process = warm[backend] if backend in warm else warm.setdefault(backend, start(backend))
        paths = {name: str(folder / name) for name in ("given", "printed", "errors")}
        Path(paths["given"]).write_text(given)
        source = script.read_text() if isinstance(script, Path) else textwrap.dedent(script)
        name = str(script) if isinstance(script, Path) else "script"
        task = {"name": name, "source": source, "arguments": [str(value) for value in arguments], **paths}
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        code = process.stdout.readline().strip()
        assert code == "0", f"{backend}: ended with {code}\n{Path(paths['errors']).read_text()[-3000:]}"
        return Path(paths["printed"]).read_text()

    yield run
    for process in warm.values():
        process.communicate()
