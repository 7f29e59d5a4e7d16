"""Learning from labels that are wrong, made by crowds, or known only in total."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AlternatingMeanMap": "proportions.alternating_mean_map",
    "AtLeastOne": "proportions.count_potentials",
    "BackwardCorrectedCrossEntropy": "robust_losses.corrected_cross_entropy",
    "BagBatches": "proportions.bag_batches",
    "BagRidge": "proportions.bag_ridge",
    "BenchmarkStability": "audits.benchmark_curves",
    "CoTeachingClassifier": "two_networks.co_teaching",
    "CoTeachingPlus": "two_networks.co_teaching_plus",
    "CompressionDropout": "compression.compression_dropout",
    "ConfidentJoint": "confident_learning.streaming_confident_joint",
    "ConfidentLearningClassifier": "confident_learning.confident_learning_classifier",
    "CountLikelihoodLoss": "proportions.count_likelihood_loss",
    "CountPotential": "proportions.count_potentials",
    "CountScorer": "proportions.count_scorer",
    "CrowdConsensus": "crowds.crowd_consensus",
    "CrowdLabels": "crowds.crowd_labels",
    "CustomCount": "proportions.count_potentials",
    "DLLPLoss": "proportions.dllp",
    "DebiasedSquareLoss": "proportions.debiased_square_loss",
    "DiscreteLaplaceCount": "proportions.noisy_counts",
    "DivideMixClassifier": "two_networks.divide_mix",
    "ERASEClassifier": "node_labels.erase",
    "EarlyLearning": "robust_losses.early_learning",
    "EasyLLPLoss": "proportions.easy_llp",
    "ExactCount": "proportions.count_potentials",
    "ForwardCorrectedCrossEntropy": "robust_losses.corrected_cross_entropy",
    "GaussianCount": "proportions.noisy_counts",
    "GeneralizedCrossEntropy": "robust_losses.generalized_cross_entropy",
    "GraphCoTeachingClassifier": "node_labels.graph_co_teaching",
    "GraphForwardClassifier": "node_labels.graph_forward",
    "GraphGCEClassifier": "node_labels.graph_gce",
    "GraphLabelNoise": "node_labels.graph_noise",
    "GraphLabelSpreading": "node_labels.label_spreading_graph",
    "GraphNetworkClassifier": "node_labels.graph_network_classifier",
    "HardBootstrap": "robust_losses.bootstrap_loss",
    "IntervalCount": "proportions.count_potentials",
    "JoCoR": "two_networks.jocor",
    "LLPBeliefPropagationClassifier": "proportions.llp_bp",
    "LLPFCLoss": "proportions.llp_fc",
    "LLPVATModel": "proportions.llp_vat",
    "LabelAudit": "audits.label_audit",
    "LabelProportionsClassifier": "proportions.label_proportions",
    "LabelScores": "confident_learning.label_scores",
    "LaplacianMeanMap": "proportions.laplacian_mean_map",
    "MeanMap": "proportions.mean_map",
    "NRGNNClassifier": "node_labels.nrgnn",
    "NestedDropout": "compression.nested_dropout",
    "QuadraticCount": "proportions.count_potentials",
    "RTGNNClassifier": "node_labels.rtgnn",
    "RowLossModel": "robust_losses.row_loss_model",
    "SinkhornLoss": "proportions.sinkhorn_loss",
    "SmoothedProportions": "proportions.smoothed_proportions",
    "SoftBootstrap": "robust_losses.bootstrap_loss",
    "SparseOverParameterization": "robust_losses.sparse_over_parameterization",
    "SuppressedCount": "proportions.noisy_counts",
    "SymmetricCrossEntropy": "robust_losses.symmetric_cross_entropy",
    "TruncatedGeneralizedCrossEntropy": "robust_losses.generalized_cross_entropy",
    "UPMLoss": "proportions.upm_loss",
    "accuracy_of_every_size": "compression.compression_path",
    "arrow_batches": "audits.arrow_probabilities",
    "audit_labels": "audits.label_audit",
    "audit_summary": "audits.audit_files",
    "backward_matrix": "transitions.loss_correction",
    "belief_propagation": "proportions.loopy_propagation",
    "benchmark_stability": "audits.benchmark_curves",
    "calibrate_confident_joint": "confident_learning.confident_counts",
    "choose_method": "confident_learning.label_issues",
    "choose_size": "compression.compression_path",
    "class_coding_rate": "node_labels.coding_rate",
    "class_count_posterior": "proportions.class_counts",
    "coding_rate_loss": "node_labels.coding_rate",
    "confident_joint": "confident_learning.confident_counts",
    "confident_noise_rate": "confident_learning.noise_rate",
    "confident_thresholds": "confident_learning.confident_counts",
    "corrupt_labels": "transitions.noise",
    "count_error": "proportions.count_scorer",
    "count_factor": "proportions.count_messages",
    "count_log_likelihood": "proportions.count_scorer",
    "count_posterior": "proportions.count_messages",
    "crowdlab": "crowds.crowdlab_consensus",
    "dawid_skene": "crowds.dawid_skene_consensus",
    "denoise_labels": "node_labels.structural_denoising",
    "ensemble_label_quality": "confident_learning.quality_scores",
    "erase_protocol_labels": "node_labels.erase_protocol",
    "estimate_latent_noise": "confident_learning.latent_noise",
    "find_label_issues": "confident_learning.label_issues",
    "find_multilabel_issues": "confident_learning.multilabel_issues",
    "flip_labels": "transitions.noise",
    "forward_probabilities": "transitions.loss_correction",
    "from_cleanlab": "audits.cleanlab_interop",
    "glad": "crowds.glad_consensus",
    "label_quality": "confident_learning.quality_scores",
    "load_co_teaching": "two_networks.co_teaching_folder",
    "logits_of_every_size": "compression.compression_path",
    "majority_vote": "crowds.majority_consensus",
    "make_bags": "proportions.bag_construction",
    "multilabel_quality": "confident_learning.multilabel_issues",
    "neighbour_graph": "proportions.nearest_neighbours",
    "num_label_issues": "confident_learning.issue_count",
    "one_coin": "crowds.one_coin_consensus",
    "overlapping_count_posterior": "proportions.overlapping_counts",
    "pair_noise_matrix": "transitions.noise_matrices",
    "permuted_bag_test": "proportions.bag_permutation",
    "rate_reduction": "node_labels.coding_rate",
    "read_crowd_labels": "crowds.crowd_labels",
    "register_issue_manager": "audits.cleanlab_interop",
    "score_labels": "confident_learning.label_scores",
    "semantic_scores": "node_labels.semantic_labels",
    "sparse_noise_matrix": "transitions.noise_matrices",
    "symmetric_noise_matrix": "transitions.noise_matrices",
    "temper": "confident_learning.label_posterior",
    "to_cleanlab": "audits.cleanlab_interop",
    "transition_anchor_points": "transitions.anchor_points",
    "transition_confident_learning": "confident_learning.confident_transition",
    "transition_dual_t": "transitions.dual_t",
    "transition_gold": "transitions.gold_transition",
    "transition_hoc": "transitions.hoc",
    "true_class_posterior": "confident_learning.label_posterior",
    "write_audit": "audits.audit_files",
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
