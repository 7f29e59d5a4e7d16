"""The wheel builds, installs into an empty environment and imports there."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_four_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"recsys_ssl", "noisy_labels", "graph", "sparse_data"}
    assert any(name.endswith("squirrel_filtered.npz") for name in names)
    assert any(name.endswith("LICENCE-heterophilous-graphs.txt") for name in names)


def test_wheel_imports_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, capture_output=True)
    code = (
        "import recsys_ssl, noisy_labels, graph, sparse_data;"
        "from sparse_data import datasets; from recsys_ssl import EASE;"
        "log = datasets.fetch_wikipedia_links();"
        "print(EASE().fit(log).recommend(log.user_ids[:1], k=3)[0].shape)"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 3)", done.stderr
    code = "from recsys_ssl import TwoTower"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "pip install 'sparselabels[recsys]'" in done.stderr
