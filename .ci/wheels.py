"""Build wheel and sdist, check their metadata, try the wheel with each extra in an environment of its own.

    python .ci/wheels.py [extra ...]

Every environment holds the wheel and what the extra asks for, nothing else; the program of the extra runs in
it. The sdist is installed once, without extras.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOG = "from sparse_data import datasets; log = datasets.fetch_wikipedia_links()\n"
LABELS = "import numpy as np; rng = np.random.default_rng(0); y = rng.integers(3, size=90)\n"
RETRIEVE = (
    LOG + "from recsys_ssl import TwoTowerRetriever\n"
    "model = TwoTowerRetriever(dim=4, epochs=1, verbose=False).fit(log.take(range(2000)))\n"
    "assert model.recommend(model.user_ids_[:2], k=3)[0].shape == (2, 3)\n"
)
GRAPH = (
    "import torch; from graph import sparsify_edges; edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])\n"
    "assert sparsify_edges(edges, 0.5)[0].shape == (2, 2)\n"
    "from noisy_labels import rate_reduction; import inspect; assert inspect.isfunction(rate_reduction)\n"
)
PLAIN = (
    LOG + "from recsys_ssl import EASE\n"
    "assert EASE().fit(log).recommend(log.user_ids[:1], k=3)[0].shape == (1, 3)\n"
    + LABELS
    + "from sklearn.naive_bayes import GaussianNB; from noisy_labels import ConfidentLearningClassifier\n"
    "X = np.eye(3)[y] + rng.normal(size=(90, 3)) / 5\n"
    "assert ConfidentLearningClassifier(GaussianNB(), random_state=0).fit(X, y).score(X, y) > 0.9\n"
    "from noisy_labels import BagRidge; bags = np.arange(90) // 5\n"
    "BagRidge().fit(X, bags=bags, counts=np.bincount(bags, y == 1)).predict_proba(X)\n"
)
PROGRAMS = {
    "": PLAIN,
    "recsys": RETRIEVE,
    "jax": "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
    "import keras, jax; from recsys_ssl import TwoTower\n",
    "torch": GRAPH,
    "cleanlab": LABELS + "from noisy_labels import find_label_issues, to_cleanlab\n"
    "p = np.full((90, 3), 0.1); p[np.arange(90), y] = 0.8; p[0] = np.roll(p[0], 1)\n"
    "from cleanlab.filter import find_label_issues as theirs\n"
    "assert (find_label_issues(y, p, method='cleanlab') == theirs(y, p)).all()\n",
    "tfrs": "import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'\n"
    "import tensorflow_recommenders, recsys_ssl.tfrs\n",
    "implicit": PLAIN + "import implicit\n",
    "ann": PLAIN + "import recsys_ssl.retrieval.approximate_index, usearch.index\n",
    "report": PLAIN + "import matplotlib.pyplot\n",
    "triton": "import triton, sparse_data.ops_triton, sparse_data.ops_triton_rows\n",
}


def run(*command: object, folder: Path) -> None:
    """Run a command in a folder; end with what it printed where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def try_in_an_empty_environment(package: Path, extra: str) -> float:
    """Install and run the program of the extra; return the size of the environment in GB."""
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    asked = f"sparselabels[{extra}] @ {package.as_uri()}" if extra else str(package)
    constraints = ROOT / "constraints.txt"
    pip = (python, "-m", "pip")
    run(*pip, "install", "--quiet", "--no-compile", "--constraint", constraints, asked, folder=folder)
    run(*pip, "check", folder=folder)
    run(python, "-c", PROGRAMS[extra], folder=folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    shutil.rmtree(folder)
    return size / 1e9


def main() -> None:
    """Check all of it, or some extras."""
    built = ROOT / "dist"
    shutil.rmtree(built, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "-d", built, folder=ROOT)
    wheel, sdist = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, folder=ROOT)
    for extra in sys.argv[1:] or PROGRAMS:
        print(f"wheel[{extra}]: {try_in_an_empty_environment(wheel, extra):.2f} GB", flush=True)
    if not sys.argv[1:]:
        print(f"sdist: {try_in_an_empty_environment(sdist, ''):.2f} GB", flush=True)


if __name__ == "__main__":
    main()
