"""Learning from labels that are wrong, made by crowds, or known only in total."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AlternatingMeanMap": "alternating_mean_map",
    "AtLeastOne": "count_potentials",
    "BackwardCorrectedCrossEntropy": "corrected_cross_entropy",
    "BagBatches": "bag_batches",
    "BagRidge": "bag_ridge",
    "BenchmarkStability": "benchmark_curves",
    "CoTeachingClassifier": "co_teaching",
    "CoTeachingPlus": "co_teaching_plus",
    "CompressionDropout": "compression_dropout",
    "ConfidentJoint": "streaming_confident_joint",
    "ConfidentLearningClassifier": "confident_learning_classifier",
    "CountLikelihoodLoss": "count_likelihood_loss",
    "CountPotential": "count_potentials",
    "CountScorer": "count_scorer",
    "CrowdConsensus": "crowd_consensus",
    "CrowdLabels": "crowd_labels",
    "CustomCount": "count_potentials",
    "DLLPLoss": "dllp",
    "DebiasedSquareLoss": "debiased_square_loss",
    "DiscreteLaplaceCount": "noisy_counts",
    "DivideMixClassifier": "divide_mix",
    "ERASEClassifier": "erase",
    "EarlyLearning": "early_learning",
    "EasyLLPLoss": "easy_llp",
    "ExactCount": "count_potentials",
    "ForwardCorrectedCrossEntropy": "corrected_cross_entropy",
    "GaussianCount": "noisy_counts",
    "GeneralizedCrossEntropy": "generalized_cross_entropy",
    "GraphCoTeachingClassifier": "graph_co_teaching",
    "GraphForwardClassifier": "graph_forward",
    "GraphGCEClassifier": "graph_gce",
    "GraphLabelNoise": "graph_noise",
    "GraphLabelSpreading": "label_spreading_graph",
    "GraphNetworkClassifier": "graph_network_classifier",
    "HardBootstrap": "bootstrap_loss",
    "IntervalCount": "count_potentials",
    "JoCoR": "jocor",
    "LLPBeliefPropagationClassifier": "llp_bp",
    "LabelAudit": "label_audit",
    "LabelProportionsClassifier": "label_proportions",
    "LaplacianMeanMap": "laplacian_mean_map",
    "MeanMap": "mean_map",
    "NRGNNClassifier": "nrgnn",
    "NestedDropout": "nested_dropout",
    "QuadraticCount": "count_potentials",
    "RTGNNClassifier": "rtgnn",
    "RowLossModel": "row_loss_model",
    "SinkhornLoss": "sinkhorn_loss",
    "SmoothedProportions": "smoothed_proportions",
    "SoftBootstrap": "bootstrap_loss",
    "SparseOverParameterization": "sparse_over_parameterization",
    "SuppressedCount": "noisy_counts",
    "SymmetricCrossEntropy": "symmetric_cross_entropy",
    "TruncatedGeneralizedCrossEntropy": "generalized_cross_entropy",
    "UPMLoss": "upm_loss",
    "accuracy_of_every_size": "compression_path",
    "arrow_batches": "arrow_probabilities",
    "audit_labels": "label_audit",
    "audit_summary": "audit_files",
    "backward_matrix": "loss_correction",
    "belief_propagation": "loopy_propagation",
    "benchmark_stability": "benchmark_curves",
    "calibrate_confident_joint": "confident_counts",
    "choose_method": "label_issues",
    "choose_size": "compression_path",
    "class_coding_rate": "coding_rate",
    "class_count_posterior": "class_counts",
    "coding_rate_loss": "coding_rate",
    "confident_joint": "confident_counts",
    "confident_noise_rate": "noise_rate",
    "confident_thresholds": "confident_counts",
    "corrupt_labels": "noise",
    "count_error": "count_scorer",
    "count_factor": "count_messages",
    "count_log_likelihood": "count_scorer",
    "count_posterior": "count_messages",
    "crowdlab": "crowdlab_consensus",
    "dawid_skene": "dawid_skene_consensus",
    "denoise_labels": "structural_denoising",
    "ensemble_label_quality": "quality_scores",
    "erase_protocol_labels": "erase_protocol",
    "estimate_latent_noise": "latent_noise",
    "find_label_issues": "label_issues",
    "find_multilabel_issues": "multilabel_issues",
    "flip_labels": "noise",
    "forward_probabilities": "loss_correction",
    "from_cleanlab": "cleanlab_interop",
    "glad": "glad_consensus",
    "label_quality": "quality_scores",
    "load_co_teaching": "co_teaching_folder",
    "logits_of_every_size": "compression_path",
    "majority_vote": "majority_consensus",
    "make_bags": "bag_construction",
    "multilabel_quality": "multilabel_issues",
    "neighbour_graph": "nearest_neighbours",
    "num_label_issues": "issue_count",
    "one_coin": "one_coin_consensus",
    "overlapping_count_posterior": "overlapping_counts",
    "pair_noise_matrix": "noise_matrices",
    "permuted_bag_test": "bag_permutation",
    "rate_reduction": "coding_rate",
    "read_crowd_labels": "crowd_labels",
    "register_issue_manager": "cleanlab_interop",
    "semantic_scores": "semantic_labels",
    "sparse_noise_matrix": "noise_matrices",
    "symmetric_noise_matrix": "noise_matrices",
    "temper": "label_posterior",
    "to_cleanlab": "cleanlab_interop",
    "transition_anchor_points": "anchor_points",
    "transition_confident_learning": "confident_transition",
    "transition_dual_t": "dual_t",
    "transition_gold": "gold_transition",
    "transition_hoc": "hoc",
    "true_class_posterior": "label_posterior",
    "write_audit": "audit_files",
}

_EXTRAS = {
    "keras": "recsys",
    "pandas": "recsys",
    "pyarrow": "recsys",
    "torch": "torch",
    "torch_geometric": "torch",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `import noisy_labels` itself loads little."""
    if name not in _MODULES:
        raise AttributeError(f"module 'noisy_labels' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"noisy_labels.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name.split(".")[0]]
        raise ImportError(
            f"noisy_labels.{name} needs {error.name}: pip install 'sparselabels[{extra}]'", name=error.name
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
