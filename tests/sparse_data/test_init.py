"""The package's table of names, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sparse_data


def test_names():
    assert dir(sparse_data) == sorted(sparse_data.__all__)
    assert sparse_data.Bags.from_lists([[1]]).lengths.tolist() == [1]
    assert sparse_data.ops_numpy.__name__ == "sparse_data.ops_numpy"
    with pytest.raises(AttributeError, match="module 'sparse_data' has no attribute 'Bag'"):
        sparse_data.Bag  # noqa: B018


def test_import_is_light():
    code = (
        "import sys, sparse_data; sparse_data.Bags, sparse_data.ops_numpy; "
        "print({'scipy', 'sklearn', 'numba', 'keras', 'torch', 'tensorflow', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"
