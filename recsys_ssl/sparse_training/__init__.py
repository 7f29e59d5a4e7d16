r"""Gathered rows: look rows up, differentiate with respect to them, update them, in each Keras backend.

For the unique ids *r* of a batch, :math:`W_r` is gathered, :math:`\partial L / \partial W_r` computed, and
:math:`W_r` and its slots written back; nothing reads or writes another row. Every backend's module has the
same names: ``lookup`` and ``pooled``; ``row_gradient``, ``read_rows``, ``write_rows`` and ``update_touched``;
``filled`` and ``fill`` for first values; ``refusal`` of gradients that are not finite; ``visible_values`` and
``compiled``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import keras

from recsys_ssl.sparse_training.row_gradient import REFUSAL, RowGradient

__all__ = ["REFUSAL", "RowGradient", "backend_module", "is_table"]


def backend_module() -> ModuleType:
    """Return the module of the backend that Keras runs on."""
    return importlib.import_module(f"recsys_ssl.sparse_training.{keras.backend.backend()}")


def is_table(variable: Any) -> bool:
    """Tell whether a variable is trained by its touched rows."""
    return bool(getattr(variable, "sparse_rows", False))
