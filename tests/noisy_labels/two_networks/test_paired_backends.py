"""Two networks on every backend: they learn, and what one backend saved the others load."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "paired_backends_script.py"
# TensorFlow runs in the other tests' own process.
BACKENDS = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory, run_under):
    folder = tmp_path_factory.mktemp("backends")
    found, saved = {}, []
    for backend in BACKENDS:
        path = str(folder / backend)
        printed = run_under(backend, SCRIPT, path, *saved)
        found[backend] = json.loads(printed.split("REPORT ")[1])
        saved.append(path)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_methods_learn(reports, backend):
    report = reports[backend]
    assert report["backend"] == backend
    assert all(score > 0.8 for score in report["scores"].values()), report["scores"]
    assert report["k"] == report["size"]


@pytest.mark.skipif("torch" not in BACKENDS, reason="needs torch")
def test_scikit_learns_checks(reports):
    assert reports["torch"]["failed"] == []
    assert reports["torch"]["passed"] > 100


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs two backends")
def test_another_backend_loads(reports):
    assert reports[BACKENDS[-1]]["loaded"][BACKENDS[0]] < 1e-5
