"""Recommenders that learn from sparse and biased feedback."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AITM": "entire_space.aitm",
    "AMAN": "entire_space.aman",
    "ApproximateIndex": "retrieval.approximate_index",
    "AveragedESMM": "entire_space.averaged_esmm",
    "Category": "encoding.features",
    "ClickedOnly": "entire_space.clicked_only",
    "CompositionalEmbedding": "embeddings.compositional_embedding",
    "DCMT": "entire_space.dcmt",
    "Dense": "encoding.features",
    "Division": "entire_space.division",
    "EASE": "baselines.ease",
    "ESCM2": "entire_space.escm2",
    "ESM2": "entire_space.esm2",
    "ESMM": "entire_space.esmm",
    "EndToEnd": "entire_space.end_to_end",
    "EntireSpaceClassifier": "funnels.entire_space_classifier",
    "ExactIndex": "recommenders.index",
    "FactorRecommender": "recommenders.factor_recommender",
    "FeatureDropout": "self_supervised.feature_dropout",
    "FeatureEmbedding": "encoding.feature_embedding",
    "FeatureEncoder": "encoding.feature_encoder",
    "FeatureTower": "encoding.feature_tower",
    "FieldInformation": "self_supervised.field_diagnostics",
    "FunnelCalibration": "funnels.funnel_calibration",
    "GrowingVocabulary": "encoding.growing_vocabulary",
    "HashedEmbedding": "embeddings.hashed_embedding",
    "IALS": "baselines.ials",
    "ImpressionBatches": "funnels.impression_batches",
    "ItemKNN": "baselines.item_knn",
    "LazyAdam": "embeddings.rowwise",
    "MMoE": "entire_space.mmoe",
    "MultiCategory": "encoding.features",
    "NISE": "entire_space.nise",
    "Oversampling": "entire_space.oversampling",
    "PLE": "entire_space.ple",
    "Popularity": "baselines.popularity",
    "Recommender": "recommenders.recommender",
    "RowwiseAdagrad": "embeddings.rowwise",
    "SampledSoftmax": "retrieval.sampled_softmax",
    "SelfSupervision": "self_supervised.self_supervision",
    "SharedBottom": "entire_space.shared_bottom",
    "SparseAdagrad": "embeddings.rowwise",
    "SparseEmbedding": "embeddings.sparse_embedding",
    "SparseModel": "embeddings.sparse_model",
    "SparseSGD": "embeddings.rowwise",
    "SparseTraining": "embeddings.sparse_model",
    "StreamedEncoder": "encoding.streamed_encoder",
    "StreamingAUC": "measures.streaming_auc",
    "StreamingFrequency": "embeddings.streaming_frequency",
    "TwoTower": "retrieval.two_tower",
    "TwoTowerRetriever": "retrieval.retriever",
    "Unbias": "entire_space.unbias",
    "aitm_calibrator": "entire_space.aitm",
    "aman_loss": "entire_space.aman",
    "auc_by_group": "measures.auc_of_groups",
    "check_funnel_labels": "entire_space.funnel_labels",
    "clicked_only_loss": "entire_space.clicked_only",
    "collision_statistics": "embeddings.hash_collisions",
    "dcmt_loss": "entire_space.dcmt",
    "division_loss": "entire_space.division",
    "doubly_robust_loss": "entire_space.escm2",
    "end_to_end_loss": "entire_space.end_to_end",
    "escm2_loss": "entire_space.escm2",
    "esm2_loss": "entire_space.esm2",
    "esmm_loss": "entire_space.esmm",
    "evaluate_funnel": "measures.conversion_metrics",
    "evaluate_rankings": "measures.evaluation",
    "evaluate_retriever": "measures.evaluation",
    "expected_calibration_error": "measures.calibration",
    "field_information": "self_supervised.field_diagnostics",
    "field_width": "entire_space.field_vectors",
    "fold_in": "recommenders.folding_in",
    "fused_scores": "funnels.score_fusion",
    "grouped_auc": "measures.auc_of_groups",
    "grown": "embeddings.grown_table",
    "hash_ids": "embeddings.id_hashing",
    "id_words": "embeddings.id_hashing",
    "identical_features": "losses.contrastive_losses",
    "infer_features": "encoding.features",
    "info_nce": "losses.contrastive_losses",
    "inverse_propensity_loss": "entire_space.propensity",
    "label_leak_warnings": "measures.label_leak",
    "learn_encoder": "encoding.streamed_encoder",
    "load_entire_space_classifier": "funnels.entire_space_folder",
    "load_retriever": "retrieval.retriever_folder",
    "mask_embedding": "losses.contrastive_losses",
    "mixed_sampling_log_probability": "losses.mixed_sampling",
    "mutual_information": "self_supervised.shared_information",
    "nise_loss": "entire_space.nise",
    "nt_xent": "losses.contrastive_losses",
    "out_of_fold_scores": "funnels.out_of_fold",
    "oversampling_loss": "entire_space.oversampling",
    "rank_by_conversion": "funnels.conversion_ranking",
    "rank_by_fused_scores": "funnels.score_fusion",
    "reliability_table": "measures.calibration",
    "sampled_softmax_loss": "losses.corrected_softmax",
    "sparse_embedding_from": "embeddings.replaced_embeddings",
    "sparse_embeddings_from": "embeddings.replaced_embeddings",
    "spread_out_softmax": "losses.contrastive_losses",
    "spread_out_square": "losses.contrastive_losses",
    "symmetric_info_nce": "losses.contrastive_losses",
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
