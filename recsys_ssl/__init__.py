"""Recommenders that learn from sparse and biased feedback."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AITM": "entire_space.aitm",
    "AMAN": "entire_space.aman",
    "ApproximateIndex": "approximate_index",
    "AveragedESMM": "entire_space.averaged_esmm",
    "Category": "features",
    "ClickedOnly": "entire_space.clicked_only",
    "CompositionalEmbedding": "compositional_embedding",
    "DCMT": "entire_space.dcmt",
    "Dense": "features",
    "Division": "entire_space.division",
    "EASE": "baselines.ease",
    "ESCM2": "entire_space.escm2",
    "ESM2": "entire_space.esm2",
    "ESMM": "entire_space.esmm",
    "EndToEnd": "entire_space.end_to_end",
    "EntireSpaceClassifier": "entire_space_classifier",
    "ExactIndex": "index",
    "FactorRecommender": "factor_recommender",
    "FeatureDropout": "feature_dropout",
    "FeatureEmbedding": "feature_embedding",
    "FeatureEncoder": "feature_encoder",
    "FeatureTower": "feature_tower",
    "FieldInformation": "field_diagnostics",
    "FunnelCalibration": "funnel_calibration",
    "GrowingVocabulary": "growing_vocabulary",
    "HashedEmbedding": "hashed_embedding",
    "IALS": "baselines.ials",
    "ImpressionBatches": "impression_batches",
    "ItemKNN": "baselines.item_knn",
    "LazyAdam": "rowwise",
    "MMoE": "entire_space.mmoe",
    "MultiCategory": "features",
    "NISE": "entire_space.nise",
    "Oversampling": "entire_space.oversampling",
    "PLE": "entire_space.ple",
    "Popularity": "baselines.popularity",
    "Recommender": "recommender",
    "RowwiseAdagrad": "rowwise",
    "SampledSoftmax": "sampled_softmax",
    "SelfSupervision": "self_supervision",
    "SharedBottom": "entire_space.shared_bottom",
    "SparseAdagrad": "rowwise",
    "SparseEmbedding": "sparse_embedding",
    "SparseModel": "sparse_model",
    "SparseSGD": "rowwise",
    "SparseTraining": "sparse_model",
    "StreamedEncoder": "streamed_encoder",
    "StreamingAUC": "streaming_auc",
    "StreamingFrequency": "streaming_frequency",
    "TwoTower": "two_tower",
    "TwoTowerRetriever": "retriever",
    "Unbias": "entire_space.unbias",
    "aitm_calibrator": "entire_space.aitm",
    "aman_loss": "entire_space.aman",
    "auc_by_group": "auc_of_groups",
    "check_funnel_labels": "entire_space.funnel_labels",
    "clicked_only_loss": "entire_space.clicked_only",
    "collision_statistics": "hash_collisions",
    "dcmt_loss": "entire_space.dcmt",
    "division_loss": "entire_space.division",
    "doubly_robust_loss": "entire_space.escm2",
    "end_to_end_loss": "entire_space.end_to_end",
    "escm2_loss": "entire_space.escm2",
    "esm2_loss": "entire_space.esm2",
    "esmm_loss": "entire_space.esmm",
    "evaluate_funnel": "conversion_metrics",
    "evaluate_rankings": "evaluation",
    "evaluate_retriever": "evaluation",
    "expected_calibration_error": "calibration",
    "field_information": "field_diagnostics",
    "field_width": "entire_space.field_vectors",
    "fold_in": "folding_in",
    "fused_scores": "score_fusion",
    "grouped_auc": "auc_of_groups",
    "grown": "grown_table",
    "hash_ids": "id_hashing",
    "id_words": "id_hashing",
    "identical_features": "contrastive_losses",
    "infer_features": "features",
    "info_nce": "contrastive_losses",
    "inverse_propensity_loss": "entire_space.propensity",
    "label_leak_warnings": "label_leak",
    "learn_encoder": "streamed_encoder",
    "load_entire_space_classifier": "entire_space_folder",
    "load_retriever": "retriever_folder",
    "mask_embedding": "contrastive_losses",
    "mixed_sampling_log_probability": "mixed_sampling",
    "mutual_information": "shared_information",
    "nise_loss": "entire_space.nise",
    "nt_xent": "contrastive_losses",
    "out_of_fold_scores": "out_of_fold",
    "oversampling_loss": "entire_space.oversampling",
    "rank_by_conversion": "conversion_ranking",
    "rank_by_fused_scores": "score_fusion",
    "reliability_table": "calibration",
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
