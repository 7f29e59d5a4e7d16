"""Valid calls of the public names of `noisy_labels`."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from entry_points import Call, calling, fitting, layer, method
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import noisy_labels as nl

Y = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
P = np.full((12, 3), 0.15) + 0.55 * np.eye(3)[[0, 1, 2, 0, 1, 2, 1, 1, 2, 2, 1, 0]]
X = np.random.default_rng(0).normal(size=(12, 2)) + 3 * np.eye(3)[Y][:, :2]
T = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
BINARY = np.array([0, 1] * 6)
BAGS = np.repeat([0, 1, 2], 4)
COUNTS = np.array([1, 2, 3])
LOGITS = np.linspace(-2.0, 2.0, 12)
ITEMS, WORKERS = np.repeat(np.arange(4), 3), np.array(["ann", "bob", "cas"] * 4)
GIVEN = np.array([0, 0, 1, 1, 1, 1, 2, 2, 0, 0, 0, 0])
EDGES = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
NODES = np.array([0, -1, 0, 1, -1, 1])
GRAPH = csr_array(np.ones((12, 12)) - np.eye(12))


def _confident_learning() -> Iterator[Call]:
    both = {"labels": Y, "pred_probs": P}
    for name in (
        "audit_labels", "choose_method", "confident_joint", "confident_noise_rate", "confident_thresholds",
        "find_label_issues", "label_quality", "score_labels", "transition_confident_learning",
        "transition_dual_t",
    ):  # fmt: skip
        yield calling(f"noisy_labels.{name}", getattr(nl, name), **both)
    yield calling("noisy_labels.num_label_issues", nl.num_label_issues, **both, n_bootstrap=20)
    for name in ("temper", "true_class_posterior"):
        yield calling(f"noisy_labels.{name}", getattr(nl, name), **both, transition=T)
    yield calling(
        "noisy_labels.ensemble_label_quality", nl.ensemble_label_quality, labels=Y, pred_probs=[P, P]
    )
    joint = {"joint": np.array([[6, 2], [1, 2]]), "label_counts": np.array([12, 3])}
    yield calling("noisy_labels.calibrate_confident_joint", nl.calibrate_confident_joint, **joint)
    yield calling("noisy_labels.estimate_latent_noise", nl.estimate_latent_noise, **joint)
    several = {"labels": np.eye(3, dtype=int)[Y], "pred_probs": P}
    yield calling("noisy_labels.find_multilabel_issues", nl.find_multilabel_issues, **several)
    yield calling("noisy_labels.multilabel_quality", nl.multilabel_quality, **several)
    yield method("noisy_labels.ConfidentJoint.partial_fit", nl.ConfidentJoint, **both)
    yield calling("noisy_labels.ConfidentJoint", nl.ConfidentJoint)
    settings = {
        "estimator": DecisionTreeClassifier(max_depth=2),
        "cv": 2,
        "n_rounds": 1,
        "validation_folds": 0,
        "random_state": 0,
    }
    data = {"X": X, "y": Y}
    yield fitting("noisy_labels.ConfidentLearningClassifier", nl.ConfidentLearningClassifier, settings, data)
    counted = nl.ConfidentJoint().partial_fit(Y, P)
    yield method("noisy_labels.ConfidentJoint.merge", lambda: copy.deepcopy(counted), other=counted)
    near = KNeighborsClassifier(2, algorithm="kd_tree")  # which is silent about overflow
    classifier = nl.ConfidentLearningClassifier(**{**settings, "estimator": near}).fit(X, Y)
    for name in ("predict", "predict_proba"):
        yield method(f"noisy_labels.ConfidentLearningClassifier.{name}", lambda: classifier, X=X)


def _audits() -> Iterator[Call]:
    audit = nl.audit_labels(Y, P)
    yield calling("noisy_labels.audit_summary", nl.audit_summary, audit=audit)
    yield calling("noisy_labels.to_cleanlab", nl.to_cleanlab, audit=audit)
    frame = pd.DataFrame({"is_label_issue": BINARY.astype(bool), "label_quality": np.linspace(0, 1, 12)})
    yield calling("noisy_labels.from_cleanlab", nl.from_cleanlab, issues=frame)
    yield calling("noisy_labels.register_issue_manager", nl.register_issue_manager)
    predictions = {"large": np.roll(BINARY, 1), "small": np.sort(BINARY)}
    corrected = np.where(np.arange(12) < 2, 1 - BINARY, BINARY)
    stability = {"predictions": predictions, "labels": BINARY, "corrected": corrected}
    yield calling("noisy_labels.benchmark_stability", nl.benchmark_stability, **stability)
    folder = Path(tempfile.mkdtemp(prefix="audit"))

    def write(**arguments: Any) -> Any:
        try:
            return nl.write_audit(folder=folder, **arguments)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    written = calling("noisy_labels.write_audit", nl.write_audit, audit=audit, n_worst=3)
    fixed = frozenset({"audit"})
    yield Call(written.name, write, written.arguments, written.errors, fixed, slow=True)
    import pyarrow as pa

    table = pa.table({"label": Y, **{f"p{column}": P[:, column] for column in range(3)}})

    def read(**arguments: Any) -> Any:
        return list(nl.arrow_batches(**arguments)())

    batches = {"source": table, "labels": "label", "probabilities": ["p0", "p1", "p2"], "batch_rows": 5}
    yield Call("noisy_labels.arrow_batches", read, batches, calling("", nl.arrow_batches).errors)


def _noise() -> Iterator[Call]:
    yield calling("noisy_labels.corrupt_labels", nl.corrupt_labels, y=Y, rate=0.3, X=X)
    yield calling("noisy_labels.flip_labels", nl.flip_labels, y=Y, transition=T)
    yield calling("noisy_labels.forward_probabilities", nl.forward_probabilities, pred_probs=P, transition=T)
    yield calling("noisy_labels.backward_matrix", nl.backward_matrix, transition=T)
    for name in ("pair_noise_matrix", "symmetric_noise_matrix"):
        yield calling(f"noisy_labels.{name}", getattr(nl, name), n_classes=3, rate=0.2)
    yield calling(
        "noisy_labels.sparse_noise_matrix", nl.sparse_noise_matrix, n_classes=4, trace=2.8, sparsity=0.5
    )
    yield calling("noisy_labels.transition_anchor_points", nl.transition_anchor_points, pred_probs=P)
    yield calling("noisy_labels.transition_gold", nl.transition_gold, true_labels=Y, pred_probs=P)
    hoc = {"labels": Y, "features": X, "max_iter": 5}
    yield calling("noisy_labels.transition_hoc", nl.transition_hoc, **hoc, slow=True)
    mask = np.arange(12) < 9
    yield calling(
        "noisy_labels.erase_protocol_labels", nl.erase_protocol_labels, y=Y, train_mask=mask, rate=0.4
    )
    yield calling("noisy_labels.choose_size", nl.choose_size, accuracy=np.array([0.8, 0.9, 0.9]))
    features, kernel = X, np.ones((2, 3)) + np.eye(3)[:2]
    yield calling(
        "noisy_labels.logits_of_every_size", nl.logits_of_every_size, features=features, kernel=kernel
    )
    pairs = {"features": [X, X], "kernels": [kernel, kernel], "labels": Y}
    yield calling("noisy_labels.accuracy_of_every_size", nl.accuracy_of_every_size, **pairs)


def _crowds() -> Iterator[Call]:
    votes = {"items": ITEMS, "workers": WORKERS, "labels": GIVEN}
    for name in ("dawid_skene", "glad", "one_coin"):
        yield calling(f"noisy_labels.{name}", getattr(nl, name), **votes, max_iter=5)
    for name in ("majority_vote", "read_crowd_labels"):
        yield calling(f"noisy_labels.{name}", getattr(nl, name), **votes)
    yield calling("noisy_labels.crowdlab", nl.crowdlab, **votes, pred_probs=P[:4], item_ids=np.arange(4))
    crowd = nl.read_crowd_labels(**votes)
    yield method("noisy_labels.CrowdLabels.worker_means", lambda: crowd, values=np.linspace(0, 1, 12))


def _counts() -> Iterator[Call]:
    exact = nl.ExactCount(COUNTS)
    for name, settings in {
        "AtLeastOne": {"positive": np.array([True, False, True])},
        "CustomCount": {"log_potential": lambda c, m, bag: np.where(c % 2 == 0, 0.0, -1.0)},
        "ExactCount": {"counts": COUNTS},
        "QuadraticCount": {"counts": COUNTS.astype(float), "strength": np.array([1.0, 2.0, 3.0])},
        "IntervalCount": {"low": COUNTS - 1.0, "high": COUNTS + 0.5},
        "DiscreteLaplaceCount": {"counts": COUNTS.astype(float), "epsilon": np.array([1.0, 2.0, 3.0])},
        "GaussianCount": {"counts": COUNTS.astype(float), "scale": np.array([1.0, 2.0, 3.0])},
        "SuppressedCount": {"counts": np.array([np.nan, 2.0, 3.0]), "threshold": 2},
    }.items():
        made = layer(f"noisy_labels.{name}", getattr(nl, name), np.full(3, 4), then="log_values", **settings)
        yield Call(made.name, made.run, made.arguments, made.errors)
    proportions = {"proportions": COUNTS / 4, "half_width": 0.1, "sizes": np.full(3, 4)}
    from_proportions = nl.IntervalCount.from_proportions
    yield calling("noisy_labels.IntervalCount.from_proportions", from_proportions, **proportions)
    yield method("noisy_labels.CountPotential.log_values", lambda: exact, sizes=np.full(3, 4))
    rows = {"logits": LOGITS, "bags": BAGS, "potential": exact}
    yield calling("noisy_labels.CountPotential", nl.count_posterior, **rows)
    yield calling("noisy_labels.count_posterior", nl.count_posterior, **rows, fixed=["potential"])
    factor = nl.count_factor(BAGS, exact, 12)
    yield calling("noisy_labels.count_factor", nl.count_factor, bags=BAGS, potential=exact, n_rows=12)
    scored = {"logits": LOGITS, "factor": factor, "fixed": ["factor"]}
    yield calling("noisy_labels.count_error", nl.count_error, **scored)
    yield calling("noisy_labels.count_log_likelihood", nl.count_log_likelihood, **scored)
    spread = {"logits": LOGITS, "graph": GRAPH, "factor": factor, "max_iter": 5}
    yield calling("noisy_labels.belief_propagation", nl.belief_propagation, **spread, fixed=["factor"])
    member = csr_array(np.eye(3)[BAGS].T)
    over = {"logits": LOGITS, "membership": member, "potential": exact, "max_iter": 5}
    yield calling("noisy_labels.overlapping_count_posterior", nl.overlapping_count_posterior, **over)
    table = np.array([[2, 1, 1], [1, 2, 1], [1, 1, 2]])
    classes = {"logits": np.log(P), "bags": BAGS, "counts": table}
    yield calling("noisy_labels.class_count_posterior", nl.class_count_posterior, **classes)
    made = {"y": BINARY, "size": 4, "X": X}
    yield calling("noisy_labels.make_bags", nl.make_bags, **made)
    yield calling("noisy_labels.neighbour_graph", nl.neighbour_graph, X=X, n_neighbors=3)


def _proportions() -> Iterator[Call]:
    from noisy_labels.proportions import llp_bp

    data = {"X": X, "bags": BAGS, "counts": COUNTS}
    shares = {"X": X, "bags": BAGS, "proportions": COUNTS / 4}
    ridge = fitting("noisy_labels.BagRidge", nl.BagRidge, {}, data, slow=False)
    yield ridge
    yield fitting("noisy_labels.MeanMap", nl.MeanMap, {}, shares)
    yield fitting("noisy_labels.LaplacianMeanMap", nl.LaplacianMeanMap, {}, shares)
    yield fitting("noisy_labels.AlternatingMeanMap", nl.AlternatingMeanMap, {"max_iter": 2}, data)
    yield fitting("noisy_labels.SmoothedProportions", nl.SmoothedProportions, {"n_neighbors": 3}, data)
    quick = {"estimator": LogisticRegression(), "n_neighbors": 3, "random_state": 0}
    proportions = {**quick, "n_rounds": 1}
    yield fitting("noisy_labels.LabelProportionsClassifier", nl.LabelProportionsClassifier, proportions, data)
    propagation = {**quick, "n_rounds": 1, "max_iter": 5}
    yield fitting(
        "noisy_labels.LLPBeliefPropagationClassifier",
        llp_bp.LLPBeliefPropagationClassifier,
        propagation,
        data,
    )
    for fitted in (
        nl.BagRidge(),
        nl.MeanMap(),
        nl.SmoothedProportions(3),
        nl.LabelProportionsClassifier(**proportions),
        llp_bp.LLPBeliefPropagationClassifier(**propagation),
    ):
        fitted.fit(X, bags=BAGS, counts=COUNTS)
        name = f"noisy_labels.{type(fitted).__name__}"
        yield method(f"{name}.predict_proba", functools.partial(_as_it_is, fitted), X=X)
        yield method(f"{name}.score", functools.partial(_as_it_is, fitted), **data)
    several = {"X": X, "bags": BAGS, "counts": np.stack([COUNTS, 4 - COUNTS, 0 * COUNTS], axis=1)}
    yield fitting("noisy_labels.BagRidge, classes", nl.BagRidge, {}, several, slow=False)
    tables = {"X": X, "bags": csr_array(np.vstack([np.eye(3)[BAGS].T, np.eye(2)[BINARY].T]))}
    tables["counts"] = np.array([1, 2, 3, 2, 4])
    yield fitting("noisy_labels.BagRidge, overlapping", nl.BagRidge, {}, tables, slow=False)
    batches = {"X": X, "bags": BAGS, "proportions": COUNTS / 4}
    yield layer("noisy_labels.BagBatches", nl.BagBatches, 0, then="__getitem__", **batches)
    model = nl.BagRidge().fit(X, bags=BAGS, counts=COUNTS)
    scored = {"estimator": model, "X": X, "bags": BAGS, "counts": COUNTS}
    yield method("noisy_labels.CountScorer.score", nl.CountScorer, **scored, fixed=["estimator"])
    yield calling("noisy_labels.CountScorer", nl.CountScorer)
    test = {"estimator": nl.BagRidge(), "X": X, "bags": BAGS, "counts": COUNTS, "n_permutations": 2, "cv": 2}
    yield calling(
        "noisy_labels.permuted_bag_test", nl.permuted_bag_test, **test, fixed=["estimator"], slow=True
    )


def _with_network(kind: Any, **settings: Any) -> Any:
    import keras

    return kind(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), **settings)


def _losses() -> Iterator[Call]:
    y, p = np.array([0, 1, 2]), np.full((3, 3), 1 / 3, "float32")
    for name, settings in {
        "BackwardCorrectedCrossEntropy": {"transition": T}, "ForwardCorrectedCrossEntropy": {"transition": T},
        "GeneralizedCrossEntropy": {}, "TruncatedGeneralizedCrossEntropy": {}, "SymmetricCrossEntropy": {},
        "HardBootstrap": {}, "SoftBootstrap": {},
    }.items():  # fmt: skip
        yield layer(f"noisy_labels.{name}", getattr(nl, name), y, p, **settings, fixed=["name", "dtype"])
    bags, shares = (
        np.array([[0, 0.5], [0, 0.5], [1, 0.5], [1, 0.5]], "float32"),
        np.full((4, 1), 0.4, "float32"),
    )
    for name, settings in {
        "DLLPLoss": {}, "DebiasedSquareLoss": {"prior": 0.5}, "EasyLLPLoss": {"prior": 0.5},
        "UPMLoss": {"prior": 0.5},
        "SinkhornLoss": {"iterations": 3}, "CountLikelihoodLoss": {"max_bag_size": 2},
    }.items():  # fmt: skip
        fixed = ["name", "iterations"]
        yield layer(f"noisy_labels.{name}", getattr(nl, name), bags, shares, **settings, fixed=fixed)
    from noisy_labels.proportions import llp_fc, llp_vat

    yield layer("noisy_labels.LLPFCLoss", llp_fc.LLPFCLoss, bags, shares, prior=0.5, fixed=["name"])
    consistent = functools.partial(_with_network, llp_vat.LLPVATModel)
    yield calling(
        "noisy_labels.LLPVATModel", consistent, weight=0.1, radius=1.0, probe=0.1, n_steps=1, seed=0
    )
    for name in ("EarlyLearning", "SparseOverParameterization"):
        rows = (y, p, _first_rows)
        yield layer(f"noisy_labels.{name}", getattr(nl, name), *rows, n_rows=5, n_classes=3)
    z = np.ones((2, 4), "float32")
    yield layer("noisy_labels.CompressionDropout", nl.CompressionDropout, z, rate=0.5)
    yield layer("noisy_labels.NestedDropout", nl.NestedDropout, z, sigma=10.0)
    yield calling("noisy_labels.CoTeachingPlus", nl.CoTeachingPlus)
    yield calling("noisy_labels.JoCoR", nl.JoCoR)
    import keras

    classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    row_loss = nl.EarlyLearning(n_rows=10, n_classes=3)
    wrapped = {"classifier": classifier, "row_loss": row_loss}
    yield calling("noisy_labels.RowLossModel", nl.RowLossModel, **wrapped, fixed=["name"], slow=True)


def _first_rows(loss: Any) -> Any:
    return np.zeros(3, dtype=np.int64)


def _as_it_is(value: Any) -> Any:
    return value


def _networks() -> Iterator[Call]:
    brief = {
        "epochs": 1,
        "random_state": 0,
        "verbose": False,
        "validation_fraction": 0.0,
        "compression": None,
    }
    data = {"X": X, "y": BINARY}
    fixed = ["callbacks", "build_model", "verbose"]
    settings = {**brief, "exchange_epochs": 1, "noise_rate": 0.2, "batch_size": 6}
    yield fitting("noisy_labels.CoTeachingClassifier", nl.CoTeachingClassifier, settings, data, fixed=fixed)
    settings = {**brief, "mix_epochs": 1, "batch_size": 6}
    yield fitting("noisy_labels.DivideMixClassifier", nl.DivideMixClassifier, settings, data, fixed=fixed)
    graph = {"X": np.eye(6), "y": NODES, "edge_index": EDGES}
    quick = {"epochs": 1, "hidden": 4, "validation": "none", "random_state": 0}
    for name, more in {
        "GraphCoTeachingClassifier": {}, "GraphForwardClassifier": {"transition": np.full((2, 2), 0.5)},
        "GraphGCEClassifier": {}, "GraphNetworkClassifier": {}, "NRGNNClassifier": {"n_candidates": 2},
        "RTGNNClassifier": {"n_candidates": 2}, "ERASEClassifier": {"embedding_dim": 4, "hidden": 8},
    }.items():  # fmt: skip
        kind = getattr(nl, name)
        yield fitting(f"noisy_labels.{name}", kind, {**quick, **more}, graph, fixed=["verbose"])
    spreading = {"n_iterations": 3}
    yield fitting("noisy_labels.GraphLabelSpreading", nl.GraphLabelSpreading, spreading, graph, slow=False)
    nodes = {"X": np.eye(6), "edge_index": EDGES}
    for name in ("GraphNetworkClassifier", "GraphLabelSpreading", "ERASEClassifier"):
        brief = spreading if name == "GraphLabelSpreading" else {**quick, "hidden": 8}
        found = getattr(nl, name)(**brief).fit(**graph)
        given = functools.partial(_as_it_is, found)
        yield method(f"noisy_labels.{name}.predict_proba", given, **nodes)
        if name == "ERASEClassifier":
            yield method("noisy_labels.ERASEClassifier.transform", given, **nodes)


def _tensors() -> Iterator[Call]:
    import torch
    from torch_geometric.data import Data

    from sparse_data.sparse_pattern import SparsePattern

    z = torch.nn.functional.normalize(torch.tensor(X, dtype=torch.float32), p=1.0)
    rates = {"Z": z, "labels": torch.tensor(Y), "eps": 0.5}
    for name in ("class_coding_rate", "coding_rate_loss", "rate_reduction"):
        yield calling(f"noisy_labels.{name}", getattr(nl, name), **rates)
    path = SparsePattern.from_entries(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), (3, 3))
    spread = {"labels": torch.tensor([0, 1, -1]), "neighbours": path, "n_classes": 2, "fixed": ["neighbours"]}
    yield calling("noisy_labels.denoise_labels", nl.denoise_labels, **spread)
    denoised = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    scored = {"Z": z[:3], "denoised": denoised, "labelled": torch.tensor([0, 1]), "neighbours": path}
    yield calling("noisy_labels.semantic_scores", nl.semantic_scores, **scored, fixed=["neighbours"])
    noise = calling("noisy_labels.GraphLabelNoise", nl.GraphLabelNoise, rate=0.5, masks=None)
    parts = {"x": torch.eye(6), "y": torch.tensor([0, 0, 0, 1, 1, 1]), "edge_index": torch.tensor(EDGES)}

    def add_noise(x: Any, y: Any, edge_index: Any, **settings: Any) -> Any:
        return nl.GraphLabelNoise(**settings)(Data(x=x, y=y, edge_index=edge_index))

    yield Call(noise.name, add_noise, {**noise.arguments, **parts}, noise.errors)


def calls() -> Iterator[Call]:
    """Return the calls, but for the reader of a folder, which has tests of its own."""
    for part in (
        _confident_learning,
        _audits,
        _noise,
        _crowds,
        _counts,
        _proportions,
        _tensors,
        _losses,
        _networks,
    ):
        yield from part()
    missing = {"path": Path("no such folder")}
    yield calling("noisy_labels.load_co_teaching", nl.load_co_teaching, **missing, slow=True)
