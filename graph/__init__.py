"""Graphs with fewer edges and networks with fewer weights: lottery tickets and what they are measured by."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "DropEdgeTicket": "drop_edge",
    "GraphDiagnostics": "diagnostics",
    "MagnitudeTicket": "magnitude_ticket",
    "SparsifyEdges": "edge_sparsification",
    "TeddyTicket": "teddy",
    "UGSTicket": "ugs",
    "cache_normalization": "sparse_export",
    "edge_scores": "edge_scoring",
    "graph_diagnostics": "diagnostics",
    "make_permanent": "torch_prune",
    "masked_messages": "message_masks",
    "project_l0_": "l0_projection",
    "sparsify_edges": "edge_sparsification",
    "to_csr": "sparse_export",
    "to_sorted_edge_index": "sparse_export",
    "to_torch_prune": "torch_prune",
}

_EXTRAS = {"torch": "torch", "torch_geometric": "torch", "pandas": "torch"}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `import graph` itself loads no PyTorch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'graph' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"graph.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name.split(".")[0]]
        raise ImportError(
            f"graph.{name} needs {error.name}: pip install 'sparselabels[{extra}]'", name=error.name
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
