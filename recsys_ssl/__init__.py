"""Recommenders that learn from sparse and biased feedback."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "ApproximateIndex": "approximate_index",
    "Category": "features",
    "CompositionalEmbedding": "compositional_embedding",
    "Dense": "features",
    "EASE": "baselines.ease",
    "ExactIndex": "index",
    "FactorRecommender": "factor_recommender",
    "FeatureDropout": "feature_dropout",
    "FeatureEncoder": "feature_encoder",
    "FeatureTower": "feature_tower",
    "FieldInformation": "field_diagnostics",
    "GrowingVocabulary": "growing_vocabulary",
    "HashedEmbedding": "hashed_embedding",
    "IALS": "baselines.ials",
    "ItemKNN": "baselines.item_knn",
    "LazyAdam": "rowwise",
    "MultiCategory": "features",
    "Popularity": "baselines.popularity",
    "Recommender": "recommender",
    "RowwiseAdagrad": "rowwise",
    "SampledSoftmax": "sampled_softmax",
    "SelfSupervision": "self_supervision",
    "SparseAdagrad": "rowwise",
    "SparseEmbedding": "sparse_embedding",
    "SparseModel": "sparse_model",
    "SparseSGD": "rowwise",
    "SparseTraining": "sparse_model",
    "StreamingFrequency": "streaming_frequency",
    "TwoTower": "two_tower",
    "TwoTowerRetriever": "retriever",
    "collision_statistics": "hash_collisions",
    "evaluate_rankings": "evaluation",
    "evaluate_retriever": "evaluation",
    "field_information": "field_diagnostics",
    "fold_in": "folding_in",
    "grown": "grown_table",
    "hash_ids": "id_hashing",
    "id_words": "id_hashing",
    "identical_features": "contrastive_losses",
    "infer_features": "features",
    "info_nce": "contrastive_losses",
    "load_retriever": "retriever_folder",
    "mask_embedding": "contrastive_losses",
    "mixed_sampling_log_probability": "mixed_sampling",
    "mutual_information": "shared_information",
    "nt_xent": "contrastive_losses",
    "sampled_softmax_loss": "corrected_softmax",
    "sparse_embedding_from": "replaced_embeddings",
    "sparse_embeddings_from": "replaced_embeddings",
    "spread_out_softmax": "contrastive_losses",
    "spread_out_square": "contrastive_losses",
    "symmetric_info_nce": "contrastive_losses",
}

_EXTRAS = {"keras": "recsys", "tensorflow": "recsys", "pandas": "recsys", "jax": "jax", "torch": "torch"}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `import recsys_ssl` itself loads no Keras."""
    if name not in _MODULES:
        raise AttributeError(f"module 'recsys_ssl' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"recsys_ssl.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name.split(".")[0]]
        raise ImportError(
            f"recsys_ssl.{name} needs {error.name}: pip install 'sparselabels[{extra}]'", name=error.name
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
