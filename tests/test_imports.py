"""The arrows between the packages, and what their import loads."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("sparse_data", "recsys_ssl", "noisy_labels", "graph")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

# What a file of a package may import of the heavy libraries, by the file's path.
HEAVY = {"keras", "tensorflow", "jax", "torch", "torch_geometric", "triton"}
ALLOWED = {
    "sparse_data/datasets/planetoid.py": {"torch", "torch_geometric"},
    "sparse_data/ops_keras.py": {"keras"},
    "sparse_data/ops_torch.py": {"torch"},
    "sparse_data/sparse_attention.py": {"torch"},
    "sparse_data/sparse_features.py": {"torch"},
    "sparse_data/sparse_pattern.py": {"torch"},
    "sparse_data/tensor_checks.py": {"torch"},
    "sparse_data/ops_triton.py": {"torch", "triton"},
    "sparse_data/ops_triton_rows.py": {"torch", "triton"},
    "sparse_data/ops_triton_launch.py": {"torch", "triton"},
    "noisy_labels/proportions/input_gradient.py": {"keras", "tensorflow", "jax", "torch"},
    "recsys_ssl/sparse_training/tensorflow.py": {"tensorflow"},
    "recsys_ssl/retrieval/tensorflow_batches.py": {"keras", "tensorflow"},
    "recsys_ssl/sparse_training/tensorflow_step.py": {"keras", "tensorflow"},
    "recsys_ssl/sparse_training/jax.py": {"jax", "keras"},
    "recsys_ssl/sparse_training/torch.py": {"torch"},
    "recsys_ssl/tfrs/__init__.py": {"keras"},
    "recsys_ssl/tfrs/sampled_softmax_task.py": {"keras", "tensorflow"},
    "recsys_ssl/tfrs/serving.py": {"tensorflow"},
}
NUMBA_IN_SPARSE_DATA = {"sparse_data/ops_numba.py"}


def imported(file: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(str(node.module).split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_arrows_point_to_sparse_data_only(file):
    path = file.relative_to(ROOT).as_posix()
    names = imported(file)
    own = path.split("/")[0]
    assert not (names & set(PACKAGES)) - {own, "sparse_data"}
    if own == "sparse_data":
        assert names & HEAVY <= ALLOWED.get(path, set())
        assert "sklearn" not in names
        assert "numba" not in names or path in NUMBA_IN_SPARSE_DATA
    if own == "recsys_ssl":
        assert names & HEAVY <= ALLOWED.get(path, {"keras"})
    if own == "noisy_labels":
        allowed = ALLOWED.get(path, {"keras"})
        assert names & HEAVY <= allowed or names & HEAVY <= {"torch", "torch_geometric"}
    if own == "graph":
        assert names & HEAVY <= {"torch", "torch_geometric"}


def arrows_between_folders(package: str) -> dict[str, set[str]]:
    """For every folder, and every file beside them, those of its package that it imports from."""
    arrows: dict[str, set[str]] = {}
    for file in (ROOT / package).rglob("*.py"):
        own = file.relative_to(ROOT / package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == package:
                inner = str(node.module).split(".")[1:2] or [alias.name for alias in node.names]
                arrows.setdefault(own, set()).update(name for name in inner if name != own)
    return arrows


@pytest.mark.parametrize("package", ["recsys_ssl", "noisy_labels"])
def test_folders_of_a_package_form_no_circle(package):
    arrows = arrows_between_folders(package)
    assert len(arrows) > 5
    list(graphlib.TopologicalSorter(arrows).static_order())  # raises CycleError


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("sparse_data", HEAVY | {"sklearn", "numba", "pandas"}),
        ("sparse_data.datasets", HEAVY | {"sklearn", "numba", "pandas"}),
        ("noisy_labels", HEAVY),
        ("recsys_ssl", HEAVY),
        ("graph", HEAVY),
        ("recsys_ssl.baselines", HEAVY),
    ],
)
def test_import_loads_nothing_heavy(package, absent):
    code = f"import sys, {package}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {name.split(".")[0] for name in loaded.stdout.split()} & absent


def test_graph_is_ours():
    import graph

    assert Path(graph.__file__).parent == ROOT / "graph"


@pytest.mark.parametrize(
    "package",
    ["recsys_ssl", "recsys_ssl.baselines", "noisy_labels", "graph", "sparse_data", "sparse_data.datasets"],
)
def test_every_public_name_imports(package):
    module = __import__(package, fromlist=["__all__"])
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_files_have_telling_names():
    assert not [
        file
        for file in FILES
        if file.stem in {"utils", "util", "helpers", "helper", "base", "common", "misc"}
    ]
