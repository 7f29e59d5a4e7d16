"""Learning from labels that are wrong, made by crowds, or known only in total."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AtLeastOne": "count_potentials",
    "BagRidge": "bag_ridge",
    "ConfidentJoint": "streaming_confident_joint",
    "ConfidentLearningClassifier": "confident_learning_classifier",
    "CountPotential": "count_potentials",
    "CrowdConsensus": "crowd_consensus",
    "CrowdLabels": "crowd_labels",
    "CustomCount": "count_potentials",
    "DiscreteLaplaceCount": "noisy_counts",
    "ExactCount": "count_potentials",
    "GaussianCount": "noisy_counts",
    "IntervalCount": "count_potentials",
    "LLPBeliefPropagationClassifier": "llp_bp",
    "LabelProportionsClassifier": "label_proportions",
    "QuadraticCount": "count_potentials",
    "SuppressedCount": "noisy_counts",
    "arrow_batches": "arrow_probabilities",
    "backward_matrix": "loss_correction",
    "belief_propagation": "loopy_propagation",
    "calibrate_confident_joint": "confident_counts",
    "choose_method": "label_issues",
    "confident_joint": "confident_counts",
    "confident_thresholds": "confident_counts",
    "corrupt_labels": "noise",
    "count_factor": "count_messages",
    "count_posterior": "count_messages",
    "crowdlab": "crowdlab_consensus",
    "dawid_skene": "dawid_skene_consensus",
    "ensemble_label_quality": "quality_scores",
    "estimate_latent_noise": "latent_noise",
    "find_label_issues": "label_issues",
    "flip_labels": "noise",
    "forward_probabilities": "loss_correction",
    "glad": "glad_consensus",
    "label_quality": "quality_scores",
    "majority_vote": "majority_consensus",
    "make_bags": "bag_construction",
    "neighbour_graph": "nearest_neighbours",
    "num_label_issues": "issue_count",
    "one_coin": "one_coin_consensus",
    "pair_noise_matrix": "noise_matrices",
    "permuted_bag_test": "bag_permutation",
    "read_crowd_labels": "crowd_labels",
    "sparse_noise_matrix": "noise_matrices",
    "symmetric_noise_matrix": "noise_matrices",
    "temper": "label_posterior",
    "transition_anchor_points": "anchor_points",
    "transition_confident_learning": "confident_transition",
    "transition_dual_t": "dual_t",
    "transition_gold": "gold_transition",
    "transition_hoc": "hoc",
    "true_class_posterior": "label_posterior",
}

_EXTRAS = {"pandas": "recsys", "pyarrow": "recsys"}

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
