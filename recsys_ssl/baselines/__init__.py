"""Strong models without a neural network, to be beaten before anything else is believed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_ssl.baselines.ease import EASE
    from recsys_ssl.baselines.ials import IALS
    from recsys_ssl.baselines.item_knn import ItemKNN
    from recsys_ssl.baselines.popularity import Popularity

_FILE_OF = {"EASE": "ease", "IALS": "ials", "ItemKNN": "item_knn", "Popularity": "popularity"}

__all__ = ["EASE", "IALS", "ItemKNN", "Popularity"]


def __getattr__(name: str) -> Any:
    """Import the file of a public name at its first use."""
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
