"""Valid calls of the public names of `recsys_ssl`."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from entry_points import Call, calling, fitting, layer, method

import recsys_ssl as rs
from recsys_ssl import splits
from sparse_data import Bags
from sparse_data.datasets import ImpressionFiles, Impressions, Interactions

CLICKS = np.array([1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1])
BUYS = np.array([1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0])
PROBABILITIES = np.linspace(0.05, 0.95, 12)
GROUPS = np.repeat(["a", "b", "c"], 4)
LOGITS = np.linspace(-2.0, 2.0, 12).astype("float32")
IDS = np.array([3, 5, 8, 3, 9])
WORDS = np.array(["tea", "pot", "cup", "tea"])
FIELDS = [
    {"name": "id", "kind": "category", "num_rows": 9},
    {"name": "brand", "kind": "category", "num_rows": 6},
]
VECTORS = np.random.default_rng(0).normal(size=(6, 3))
LOG = Interactions(
    user_ids=["u", "u", "u", "v", "v", "w", "w", "x"], item_ids=["a", "b", "c", "a", "b", "b", "d", "a"],
    timestamps=np.arange(8.0),
)  # fmt: skip
SHOWN = Impressions(
    {"ad": np.tile([3, 5, 7, 5], 3), "tags": Bags.from_lists([["a"], ["b", "a"], [], ["c"]] * 3)},
    clicks=CLICKS,
    conversions=BUYS,
)
TENSORS = frozenset(
    [
        "ctr_logits",
        "cvr_logits",
        "ctcvr_logits",
        "counterfactual_logits",
        "imputed",
        "action_logits",
        "after_action_logits",
        "otherwise_logits",
        "clicks",
        "conversions",
        "actions",
        "sample_weight",
        "z",
        "z_prime",
        "excluded",
        "positives",
        "ctr",
        "ctcvr",
        "ids",
        "x",
        "positive",
        "logits",
        "log_q",
        "seed_generator",
    ]
)


def _metrics() -> Iterator[Call]:
    labels = {"labels": BUYS, "sample_weight": np.linspace(1.0, 2.0, 12)}
    for name in ("auc_by_group", "grouped_auc"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **labels, scores=PROBABILITIES, groups=GROUPS)
    binned = {**labels, "probabilities": PROBABILITIES, "n_bins": 3}
    yield calling("recsys_ssl.expected_calibration_error", rs.expected_calibration_error, **binned)
    binned.pop("sample_weight")
    yield calling("recsys_ssl.reliability_table", rs.reliability_table, **binned)
    yield calling("recsys_ssl.StreamingAUC", rs.StreamingAUC, n_bins=8)
    update = {**labels, "probabilities": PROBABILITIES}
    yield method("recsys_ssl.StreamingAUC.update", lambda: rs.StreamingAUC(8), **update)
    yield method("recsys_ssl.StreamingAUC.merge", lambda: rs.StreamingAUC(8), other=rs.StreamingAUC(8))
    funnel = {"clicks": CLICKS, "conversions": BUYS}
    weighted = {**funnel, "sample_weight": np.linspace(1.0, 2.0, 12)}
    yield calling("recsys_ssl.check_funnel_labels", rs.check_funnel_labels, **weighted, actions=CLICKS)
    predictions = {"ctr": PROBABILITIES, "cvr": PROBABILITIES[::-1].copy(), "ctcvr": PROBABILITIES / 2}
    measured = {**weighted, "predictions": predictions, "groups": GROUPS, "shared_ctr": PROBABILITIES}
    yield calling("recsys_ssl.evaluate_funnel", rs.evaluate_funnel, **measured)
    columns = {"features": {"price": np.arange(12) % 5, "size": np.arange(12.0)}, **funnel}
    yield calling(
        "recsys_ssl.label_leak_warnings", rs.label_leak_warnings, **columns, predictions=predictions
    )
    learn = {"kind": "logistic", **weighted, "predictions": predictions}
    yield calling("recsys_ssl.FunnelCalibration.learn", rs.FunnelCalibration.learn, **learn)
    learned = rs.FunnelCalibration.learn(**learn)
    steps = {"kind": "logistic", "ctr": learned.ctr, "ctcvr": learned.ctcvr}
    yield calling("recsys_ssl.FunnelCalibration", rs.FunnelCalibration, **steps)
    yield method("recsys_ssl.FunnelCalibration.apply", lambda: learned, predictions=predictions)
    lists = {"user_ids": np.array(["u", "v"]), "item_ids": np.array([["b", "c"], ["a", "d"]])}
    test = Interactions(user_ids=["u", "v"], item_ids=["d", "c"])
    ranked = {**lists, "train": LOG, "test": test, "k": (1, 2), "n_bootstrap": 5}
    yield calling("recsys_ssl.evaluate_rankings", rs.evaluate_rankings, **ranked)
    model = rs.Popularity().fit(LOG)
    scored = {"model": model, "train": LOG, "test": test, "k": (1, 2), "n_bootstrap": 5}
    yield calling("recsys_ssl.evaluate_retriever", rs.evaluate_retriever, **scored)
    for name in ("random_split", "per_user_split", "leave_last_out", "global_time_split"):
        yield calling(f"recsys_ssl.splits.{name}", getattr(splits, name), interactions=LOG)


def _ids() -> Iterator[Call]:
    hashed = {"num_rows": 10, "num_hashes": 2}
    for ids in (IDS, WORDS):
        yield calling("recsys_ssl.hash_ids", rs.hash_ids, ids=ids, **hashed)
        yield calling("recsys_ssl.id_words", rs.id_words, ids=ids)
        yield calling("recsys_ssl.collision_statistics", rs.collision_statistics, ids=ids, **hashed)

        def grown(ids: Any = ids) -> Any:
            vocabulary = rs.GrowingVocabulary(20, min_count=1, when_full="evict")
            vocabulary.update(ids)
            return vocabulary

        for name in ("update", "lookup", "counts"):
            yield method(f"recsys_ssl.GrowingVocabulary.{name}", grown, ids=ids)
        yield method("recsys_ssl.GrowingVocabulary.ids_of", grown, rows=np.array([3, 4]))
        yield method("recsys_ssl.GrowingVocabulary.evict", grown, below_count=2)
        yield method("recsys_ssl.GrowingVocabulary.grow", grown, capacity=30)
        yield method("recsys_ssl.GrowingVocabulary.merge", grown, other=grown())
        restored = rs.GrowingVocabulary.from_state_dict
        yield calling("recsys_ssl.GrowingVocabulary.from_state_dict", restored, state=grown().state_dict())
    yield calling("recsys_ssl.GrowingVocabulary", rs.GrowingVocabulary, capacity=20)
    frequency = {"num_buckets": 16, "num_hashes": 2}
    yield calling("recsys_ssl.StreamingFrequency", rs.StreamingFrequency, **frequency)
    for name in ("update", "probability"):
        yield method(
            f"recsys_ssl.StreamingFrequency.{name}", lambda: rs.StreamingFrequency(**frequency), ids=IDS
        )
    mixed = {"q": np.array([0.5, 0.1]), "batch": 3, "uniform": 2, "corpus": 4}
    yield calling("recsys_ssl.mixed_sampling_log_probability", rs.mixed_sampling_log_probability, **mixed)
    liked = Bags.from_lists([[0, 1], [], [5]], dtype=np.int64)
    folded = {"item_vectors": VECTORS, "liked": liked, "start": np.zeros((3, 3))}
    yield calling("recsys_ssl.fold_in", rs.fold_in, **folded)


def _indexes() -> Iterator[Call]:
    built = {"vectors": VECTORS, "ids": np.array(list("abcdef")), "bias": np.zeros(6)}
    yield calling("recsys_ssl.ExactIndex", rs.ExactIndex)
    yield calling("recsys_ssl.ApproximateIndex", rs.ApproximateIndex)
    for name in ("ExactIndex", "ApproximateIndex"):
        kind = getattr(rs, name)
        slow = name == "ApproximateIndex"
        yield method(f"recsys_ssl.{name}.build", kind, **built, slow=slow)

        def fresh(kind: Any = kind) -> Any:
            return kind().build(**built)

        found = {"queries": VECTORS[:2], "k": 2, "slow": slow}
        yield method(f"recsys_ssl.{name}.search", functools.partial(_as_it_is, fresh()), **found)
        more = {"vectors": VECTORS[:2], "ids": np.array(["g", "h"])}
        yield method(f"recsys_ssl.{name}.add", fresh, **more, slow=slow)
        yield method(f"recsys_ssl.{name}.remove", fresh, ids=np.array(["a"]), slow=slow)


def _as_it_is(value: Any) -> Any:
    return value


def _features() -> Iterator[Call]:
    table = {"sex": np.array(["F", "M", "", "F"]), "age": np.array([31.0, 40.0, np.nan, 28.0]),
             "tags": Bags.from_lists([["a"], ["b", "a"], [], ["c"]])}  # fmt: skip
    declared = [rs.Category("sex"), rs.Dense("age"), rs.MultiCategory("tags")]
    for name in ("Category", "Dense", "MultiCategory"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), name="sex")
    yield calling("recsys_ssl.infer_features", rs.infer_features, columns=table, leave_out=("sex",))
    yield calling("recsys_ssl.FeatureEncoder", rs.FeatureEncoder, features=declared)
    yield method("recsys_ssl.FeatureEncoder.fit", lambda: rs.FeatureEncoder(declared), columns=table)
    encoder = rs.FeatureEncoder(declared).fit(table)
    yield method("recsys_ssl.FeatureEncoder.transform", lambda: encoder, columns=table)
    yield method("recsys_ssl.FeatureEncoder.transform_missing", lambda: encoder, n=2)
    declaration, arrays = encoder.to_state()
    state = {"declaration": declaration, "arrays": arrays}
    yield calling("recsys_ssl.FeatureEncoder.from_state", rs.FeatureEncoder.from_state, **state)
    yield calling("recsys_ssl.StreamedEncoder", rs.StreamedEncoder, features=declared)
    yield method("recsys_ssl.StreamedEncoder.update", lambda: rs.StreamedEncoder(declared), chunk=table)
    streamed = rs.StreamedEncoder([rs.Dense("age")])
    streamed.update({"age": table["age"]})
    yield method("recsys_ssl.StreamedEncoder.encoder", lambda: streamed, min_count=1)
    yield calling("recsys_ssl.learn_encoder", rs.learn_encoder, features=declared, chunks=[table, table])
    shown = {"impressions": SHOWN, "encoder": rs.FeatureEncoder([rs.Category("ad")]).fit(SHOWN.columns)}
    yield layer(
        "recsys_ssl.ImpressionBatches", rs.ImpressionBatches, 0, then="__getitem__", **shown, batch_size=4
    )
    items = {"id": np.arange(3, 9), "brand": np.array([3, 3, 4, 4, 5, 5]), "price": np.linspace(0, 1, 6)}
    yield calling("recsys_ssl.field_information", rs.field_information, features=items)
    found = rs.field_information(items)
    yield method("recsys_ssl.FieldInformation.values_of", lambda: found, kind="adjusted")
    yield method("recsys_ssl.FieldInformation.to_frame", lambda: found, kind="adjusted")
    yield calling("recsys_ssl.mutual_information", rs.mutual_information, a=items["id"], b=items["brand"])
    yield calling("recsys_ssl.field_width", rs.field_width, specification=FIELDS, dim=4)


def _recommenders() -> Iterator[Call]:
    table = {"user_id": np.array(list("uvwx")), "age": np.array([1.0, 2.0, 3.0, 4.0])}
    items = {"item_id": np.array(list("abcd")), "brand": np.array(["k", "l", "k", "l"])}
    data = {"interactions": LOG, "users": None, "items": None}
    for name, settings in {
        "EASE": {"regularization": 1.0}, "IALS": {"dim": 2, "n_iterations": 2, "random_state": 0},
        "ItemKNN": {},
        "Popularity": {},
    }.items():  # fmt: skip
        kind = getattr(rs, name)
        yield fitting(f"recsys_ssl.{name}", kind, settings, data, slow=False)
        model = kind(**settings).fit(LOG)
        given = {
            "user_ids": np.array(["u", "w"]),
            "k": 2,
            "allow": np.array(list("abcd")),
            "deny": np.array(["z"]),
        }
        yield method(f"recsys_ssl.{name}.recommend", functools.partial(_as_it_is, model), **given)
        pairs = {"user_ids": np.array(["u", "w"]), "item_ids": np.array(["a", "d"])}
        yield method(f"recsys_ssl.{name}.score", functools.partial(_as_it_is, model), **pairs)
        if name != "Popularity":
            alike = {"item_ids": np.array(["a"]), "k": 2}
            yield method(f"recsys_ssl.{name}.similar_items", functools.partial(_as_it_is, model), **alike)
    settings = {"dim": 4, "epochs": 1, "batch_size": 8, "verbose": False, "validation_fraction": 0.0}
    fitted = {"interactions": LOG, "users": table, "items": items}
    fixed = ["verbose", "validation"]
    yield fitting("recsys_ssl.TwoTowerRetriever", rs.TwoTowerRetriever, settings, fitted, fixed=fixed)
    model = rs.TwoTowerRetriever(**settings).fit(**fitted)
    liked = {"item_ids": [np.array(["a", "b"]), np.array(["d"])], "k": 2}
    made = "recsys_ssl.TwoTowerRetriever"
    yield method(f"{made}.recommend_for_items", lambda: model, **liked)
    yield method(f"{made}.recommend", lambda: model, user_ids=np.array(["u", "w"]), k=2)
    new = {"items": {"item_id": np.array(["y", "z"]), "brand": np.array(["k", "m"])}}
    yield method(f"{made}.add_items", lambda: copy.copy(model), **new)
    yield method(f"{made}.similar_items", lambda: model, item_ids=np.array(["a"]), k=2)
    brief = {
        "dim": 2,
        "hidden_units": (4,),
        "epochs": 1,
        "batch_size": 8,
        "verbose": False,
        "validation_fraction": 0.0,
    }
    impressions = {"X": SHOWN.columns, "clicks": CLICKS, "conversions": BUYS}
    kind = rs.EntireSpaceClassifier
    yield fitting("recsys_ssl.EntireSpaceClassifier", kind, brief, impressions, fixed=["verbose"])
    classifier = kind(**brief).fit(**impressions)
    for name in ("predict_proba", "predict"):
        yield method(f"recsys_ssl.EntireSpaceClassifier.{name}", lambda: classifier, X=SHOWN.columns)
    blocks = {"impressions": _in_a_file(), "weight": None}
    yield method(
        "recsys_ssl.EntireSpaceClassifier.fit_impressions", lambda: kind(**brief), **blocks, slow=True
    )
    encoded = classifier.encoder_.transform(SHOWN.columns)
    yield method("recsys_ssl.EntireSpaceClassifier.predict_encoded", lambda: classifier, encoded=encoded)
    scored = {**impressions, "sample_weight": None}
    yield method("recsys_ssl.EntireSpaceClassifier.score", lambda: classifier, **scored)
    shown = Impressions({"user_id": list("uvwx") * 3, "item_id": list("abcd") * 3}, CLICKS, BUYS)
    rated = kind(**brief).fit(shown.columns, CLICKS, BUYS)
    ranking = {
        "retriever": rs.Popularity().fit(LOG),
        "classifier": rated,
        "user_ids": np.array(["u"]),
        "k": 1,
    }
    fixed = ["retriever", "classifier"]
    for name in ("rank_by_conversion", "rank_by_fused_scores"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **ranking, candidates=2, fixed=fixed)
    yield calling(
        "recsys_ssl.fused_scores", rs.fused_scores, relevance=LOGITS, chances=np.full(12, 0.3), weight=0.5
    )
    yield calling(
        "recsys_ssl.out_of_fold_scores",
        rs.out_of_fold_scores,
        model=rs.Popularity(),
        interactions=LOG,
        n_folds=2,
        fixed=["model"],
    )


def _in_a_file() -> ImpressionFiles:
    path = Path(tempfile.mkdtemp(prefix="impressions")) / "shown.csv"
    rows = zip(np.tile([3, 5, 7, 5], 3), CLICKS, BUYS, strict=True)
    path.write_text("ad,click,buy\n" + "".join(f"{ad},{click},{buy}\n" for ad, click, buy in rows))
    return ImpressionFiles([path], click="click", conversion="buy")


def _losses() -> Iterator[Call]:
    labels = {"clicks": CLICKS, "conversions": BUYS}
    both = {"ctr_logits": LOGITS, "cvr_logits": LOGITS, **labels}
    for name in ("aman_loss", "clicked_only_loss", "oversampling_loss"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), cvr_logits=LOGITS, **labels, fixed=TENSORS)
    for name in ("division_loss", "end_to_end_loss"):
        tensors = {"ctr_logits": LOGITS, "ctcvr_logits": LOGITS, **labels}
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **tensors, fixed=TENSORS)
    for name in ("escm2_loss", "esmm_loss", "inverse_propensity_loss", "nise_loss"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **both, fixed=TENSORS)
    more = {"dcmt_loss": {"counterfactual_logits": LOGITS}, "doubly_robust_loss": {"imputed": LOGITS}}
    for name, tensors in more.items():
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **both, **tensors, fixed=TENSORS)
    four = {f"{name}_logits": LOGITS for name in ("ctr", "action", "after_action", "otherwise")}
    yield calling("recsys_ssl.esm2_loss", rs.esm2_loss, **four, **labels, actions=CLICKS, fixed=TENSORS)
    steps = {"ctr": PROBABILITIES, "ctcvr": PROBABILITIES / 2}
    yield calling("recsys_ssl.aitm_calibrator", rs.aitm_calibrator, **steps, fixed=TENSORS)
    pair = {"z": VECTORS.astype("float32"), "z_prime": VECTORS.astype("float32") + 1, "temperature": 0.5}
    for name in ("info_nce", "nt_xent", "symmetric_info_nce"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **pair, fixed=TENSORS)
    softmax = {"z": pair["z"], "temperature": 0.5}
    yield calling("recsys_ssl.spread_out_softmax", rs.spread_out_softmax, **softmax, fixed=TENSORS)
    yield calling("recsys_ssl.spread_out_square", rs.spread_out_square, z=pair["z"], fixed=TENSORS)
    yield calling(
        "recsys_ssl.identical_features", rs.identical_features, ids=np.array([[1, 2], [1, 3], [1, 2]])
    )
    masked = {"x": pair["z"], "rate": 0.3, "seed_generator": keras.random.SeedGenerator(0)}
    yield calling("recsys_ssl.mask_embedding", rs.mask_embedding, **masked, fixed=TENSORS)
    sampled = {
        "positive": np.ones(2, "float32"),
        "logits": np.eye(2, dtype="float32"),
        "excluded": np.eye(2) > 0,
    }
    sampled["log_q"] = np.full(2, -1.0, "float32")
    yield calling("recsys_ssl.sampled_softmax_loss", rs.sampled_softmax_loss, **sampled, fixed=TENSORS)


def _as_wide(layer: Any) -> Any:
    return np.ones((5, layer.input_width), "float32")


def _layers() -> Iterator[Call]:
    ids = np.array([[0, 1, 2]])
    given = {"id": np.array([0, 3, 6]), "brand": np.array([3, 4, 5])}
    x = _as_wide
    tables = ["embeddings_initializer"]
    for name, inputs, settings in (
        ("AITM", x, {"input_width": 4, "num_tasks": 2, "units": (4,)}),
        ("MMoE", x, {"input_width": 4, "num_tasks": 2, "units": (4,), "num_experts": 2}),
        ("PLE", x, {"input_width": 4, "num_tasks": 2, "units": (4,), "num_levels": 1}),
        ("SharedBottom", x, {"input_width": 4, "num_tasks": 2, "units": (4,)}),
        ("SparseEmbedding", ids, {"num_rows": 4, "dim": 2}),
        ("CompositionalEmbedding", ids, {"num_ids": 9, "dim": 2}),
        ("HashedEmbedding", ids, {"num_rows": 4, "dim": 2}),
        ("FeatureEmbedding", given, {"specification": FIELDS, "dim": 4}),
        ("FeatureTower", given, {"specification": FIELDS, "dim": 4}),
        ("FeatureDropout", given, {"rate": 0.2}),
    ):
        yield layer(f"recsys_ssl.{name}", getattr(rs, name), inputs, **settings, fixed=tables)
    common = {"dim": 4, "hidden_units": (4,), "seed": 0}
    for name in ("AMAN", "AveragedESMM", "ClickedOnly", "DCMT", "Division", "ESCM2", "ESM2", "ESMM",
                 "EndToEnd", "NISE", "Oversampling", "Unbias"):  # fmt: skip
        yield layer(f"recsys_ssl.{name}", getattr(rs, name), specification=FIELDS, **common)
    for name in ("LazyAdam", "RowwiseAdagrad", "SparseAdagrad", "SparseSGD"):
        yield layer(f"recsys_ssl.{name}", getattr(rs, name))
    rows = np.eye(2, dtype="float32")
    plain = {"correction": "none", "remove_accidental_hits": False}
    yield layer("recsys_ssl.SampledSoftmax", rs.SampledSoftmax, rows, rows, **plain)
    yield layer(
        "recsys_ssl.SelfSupervision",
        rs.SelfSupervision,
        FIELDS,
        np.eye(2),
        then="adapt",
        fixed=["masks", "identifiers"],
    )
    information = {"specification": FIELDS, "information": np.eye(2), "identifiers": ("id",)}
    yield method("recsys_ssl.SelfSupervision.adapt", lambda: rs.SelfSupervision("cfm"), **information)
    yield method("recsys_ssl.FeatureDropout.adapt", rs.FeatureDropout, specification=FIELDS)
    embedding = rs.FeatureEmbedding(FIELDS, 2)
    yield method("recsys_ssl.FeatureEmbedding.rows_of", lambda: embedding, name="id")
    table = rs.SparseEmbedding(4, 2)
    table.build((None,))
    yield method("recsys_ssl.SparseEmbedding.reset_rows", lambda: table, rows=np.array([1, 2]))
    yield calling("recsys_ssl.grown", rs.grown, layer=table, num_rows=6, slow=True)
    plain_table = keras.layers.Embedding(4, 2)
    plain_table.build(None)
    replaced = {"layer": plain_table, "slow": True}
    yield calling("recsys_ssl.sparse_embedding_from", rs.sparse_embedding_from, **replaced)
    yield calling("recsys_ssl.sparse_embeddings_from", rs.sparse_embeddings_from, **replaced)
    towers = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)]
    both = {"query_tower": towers[0], "item_tower": towers[1]}
    yield calling("recsys_ssl.TwoTower", rs.TwoTower, **both, slow=True)


def calls() -> Iterator[Call]:
    """Return the calls, but for the readers of folders, which have tests of their own."""
    for part in (_metrics, _ids, _indexes, _features, _losses, _layers, _recommenders):
        yield from part()
    missing = {"path": Path("no such folder")}
    for name in ("load_entire_space_classifier", "load_retriever"):
        yield calling(f"recsys_ssl.{name}", getattr(rs, name), **missing, slow=True)
