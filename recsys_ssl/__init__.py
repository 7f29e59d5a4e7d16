"""Recommenders that learn from sparse and biased feedback."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "Category": "features",
    "Dense": "features",
    "EASE": "baselines.ease",
    "FeatureEncoder": "feature_encoder",
    "FeatureTower": "feature_tower",
    "IALS": "baselines.ials",
    "ItemKNN": "baselines.item_knn",
    "MultiCategory": "features",
    "Popularity": "baselines.popularity",
    "SampledSoftmax": "sampled_softmax",
    "StreamingFrequency": "streaming_frequency",
    "TwoTower": "two_tower",
    "TwoTowerRetriever": "retriever",
    "evaluate_retriever": "evaluation",
    "fold_in": "fold_in",
    "infer_features": "features",
    "load_retriever": "retriever",
    "mixed_sampling_log_probability": "sampled_softmax",
    "sampled_softmax_loss": "corrected_softmax",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `import recsys_ssl` itself loads no Keras."""
    if name not in _MODULES:
        raise AttributeError(f"module 'recsys_ssl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"recsys_ssl.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
