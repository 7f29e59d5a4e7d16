"""The updates of rows in Triton's interpreter, in the compiler and, where there is one, on a GPU.

The cases stand in ``triton_rows_cases.py``; each test here runs them in a process of its own.
"""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

CASES = "triton_rows_cases.py"


def test_cases_in_the_interpreter(run_cases):
    run_cases(CASES, "not compiled and not on_gpu", {"TRITON_INTERPRET": "1"})


def test_cases_where_kernels_are_compiled(run_compiled):
    run_compiled(CASES)


def test_missing_triton(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "sparse_data.ops_triton_rows", raising=False)
    with pytest.raises(ImportError, match=r"ops_triton_rows needs .* pip install 'sparselabels\[triton\]'"):
        import_module("sparse_data.ops_triton_rows")
