"""The code of the guides runs as it stands, and the reference has every public name once."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

ROOT = Path(__file__).parent.parent
PACKAGES = ("recsys_ssl", "noisy_labels", "graph", "sparse_data")
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
# TensorFlow Recommenders wants Keras 2 under TensorFlow from the start of the process.
KERAS_2 = {"tfrs", "coming_from_tfrs"}


def code_of(page: Path) -> str:
    """Return the Python blocks of a page where they stand in it; all other lines are empty."""
    text, code, end = page.read_text(encoding="utf-8"), "", 0
    for found in BLOCK.finditer(text):
        code += "\n" * text.count("\n", end, found.start(1)) + found[1]
        end = found.end(1)
    return code


PAGES = {page.stem: page for page in sorted((ROOT / "docs").glob("*.md")) if code_of(page)}


def planted_citations(name, **options):
    """Return a small graph of communities: the citation graphs have to be downloaded."""
    from sparse_data.datasets import GraphDataset

    rng = np.random.default_rng(0)
    n_nodes, n_classes = 210, 7
    labels = np.arange(n_nodes) % n_classes
    chance = np.where(labels[:, None] == labels, 0.15, 0.01)
    upper = np.triu(rng.random((n_nodes, n_nodes)) < chance, 1)
    features = rng.random((n_nodes, 30)) < 0.1 + 0.4 * (np.arange(30) % n_classes == labels[:, None])
    part = np.arange(n_nodes) // 70
    return GraphDataset(
        scipy.sparse.csr_array((upper | upper.T).astype(np.float32)),
        scipy.sparse.csr_array(features.astype(np.float32)),
        labels,
        *(part == number for number in range(3)),
    )


# PyTorch Geometric makes matrices in CSR without saying whether they are to be checked.
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("page", sorted(PAGES.keys() - KERAS_2))
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparse_data.datasets.fetch_planetoid", planted_citations, raising=False)
    exec(compile(code_of(PAGES[page]), str(PAGES[page]), "exec"), {"__name__": page})


def test_code_beside_keras_2_runs(tmp_path):
    for page in sorted(KERAS_2):
        (tmp_path / f"{page}.py").write_text(code_of(PAGES[page]), encoding="utf-8")
    program = f"import runpy\nfor page in {sorted(KERAS_2)}: runpy.run_path(page + '.py')"
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reference_has_every_public_name_once(monkeypatch):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    monkeypatch.syspath_prepend(ROOT / "docs" / "hooks")
    lazy_names, pages = importlib.import_module("lazy_names"), importlib.import_module("pages")
    shown = [
        line.removeprefix("::: ")
        for package in lazy_names.PACKAGES
        for line in pages.reference_page(package).splitlines()
        if line.startswith("::: ")
    ]
    public = {
        f"{package}.{name}"
        for package in lazy_names.PACKAGES
        for name in importlib.import_module(package).__all__
    }
    assert sorted(shown) == sorted(public - {"sparse_data.datasets"})  # which has a page of its own
    held_by = {n: m for p in lazy_names.PACKAGES for n, m in lazy_names.public_names(p).items()}
    modules = {*lazy_names.MODULES, "recsys_ssl.tfrs"}
    for page in PAGES.values():
        for module, name in imported_names(code_of(page)):
            shown_with = held_by.get(name) == module or module in modules
            assert f"{module}.{name}" in public or shown_with, f"{page.name}: {module}.{name}"


def imported_names(code: str) -> list[tuple[str, str]]:
    """Return modules and names of what a program takes from this library."""
    return [
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES
        for alias in node.names
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_import_brings_no_other_package_along(package):
    """What the first page says of imports; seconds are not measured here, since they vary."""
    code = f"import sys; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - sys.stdlib_module_names == {package}
