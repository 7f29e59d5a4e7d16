"""Sparse data: ragged bags, the sparse ops on four engines, and data sets.

`Bags` and the data sets need NumPy and SciPy; each ops file imports its own engine when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_data import checks, datasets, ops_keras, ops_numba, ops_numpy, ops_torch
    from sparse_data.bags import Bags

# Public name -> the module that holds it, or the module itself.
_MODULE_OF_NAME = {
    "Bags": "sparse_data.bags",
    "checks": "sparse_data.checks",
    "datasets": "sparse_data.datasets",
    "ops_keras": "sparse_data.ops_keras",
    "ops_numba": "sparse_data.ops_numba",
    "ops_numpy": "sparse_data.ops_numpy",
    "ops_torch": "sparse_data.ops_torch",
}

__all__ = [
    "Bags",
    "checks",
    "datasets",
    "ops_keras",
    "ops_numba",
    "ops_numpy",
    "ops_torch",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'sparse_data' has no attribute {name!r}")
    module_name = _MODULE_OF_NAME[name]
    module = import_module(module_name)
    return module if module_name == f"sparse_data.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
