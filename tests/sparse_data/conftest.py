"""What the tests of the Triton kernels need: processes of their own, in which their cases run.

Triton decides when it is first imported whether it compiles or interprets, so that the cases stand in scripts
and not among the tests: ``pytest`` by itself collects none of them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

HERE = Path(__file__).parent
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(scope="session")
def triton_installed():
    for name in ("torch", "triton"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; pip install 'sparselabels[triton]' (Linux)")


@pytest.fixture
def run_cases(triton_installed, tmp_path):
    """Return a function that runs the cases of a script in a process, and fails with those that failed."""

    def run(script, select, environment):
        report = tmp_path / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:xdist", "-k", select]
        inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        done = subprocess.run(
            [*command, f"--junitxml={report}", str(HERE / script)],
            cwd=HERE.parents[1],
            env=inherited | {"TRITON_CACHE_DIR": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert report.exists(), done.stdout[-5000:] + done.stderr[-2000:]
        cases = list(ElementTree.parse(report).iter("testcase"))
        bad = [f"{case.get('name')}: {part.tag}\n{part.text}" for case in cases for part in case]
        assert not bad, f"{len(bad)} of {len(cases)} cases in {script}:\n\n" + "\n\n".join(bad)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]

    return run


@pytest.fixture
def run_compiled(run_cases):
    """Return a function that runs a script where Triton compiles: without a GPU the compiler's cases."""

    def run(script):
        on_gpu = import_module("torch").cuda.is_available()
        run_cases(script, "test" if on_gpu else "compiled", {})

    return run


@pytest.fixture(scope="session")
def device(triton_installed):
    if INTERPRETED:
        return "cpu"
    if not import_module("torch").cuda.is_available():
        pytest.skip("no GPU here, and TRITON_INTERPRET is not 1")
    return "cuda"


@pytest.fixture(scope="session")
def tensor(device):
    """Return a function that makes a tensor on the device under test."""
    torch = import_module("torch")

    def make(array, dtype=None):
        return torch.tensor(np.array(array), device=device).to(getattr(torch, dtype) if dtype else None)

    return make


@pytest.fixture(scope="session")
def build(triton_installed):
    """Return a function that compiles a kernel for a GPU of 2022, which takes no GPU, to assembly."""
    if INTERPRETED:
        pytest.skip("TRITON_INTERPRET is 1: nothing is compiled")
    triton = import_module("triton")
    compiler = import_module("triton.compiler")
    target = import_module("triton.backends.compiler").GPUTarget("cuda", 90, 32)

    def build(kernel, types, **constants):
        names = kernel.arg_names
        places = {(names.index(name),): value for name, value in constants.items()}
        signature = {name: types.get(name, "constexpr") for name in names}
        source = compiler.ASTSource(fn=kernel, signature=signature, constexprs=places)
        return triton.compile(source, target=target, options={"enable_fp_fusion": True}).asm["ptx"]

    return build
