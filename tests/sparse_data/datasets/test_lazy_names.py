from __future__ import annotations

import subprocess
import sys

import pytest

from sparse_data import datasets


def test_every_public_name_is_found():
    assert dir(datasets) == sorted(datasets.__all__)
    for name in datasets.__all__:
        assert getattr(datasets, name).__module__.startswith("sparse_data.datasets.")


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'fetch_everything'"):
        _ = datasets.fetch_everything


def test_import_and_bundled_set_load_nothing_else():
    code = (
        "import sys; from sparse_data import datasets;"
        "datasets.fetch_wikipedia_links(); datasets.make_checkerboard(6);"
        "heavy = {'pandas', 'polars', 'pyarrow', 'narwhals',"
        "'pooch', 'requests', 'sklearn', 'keras', 'torch'};"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
