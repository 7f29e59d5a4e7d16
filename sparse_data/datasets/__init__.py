"""Data sets: fetchers that check what they read, one bundled set, generators with planted answers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_data.datasets.amazon_yelp import fetch_amazon, fetch_yelp
    from sparse_data.datasets.checkerboard import make_checkerboard
    from sparse_data.datasets.columns import to_columns
    from sparse_data.datasets.download import CorruptedFileError, DownloadError
    from sparse_data.datasets.gowalla import fetch_gowalla
    from sparse_data.datasets.interactions import Interactions
    from sparse_data.datasets.long_tail import PlantedInteractions, make_interactions
    from sparse_data.datasets.movielens import fetch_movielens
    from sparse_data.datasets.wikipedia_links import fetch_wikipedia_links
    from sparse_data.datasets.yelp_sparse import fetch_yelp_sparse

_FILE_OF = {
    "CorruptedFileError": "download",
    "DownloadError": "download",
    "Interactions": "interactions",
    "PlantedInteractions": "long_tail",
    "fetch_amazon": "amazon_yelp",
    "fetch_gowalla": "gowalla",
    "fetch_movielens": "movielens",
    "fetch_wikipedia_links": "wikipedia_links",
    "fetch_yelp": "amazon_yelp",
    "fetch_yelp_sparse": "yelp_sparse",
    "make_checkerboard": "checkerboard",
    "make_interactions": "long_tail",
    "to_columns": "columns",
}

__all__ = [
    "CorruptedFileError",
    "DownloadError",
    "Interactions",
    "PlantedInteractions",
    "fetch_amazon",
    "fetch_gowalla",
    "fetch_movielens",
    "fetch_wikipedia_links",
    "fetch_yelp",
    "fetch_yelp_sparse",
    "make_checkerboard",
    "make_interactions",
    "to_columns",
]


def __getattr__(name: str) -> Any:
    """Import the file of a public name at its first use."""
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
