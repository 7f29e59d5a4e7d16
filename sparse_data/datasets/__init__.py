"""Data sets: fetchers that check what they read, one bundled set, generators with planted answers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_data.datasets.ali_ccp import AliCCP, fetch_ali_ccp
    from sparse_data.datasets.aliexpress import aliexpress_files, fetch_aliexpress
    from sparse_data.datasets.amazon_yelp import fetch_amazon, fetch_yelp
    from sparse_data.datasets.checkerboard import make_checkerboard
    from sparse_data.datasets.cifar_n import load_cifar_n, read_human_labels
    from sparse_data.datasets.columns import to_columns
    from sparse_data.datasets.common_features import CommonFeatures, read_common_features
    from sparse_data.datasets.criteo import criteo_files
    from sparse_data.datasets.download import CorruptedFileError, DownloadError
    from sparse_data.datasets.fashion_mnist import LabelledImages, fetch_fashion_mnist
    from sparse_data.datasets.field_pairs import read_field_pairs
    from sparse_data.datasets.funnel import PlantedFunnel, make_funnel
    from sparse_data.datasets.gowalla import fetch_gowalla
    from sparse_data.datasets.hillstrom import fetch_hillstrom
    from sparse_data.datasets.impression_files import ImpressionFiles
    from sparse_data.datasets.impressions import Impressions
    from sparse_data.datasets.interactions import Interactions
    from sparse_data.datasets.joined_impressions import concatenate_impressions
    from sparse_data.datasets.kuairand import fetch_kuairand
    from sparse_data.datasets.long_tail import PlantedInteractions, make_interactions
    from sparse_data.datasets.movielens import fetch_movielens
    from sparse_data.datasets.ogbn_arxiv import fetch_ogbn_arxiv
    from sparse_data.datasets.open_bandit import fetch_open_bandit
    from sparse_data.datasets.planetoid import GraphDataset, fetch_planetoid
    from sparse_data.datasets.wikipedia_links import fetch_wikipedia_links
    from sparse_data.datasets.yelp_sparse import fetch_yelp_sparse

_FILE_OF = {
    "AliCCP": "ali_ccp",
    "CommonFeatures": "common_features",
    "CorruptedFileError": "download",
    "DownloadError": "download",
    "GraphDataset": "planetoid",
    "ImpressionFiles": "impression_files",
    "Impressions": "impressions",
    "Interactions": "interactions",
    "LabelledImages": "fashion_mnist",
    "PlantedFunnel": "funnel",
    "PlantedInteractions": "long_tail",
    "aliexpress_files": "aliexpress",
    "concatenate_impressions": "joined_impressions",
    "criteo_files": "criteo",
    "fetch_ali_ccp": "ali_ccp",
    "fetch_aliexpress": "aliexpress",
    "fetch_amazon": "amazon_yelp",
    "fetch_fashion_mnist": "fashion_mnist",
    "fetch_gowalla": "gowalla",
    "fetch_hillstrom": "hillstrom",
    "fetch_kuairand": "kuairand",
    "fetch_movielens": "movielens",
    "fetch_ogbn_arxiv": "ogbn_arxiv",
    "fetch_open_bandit": "open_bandit",
    "fetch_planetoid": "planetoid",
    "fetch_wikipedia_links": "wikipedia_links",
    "fetch_yelp": "amazon_yelp",
    "fetch_yelp_sparse": "yelp_sparse",
    "load_cifar_n": "cifar_n",
    "make_checkerboard": "checkerboard",
    "make_funnel": "funnel",
    "make_interactions": "long_tail",
    "read_common_features": "common_features",
    "read_field_pairs": "field_pairs",
    "read_human_labels": "cifar_n",
    "to_columns": "columns",
}

__all__ = [
    "AliCCP",
    "CommonFeatures",
    "CorruptedFileError",
    "DownloadError",
    "GraphDataset",
    "ImpressionFiles",
    "Impressions",
    "Interactions",
    "LabelledImages",
    "PlantedFunnel",
    "PlantedInteractions",
    "aliexpress_files",
    "concatenate_impressions",
    "criteo_files",
    "fetch_ali_ccp",
    "fetch_aliexpress",
    "fetch_amazon",
    "fetch_fashion_mnist",
    "fetch_gowalla",
    "fetch_hillstrom",
    "fetch_kuairand",
    "fetch_movielens",
    "fetch_ogbn_arxiv",
    "fetch_open_bandit",
    "fetch_planetoid",
    "fetch_wikipedia_links",
    "fetch_yelp",
    "fetch_yelp_sparse",
    "load_cifar_n",
    "make_checkerboard",
    "make_funnel",
    "make_interactions",
    "read_common_features",
    "read_field_pairs",
    "read_human_labels",
    "to_columns",
]


def __getattr__(name: str) -> Any:
    """Import the file of a public name at its first use."""
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
